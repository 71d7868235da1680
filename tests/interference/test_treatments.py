"""A whole study with treatments: merged, balanced, adapted and regrouped models in one table with the joint arm."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from multitask import Study, measure_interference
from multitask.errors import UserError
from multitask.interference.results.record import SweepPoint, TreatmentRecord
from multitask.interference.results.treatment_words import treatments_sentence
from multitask.interference.results.treatments import _mark_front, strengths
from multitask.plugins import INCLUDED, include

TASK_FILE = str(Path(__file__).parents[1] / "study_tasks.py")
NAMES = ["pcgrad", "lora-task", "merge-average", "merge-ties", "groups", "mine"]
SETTINGS = {
    "tasks": "study_order,study_first",
    "include": [TASK_FILE],
    "vocab_size": 70,
    "per_step": 4,
    "resamples": 200,
    "jobs": 1,
    "threads": 1,
    "seeds": 2,
    "selection_rows": 8,
    "eval_limit": 8,
    "trainer": {"max_steps": 4, "accelerator": "cpu"},
    "treatments": [*NAMES[:-1], "mine: rates.study_first=3 dropout=0"],
    "simple_treatments": False,
    "rates_sweep": ["study_first=0.5/2"],
}


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Iterator[Study]:
    out = tmp_path_factory.mktemp("treated") / "study"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(INCLUDED, "")
        include(TASK_FILE)
        yield measure_interference(out=out, **SETTINGS)


def test_groups_of_single_tasks_lose_nothing_and_one_group_is_the_joint_arm(study):
    plain, groups = (next(t for t in study.record["treatments"] if t["name"] == n) for n in ("sum", "groups"))
    if groups["models"] == 2:
        assert (groups["mean"], groups["mean_low"], groups["mean_high"], groups["worst"]) == (0, 0, 0, 0)
        assert groups["front"] or any((t["mean"] or 0) > 0 for t in study.record["treatments"])
    else:
        assert groups["mean"] == plain["mean"]


def test_every_treatment_stands_beside_the_joint_arm_with_its_cost(study):
    assert study.treatments["name"].tolist() == ["sum", *NAMES]
    assert study.treatments["front"].any()
    assert (study.treatments["seconds"] > 0).all()
    assert study.treatments["memory_mb"].notna().all()
    for kind, match in (("treatment", None), ("treated", "examples")):
        found = [(e["task"], e["companion"]) for e in study.record["effects"] if e["kind"] == kind]
        wanted = {(t, n) for t, n in itertools.product(study.tasks, NAMES) if n != "groups"}
        assert wanted <= set(found)
        assert all(e["match"] == match for e in study.record["effects"] if e["kind"] == kind)


def test_each_arm_is_what_its_name_says(study):
    cells = {(c["arm"], c["seed"]): c for c in json.loads((study.folder / "cells.json").read_text())}
    assert cells["mine", 0]["per_step"] == {"study_first": 6.0, "study_order": 2.0}
    assert cells["study_first × 2", 0]["per_step"] == {"study_first": 8.0, "study_order": 4.0}
    folder = study.folder / "cells"
    adapted = next(folder.glob("lora-task-seed0-*"))
    assert "peft: lora" in (adapted / "config.yaml").read_text()
    merged = json.loads((next(folder.glob("merge-ties-seed1-*")) / "run.json").read_text())
    assert merged["steps"] == 0
    assert len(merged["merged"]["points"]) == 9
    assert not list(folder.glob("*/model/model.safetensors"))  # what was kept for merging is gone


def test_the_same_command_trains_nothing_again(study):
    before = {p: p.stat().st_mtime_ns for p in study.folder.glob("cells/*/run.json")}
    again = measure_interference(out=study.folder, **SETTINGS)
    assert again.record == study.record
    assert {p: p.stat().st_mtime_ns for p in study.folder.glob("cells/*/run.json")} == before


@pytest.mark.parametrize("format", ["table", "markdown", "latex", "html", "csv"])
def test_every_form_of_the_study_has_the_treatments(study, format):
    text = study.render(format)
    for name in NAMES:
        if name != "groups":
            assert name in text
    page = (study.folder / "report.html").read_text()
    assert "Which way of training together?" in page
    assert "Would another rate help?" in page


def test_no_line_of_the_tables_is_wider_than_the_terminal(study):
    from multitask.interference.tables import render

    for width in (60, 80, 120):
        assert max(map(len, render(study.record, "table", width=width).splitlines())) <= width


def record(name: str, mean: float, worst: float, **more: object) -> TreatmentRecord:
    plain = dict.fromkeys(TreatmentRecord.__annotations__)
    return {**plain, "name": name, "mean": mean, "worst": worst, "front": False, **more}  # type: ignore[return-value]


def test_the_front_is_what_no_other_beats_in_both():
    made = [record("sum", 0, -5), record("a", 1, -6), record("b", -1, -5), record("c", 0.5, -7), record("d", 1, -6)]
    _mark_front(made)
    assert {t["name"] for t in made if t["front"]} == {"sum", "a", "d"}


def test_the_sentence_says_who_is_better_and_how_many_are_not_told_apart():
    over = {"mean_over_joint": 1.8, "over_low": 0.7, "over_high": 2.9}
    plain = [record("sum", 0, 0), record("x", 0, 0, **over, over_verdict="no evidence")]
    assert treatments_sentence({"treatments": plain})[0] == (
        "Of 1 treatments none is seen to beat plain joint training in the mean over tasks."
    )
    better = [*plain, record("y", 0, 0, **over, over_verdict="gain"), record("z", 0, 0, **over, over_verdict="loss")]
    assert treatments_sentence({"treatments": better})[0] == (
        "Better than plain joint training: y, +1.8 [0.7, 2.9]; 1 worse, 1 undecided."
    )
    assert treatments_sentence({"treatments": []}) == ()


def points(*verdicts: tuple[float, str | None, str | None]) -> list[SweepPoint]:
    return [
        {
            "task": "t",
            "companion": "u",
            "factor": factor,
            "delta": -factor,
            "low": None,
            "high": None,
            "verdict": verdict,
            "change": None,
            "change_verdict": change,
        }
        for factor, verdict, change in verdicts
    ]


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (points((0.5, "no evidence", "gain"), (1.0, "loss", None), (2.0, "loss", "loss")), "weak"),
        (points((0.5, "loss", "gain"), (1.0, "loss", None), (2.0, "loss", None)), "strong"),
        (points((0.5, "no evidence", "no evidence"), (1.0, "loss", None)), "undecided"),
        (points((0.5, "loss", None), (1.0, "no evidence", None)), "none seen"),
        (points((0.5, None, None), (1.0, None, None)), "not judged"),
    ],
)
def test_interference_is_weak_if_another_rate_removes_it_and_strong_if_none_does(given, word):
    (found,) = strengths(given)
    assert found["strength"] == word
    assert found["best_factor"] == min(p["factor"] for p in given)


def test_a_treatment_that_cannot_work_is_refused_before_anything_is_read():
    with pytest.raises(UserError, match="treatment 'x': --adapters task gives each task an adapter of its own"):
        measure_interference(tasks="sst2,span", treatments=["x: adapters=task"])
