"""Files of a run that are damaged, changed or gone when it is continued or read: each has one outcome."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import pytorch_lightning as pl
from safetensors.torch import load_file

import multitask.training.callbacks
from multitask.cli import main
from multitask.errors import UserError
from multitask.interference.execution.runs import is_finished
from multitask.runs.finished import check_finished
from multitask.runs.reader import RunReader
from multitask.runs.run import StoppedError
from multitask.runs.train import train
from multitask.storage.json_files import read_json, write_json
from multitask.storage.locking import LOCK, OWNER, locked
from multitask.task import TASKS, Decoding
from multitask.training.checkpoints import ResumableCheckpoint, checkpoints_in, damage

STEPS = 7
SETTINGS: dict[str, Any] = {
    "tasks": "toy_labels,toy_span",
    "vocab_size": 70,
    "batch_size": 12,
    "log_every": 1,
    "checkpoint_every": 2,
    "gradients_every": 3,
    "quiet": True,
}


@pytest.fixture(autouse=True)
def _toys(toys):
    return toys


def run(out: Path, **settings: Any) -> Path:
    trainer = {"max_steps": STEPS, "enable_progress_bar": False, "accelerator": "cpu"}
    return train(**{**SETTINGS, "out": str(out), "trainer": trainer, **settings}).folder


def results(folder: Path) -> dict[str, bytes]:
    names = ("metrics.json", "mix.json", "baselines.json", "model/model.safetensors", "events/csv/metrics.csv")
    parts = sorted((folder / "predictions").iterdir())
    return {**{n: (folder / n).read_bytes() for n in names}, **{p.name: p.read_bytes() for p in parts}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a finished run is, once `finished` was asked for."""
    return tmp_path_factory.mktemp("whole") / "run"


@pytest.fixture
def finished(whole: Path, tmp_path: Path) -> Path:
    if not whole.is_dir():
        run(whole)
    shutil.copytree(whole, tmp_path / "run")
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace(str(whole), str(tmp_path / "run")))
    record = read_json(tmp_path / "run" / "run.json")
    del record["files"]["config.yaml"]  # it says where the run is
    write_json(tmp_path / "run" / "run.json", record, sealed=True)
    return tmp_path / "run"


@pytest.fixture
def unfinished(finished: Path) -> Path:
    """The same as it was before its last evaluation."""
    for name in ("metrics.json", "mix.json", "baselines.json", "model/model.safetensors"):
        (finished / name).unlink()
    shutil.rmtree(finished / "predictions")
    record = read_json(finished / "run.json")
    record = {k: v for k, v in record.items() if k not in ("files", "address", "steps", "seconds")}
    write_json(finished / "run.json", {**record, "status": "begun"}, sealed=True)
    return finished


