"""One of two processes fails, is killed or interrupted: all end, soon, with its error, and the run can go on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
import yaml

from multitask.cli import main

SCRIPT = Path(__file__).parents[1] / "distributed_script.py"
BOUND = 90
"""Seconds in which all must have ended on a machine that has other things to do; most is the start of Python."""


class Ended(NamedTuple):
    code: int
    out: str
    err: str
    left: list[int]
    """Processes that are still there."""


def write(tmp_path: Path, **settings: Any) -> Path:
    trainer = {"max_steps": 6, "devices": 2, "accelerator": "cpu", "strategy": "ddp", "enable_progress_bar": False}
    config = {
        "tasks": "first,last",
        "out": str(tmp_path / "run"),
        "vocab_size": 60,
        "dropout": 0.0,
        "per_step": {"first": 3.5, "last": 0.5},
        "eval_every": 5,
        "checkpoint_every": 2,
        "log_examples": True,
        **settings,
        "trainer": {**trainer, **settings.get("trainer", {})},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def run(config: Path, fault: str = "none", rank: int = 0) -> Ended:
    env = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT", "NODE_RANK")}
    env |= {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, str(SCRIPT), str(config), fault, str(rank)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=BOUND, check=False)
    pids = [int(pid) for pid in re.findall(r"^process \d: (\d+)$", done.stdout, flags=re.MULTILINE)]
    until = time.monotonic() + 10
    while any(map(_alive, pids)) and time.monotonic() < until:
        time.sleep(0.1)
    return Ended(done.returncode, done.stdout, done.stderr, [pid for pid in pids if _alive(pid)])


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def last(text: str) -> str:
    """The one line in which the program says how it ended."""
    (line,) = [one for one in text.splitlines() if one.startswith("multitask: ")]
    return line


def checkpoint(tmp_path: Path, step: int) -> Path:
    return tmp_path / "run" / "checkpoints" / f"step-{step}.ckpt"


def examples(tmp_path: Path) -> dict[int, list[tuple[str, str]]]:
    """{step: what all processes trained on}."""
    frames = [pd.read_parquet(p) for p in (tmp_path / "run" / "examples").glob("*.parquet")]
    frame = pd.concat(frames).sort_values(["step", "task", "id"])
    return {int(k): list(zip(of["task"], of["id"], strict=True)) for k, of in frame.groupby("step")}


def test_an_error_in_one_process_ends_all_with_it(tmp_path):
    ended = run(write(tmp_path), "raise-in-training", 1)
    assert (ended.code, ended.left) == (1, [])
    assert "ValueError: planted in process 1" in ended.err
    assert last(ended.err) == (
        "multitask: error: process 1 ended with exit code 1; its error is above. "
        f"multitask train --resume {tmp_path / 'run'} goes on from {checkpoint(tmp_path, 2)}."
    )


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["raise-in-training", "raise-in-evaluation", "raise-in-formatter"])
@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_anywhere_ends_all_with_it(tmp_path, fault, rank):
    ended = run(write(tmp_path), fault, rank)
    assert ended.code != 0
    assert ended.left == []
    assert f"planted in process {rank}" in ended.err


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["kill-in-training", "kill-in-evaluation"])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_ends_all(tmp_path, fault, rank):
    ended = run(write(tmp_path), fault, rank)
    assert ended.left == []
    assert ended.code == (1 if rank == 1 else -9)
    if rank == 1:
        assert "multitask: error: process 1 was ended by signal 9. The" in last(ended.err)
    config = write(tmp_path, resume=True)
    assert run(config).code == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_before_they_met_leaves_none_behind(tmp_path, rank):
    """One has not come yet, the other one waits for it or is not there any more."""
    env = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT", "NODE_RANK")}
    env |= {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, str(SCRIPT), str(write(tmp_path)), "late", "1"]
    started = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL)
    assert started.stdout is not None
    pids = []
    for line in started.stdout:
        pids += [int(pid) for pid in re.findall(r"^process \d: (\d+)$", line)]
        if len(pids) == 2:
            break
    os.kill(pids[rank], 9)
    assert started.wait(BOUND) != 0
    until = time.monotonic() + BOUND
    while any(map(_alive, pids)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(_alive, pids))
    started.stdout.close()


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_an_interrupted_run_goes_on_alone_with_the_same_examples(tmp_path, rank):
    """Stopped with two processes, gone on with one; the signal reaches only one of them."""
    config = write(tmp_path)
    ended = run(config, "interrupt-in-training", rank)
    assert (ended.code, ended.left) == (130, [])
    assert last(ended.err) == f"multitask: stopped at step 4 of 6; multitask train --resume {tmp_path / 'run'} goes on."
    assert checkpoint(tmp_path, 4).is_file()
    resumed = write(tmp_path, resume=True, trainer={"devices": 1, "strategy": "auto"})
    assert run(resumed).code == 0
    alone = tmp_path / "alone"
    alone.mkdir()
    assert run(write(alone, trainer={"devices": 1, "strategy": "auto"})).code == 0
    assert examples(tmp_path) == examples(alone)
    mixes = [json.loads((where / "run" / "mix.json").read_text())["tasks"] for where in (tmp_path, alone)]
    for name in ("first", "last"):
        one, other = (mix[name]["realised"] for mix in mixes)
        assert one["examples"] == other["examples"]
        assert one["mean_loss"] == pytest.approx(other["mean_loss"], rel=1e-4)


@pytest.mark.slow
def test_a_run_of_one_process_goes_on_with_two(tmp_path):
    ended = run(write(tmp_path, trainer={"devices": 1, "strategy": "auto"}), "interrupt-in-training", 0)
    assert ended.code == 130
    assert run(write(tmp_path, resume=True)).code == 0
    whole = tmp_path / "whole"
    whole.mkdir()
    assert run(write(whole)).code == 0
    assert examples(tmp_path) == examples(whole)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("fault, code", [("interrupt", 130), ("terminate", 143)])
def test_a_stopped_run_of_two_processes_goes_on_to_the_same_bytes(tmp_path, fault, code, rank):
    whole = tmp_path / "whole"
    whole.mkdir()
    assert run(write(whole)).code == 0
    ended = run(write(tmp_path), f"{fault}-in-training", rank)
    assert (ended.code, ended.left) == (code, [])
    assert last(ended.err) == f"multitask: stopped at step 4 of 6; multitask train --resume {tmp_path / 'run'} goes on."
    assert run(write(tmp_path, resume=True)).code == 0
    for part in ("model/model.safetensors", "metrics.json", "mix.json"):
        assert (tmp_path / "run" / part).read_bytes() == (whole / "run" / part).read_bytes()


def test_an_infinite_loss_in_one_process_stops_both_and_names_its_example(tmp_path):
    """Its gradient is finite: the other process learns of it all the same, and both save the same state."""
    ended = run(write(tmp_path), "infinite-loss", 1)
    assert (ended.code, ended.left) == (2, [])
    assert re.fullmatch(
        r"multitask: error: step 4: the loss is not finite in task '(first|last)' \(1 of \d examples: train:\d+\)\. "
        + re.escape(f"{checkpoint(tmp_path, 3)} holds the state before: multitask train --resume {tmp_path / 'run'} ")
        + "--on-nonfinite skip goes on "
        + r"without such updates; or begin again .*",
        last(ended.err),
    )


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_both_processes_skip_the_step_and_a_resumed_run_skips_it_too(tmp_path, rank):
    whole = tmp_path / "whole"
    whole.mkdir()
    assert run(write(whole, on_nonfinite="skip"), "infinite-loss", rank).code == 0
    assert run(write(tmp_path), "infinite-loss", rank).code == 2
    assert run(write(tmp_path, resume=True, on_nonfinite="skip"), "infinite-loss", rank).code == 0
    for part in ("model/model.safetensors", "metrics.json", "mix.json"):
        assert (tmp_path / "run" / part).read_bytes() == (whole / "run" / part).read_bytes()
    assert json.loads((whole / "run" / "mix.json").read_text())["skipped_steps"] == 1


# ---------------------------------------------------------------------------------------------------------- strategies


def _refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], strategy: str, devices: int = 2) -> str:
    words = ["train", "--tasks", "span", "--out", str(tmp_path / "run"), "--trainer.accelerator", "cpu"]
    assert main([*words, "--trainer.devices", str(devices), "--trainer.strategy", strategy]) == 2
    assert not (tmp_path / "run").exists()
    return last(capsys.readouterr().err)


@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_fork", "ddp_notebook", "ddp_spawn_find_unused_parameters_true"])
def test_processes_that_begin_in_the_middle_of_a_run_are_refused(tmp_path, capsys, strategy):
    assert _refused(tmp_path, capsys, strategy) == (
        "multitask: error: --trainer.strategy: processes that are spawned or forked in the middle of a run do not "
        "bring back what it counted; use ddp, which starts the command once for each device."
    )


@pytest.mark.parametrize(
    "strategy, reason",
    [
        ("fsdp", "The strategy `fsdp` requires a GPU accelerator, but received `accelerator='cpu'`."),
        ("deepspeed", "To use the `DeepSpeedStrategy`, you must have DeepSpeed installed."),
        ("dpp", "You selected an invalid strategy name: `strategy='dpp'`."),
    ],
)
def test_a_strategy_that_cannot_be_had_is_one_line(tmp_path, capsys, strategy, reason):
    said = _refused(tmp_path, capsys, strategy)
    assert said.startswith(f"multitask: error: Lightning refuses these --trainer options: {reason}")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["auto", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false"])
def test_strategies_that_start_the_command_again_train_the_same_model(tmp_path, strategy):
    from safetensors.torch import load_file
    from torch.testing import assert_close

    other = tmp_path / "other"
    other.mkdir()
    assert run(write(tmp_path)).code == 0
    assert run(write(other, trainer={"strategy": strategy})).code == 0
    one, two = (load_file(where / "run" / "model" / "model.safetensors") for where in (tmp_path, other))
    for name in one:
        assert_close(one[name], two[name], rtol=1e-5, atol=1e-6, msg=name)
