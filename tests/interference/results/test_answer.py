"""The answer of a study: its sentences word by word, and that it always fits and counts every verdict."""

from __future__ import annotations

import random
import runpy
from pathlib import Path
from typing import Any

import pytest

from multitask.interference.results.alike import merge_alike
from multitask.interference.results.answer import KINDS, LINES, WIDTH, answer
from multitask.interference.results.learned import learned
from multitask.interference.results.ranges import range_of
from multitask.interference.results.record import LIKELIHOOD, StudyRecord
from multitask.interference.study import Study
from multitask.interference.tables.evidence import sentence

EXAMPLE = runpy.run_path(str(Path(__file__).parents[2] / "study_example.py"))
example_record, mark_not_learned = EXAMPLE["example_record"], EXAMPLE["mark_not_learned"]


def study(
    tasks: tuple[str, ...] = ("span", "sst2", "cola"),
    verdicts: dict[tuple[str, str | None], tuple[str, float]] | None = None,
    **changes: Any,
) -> StudyRecord:
    """A study at equal exposure without controls: {(task, companion): (verdict, Δ)}, the others undecided at +0.3."""
    made = example_record(tasks, changes.pop("seeds", 5))
    made["setting"]["match"] = ["examples"]
    made["effects"] = [e for e in made["effects"] if e["kind"] in ("pair", "company") and e["match"] == "examples"]
    made["summary"] = made["summary"][:1]
    made["null"] = None
    for about in made["tasks"]:
        about["metric"], about["unit"] = "accuracy", "accuracy × 100"
    for e in made["effects"]:
        e["metric"] = LIKELIHOOD if e["metric"] == LIKELIHOOD else "accuracy"
        verdict, delta = (verdicts or {}).get((e["task"], e["companion"]), ("no evidence", 0.3))
        e.update(delta=delta, low=delta - 2, high=delta + 2, q=0.01 if delta**2 > 4 else 0.6, detectable=3.1)
        e["verdict"] = verdict if made["setting"]["seeds"][1:] else None
    for s in made["scores"]:
        s.update(mean=80.0, sd=1.0, metric=LIKELIHOOD if s["metric"] == LIKELIHOOD else "accuracy")
    made.update(changes)  # type: ignore[typeddict-item]
    return made


def single(record: StudyRecord, task: str, mean: float, sd: float | None = 1.0) -> StudyRecord:
    for s in record["scores"]:
        if s["arm"] == "single" and s["task"] == task:
            s.update(mean=mean, sd=sd)
    return record


def text(record: StudyRecord, **more: Any) -> list[str]:
    return str(answer(record, "runs/x", **more)).split("\n")


def test_losses_and_gains_are_told_the_surest_first_with_what_is_undecided_and_what_to_do() -> None:
    found = {
        ("span", "sst2"): ("loss", -14.8),
        ("cola", None): ("loss", -3.0),
        ("sst2", "span"): ("gain", 6.5),
        ("sst2", "cola"): ("equal", 0.1),
    }
    assert text(study(verdicts=found)) == [
        "At equal exposure, 5 seeds, 95 % intervals: 2 losses and 1 gain in 9 effects.",
        "▼ span loses with sst2: −14.8 points of accuracy [−16.8, −12.8]",
        "▲ sst2 gains with span: +6.5 points of accuracy [4.5, 8.5]",
        "▼ cola loses with both others: −3.0 points of accuracy [−5.0, −1.0]",
        "1 equal (within ±0.5 points); 5 undecided: 3.1 points or more would be seen.",
        "No split is supported: the best, span + sst2 | cola, is at +2.2 points",
        "[−0.3, 4.6] over one joint model.",
        "Report: runs/x/report.html",
    ]


def test_nothing_found_says_what_could_have_been_seen() -> None:
    assert text(study()) == [
        "At equal exposure, 5 seeds, 95 % intervals: no loss and no gain in 9 effects.",
        "All tasks together: +0.9 points [−0.2, 2.0] in the mean over tasks.",
        "9 undecided: 3.1 points or more would be seen; 20 seeds would halve that.",
        "Every task was learned: alone, each is above its baseline.",
        "No split is supported: the best, span + sst2 | cola, is at +2.2 points",
        "[−0.3, 4.6] over one joint model.",
        "Report: runs/x/report.html",
    ]


