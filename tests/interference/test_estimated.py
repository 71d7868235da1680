"""Whole estimates on small tasks: every method, confirmed pairs, and that nobody could take them for measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import multitask
from multitask.cli import main
from multitask.errors import UserError
from multitask.interference.design.config import METHODS, check_study_config, parse_settings
from multitask.interference.estimated import ALONE, TRUNK, branch_share, estimate_pairs
from multitask.interference.estimation.weights import write_sum
from multitask.interference.execution.runs import resolve_settings
from multitask.interference.request import prepare_request
from multitask.interference.study import Study
from multitask.model.pretrained import load_pretrained
from multitask.runs.merging import weights_of
from multitask.training.rng_states import torch_threads

TASK_FILE = str(Path(__file__).parents[1] / "study_tasks.py")
TASKS = "study_order,study_first,study_last"
QUICK = ["--tasks", TASKS, "--include", TASK_FILE, "--vocab-size", "70", "--per-step", "4", "--resamples", "200"]
QUICK += ["--jobs", "1", "--threads", "1", "--seeds", "1", "--trainer.max_steps", "8", "--trainer.accelerator", "cpu"]

pytestmark = pytest.mark.usefixtures("study_tasks")


def estimated(out: Path, capsys, *more: str) -> tuple[str, str]:
    assert main(["interference", *QUICK, "--out", str(out), *more]) == 0
    return capsys.readouterr()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("estimate") / "study"


def test_an_estimate_is_marked_in_every_form_and_confirmed_pairs_are_not(folder, capsys):
    table, _ = estimated(folder, capsys, "--estimate")
    assert "ESTIMATED, not measured: what a companion would do to a task, by joined; 1 seed" in " ".join(table.split())
    assert "a real study's no better than chance: --confirm K trains the K pairs" in " ".join(table.split())
    assert table.count("~") >= 6
    assert "▲" not in table
    models = {p.name for p in (folder / "estimate").iterdir()}
    assert len(models) == 9  # three trunks, three tasks alone, three pairs; what pairs began with is deleted
    assert not (folder / "interference.json").exists()
    record = json.loads((folder / "estimate.json").read_text(encoding="utf-8"))
    assert record["estimated"] is True
    assert record["verdicts"] is None
    assert [p["estimated"] for p in record["pairs"]] == [True] * 6

    for form in ("markdown", "latex", "html", "csv", "json"):
        shown, said = estimated(folder, capsys, "--estimate", "--format", form)
        assert "estimated" in shown.lower(), form
        assert "models, 0 finished" not in said
        assert "gain" not in shown
    confirmed, _ = estimated(folder, capsys, "--estimate", "--confirm", "1")
    assert "1 of 3 pairs were trained" in confirmed
    assert "trunks: 3 models, 3 finished" in confirmed
    assert "branches of seed 0: 6 models, 6 finished" in confirmed
    record = json.loads((folder / "estimate.json").read_text(encoding="utf-8"))
    pair = set(record["confirmed"]["pairs"][0])
    for row in record["pairs"]:
        assert row["estimated"] == ({row["task"], row["companion"]} != pair)
        assert row["unit"] == "points"
    assert {p.name for p in (folder / "estimate").iterdir()} == models
    assert len(list((folder / "cells").iterdir())) == 4  # three tasks alone and the pair


@pytest.mark.parametrize("method", [m for m in METHODS if m != "joined"])
def test_every_method_gives_a_matrix_and_says_how_far_it_can_be_trusted(folder, capsys, method):
    table, _ = estimated(folder, capsys, "--estimate", method, "--conflict-every", "2")
    said = " ".join(table.split())
    assert f"by {method}; 1 seed" in said
    assert "In its validation it was not reliable (joined was better, and no method was right on a real" in said
    assert "study): --confirm K trains the K pairs that matter most." in said
    record = json.loads((folder / "estimate.json").read_text(encoding="utf-8"))
    values = [p["value"] for p in record["pairs"]]
    assert len(values) == 6
    assert all(v is not None for v in values)
    assert len(set(values)) > 1


def test_from_python_an_estimate_is_no_study(folder, tmp_path):
    settings = {"tasks": TASKS, "include": [TASK_FILE], "vocab_size": 70, "per_step": 4, "resamples": 200, "seeds": 1}
    settings |= {"jobs": 1, "threads": 1, "trainer": {"max_steps": 8, "accelerator": "cpu"}}
    found = multitask.estimate_interference("joined", out=folder, **settings)
    assert found.render().startswith("ESTIMATED, not measured")
    assert found.values.shape == (3, 3)
    with pytest.raises(UserError, match="are for estimate_interference, which gives an estimate and no study"):
        multitask.measure_interference(estimate="branches", out=tmp_path / "study", **settings)


@pytest.mark.parametrize("flag", [["--dry-run"], ["--runs", "x/*"]])
def test_flags_of_a_measured_study_are_refused_beside_an_estimate(capsys, flag):
    assert main(["interference", *QUICK, "--estimate", *flag]) == 2
    assert f"{flag[0]} is for a measured study: leave it or --estimate out." in capsys.readouterr().err


def test_trunks_and_branches_cost_no_more_than_a_joint_run_and_a_half():
    for tasks in range(3, 40):
        assert max(TRUNK, ALONE) + tasks * branch_share(tasks) <= 1.5


def test_a_pair_begins_with_what_both_single_models_have_learned(folder, tmp_path):
    """A model that was trained at no learning rate to speak of is θ₀, so the sum of it and another is the other."""
    settings = {"include": [TASK_FILE], "vocab": str(folder / "vocab"), "batch_size": 4, "seed": 3}
    settings |= {"trainer": {"max_steps": 2, "accelerator": "cpu"}}
    configs = [
        multitask.TrainConfig(tasks=[task], lr=lr, out=str(tmp_path / f"{task}-{task[-5:]:0>10}"), **settings)
        for task, lr in (("study_order", 1e-30), ("study_first", 0.01), ("study_last", 0.01))
    ]
    runs = [multitask.train(config, quiet=True).folder for config in configs]
    start, first, last = (weights_of(load_pretrained(str(run / "model"))) for run in runs)
    for chosen, wanted in (([1, 0], first), ([1, 2], {n: first[n] + last[n] - start[n] for n in start})):
        made = write_sum(resolve_settings(configs[chosen[0]]), [runs[i] for i in chosen], tmp_path / "starts")
        for name, value in weights_of(load_pretrained(str(made))).items():
            torch.testing.assert_close(value, wanted[name], rtol=1e-5, atol=1e-6, msg=name)
    with torch_threads(2):  # the address of all that begins there hangs on its bytes
        again = write_sum(resolve_settings(configs[1]), runs[1:], tmp_path / "again")
    assert (again / "model.safetensors").read_bytes() == (made / "model.safetensors").read_bytes()
    assert not torch.equal(first["shared.weight"], last["shared.weight"])


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"confirm": 2}, "--confirm trains the pairs that an estimate finds to matter: give --estimate too."),
        ({"estimate": "branch"}, "--estimate branch: did you mean 'branches'?"),
        (
            {"estimate": "branches", "match": "steps"},
            "--estimate tells the pairs at equal exposure: leave --match out.",
        ),
        (
            {"estimate": "branches", "null": "all"},
            "--null is for a measured study, and --estimate trains a part of one: leave one of them out.",
        ),
        (
            {"estimate": "joined", "peft": "lora", "adapters": "task"},
            "--estimate joined goes on from one model's weights, and --adapters task gives each task some of its own: "
            "leave --adapters out, or --estimate early.",
        ),
        ({"estimate": "branches", "confirm": -1}, "--confirm must be 0 (none) or above. Got -1."),
    ],
)
def test_what_cannot_be_estimated_is_refused(settings, text):
    with pytest.raises(UserError) as error:
        check_study_config(parse_settings({"tasks": TASKS, **settings}))
    assert str(error.value) == text


@pytest.mark.parametrize(
    ("tasks", "confirm", "text"),
    [
        (
            "study_order,study_first",
            0,
            "--estimate spares the training of pairs, and two tasks have one alone: leave it out.",
        ),
        (TASKS, 4, "--confirm 4: 3 tasks have 3 pairs; leave --estimate out."),
    ],
)
def test_too_few_tasks_for_an_estimate_are_refused(tmp_path, tasks, confirm, text):
    config = parse_settings({"tasks": tasks, "include": [TASK_FILE], "estimate": "branches", "confirm": confirm})
    with pytest.raises(UserError) as error:
        estimate_pairs(prepare_request(config), tmp_path / "study")
    assert str(error.value) == text
    assert not (tmp_path / "study").exists()


def test_a_study_in_the_folder_of_an_estimate_uses_its_confirmed_models(folder, capsys):
    """The last in this file: the folder has what the tests before it trained."""
    assert main(["interference", *QUICK, "--out", str(folder), "--arms", "single,pair", "--format", "json"]) == 0
    study = Study(folder, json.loads(capsys.readouterr().out))
    assert len(study.effects) > 0
    assert (folder / "estimate.json").is_file()
