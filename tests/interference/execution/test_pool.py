"""Models side by side: slots, what is tried again, what is said; with a stand-in for the training itself."""

from __future__ import annotations

import os
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.interference.design.arms import Design
from multitask.interference.design.runs import StudyRun
from multitask.interference.execution import pool
from multitask.interference.execution.failures import cause, last_line
from multitask.interference.execution.pool import PoolSettings, train_runs
from multitask.interference.execution.runs import StudyRunError
from multitask.interference.execution.slots import plan_slots, visible_gpus

WORKER = """
import os, signal, time
from multitask.interference.execution.worker import Message

def work(base, connection, threads, parent):
    if base.include and not os.path.exists(base.include[0]):  # loading the data kills it, once
        open(base.include[0], "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    connection.send(Message("ready", -1))
    while (order := connection.recv()) is not None:
        connection.send(Message("start", order.run))
        name = order.folder.name
        began = time.time()
        if name.startswith("killed") and order.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith("crash") or (name.startswith("memory") and order.attempt == 1):
            said = "CUDA out of memory. Tried to allocate 2 GiB" if name.startswith("memory") else "a bug"
            connection.send(Message("failed", order.run, f"Traceback …\\nRuntimeError: {said}"))
            break
        if name.startswith("refused"):
            connection.send(Message("refused", order.run, "the disk is full."))
            break
        time.sleep(0.02)
        order.folder.mkdir(parents=True)
        gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
        (order.folder / "made").write_text(f"{gpu} {os.getpid()} {began} {time.time()} {order.attempt}")
        connection.send(Message("done", order.run))
    else:
        connection.send(Message("stopped", -1))
    connection.close()
"""
"""What a worker answers, without what it trains."""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    (tmp_path / "stand_in_worker.py").write_text(WORKER)
    monkeypatch.syspath_prepend(str(tmp_path))
    import stand_in_worker  # type: ignore[import-not-found]

    monkeypatch.setattr(pool, "work", stand_in_worker.work)
    yield
    del sys.modules["stand_in_worker"]


def runs(folder: Path, *names: str) -> list[StudyRun]:
    design = Design(("a", "b"), {"a": Fraction(4), "b": Fraction(4)}, seeds=(0,))
    config = TrainConfig(trainer={"max_steps": 5})
    return [
        StudyRun(design.arm(["a"]), "single", seed, config, folder / "cells" / name) for seed, name in enumerate(names)
    ]


def train(folder: Path, *names: str, base: TrainConfig | None = None, **changes) -> list[list[str]]:
    """What each of them left: GPU, process, begin, end, attempt."""
    settings = PoolSettings(
        **{"slots": (None, None), "log_of": lambda run: folder / f"{run.folder.name}.log", **changes}
    )
    made = runs(folder, *names)
    train_runs(made, base or TrainConfig(), settings, evaluated=lambda _: 1)
    return [(run.folder / "made").read_text().split() for run in made]


def test_twenty_models_on_two_slots_of_one_device(tmp_path, stand_in):
    made = train(tmp_path, *(f"ok{i}" for i in range(20)), slots=plan_slots(["3"], 2, 2))
    assert {gpu for gpu, *_ in made} == {"3"}
    assert len({process for _, process, *_ in made}) == 2
    spans = [(float(begin), float(end)) for _, _, begin, end, _ in made]
    assert max(sum(b <= at < e for b, e in spans) for at, _ in spans) == 2


def test_a_model_that_was_killed_or_crashed_is_tried_again_in_a_new_process(tmp_path, stand_in, capsys):
    made = train(tmp_path, "ok0", "killed1", "memory2", "ok3", slots=["0", "1"])
    assert [int(attempt) for *_, attempt in made] == [1, 2, 2, 1]
    said = capsys.readouterr().err
    assert "failed: the process was killed (SIGKILL), perhaps for want of memory (log: " in said
    assert "failed: out of memory on GPU " in said and "--per-gpu 1" in said and "trying again." in said
    assert last_line(tmp_path / "killed1.log") == "the process was killed (SIGKILL), perhaps for want of memory"


def test_a_model_that_fails_holds_up_no_other_and_is_named_in_the_end(tmp_path, stand_in):
    with pytest.raises(StudyRunError, match=r"(?s) seed 0 failed:.*RuntimeError: a bug.*the same command goes on"):
        train(tmp_path, "crash0", *(f"ok{i}" for i in range(1, 5)))
    assert sorted(p.name for p in (tmp_path / "cells").iterdir()) == ["ok1", "ok2", "ok3", "ok4"]


def test_when_several_fail_no_other_is_begun(tmp_path, stand_in):
    with pytest.raises(StudyRunError, match="so did "):
        train(tmp_path, *(f"crash{i}" for i in range(4)), *(f"ok{i}" for i in range(4, 24)), retries=0)
    made = list((tmp_path / "cells").iterdir()) if (tmp_path / "cells").is_dir() else []
    assert len(made) < 20


def test_what_is_refused_is_not_tried_again(tmp_path, stand_in):
    with pytest.raises(UserError, match=r"seed 0: the disk is full\."):
        train(tmp_path, "refused0", "ok1")


def test_a_process_that_is_killed_while_it_loads_is_replaced_once(tmp_path, stand_in):
    mark = str(tmp_path / "killed-while-loading")
    assert len(train(tmp_path, "ok0", "ok1", base=TrainConfig(include=[mark]))) == 2
    os.unlink(mark)
    with pytest.raises(
        UserError, match=r"was killed \(SIGKILL\), .* while it loaded the data: .* with --jobs 1 in less"
    ):
        train(tmp_path, "ok2", "ok3", base=TrainConfig(include=[mark]), retries=0)


def test_slots_are_gpus_in_turn(monkeypatch):
    assert plan_slots(["0", "1"], None, 5) == ["0", "1", "0", "1", "0"]
    with pytest.raises(UserError, match=r"--jobs 5 are more than 2 GPUs with --per-gpu 2 hold: .* --jobs 4"):
        plan_slots(["0", "1"], 2, 5)
    with pytest.raises(UserError, match="--per-gpu: there is no GPU here"):
        plan_slots([], 2, 1)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-ab")
    assert visible_gpus() == ["5", "GPU-ab"]
    assert visible_gpus("cpu") == []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert visible_gpus() == ["0", "1"]


def test_a_cause_is_the_last_line_and_what_to_do():
    assert cause("a\nRuntimeError: [enforce fail] . DefaultCPUAllocator: can't allocate memory").startswith(
        "out of memory: let fewer models share it (--jobs 1)"
    )
    assert cause("") == "it said nothing"