def flip(path: Path, seed: int) -> None:
    """One bit, anywhere."""
    content = bytearray(path.read_bytes())
    place = random.Random(seed).randrange(len(content) * 8)
    content[place // 8] ^= 1 << place % 8
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


# --------------------------------------------------------------------------------------------------------- checkpoints


COPIES = (
    *("step-8 (copy).ckpt", "step-9 - Kopie.ckpt", "step-8.ckpt.bak", "last copy.ckpt", "step-٨.ckpt", "step-08.ckpt"),
    *("step-.ckpt", "step--1.ckpt", "step-1e3.ckpt", "step-9.5.ckpt", "step-9\n.ckpt", "best-3 2.ckpt", "best@x.ckpt"),
    *("best@toy_labels-span-9.ckpt", "step-x.damaged", "Schritt-ß-🙂.ckpt", "notes.txt"),
)
"""What people and their file managers put beside the checkpoints; step-9 in a name would be the newest."""


def copied(folder: Path) -> list[Path]:
    for name in COPIES:
        (folder / name).write_bytes(b"mine")
    (folder / "step-99 copy.ckpt").mkdir()
    return [folder / "step-99 copy.ckpt", *(folder / name for name in COPIES)]


def test_copies_beside_the_checkpoints_are_left_alone(unfinished, whole):
    mine = copied(unfinished / "checkpoints")
    run(unfinished, resume=True)
    assert results(unfinished) == results(whole)
    assert all(path.exists() for path in mine)


def test_the_best_of_a_task_is_not_that_of_another_whose_name_begins_so(tmp_path):
    for name in ("best@a-4.ckpt", "best@a-b-9.ckpt", "best@a-16.ckpt", "best-5.ckpt", "best@a-7 (copy).ckpt"):
        (tmp_path / name).touch()
    copied(tmp_path)
    found = {name: [p.name for p in checkpoints_in(tmp_path, name)] for name in ("best", "best@a", "best@a-b", "step")}
    assert found == {
        "best": ["best-5.ckpt"],
        "best@a": ["best@a-4.ckpt", "best@a-16.ckpt"],
        "best@a-b": ["best@a-b-9.ckpt"],
        "step": [],
    }
    assert checkpoints_in(tmp_path / "none") == []


def test_copies_of_the_logs_and_of_the_record_of_examples_are_left_alone(unfinished):
    before = RunReader(unfinished).logged
    for name in ("csv (copy)", "csv-old", "csv-2 copy"):
        shutil.copytree(unfinished / "events" / "csv", unfinished / "events" / name)
    mine = [unfinished / "examples" / name for name in ("from-x-process-0.parquet", "from-9-process-0 (1).parquet")]
    mine[0].parent.mkdir()
    for path in mine:
        path.write_bytes(b"mine")
    run(unfinished, log_examples=True, resume=True)
    assert RunReader(unfinished).logged == before
    assert [path.read_bytes() for path in mine] == [b"mine", b"mine"]
    (unfinished / "events" / "csv" / "metrics.csv").write_text("step,epoch\nten,0\n")
    with pytest.raises(UserError, match=r"metrics\.csv is not as it was written: invalid literal"):
        _ = RunReader(unfinished).logged


def test_two_checkpoints_are_kept_and_the_last_step_has_one(finished):
    assert sorted(p.name for p in (finished / "checkpoints").iterdir()) == ["step-6.ckpt", "step-7.ckpt"]


@pytest.mark.parametrize("harm", [cut, lambda p: p.write_bytes(b""), lambda p: p.write_bytes(b"PK not a checkpoint")])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(unfinished, whole, harm, capsys):
    harm(unfinished / "checkpoints" / "step-7.ckpt")
    run(unfinished, resume=True, quiet=False)
    out = capsys.readouterr().out
    assert f"WARNING: {unfinished / 'checkpoints' / 'step-7.ckpt'} is damaged (" in out
    assert "continuing at step 6 of 7" in out
    assert results(unfinished) == results(whole)


def test_every_flipped_bit_of_a_checkpoint_is_noticed_or_does_no_harm(unfinished, whole):
    """Of a zip archive some bits mean nothing: dates, padding between the tensors."""
    path = unfinished / "checkpoints" / "step-7.ckpt"
    content, noticed = path.read_bytes(), 0
    for seed in range(40):
        path.write_bytes(content)
        flip(path, seed)
        noticed += damage(path) is not None
    assert noticed >= 36
    path.write_bytes(content)
    assert damage(path) is None


def test_without_a_whole_checkpoint_it_is_refused(unfinished):
    for path in (unfinished / "checkpoints").iterdir():
        cut(path)
    with pytest.raises(UserError) as error:
        run(unfinished, resume=True)
    assert str(error.value) == (
        f"--resume: every checkpoint in {unfinished / 'checkpoints'} is damaged; begin again with --overwrite."
    )


def test_before_the_first_checkpoint_it_begins_again(unfinished, whole, capsys):
    shutil.rmtree(unfinished / "checkpoints")
    run(unfinished, resume=True, quiet=False)
    assert f"the run in {unfinished} has no checkpoint yet: it begins again" in capsys.readouterr().out
    assert results(unfinished) == results(whole)


# ---------------------------------------------------------------------------------------------- what the run stands on


def refused(folder: Path, **settings: Any) -> str:
    with pytest.raises(UserError) as error:
        run(folder, resume=True, **settings)
    return str(error.value)


def test_a_run_is_not_continued_on_other_data(unfinished, monkeypatch):
    record = read_json(unfinished / "run.json")
    record["tasks"]["toy_span"]["train"]["fingerprint"] = "other"
    write_json(unfinished / "run.json", record, sealed=True)
    assert refused(unfinished) == (
        f"--resume: the train rows of task 'toy_span' changed since the run in {unfinished} began; "
        "a run is continued on its own data."
    )


def test_a_run_is_not_continued_on_a_plan_of_another_format(unfinished):
    record = read_json(unfinished / "run.json")
    record["plan"]["format"] = 1
    write_json(unfinished / "run.json", record, sealed=True)
    assert refused(unfinished) == (
        f"--resume: the run in {unfinished} has a mixing plan of format 1, of multitask "
        f"{record['versions']['multitask']}; this version makes format 2, with other examples in a step and another "
        "weight of a task's loss. Continue it with the version that began it, or begin anew with --overwrite."
    )


def test_a_run_is_not_continued_with_another_vocabulary(unfinished, tokenizer):
    tokenizer.save_pretrained(unfinished / "model")
    assert refused(unfinished) == (
        f"--resume: the vocabulary in {unfinished / 'model'} is not the one that the run began with; restore it, or "
        "begin again with --overwrite."
    )


def test_another_version_of_a_package_is_said(unfinished, capsys):
    record = read_json(unfinished / "run.json")
    record["versions"]["torch"] = "2.7.0"
    write_json(unfinished / "run.json", record, sealed=True)
    run(unfinished, resume=True, quiet=False)
    assert "WARNING: the run began with torch 2.7.0 and goes on with " in capsys.readouterr().out


def test_a_damaged_record_is_not_believed(unfinished):
    text = (unfinished / "run.json").read_text()
    (unfinished / "run.json").write_text(text.replace('"toy_span"', '"toy_spam"', 1))
    assert refused(unfinished).startswith(f"{unfinished / 'run.json'} is damaged: it is not what was written.")


# ------------------------------------------------------------------------------------------------------- finished runs


def test_a_finished_run_has_nothing_to_continue(finished, capsys):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*")}
    run(finished, resume=True, quiet=False)
    assert capsys.readouterr().out == f"the run in {finished} is finished: there is nothing to continue\n"
    assert {p: p.stat().st_mtime_ns for p in finished.rglob("*")} == before


@pytest.mark.parametrize("name", ["metrics.json", "predictions/toy_span.parquet", "model/model.safetensors"])
def test_what_is_damaged_in_a_finished_run_is_made_again(finished, whole, name, capsys):
    flip(finished / name, 3)
    run(finished, resume=True, quiet=False)
    assert f"WARNING: {finished / name} is damaged: it is not what the run wrote." in capsys.readouterr().out
    assert results(finished) == results(whole)


def test_a_damaged_model_is_not_used(finished):
    flip(finished / "model" / "model.safetensors", 1)
    with pytest.raises(UserError) as error:
        check_finished(finished)
    assert str(error.value) == (
        f"{finished / 'model' / 'model.safetensors'} is damaged: it is not what the run wrote. Restore it, or train "
        f"the run again with --overwrite; if you changed it yourself, remove its line from {finished / 'run.json'}."
    )


@pytest.mark.parametrize("name", ["metrics.json", "baselines.json"])
def test_changed_scores_are_not_reported(finished, capsys, name):
    assert main(["report", str(finished)]) == 0
    path = finished / name
    path.write_text(path.read_text().replace("0.", "0.9", 1))
    assert main(["report", str(finished)]) == 2
    assert capsys.readouterr().err == (
        f"multitask: error: {path} is damaged: it is not what the run wrote. Restore it, or train the run again with "
        f"--overwrite; if you changed it yourself, remove its line from {finished / 'run.json'}.\n"
    )


def test_damaged_scores_are_not_tabulated(finished):
    assert is_finished(finished)
    flip(finished / "predictions" / "toy_labels.parquet", 2)
    assert not is_finished(finished)


def test_a_sealed_file_that_its_owner_changed_is_read_without_its_seal(tmp_path):
    path = tmp_path / "facts.json"
    write_json(path, {"a": 1.5, "b": [float("nan"), "ü"]}, sealed=True)
    assert read_json(path) == {"a": 1.5, "b": [None, "ü"]}
    path.write_text(path.read_text().replace("1.5", "2.5"))
    with pytest.raises(UserError, match="is damaged: it is not what was written"):
        read_json(path)
    changed = json.loads(path.read_text())
    del changed["sha256"]
    path.write_text(json.dumps(changed))
    assert read_json(path)["a"] == 2.5


# --------------------------------------------------------------------------------------------- tasks that were changed


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"decoding": Decoding(num_beams=2)}, "its decoding.num_beams was 1 and is 2"),
        ({"max_input_tokens": 60}, "its max_input_tokens was 512 and is 60"),
        ({"prefix": "new: "}, "its prefix was 'toy labels: ' and is 'new: '"),
        ({"metrics": ["f1_macro"]}, "its metrics was ['accuracy'] and is ['f1_macro']; "),
        ({"postprocess": lambda text, example: text}, "the code of its postprocess is another"),
    ],
    ids=["decoding", "limit", "prefix", "metrics", "postprocess"],
)
def test_a_run_is_not_continued_on_a_task_that_was_changed(unfinished, toys, fields, said):
    TASKS._objects["toy_labels"] = toys["labels"].replace(**fields)  # `toys` takes it out again
    message = refused(unfinished)
    assert message.startswith(f"--resume: task 'toy_labels' changed since the run in {unfinished} began: {said}")
    assert message.endswith("Restore it, or begin again with --overwrite.")


