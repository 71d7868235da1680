"""A study that is under way: what is shown agrees with what is finished, and fits wherever it is shown."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.cells import cell_len
from rich.console import Console

from multitask import Task
from multitask.config import TrainConfig
from multitask.interference.design.arms import Arm, Design
from multitask.interference.design.runs import StudyRun
from multitask.interference.execution.partial import Partial
from multitask.interference.execution.watching import Progress
from multitask.interference.execution.worker import _tell
from multitask.metrics.metric import METRICS
from multitask.storage.json_files import write_json
from multitask.task import Example

NAMES = ("span", "tweet_sentiment_of_the_year", "sst2", *(f"glue_task_{i}" for i in range(27)))


def a_task(name: str) -> Task:
    return Task(name, lambda row: Example("a", "b"), f"{name}: ", metrics=[METRICS.get("accuracy")])


def design(tasks: int = 3, seeds: int = 2, **changes) -> Design:
    names = NAMES[:tasks]
    return Design(names, dict.fromkeys(names, Fraction(4)), seeds=tuple(range(seeds)), **changes)


def runs(of: Design, folder: Path) -> list[StudyRun]:
    config = TrainConfig(trainer={"max_steps": 500})
    return [
        StudyRun(arm, of.family(arm), seed, config, folder / f"{i}-{seed}")
        for seed in of.seeds
        for i, arm in enumerate(of.needed())
    ]


def write_scores(run: StudyRun, score: float | None) -> None:
    write_json(run.folder / "metrics.json", {t: {"accuracy": score} for t in run.arm.tasks})


def progress(of: Design, folder: Path, *, finished: int = 0, running: int = 2) -> Progress:
    every = runs(of, folder)
    part = Partial(of, {t: a_task(t) for t in of.tasks})
    shown = Progress(every, [1.0] * len(every), done=0, jobs=running, partial=part, arms=[run.arm for run in every])
    for i in range(min(finished, len(every))):
        every[i].folder.mkdir(parents=True, exist_ok=True)
        write_scores(every[i], 0.4 + 0.001 * i)
        shown.finished(i)
    for i in range(finished, min(finished + running, len(every))):
        shown.step(i, 17 * (i - finished))
    return shown


def drawn(shown: Progress, width: int = 80, height: int = 24) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, height=height, color_system=None, force_terminal=True)
    lines = console.render_lines(shown.render(), pad=False)
    return ["".join(part.text for part in line) for line in lines]


def test_the_matrix_fills_as_models_finish(tmp_path: Path) -> None:
    assert drawn(progress(design(3), tmp_path), 90) == [
        f"models 0/14 {'━' * 71} … left",
        "Δ so far                   alone    span  tweet_s…e_year    sst2     all",
        "span                           ·                       ·       ·       ·",
        "tweet_sentim…of_the_year       ·       ·                       ·       ·",
        "sst2                           ·       ·               ·               ·",
        "points, equal exposure; means over finished seeds (grey: not yet all 2)",
        "joint seed 0        step 0/500     0 %",
        "single-span seed 0  step 17/500    3 %",
    ]
    whole = progress(design(3), tmp_path, finished=14)
    assert not any("·" in line for line in drawn(whole, 100))
    assert drawn(whole, 100)[0].startswith("models 14/14 ━")


def test_a_difference_is_the_mean_over_the_seeds_that_are_finished(tmp_path: Path) -> None:
    of = design(2)
    part = Partial(of, {t: a_task(t) for t in of.tasks})
    task, other = of.tasks
    scores = {("joint", 0): 0.5, ("joint", 1): 0.6, ("single", 0): 0.4}
    for run in runs(of, tmp_path):
        if (run.family, run.seed) in scores:
            run.folder.mkdir(parents=True)
            write_scores(run, scores[run.family, run.seed])
            part.add(run.arm, run.seed, run.folder)
    found = part.effect("pair", task, other)
    assert found is not None and found.seeds == 1 and found.value == pytest.approx(10.0)
    assert part.alone(task) == (pytest.approx(40.0), 1)
    assert part.effect("without", task, other) is None


def test_a_score_that_is_undefined_or_damaged_is_no_number(tmp_path: Path) -> None:
    shown = progress(design(2, seeds=1), tmp_path)
    for i, run in enumerate(shown.runs):
        run.folder.mkdir()
        if i:
            write_scores(run, None)
        else:
            (run.folder / "metrics.json").write_text("{")
        shown.finished(i)
    assert all("nan" not in line for line in drawn(shown))
    assert json.dumps(drawn(shown)).count("·") or "·" in "".join(drawn(shown))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
@pytest.mark.parametrize("tasks", [2, 12, 30])
def test_it_fits_any_width_and_height_and_cuts_no_number(width: int, tasks: int, tmp_path: Path) -> None:
    shown = progress(design(tasks, seeds=1), tmp_path, finished=25, running=16)
    for height in (5, 10, 24, 50):
        lines = drawn(shown, width, height)
        assert len(lines) < height
        assert max(map(cell_len, lines)) <= width
        assert "\x1b" not in "".join(lines)
        for number in re.findall(r"[+−]\d\S*", "\n".join(lines)):
            assert re.fullmatch(r"[+−]\d+\.\d", number), number
    columns = drawn(shown, width, 50)[1].split()[3:]
    assert columns[0] == "alone"
    if tasks == 12:
        assert ("lowest" in columns) == (width in (60, 80, 100))


def test_a_study_without_pairs_shows_what_company_does_or_a_task_among_all(tmp_path: Path) -> None:
    assert drawn(progress(design(3, arms=("single", "joint")), tmp_path))[1].split()[3:] == ["alone", "all"]
    without = drawn(progress(design(4, arms=("joint", "without")), tmp_path / "w"), 160)
    assert "columns: of a task among all" in without[-3]


def test_trials_and_low_terminals_have_no_matrix(tmp_path: Path) -> None:
    shown = progress(design(3), tmp_path)
    shown.partial = None
    assert [line.split()[0] for line in drawn(shown)] == ["models", "joint", "single-span"]


def test_a_pipe_gets_one_line(tmp_path: Path) -> None:
    shown = progress(design(2), tmp_path, finished=3)
    shown.evaluating(3)
    assert shown.line() == "models 3/6  … left  joint seed 1 90 %, single-span seed 1 3 %"
    assert "evaluating" in drawn(shown)[-2]


def test_arms_are_told_apart_by_their_budget() -> None:
    of = design(2, match=("steps",))
    part = Partial(of, {t: a_task(t) for t in of.tasks})
    own = Arm((of.tasks[0],), Fraction(4))
    part._scores[own, 0, of.tasks[0]] = 40.0
    assert part.alone(of.tasks[0]) is None


def test_a_stop_that_was_asked_while_a_model_was_prepared_is_passed_on_when_its_training_begins() -> None:
    sent: list = []
    messages = SimpleNamespace(send=sent.append)
    asked = threading.Event()
    _tell(messages, asked, 3, "step", 1)
    asked.set()
    with pytest.raises(KeyboardInterrupt):
        _tell(messages, asked, 3, "evaluate")
    assert [message[:2] for message in sent] == [("step", 3), ("evaluate", 3)]
    assert not asked.is_set()


def test_the_time_that_is_left_is_not_guessed_from_the_first_steps(tmp_path: Path) -> None:
    shown = progress(design(3), tmp_path, finished=7, running=0)
    assert shown.left == "… left"
    shown.began = time.monotonic() - 60
    assert re.fullmatch(r"1:\d\d left", shown.left)
    shown.spent = 0.01
    assert shown.left == "… left"
