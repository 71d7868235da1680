"""A study begun from Python without `if __name__ == "__main__"`: a script, `python -c`, standard input, a notebook."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from multitask.interference.design.config import parse_settings
from multitask.interference.execution.pool import _without_script
from multitask.interference.request import prepare_request
from multitask.plugins import INCLUDED, include
from multitask.task import TASKS

TASK_FILE = Path(__file__).parents[1] / "study_tasks.py"
SCRIPT = f"""
import multitask
_ = open("began", "a").write("once\\n")
study = multitask.measure_interference(
    tasks="study_order", include=[{str(TASK_FILE)!r}], null="all", arms="single", seeds=1, jobs=2, threads=1,
    vocab_size=70, per_step=4, resamples=200, trainer={{"max_steps": 2, "accelerator": "cpu"}}, out="study",
)
print(study.record["setting"]["tasks"], study.record["setting"]["cells"])
"""
OWN = TASK_FILE.read_text() + SCRIPT.replace(f"include=[{str(TASK_FILE)!r}], ", "")
"""The same with the tasks registered by the program itself."""


def run(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != INCLUDED}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, input=stdin, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith("['study_order'] 2\n")
    assert (folder / "began").read_text() == "once\n"  # no worker ran the program again
    return done


def test_a_script_without_a_guard_trains_side_by_side(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    assert run(tmp_path, "script.py").stderr.count("multitask:") == 0


def test_tasks_that_a_program_registers_itself_are_trained_in_it_which_is_said(toys, tmp_path, capsys):
    settings = {"tasks": "toy_labels,toy_text", "jobs": 2}
    assert prepare_request(parse_settings(settings)).jobs == 1
    assert capsys.readouterr().err == (
        "multitask: tasks 'toy_labels', 'toy_text' are registered by this program itself, so other processes do not "
        "know them: the models are trained here, one after another. To train them side by side, put the registration "
        "in a file and give include=[FILE].\n"
    )
    assert prepare_request(parse_settings({**settings, "jobs": 1})).jobs == 1
    assert prepare_request(parse_settings({**settings, "tasks": "span,sst2"})).jobs == 2
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_the_same_by_all_ways_to_run_a_program(tmp_path):
    ways = ((["-c", SCRIPT], ""), (["-m", "script"], ""), (["-i"], OWN), (["-"], OWN))
    for i, (arguments, stdin) in enumerate(ways):
        folder = tmp_path / f"way-{i}"
        folder.mkdir()
        (folder / "script.py").write_text(SCRIPT)
        run(folder, *arguments, stdin=stdin)


def test_a_spawned_process_is_told_of_no_script_and_the_program_keeps_its_own():
    from multiprocessing import spawn

    script = sys.modules["__main__"]
    with _without_script():
        assert not {"init_main_from_path", "init_main_from_name"} & spawn.get_preparation_data("worker").keys()
    assert sys.modules["__main__"] is script


def test_what_a_file_or_package_registers_is_known_to_other_processes_and_what_a_program_does_is_not(toys, study_tasks):
    assert isinstance(include(study_tasks), types.ModuleType)
    assert [TASKS.is_reloadable(name) for name in ("sst2", "study_order", "toy_span")] == [True, True, False]
    for name in ("study_order", "study_first", "study_last"):
        TASKS.discard(name)
    assert not TASKS.is_reloadable("study_order")