def test_a_formatter_that_makes_the_same_examples_is_said_and_the_run_goes_on(unfinished, whole, toys, capsys):
    plain = toys["labels"].formatter
    TASKS._objects["toy_labels"] = toys["labels"].replace(
        formatter=lambda row: plain(dict(row))
    )  # `toys` takes it out again
    run(unfinished, resume=True, quiet=False)
    assert (
        f"WARNING: the code of the formatter of task 'toy_labels' changed since the run in {unfinished} began; it "
        "makes the same examples of the rows, so the run goes on."
    ) in capsys.readouterr().out
    assert results(unfinished) == results(whole)


def test_a_run_of_before_definitions_were_recorded_goes_on_in_silence(unfinished, whole, toys, capsys):
    record = read_json(unfinished / "run.json")
    del record["settings"]
    for about in record["tasks"].values():
        del about["definition"]
    write_json(unfinished / "run.json", record, sealed=True)
    TASKS._objects["toy_labels"] = toys["labels"].replace(decoding=Decoding(num_beams=2))  # `toys` takes it out again
    run(unfinished, resume=True, quiet=False)
    assert "changed" not in capsys.readouterr().out


def test_a_config_that_was_edited_is_not_gone_on_from(unfinished):
    path = unfinished / "config.yaml"
    path.write_text(path.read_text().replace("lr: 0.01\n", "lr: 0.02\n"))
    assert refused(unfinished, lr=0.02) == (
        f"{path} was edited: lr is 0.02, and the run was begun with 0.01. Restore it; for other settings train another "
        "run."
    )