def test_tasks_that_are_scored_by_their_log_likelihood_are_told_in_nats() -> None:
    made = study(verdicts={("span", "sst2"): ("gain", 2.1234)})
    made["effects"] = [e for e in made["effects"] if e["metric"] != LIKELIHOOD]
    for about in made["tasks"]:
        about.update(metric=LIKELIHOOD, baseline=None)
    for e in made["effects"]:
        e["metric"] = LIKELIHOOD
    assert text(made)[1:4:2] == [
        "▲ span gains with sst2: +2.123 nats [0.123, 4.123]",
        "8 undecided: 3.100 nats or more would be seen; 20 seeds would halve that.",
    ]


def test_a_design_that_sees_no_change_that_can_be_says_so_and_not_a_number_beyond_the_metric() -> None:
    made = study()
    for e in made["effects"]:
        e.update(base=60.0, detectable=164.0)
    assert text(made)[2] == "9 undecided: no change that a score can have would be seen: it takes more seeds."
    effect = next(e for e in made["effects"] if e["metric"] == "accuracy")
    said = sentence(made, effect, frozenset(), range_of(made, effect["task"]))
    assert said.endswith("either way; no change that this score can have would be seen.")
    effect["detectable"] = 3.1
    assert text(made)[2] == "9 undecided: 3.1 points or more would be seen, in 8 nothing."


def test_advice_that_does_not_fit_a_line_does_not_take_the_place_of_a_finding() -> None:
    tasks = tuple(f"a_task_with_a_long_name_{i}" for i in range(4))
    found = {(t, u): ("loss", -5.0 - i) for i, (t, u) in enumerate((t, u) for t in tasks for u in tasks if t != u)}
    lines = text(study(tasks, found))
    assert [line for line in lines if line.startswith("▼")][3:] == []
    assert lines[4] == "  and 9 more: 9 losses."
    assert lines[-2] == "No split is supported: the best is at +2.2 points [−0.3, 4.6] over one model."


def test_a_task_whose_effects_are_undefined_is_named() -> None:
    made = study()
    for e in made["effects"]:
        if e["task"] == "cola":
            e.update(low=None, high=None, verdict=None, q=None, p=None)
    assert text(made)[2] == "3 undefined (cola); 6 undecided: 3.1 points or more would be seen."


def test_all_equal_is_an_answer() -> None:
    every = {(t, u): ("equal", 0.0) for t in ("a", "b", "c") for u in ("a", "b", "c", None)}
    assert text(study(("a", "b", "c"), every))[:3] == [
        "At equal exposure, 5 seeds, 95 % intervals: no loss and no gain in 9 effects.",
        "All tasks together: +0.9 points [−0.2, 2.0] in the mean over tasks.",
        "All 9 lie within the margin of ±0.5 points: no interference beyond it.",
    ]


def test_one_seed_gives_no_verdicts_and_no_advice() -> None:
    made = study(verdicts={("span", "sst2"): ("loss", -14.8), ("sst2", None): ("gain", 2.0)}, seeds=1)
    assert text(made) == [
        "1 seed: evaluation noise only, so no verdicts; at equal exposure.",
        "Measured, not judged: from −14.8 (span with sst2) to +2.0 (sst2 with both",
        "others).",
        "Every task was learned: alone, each is above its baseline.",
        "No split into several models is supported: that takes 3 seeds or more.",
        "Report: runs/x/report.html",
    ]


