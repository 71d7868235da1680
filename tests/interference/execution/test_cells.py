"""A study whose models others train: by number, as an array of jobs, and what its folder says meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from multitask.cli import main
from multitask.errors import UserError
from multitask.interference.execution.cell import TryAgainError, train_cell
from multitask.interference.execution.cells import find_cell, read_cells
from multitask.interference.execution.slurm import ranges, write_script
from multitask.interference.execution.status import look
from multitask.interference.study import Study
from multitask.interference.watch import differences, watch_study
from multitask.runs.follow import watch_run
from multitask.runs.progress_file import RunProgress, read_progress, write_progress
from multitask.storage.locking import locked
from multitask.task import TASKS

TASK_FILE = str(Path(__file__).parents[2] / "study_tasks.py")
STUDY = [
    *("interference", "--tasks", "study_order,study_first", "--include", TASK_FILE, "--vocab-size", "70"),
    *("--per-step", "4", "--resamples", "200", "--arms", "single,joint", "--seeds", "1", "--threads", "1"),
    *("--steps", "40", "--trainer.accelerator", "cpu", "--checkpoint-every", "10"),
]


pytestmark = pytest.mark.usefixtures("study_tasks")


SBATCH = """#!{python}
import os, pathlib, re, signal, subprocess, sys, time
work, arguments = pathlib.Path({work!r}), sys.argv[1:]
assert arguments[0] == "--parsable"
wrapped = [a for a in arguments if a.startswith("--wrap=")]
if wrapped:
    (work / "next").write_text(chr(10).join(arguments))
    print("102;cluster")
    sys.exit()
script = pathlib.Path(arguments[-1])
numbers = re.search(r"#SBATCH --array=(\\d+)-(\\d+)", script.read_text()).groups()
log = (work / "log").open("w")
for number in range(int(numbers[0]), int(numbers[1]) + 1):
    restarts = 0
    while True:
        environment = dict(os.environ, SLURM_ARRAY_TASK_ID=str(number), SLURM_JOB_ID=str(1000 + number))
        environment["SLURM_RESTART_COUNT"] = str(restarts)
        job = subprocess.Popen(["bash", str(script)], env=environment, stdout=log, stderr=log)
        if number == 0 and not restarts:  # its time is over, before it is finished
            while not list(script.parent.glob("cells/*/checkpoints/step-*.ckpt")) and job.poll() is None:
                time.sleep(0.01)
            job.send_signal(signal.SIGUSR1)
        code = job.wait()
        print("job", number, "code", code, file=log, flush=True)
        asked = work / f"requeue-{{1000 + number}}"
        if not asked.exists():
            break
        asked.unlink()
        restarts += 1
print("101;cluster")
"""
SCONTROL = """#!/bin/sh
[ "$1" = requeue ] && touch {work}/requeue-$2
"""
"""Stand-ins that run an array here, one job after another, and end the first before its time."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> tuple[Path, Path, str]:
    """A folder of stand-ins, a study that was trained by them, and what the command said."""
    work = tmp_path_factory.mktemp("cluster")
    for name, text in (("sbatch", SBATCH), ("scontrol", SCONTROL)):
        (work / name).write_text(text.format(python=sys.executable, work=str(work)))
        (work / name).chmod(0o755)
    out = work / "study"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{work}:{os.environ['PATH']}")
        patch.setenv("OMP_NUM_THREADS", "1")
        command = [sys.executable, "-m", "multitask.cli", *STUDY, "--out", str(out), "--engine", "slurm", "--submit"]
        done = subprocess.run([*command, "--slurm-options=--partition gpu --gpus 1"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return work, out, done.stdout


def test_the_array_trains_all_and_one_that_ran_out_of_time_goes_on(cluster):
    work, out, said = cluster
    log = (work / "log").read_text()
    assert "3 models to train: sent as job 101, and the tables after them;" in said
    assert [line for line in log.splitlines() if line.startswith("job")] == [
        *("job 0 code 75", "job 0 code 0", "job 1 code 0", "job 2 code 0"),
    ]
    assert "stopped at step" in log
    assert all(cell.is_finished for cell in read_cells(out))
    after = (work / "next").read_text().splitlines()
    assert "--dependency=afterok:101" in after
    assert "--engine slurm --submit" in after[-1] and "--slurm-options=--partition gpu --gpus 1" in after[-1]


def test_the_tables_are_those_of_processes_of_this_machine(cluster, tmp_path):
    _, out, _ = cluster
    assert main([*STUDY, "--out", str(out), "--jobs", "1"]) == 0
    assert main([*STUDY, "--out", str(tmp_path / "here"), "--jobs", "1"]) == 0
    records = [Study.read(folder).record for folder in (out, tmp_path / "here")]
    assert all(record["made"].pop("finished") for record in records)
    assert records[0] == records[1]
    assert (out / "interference.csv").read_bytes() == (tmp_path / "here" / "interference.csv").read_bytes()


def test_a_finished_cell_is_left_alone_and_mistakes_are_sentences(cluster, capsys):
    _, out, _ = cluster
    assert main(["cell", str(out), "0", "--include", TASK_FILE]) == 0
    assert "finished already" in capsys.readouterr().out
    assert main(["cell", str(out), "7"]) == 2
    assert "there is no cell 7: the study has 3, from 0 to 2." in capsys.readouterr().err
    assert main(["cell", str(out), "joint"]) == 2
    assert main(["cell", str(out.parent), "0"]) == 2
    assert "has no cells.json: it is no study's folder" in capsys.readouterr().err
    cells = read_cells(out)
    assert find_cell(cells, cells[1].folder.name) == find_cell(cells, "1") == cells[1]


def changed(study: Path, to: Path, **settings) -> Path:
    """A copy of a study's plan whose first cell has other settings."""
    to.mkdir()
    (to / "study.yaml").write_bytes((study / "study.yaml").read_bytes())
    entries = json.loads((study / "cells.json").read_text())
    for name, value in settings.items():
        (entries[0] if name == "folder" else entries[0]["settings"])[name] = value
    (to / "cells.json").write_text(json.dumps(entries))
    return to


def test_a_file_that_the_folder_names_is_not_run_by_itself(cluster, tmp_path):
    _, out, _ = cluster
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'run')!r}, 'w')")
    with pytest.raises(UserError, match=r"was trained with --include .*evil\.py: give --include"):
        train_cell(changed(out, tmp_path / "a", include=[str(evil)]), "0")
    with pytest.raises(UserError, match="unknown setting 'colour': another version wrote it"):
        read_cells(changed(out, tmp_path / "b", colour="red"))
    with pytest.raises(UserError, match=r"names the folder \.\./\.\./x, which is not inside the study"):
        read_cells(changed(out, tmp_path / "c", folder="../../x"))
    assert not (tmp_path / "run").exists()