def test_a_config_that_is_edited_while_the_run_is_under_way_is_written_again(tmp_path, monkeypatch):
    plain, path = multitask.training.callbacks.callbacks_of, tmp_path / "run" / "config.yaml"

    class Edits(pl.Callback):
        def on_train_end(self, trainer, pl_module):
            path.write_text(path.read_text().replace("lr: 0.01\n", "lr: 0.02\n"))

    monkeypatch.setattr(multitask.training.callbacks, "callbacks_of", lambda *a: [Edits(), *plain(*a)])
    run(tmp_path / "run")
    assert "lr: 0.01\n" in path.read_text()
    assert [line for line in read_json(tmp_path / "run" / "run.json")["warnings"] if "config.yaml" in line] == [
        f"{path} was edited: lr is 0.02, and the run was begun with 0.01. It is written again as it was."
    ]
    check_finished(tmp_path / "run")


# ---------------------------------------------------------------------------------------------------- one at a time


def test_two_processes_do_not_train_in_one_folder(unfinished, monkeypatch):
    monkeypatch.setattr("multitask.runs.start.ORPHANS", 0.2)
    with locked(unfinished, "run"):
        assert refused(unfinished) == (
            f"another process is working on the run in {unfinished}: wait for it, or stop it."
        )


def test_a_lock_is_waited_for_and_ends_with_its_owner(tmp_path):
    child = os.fork()
    if child == 0:
        with locked(tmp_path, "run"):
            (tmp_path / "held").touch()
            time.sleep(60)
        os._exit(0)
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    with pytest.raises(UserError), locked(tmp_path, "run"):
        pass
    threading.Timer(0.3, os.kill, (child, signal.SIGKILL)).start()
    with locked(tmp_path, "run", wait=30):
        assert (tmp_path / LOCK).exists()
    os.waitpid(child, 0)