def test_what_was_not_learned_is_not_judged() -> None:
    made = single(study(verdicts={("cola", "span"): ("loss", -9.0), ("span", "cola"): ("loss", -3.0)}), "cola", 50.3)
    for about in made["tasks"]:
        about["baseline"] = 50.0
    mark_not_learned(made, "cola")
    assert text(made) == [
        "At equal exposure, 5 seeds, 95 % intervals: 1 loss and 0 gains in 6 effects.",
        "▼ span loses with cola: −3.0 points of accuracy [−5.0, −1.0]",
        "5 undecided: 3.1 points or more would be seen; 20 seeds would halve that.",
        "Not learned, so not judged: cola (50.3, its baseline 50.0).",
        "No advice on what to train together: it would count a task that was not learned.",
        "Report: runs/x/report.html",
    ]
    for task in ("span", "sst2"):
        single(made, task, 40.0)
    mark_not_learned(made, "span", "sst2")
    assert text(made)[:2] == [
        "At equal exposure, 5 seeds: no task was learned, so nothing can be judged.",
        "Not learned, so not judged: span, sst2, cola (not above the baseline).",
    ]


def test_many_findings_are_named_as_far_as_there_is_room_and_counted_beyond() -> None:
    tasks = tuple(f"a_task_of_the_kind_{i}" for i in range(12))
    found = {(tasks[i], tasks[j]): ("loss", -3.0 - i) for i in range(6) for j in range(6, 12)}
    found[tasks[7], tasks[2]] = ("gain", 20.0)
    assert text(study(tasks, found, advice=None)) == [
        "At equal exposure, 5 seeds, 95 % intervals: 36 losses and 1 gain in 144 effects.",
        "▲ a_task_o…_kind_7 gains with a_task_o…_kind_2: +20.0 points [18.0, 22.0]",
        "▼ a_task_o…_kind_5 loses with a_task_o…_kind_6: −8.0 points [−10.0, −6.0]",
        "▼ a_task_o…_kind_5 loses with a_task_o…_kind_7: −8.0 points [−10.0, −6.0]",
        "  and 34 more: 34 losses.",
        "107 undecided: 3.1 points or more would be seen; 20 seeds would halve that.",
        "No advice on what to train together: not every pair was measured.",
        "Report: runs/x/report.html",
    ]


def test_the_other_budget_controls_and_a_task_left_out_of_the_mean_are_said() -> None:
    made = example_record()
    for s in made["scores"]:
        s.update(mean=90.0, sd=1.0)
    made["summary"][0]["mean_left_out"] = ["stsb"]
    alarms = sum(
        e["verdict"] in ("gain", "loss") for e in made["effects"] if e["kind"] == "null" and e["metric"] != LIKELIHOOD
    )
    lines = text(made)
    assert any(line.startswith("At equal compute: ") and line.endswith(" undecided.") for line in lines)
    assert f"Left out of the mean: stsb. Null control: {alarms} of 3 say gain or loss." in lines


def test_a_study_without_pairs_tells_of_company_and_says_why_there_is_no_advice() -> None:
    made = study(verdicts={("sst2", None): ("loss", -4.0)}, advice=None)
    made["setting"]["arms"] = ["single", "joint"]
    made["effects"] = [e for e in made["effects"] if e["kind"] == "company"]
    assert text(made) == [
        "At equal exposure, 5 seeds, 95 % intervals: 1 loss and 0 gains in 3 effects.",
        "▼ sst2 loses with both others: −4.0 points of accuracy [−6.0, −2.0]",
        "All tasks together: +0.9 points [−0.2, 2.0] in the mean over tasks.",
        "2 undecided: 3.1 points or more would be seen; 20 seeds would halve that.",
        "Every task was learned: alone, each is above its baseline.",
        "No advice on what to train together: it takes the arms single and pair.",
        "Report: runs/x/report.html",
    ]
    made["effects"], made["setting"]["arms"] = [], ["single"]
    assert text(made) == ["Nothing was compared: this study has the arm single alone.", "Report: runs/x/report.html"]


def test_of_two_tasks_the_pair_is_told_once() -> None:
    made = study(("span", "sst2"), {("span", "sst2"): ("loss", -4.0), ("span", None): ("loss", -4.0)})
    found = answer(made)
    assert [s.text for s in found.sentences if s.topic == "finding"] == [
        "span loses with sst2: −4.0 points of accuracy [−6.0, −2.0]"
    ]
    (told,) = [s for s in found.sentences if s.topic == "finding"]
    assert [e["kind"] for e in told.counted] == ["pair", "company"]
    assert (told.task, told.companion, told.verdict, told.mark) == ("span", "sst2", "loss", "▼")
    assert "1 loss and 0 gains in 2 effects" in str(found)