def test_what_another_process_trains_or_waits_for_others_is_for_later(cluster, tmp_path):
    _, out, _ = cluster
    plan = changed(out, tmp_path / "a", vocab=str(out / "vocab"))
    cell = read_cells(plan)[0]
    owner = """import sys, time
from pathlib import Path
from multitask.storage.locking import locked
with locked(Path(sys.argv[1]), "run"):
    print("held", flush=True)
    time.sleep(100)
"""
    holder = subprocess.Popen([sys.executable, "-c", owner, str(cell.folder)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        assert look(cell).state == "running"
        with pytest.raises(TryAgainError, match="another process is working on the run"):
            train_cell(plan, "0", include=[TASK_FILE])
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    merging = changed(out, tmp_path / "b", merge="average", merge_runs=["cells/one"])
    with pytest.raises(TryAgainError, match="merges models that are not finished yet: one"):
        train_cell(merging, "0", include=[TASK_FILE])


def test_the_status_says_what_is_finished_under_way_failed_and_left(cluster, tmp_path, capsys):
    _, out, _ = cluster
    assert main(["interference", str(out), "--status"]) == 0
    assert "3 of 3 models finished" in capsys.readouterr().out
    plan = changed(out, tmp_path / "a")
    done, failed, running = (cell.folder for cell in read_cells(plan))
    done.parent.mkdir()
    done.symlink_to(read_cells(out)[0].folder)
    (plan / "logs").mkdir()
    (plan / "logs" / f"{failed.name}.log").write_text("== attempt 1\nTraceback …\nRuntimeError: a bug\n")
    progress = RunProgress(20, 40, ["a"], [8], ["accuracy"], [True], [[0.0] * 4], {}, None, [], 0.0, 0, time.time())
    write_progress(running, progress)
    assert read_progress(running) == progress
    with locked(running, "run"):
        assert main(["interference", str(plan), "--status"]) == 0
        said = capsys.readouterr().out
        assert main(["interference", str(plan), "--status", "--format", "json"]) == 0
        listed = json.loads(capsys.readouterr().out)
    assert "1 of 3 models finished, 1 running, 1 failed" in said
    assert "step 20/40" in said and "RuntimeError: a bug (log: " in said
    assert "of training and evaluation, by what the finished ones took" in said
    assert [one["state"] for one in listed] == ["done", "failed", "running"]
    assert main(["interference", str(plan)]) == 2
    assert "a folder is given with --status alone" in capsys.readouterr().err


def test_a_study_and_a_run_are_watched_by_their_folders(cluster, capsys):
    _, out, _ = cluster
    watch_study(out)
    said = capsys.readouterr()
    assert "models 3/3" in said.err and "3 of 3 models finished" in said.out
    cells = read_cells(out)
    partial, arms = differences(out, cells)
    assert partial is not None and None not in arms
    for cell, arm in zip(cells, arms, strict=True):
        partial.add(arm, cell.seed, cell.folder)
    effects = [e for e in Study.read(out).record["effects"] if e["kind"] == "company"]
    primary = [e for e in effects if e["metric"] == TASKS.get(e["task"]).primary.name]
    assert len(primary) == 2
    for effect in primary:
        so_far = partial.effect("company", effect["task"])
        assert so_far is not None and so_far.value == pytest.approx(effect["delta"])
    watch_run(cells[0].folder)
    assert "is finished (" in capsys.readouterr().out
    with pytest.raises(UserError, match="is neither a run folder nor a study folder"):
        watch_run(out.parent)


def test_a_script_has_ranges_limits_and_options(tmp_path):
    assert ranges([3]) == "3"
    script = write_script(tmp_path, [0, 1, 4], threads=2, at_once=8, options="-p gpu --time 1:00", retries=0)
    text = script.read_text()
    assert "#SBATCH --array=0-1,4%8\n" in text
    assert "#SBATCH -p gpu\n#SBATCH --time 1:00\n" in text
    assert subprocess.run(["/bin/bash", "-n", str(script)]).returncode == 0
    with pytest.raises(UserError, match="options of sbatch begin with a hyphen"):
        write_script(tmp_path, [0], threads=1, at_once=None, options="gpu", retries=0)