class Taken(pl.Callback):
    """On a file system without locks a process of another machine begins in the same folder."""

    def __init__(self, folder: Path) -> None:
        self.owner = folder / OWNER

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 3:
            said = json.loads(self.owner.read_text())
            self.owner.write_text(json.dumps({**said, "token": "another", "host": "elsewhere"}))


def test_a_run_whose_folder_another_one_took_over_ends_and_writes_nothing_more(tmp_path, whole, monkeypatch, finished):
    plain, folder = multitask.training.callbacks.callbacks_of, tmp_path / "taken"
    with monkeypatch.context() as patch:
        patch.setattr(multitask.training.callbacks, "callbacks_of", lambda *a: [Taken(folder), *plain(*a)])
        with pytest.raises(UserError, match=r"elsewhere has taken over .*taken while this process was at work there"):
            run(folder)
    assert [p.name for p in (folder / "checkpoints").iterdir()] == ["step-2.ckpt"]
    assert read_json(folder / "run.json")["status"] == "begun"
    assert not (folder / "model" / "model.safetensors").exists()
    assert "elsewhere" in (folder / OWNER).read_text()
    assert results(run(folder, overwrite=True)) == results(whole)
    assert not (folder / OWNER).exists()


# ------------------------------------------------------------------------------------------------------------- signals


class Signal(pl.Callback):
    def __init__(self, number: int) -> None:
        self.number = number

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 3:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_every_signal_that_ends_a_job_leaves_a_checkpoint(tmp_path, whole, monkeypatch, number, finished):
    plain = multitask.training.callbacks.callbacks_of
    with monkeypatch.context() as patch:
        patch.setattr(multitask.training.callbacks, "callbacks_of", lambda *a: [Signal(number), *plain(*a)])
        before = signal.getsignal(number)
        with pytest.raises(StoppedError, match="stopped at step 3 of 7") as stopped:
            run(tmp_path / "stopped")
        assert stopped.value.signal == number
        assert signal.getsignal(number) is before
    assert [p.name for p in sorted((tmp_path / "stopped" / "checkpoints").iterdir())] == ["step-2.ckpt", "step-3.ckpt"]
    assert results(run(tmp_path / "stopped", resume=True)) == results(whole)


# ---------------------------------------------------------------------------------- the disk and the clock