def test_a_supported_split_is_advised_and_one_model_too() -> None:
    made = study()
    assert made["advice"] is not None
    made["advice"].update(supported=True, low=1.0)
    assert "Train span + sst2 | cola in 2 models: +2.2 points [1.0, 4.6] over one joint" in text(made)
    made["advice"].update(supported=False, groups=made["advice"]["groups"][:1])
    assert "Train all in one model: no split into several is expected to do better." in text(made)


@pytest.mark.parametrize("seed", range(25))
def test_an_answer_fits_eight_lines_of_80_columns_and_counts_every_verdict(seed: int) -> None:
    draw = random.Random(seed)
    names = [
        "a",
        "情感分析" * 6,
        "tweet_sentiment_of_the_year",
        "\x1b[31mred",
        "x" * 70,
        *(f"task{i}" for i in range(7)),
    ]
    tasks = tuple(draw.sample(names, draw.randint(2, 12)))
    made = example_record(tasks, draw.choice([1, 2, 5]))
    for s in made["scores"]:
        if s["task"] in tasks[:: draw.randint(1, 3)] and s["metric"] != LIKELIHOOD:
            s.update(mean=90.0, sd=None if s["sd"] is None else 1.0)
    mark_not_learned(made, *tasks[: draw.randint(0, 3)])
    made["summary"][0]["mean_left_out"] = list(tasks[: draw.randint(0, 12)])
    made["effects"] = [e for e in made["effects"] if draw.random() < 0.9]
    if draw.random() < 0.3:
        made["advice"] = None
    found = answer(made, "runs/a-study")
    lines = [line for line, _ in found.lines()]
    assert len(lines) <= LINES, lines
    from rich.cells import cell_len

    assert max(map(cell_len, lines)) <= WIDTH
    assert "\x1b" not in str(found)
    main = {t["name"]: t["metric"] for t in made["tasks"]}
    verdicts = [
        e
        for e in made["effects"]
        if e["kind"] in (*KINDS, "null") and e["metric"] == main[e["task"]] and e["verdict"] in ("gain", "loss")
    ]
    assert {id(e) for s in found.sentences for e in s.counted} == set(map(id, verdicts))
    for s in found.sentences:
        assert s.effect is None or learned(made, s.effect["task"]) is not False


def test_warnings_that_say_the_same_are_one_line_with_all_names_and_the_range_of_numbers() -> None:
    lines = [
        *(
            f"task '{t}': in {n} predictions there is never '{x}'."
            for t, n, x in (("a", 40, "no"), ("b", "1,200", "no"))
        ),
        "GENERATED SAMPLE: the examples of a are made.",
        *(f"task 't{i}' is short." for i in range(7)),
        "task 'a' is short.",
    ]
    assert merge_alike(lines) == [
        "tasks 'a' and 'b': in 40 to 1,200 predictions there is never 'no'.",
        "GENERATED SAMPLE: the examples of a are made.",
        "tasks 't0', 't1', 't2' and 5 more is short.",
    ]
    assert merge_alike(merge_alike(lines)) == merge_alike(lines)


def test_a_study_is_one_short_line_and_prints_its_answer(tmp_path: Path) -> None:
    found = Study(tmp_path, study())
    assert repr(found) == f"<Study {str(tmp_path)!r}: 3 tasks, 5 seeds, 50 models>"
    assert str(found).startswith("At equal exposure, 5 seeds") and "Report" not in str(found)
    (tmp_path / "report.html").touch()
    assert str(found).endswith(f"Report: {tmp_path / 'report.html'}")
    shown = found._repr_html_()
    assert shown.count("<table") == 1 and "At equal exposure, 5 seeds" in shown and "Pairs" in shown