def test_a_run_that_was_killed_before_its_page_gets_it_when_it_is_continued(finished):
    page = (finished / "report.html").read_bytes()
    (finished / "report.html").unlink()
    run(finished, resume=True)
    assert (finished / "report.html").read_bytes() == page


class Full:
    """A disk that is full after so many atomic writes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
        self.left, plain = writes, os.fsync

        def fsync(descriptor: int) -> None:
            self.left -= 1
            if self.left < 0:
                raise OSError(28, "No space left on device")
            plain(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)


def test_a_disk_that_is_full_at_any_write_ends_with_one_sentence_and_goes_on(tmp_path, whole, monkeypatch, finished):
    """The n-th write fails, for every n, until a run gets through."""
    said = set()
    for writes in range(3, 40):
        folder = tmp_path / f"full-{writes}"
        with monkeypatch.context() as patch:
            Full(patch, writes)
            try:
                run(folder)
                break
            except UserError as error:
                assert "No space left on device" in str(error)
                assert str(folder) in str(error)
                said.add(str(error).replace(str(folder), "RUN"))
        if writes % 4 == 0:
            again = {"resume": True} if (folder / "config.yaml").is_file() else {"overwrite": True}
            assert results(run(folder, **again)) == results(whole)
    else:
        raise AssertionError("never got through")
    assert (
        "the checkpoint of step 4 cannot be written to RUN/checkpoints: No space left on device. The checkpoint of "
        "step 2 is whole. When there is room, multitask train --resume RUN goes on." in said
    )


def test_a_clock_that_jumps_changes_nothing(tmp_path, whole, monkeypatch, finished):
    plain, draw = time.time, random.Random(0)
    monkeypatch.setattr(time, "time", lambda: plain() + draw.choice([-1, 1]) * draw.randrange(10**9))
    folder = run(tmp_path / "jumping")
    assert results(folder) == results(whole)
    assert 0 < read_json(folder / "run.json")["seconds"] < 600


# --------------------------------------------------------------------------------------------- what is continued


class Draws(pl.Callback):
    """A callback of the user that draws from the global generators."""

    def __init__(self, found: list[Any]) -> None:
        self.found = found

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        import numpy as np

        self.found.append((trainer.global_step, random.random(), float(np.random.normal())))


def test_the_global_generators_go_on_where_they_were(tmp_path, monkeypatch):
    plain = multitask.training.callbacks.callbacks_of

    def drawn(*more: pl.Callback, **settings: Any) -> dict[int, Any]:
        found: list[Any] = []
        with monkeypatch.context() as patch:
            patch.setattr(multitask.training.callbacks, "callbacks_of", lambda *a: [Draws(found), *plain(*a), *more])
            with contextlib.suppress(ZeroDivisionError):
                run(**settings)
        return {step: rest for step, *rest in found}

    whole = drawn(out=tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(ResumableCheckpoint, "on_exception", lambda *a: None)  # a power cut saves nothing
        before = drawn(Stop(), out=tmp_path / "stopped")
    random.seed(99)  # another process begins elsewhere
    state = random.getstate()
    after = drawn(out=tmp_path / "stopped", resume=True)
    assert random.getstate() == state
    assert (list(before), list(after)) == ([1, 2, 3, 4, 5], [5, 6, 7])
    assert {**before, **after} == whole


class Stop(pl.Callback):
    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == 5:
            raise ZeroDivisionError


@pytest.mark.parametrize("workers", [0, 2])
def test_more_loader_processes_change_no_step(tmp_path, whole, finished, workers):
    folder = run(tmp_path / "workers", workers=workers, log_examples=True)
    assert results(folder) == results(whole)
    frame = pd.concat(pd.read_parquet(p) for p in sorted((folder / "examples").iterdir()))
    assert sorted(set(frame["step"])) == list(range(STEPS))
    assert load_file(folder / "model" / "model.safetensors").keys()
