"""Whole runs on toy tasks: they learn, repeat bit for bit, resume where they were, and leave a complete folder."""

from __future__ import annotations

import csv
import dataclasses
import gc
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
import yaml
from safetensors.torch import load_file

import multitask.runs.train
import multitask.training.callbacks
from multitask.config import TrainConfig
from multitask.config_checks import fill_defaults
from multitask.errors import UserError
from multitask.runs.folder import PARTS
from multitask.runs.reader import RunReader
from multitask.runs.run import StoppedError
from multitask.runs.train import train
from multitask.runs.writing import write_config
from multitask.storage.locking import LOCK
from multitask.training.checkpoints import ResumableCheckpoint
from multitask.training.execution import choose_execution
from multitask.training.module import MultitaskModule
from multitask.training.signals import STOPPING

QUICK: dict[str, Any] = {
    "tasks": "toy_labels,toy_span",
    "vocab_size": 70,
    "batch_size": 12,
    "log_every": 1,
    "quiet": True,
}


@pytest.fixture(autouse=True)
def _toys(toys):
    return toys


def run(out: Path, steps: int = 6, trainer: dict[str, Any] | None = None, **settings: Any) -> Path:
    options = {"max_steps": steps, "enable_progress_bar": False, "accelerator": "cpu", **(trainer or {})}
    return train(**{**QUICK, "out": str(out), "trainer": options, **settings}).folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def logged(folder: Path, column: str) -> list[float]:
    with (folder / "events" / "csv" / "metrics.csv").open() as file:
        return [float(row[column]) for row in csv.DictReader(file) if row.get(column)]


def assert_identical(one: Path, other: Path) -> None:
    left, right = weights(one), weights(other)
    assert left.keys() == right.keys()
    for name in left:
        assert torch.equal(left[name], right[name]), name
    for name in ("metrics.json", "mix.json", "baselines.json"):
        assert read(one, name) == read(other, name)
    for path in sorted((one / "predictions").iterdir()):
        pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(other / "predictions" / path.name))


def assert_close(one: Path, other: Path, tolerance: float) -> None:
    left, right = weights(one), weights(other)
    for name in left:
        torch.testing.assert_close(left[name], right[name], rtol=tolerance, atol=tolerance, msg=name)


class At(pl.Callback):
    """Does something at the end of a step, as a user or a machine might."""

    def __init__(self, step: int, what: Any) -> None:
        self.step, self.what = step, what

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.step:
            self.what()


@pytest.fixture
def at(monkeypatch):
    """`at(step, what, …)` adds callbacks to the runs that follow; `at()` takes them away again."""
    plain = multitask.training.callbacks.callbacks_of

    def add(*args):
        def made(config, *rest):
            return [*plain(config, *rest), *([At(*args)] if args else [])]

        monkeypatch.setattr(multitask.training.callbacks, "callbacks_of", made)

    return add


# ------------------------------------------------------------------------------------------ it learns, twice


def test_the_loss_falls(tmp_path):
    folder = run(tmp_path / "run", steps=25, batch_size=24)
    losses = logged(folder, "train/loss")
    assert len(losses) == 25
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:3])
    for task in ("toy_labels", "toy_span"):
        assert logged(folder, f"train/loss/{task}")


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(tmp_path):
    one, again = run(tmp_path / "a"), run(tmp_path / "b")
    assert_identical(one, again)
    other = run(tmp_path / "c", seed=1)
    assert not all(
        torch.equal(t, weights(other)[n]) for n, t in weights(one).items() if t.shape == weights(other)[n].shape
    )


def test_a_run_leaves_the_global_generators_alone(tmp_path):
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    run(tmp_path / "run", steps=2)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()


def test_a_run_leaves_the_signals_alone_and_its_memory_free(tmp_path):
    """Lightning's handler of SIGTERM would be left behind: it ignores the signal, and holds all tensors."""

    def held() -> set[int]:
        gc.collect()
        return {id(found) for found in gc.get_objects() if type(found) in (MultitaskModule, pl.Trainer)}

    handlers, earlier = [signal.getsignal(number) for number in STOPPING], held()
    run(tmp_path / "run", steps=2)
    assert [signal.getsignal(number) for number in STOPPING] == handlers
    assert held() <= earlier  # what other tests hold


# --------------------------------------------------------------------------------------------------------------- resume

RESUMED = {
    "plain": {},
    "watched": {"eval_every": 3, "eval_limit": 4, "select": "mean", "selection_rows": 5},
    "averaged": {"ema": 0.8, "eval_every": 3, "eval_limit": 4},
    "adafactor": {"optimizer": "adafactor", "schedule": "linear", "warmup_steps": 4},
    "accumulated": {"trainer": {"accumulate_grad_batches": 2}},
}


@pytest.mark.parametrize("settings", RESUMED.values(), ids=RESUMED.keys())
@pytest.mark.parametrize("stop", [4, 6])
def test_a_run_stopped_by_ctrl_c_goes_on_as_if_nothing_had_been(tmp_path, at, settings, stop):
    whole = run(tmp_path / "whole", steps=8, **settings)
    at(stop, lambda: os.kill(os.getpid(), signal.SIGINT))
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(StoppedError) as stopped:
        run(tmp_path / "stopped", steps=8, **settings)
    assert (
        str(stopped.value) == f"stopped at step {stop} of 8; multitask train --resume {tmp_path / 'stopped'} goes on."
    )
    assert signal.getsignal(signal.SIGINT) is before
    assert not (tmp_path / "stopped" / "metrics.json").exists()
    at()
    assert_identical(run(tmp_path / "stopped", steps=8, resume=True, **settings), whole)


@pytest.mark.parametrize("settings", RESUMED.values(), ids=RESUMED.keys())
def test_a_run_that_died_goes_on_from_its_last_checkpoint(tmp_path, at, settings, monkeypatch):
    whole = run(tmp_path / "whole", steps=8, checkpoint_every=3, **settings)

    def die():
        raise RuntimeError("power cut")

    at(5, die)
    monkeypatch.setattr(ResumableCheckpoint, "on_exception", lambda *a: None)  # a power cut saves nothing
    with pytest.raises(RuntimeError, match="power cut"):
        run(tmp_path / "died", steps=8, checkpoint_every=3, **settings)
    assert [p.name for p in (tmp_path / "died" / "checkpoints").glob("step-*")] == ["step-3.ckpt"]
    at()
    assert_identical(run(tmp_path / "died", steps=8, checkpoint_every=3, resume=True, **settings), whole)


LONGER = {
    "watched": {"schedule": "constant", **RESUMED["watched"], **RESUMED["accumulated"]},
    "averaged": {"optimizer": "adafactor", "schedule": "inverse_sqrt", **RESUMED["averaged"]},
}


@pytest.mark.parametrize(("settings", "steps"), [*zip(LONGER.values(), (6, 4), strict=True)], ids=LONGER)
def test_a_finished_run_that_is_asked_for_more_steps_becomes_the_longer_run(tmp_path, at, settings, steps):
    """Of the first its last step was evaluated, too; and it is interrupted on the way."""
    settings = {"warmup_steps": 3, **settings}
    whole = run(tmp_path / "whole", steps=8, **settings)
    folder = run(tmp_path / "run", steps=steps, **settings)
    at(7, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(StoppedError, match=r"^stopped at step 7 of 8"):
        train(resume=folder, trainer={"max_steps": 8}, quiet=True)
    assert read(folder, "run.json")["status"] == "begun"
    at()
    assert_identical(train(resume=folder, quiet=True).folder, whole)
    assert logged(folder, "train/loss") == logged(whole, "train/loss")
    assert read(folder, "run.json")["address"] == read(whole, "run.json")["address"]
    one, other = (yaml.safe_load((path / "config.yaml").read_text()) for path in (folder, whole))
    assert {**one, "out": None} == {**other, "out": None}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (
            {},
            "its learning rate falls over all steps (--schedule linear), and does so in another way in a longer run",
        ),
        (
            {"schedule": "constant", "mixing": "unimax"},
            "its rates follow from the examples of all steps (--mixing unimax), so the longer run has other rates",
        ),
        (
            {"schedule": "constant", "mixing": "temperature", "temperature": 1.0, "temperature_end": 2.0},
            "its temperature moves over all steps (--temperature-end), so the longer run has other rates from the "
            "beginning",
        ),
        (
            {
                "schedule": "constant",
                "rate_schedule": {0: {"toy_labels": 1, "toy_span": 2}, 1: {"toy_labels": 1, "toy_span": 1}},
            },
            "its rates are given at fractions of all steps (rate_schedule), so the longer run has other rates from the "
            "beginning",
        ),
    ],
    ids=["schedule", "unimax", "temperature", "rates"],
)
def test_a_run_that_would_have_been_another_is_not_made_longer(tmp_path, settings, reason):
    (tmp_path / "run").mkdir()
    given = TrainConfig(tasks="toy_labels,toy_span", out=str(tmp_path / "run"), trainer={"max_steps": 4}, **settings)
    write_config(tmp_path / "run/config.yaml", fill_defaults(given, from_scratch=True))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError) as caught:
        train(dataclasses.replace(given, resume=True, trainer={"max_steps": 8}), quiet=True)
    assert str(caught.value) == (
        f"--resume: the run in {tmp_path / 'run'} cannot go on from 4 to 8 steps: {reason}. Train a run of 8 steps of "
        "its own, with another --out."
    )
    assert {p for p in tmp_path.rglob("*") if p.name not in (LOCK, ".owner")} == {*before}


def test_a_run_is_not_made_shorter_nor_longer_without_its_checkpoint(tmp_path):
    settings = {"schedule": "constant"}
    folder = run(tmp_path / "run", steps=2, **settings)
    with pytest.raises(UserError, match=r"has 2 steps, asked for are 1: what was trained is not taken back\. Train a "):
        run(folder, steps=1, resume=True, **settings)
    with pytest.raises(UserError, match=r"has 2 steps, asked for are 1"):
        train(resume=folder, trainer={"max_steps": 1})
    with pytest.raises(UserError, match=r"has seed = 0, asked for is 1; a run is continued with its own settings"):
        train(resume=str(folder), seed=1)
    assert train(resume=folder, quiet=True).folder == folder
    for path in (folder / "checkpoints").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"is finished and has no checkpoint, which holds the optimizer's state beside"):
        run(folder, steps=3, resume=True, **settings)
    assert read(folder, "run.json")["status"] == "finished"


def test_an_error_in_the_middle_of_a_step_is_not_counted_as_seen(tmp_path, monkeypatch):
    whole = run(tmp_path / "whole")
    plain = torch.Tensor.backward

    def failing(self, *args, _calls=[], **kwargs):  # noqa: B006
        _calls.append(1)
        if len(_calls) == 4:
            raise RuntimeError("out of memory")
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "backward", failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        run(tmp_path / "failed")
    monkeypatch.setattr(torch.Tensor, "backward", plain)
    assert [p.name for p in (tmp_path / "failed" / "checkpoints").glob("*")] == ["step-3.ckpt"]
    assert_identical(run(tmp_path / "failed", resume=True), whole)


@pytest.mark.parametrize("kind", ["stopped", "failed"])
def test_a_resumed_run_logs_every_step_once_more_under_its_own_number(tmp_path, at, monkeypatch, kind):
    whole = run(tmp_path / "whole", checkpoint_every=2)
    if kind == "stopped":
        at(3, lambda: os.kill(os.getpid(), signal.SIGINT))
        error: type[BaseException] = StoppedError
    else:
        at(3, lambda: 1 / 0)
        error = ZeroDivisionError
    with pytest.raises(error):
        run(tmp_path / "broken", checkpoint_every=2)
    at()
    broken = run(tmp_path / "broken", checkpoint_every=2, resume=True)
    assert RunReader(broken).logged == RunReader(whole).logged
    assert sorted(RunReader(whole).logged["train/loss"]) == [1, 2, 3, 4, 5, 6]


def test_a_run_that_died_after_its_last_step_is_only_evaluated(tmp_path, monkeypatch):
    whole = run(tmp_path / "whole", checkpoint_every=3)
    with monkeypatch.context() as patch:
        patch.setattr(
            "multitask.runs.run_record.write_scores", lambda *a: (_ for _ in ()).throw(RuntimeError("disk full"))
        )
        with pytest.raises(RuntimeError, match="disk full"):
            run(tmp_path / "died", checkpoint_every=3)
    assert_identical(run(tmp_path / "died", checkpoint_every=3, resume=True), whole)


def test_nothing_is_saved_of_half_an_accumulated_step(tmp_path, monkeypatch):
    settings = {"trainer": {"accumulate_grad_batches": 3}, "checkpoint_every": 2}
    whole = run(tmp_path / "whole", **settings)
    plain = MultitaskModule.training_step

    def failing(self, batch, batch_idx):
        if batch_idx == 3 * 3 + 1:
            raise RuntimeError("out of memory")
        return plain(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(MultitaskModule, "training_step", failing)
        with pytest.raises(RuntimeError, match="out of memory"):
            run(tmp_path / "failed", **settings)
    assert [p.name for p in (tmp_path / "failed" / "checkpoints").glob("*")] == ["step-2.ckpt"]
    assert_identical(run(tmp_path / "failed", resume=True, **settings), whole)


def test_nothing_is_saved_of_half_an_evaluation(tmp_path, monkeypatch):
    settings = {"eval_every": 4, "eval_limit": 4, "checkpoint_every": 3, "select": "mean", "selection_rows": 6}
    whole = run(tmp_path / "whole", **settings)
    with monkeypatch.context() as patch:
        patch.setattr(MultitaskModule, "validation_step", lambda *a: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(tmp_path / "failed", **settings)
    assert [p.name for p in (tmp_path / "failed" / "checkpoints").glob("*")] == ["step-3.ckpt"]
    assert_identical(run(tmp_path / "failed", resume=True, **settings), whole)


def test_a_resumed_run_chooses_among_all_its_evaluations(tmp_path, at, monkeypatch):
    settings = {"eval_every": 2, "eval_limit": 3, "select": "mean", "selection_rows": 6, "patience": 2}
    scores = {2: 5.0, 4: 1.0, 6: 3.0, 8: 9.0}
    trainers = []
    make_trainer = multitask.runs.train.make_trainer
    monkeypatch.setattr(
        multitask.runs.train, "make_trainer", lambda *args: trainers.append(make_trainer(*args)) or trainers[-1]
    )
    monkeypatch.setattr(
        "multitask.runs.fitting.score_and_show", lambda *args: {"val/mean": scores[trainers[-1].global_step]}
    )
    for stop in (2, 3, 4):
        at(stop, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(StoppedError):
            run(tmp_path / str(stop), steps=8, **settings)
        at()
        folder = run(tmp_path / str(stop), steps=8, resume=True, **settings)
        assert [p.name for p in (folder / "checkpoints").glob("best-*")] == ["best-2.ckpt"]
        assert read(folder, "mix.json")["steps"] == 6  # patience: 4 and 6 are no better than 2


def test_a_run_is_continued_with_its_own_settings_only(tmp_path, at):
    at(2, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(StoppedError):
        run(tmp_path / "run")
    at()
    with pytest.raises(UserError) as error:
        run(tmp_path / "run", resume=True, batch_size=24)
    assert str(error.value) == (
        f"--resume: the run in {tmp_path / 'run'} has batch_size = 12, asked for is 24; "
        "a run is continued with its own settings."
    )


# -------------------------------------------------------------------------------- the same step, cut up


def test_accumulation_gives_the_same_weights(tmp_path):
    plain = run(tmp_path / "plain", dropout=0.0, lr=1e-3, optimizer="adamw")
    cut = run(tmp_path / "cut", dropout=0.0, lr=1e-3, optimizer="adamw", trainer={"accumulate_grad_batches": 3})
    assert_close(plain, cut, 1e-4)
    seen = [{t: v["realised"]["examples"] for t, v in read(f, "mix.json")["tasks"].items()} for f in (plain, cut)]
    assert seen[0] == seen[1]


def test_gradient_checkpointing_gives_the_same_weights(tmp_path):
    plain = run(tmp_path / "plain", steps=3, execution="grouped")
    assert_close(plain, run(tmp_path / "saving", steps=3, gradient_checkpointing=True), 1e-5)


def test_flat_tokens_and_padded_groups_train_the_same_model(tmp_path):
    flat = run(tmp_path / "flat", steps=4, dropout=0.0)
    assert_identical(flat, run(tmp_path / "asked", steps=4, dropout=0.0, execution="flat"))  # what a CPU does unasked
    assert_close(flat, run(tmp_path / "grouped", steps=4, dropout=0.0, execution="grouped"), 1e-4)


@pytest.mark.parametrize(
    "settings, reason",
    [
        ({"gradient_checkpointing": True}, "it has no gradient checkpointing"),
        ({"trainer": {"precision": "bf16-true"}}, "it runs in fp32, and in bf16 by autocast alone"),
        ({"strategy": "fsdp"}, "it has not been tried with FSDPStrategy"),
    ],
)
def test_flat_tokens_are_refused_where_they_cannot_be_had(t5, settings, reason):
    strategy = "FSDPStrategy" if settings.pop("strategy", None) else "SingleDeviceStrategy"
    config = TrainConfig(execution="flat", **settings)
    with pytest.raises(UserError, match=rf"^--execution flat: {reason}; use --execution grouped, or auto\.$"):
        choose_execution(config, t5, "cpu", strategy)
    assert choose_execution(dataclasses.replace(config, execution="auto"), t5, "cpu", strategy) == "grouped"


def test_a_model_that_flat_tokens_do_not_fit_is_trained_by_its_own_code(t5):
    t5.decoder.final_layer_norm.register_forward_hook(lambda module, given, out: out * 2)
    assert choose_execution(TrainConfig(), t5, "cpu") == "grouped"
    with pytest.raises(UserError, match="does not give what the code of T5ForConditionalGeneration gives"):
        choose_execution(TrainConfig(execution="flat"), t5, "cpu")


def test_workers_change_nothing(tmp_path):
    assert_identical(run(tmp_path / "none", steps=5), run(tmp_path / "two", steps=5, workers=2))


def test_watching_changes_nothing_in_the_training(tmp_path):
    plain = run(tmp_path / "plain")
    watched = run(tmp_path / "watched", eval_every=2, eval_limit=3)
    assert_identical(plain, watched)
    assert len(logged(watched, "val/mean")) == 3


def test_a_progress_bar_changes_nothing(tmp_path, capsys):
    plain = run(tmp_path / "plain", steps=3)
    assert_identical(plain, run(tmp_path / "bar", steps=3, trainer={"enable_progress_bar": True}))
    assert "step 3/3  loss " in capsys.readouterr().err


# ----------------------------------------------------------------------------------------------------------- the folder


def test_a_run_folder_has_all_its_parts(tmp_path):
    folder = run(tmp_path / "run", checkpoint_every=3, log_examples=True, conflict_every=2)
    assert {p.name for p in folder.iterdir()} == {*PARTS, LOCK} - {"deployed.json", "skipped_rows.jsonl"}
    assert {p.name for p in (folder / "predictions").iterdir()} == {"toy_labels.parquet", "toy_span.parquet"}
    assert read(folder, "run.json")["status"] == "finished"
    metrics = read(folder, "metrics.json")
    assert set(metrics) == {"toy_labels", "toy_span"}
    assert next(iter(metrics["toy_labels"])) == "accuracy"
    frame = pd.read_parquet(folder / "predictions" / "toy_labels.parquet")
    assert frame["score"].mean() == pytest.approx(metrics["toy_labels"]["accuracy"])
    assert frame["log_likelihood"].mean() == pytest.approx(metrics["toy_labels"]["log_likelihood"])


def test_the_config_of_a_run_repeats_it(tmp_path):
    folder = run(tmp_path / "run")
    stored = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    stored["out"] = str(tmp_path / "again")
    assert_identical(train(**stored, quiet=True).folder, folder)


def test_the_realised_mix_is_the_planned_one(tmp_path):
    folder = run(tmp_path / "run", steps=7, batch_size=10, tasks="toy_labels=2,toy_span=1")
    mix = read(folder, "mix.json")
    assert mix["steps"] == 7
    for entry in mix["tasks"].values():
        assert entry["realised"]["examples"] == entry["planned"]["examples"]
        assert entry["realised"]["epochs"] == pytest.approx(entry["planned"]["epochs"])
    assert [mix["tasks"][t]["realised"]["examples"] for t in ("toy_labels", "toy_span")] == [46, 23]
    shares = [
        sum(e["realised"][k] for e in mix["tasks"].values()) for k in ("rate", "loss_share", "target_token_share")
    ]
    assert shares == pytest.approx([1.0] * 3)


def test_the_model_folder_loads_with_transformers_alone(tmp_path, toys):
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    folder = run(tmp_path / "run") / "model"
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    for kind in ("labels", "span"):
        assert model.config.task_specific_params[f"toy_{kind}"]["prefix"] == toys[kind].prefix
    example = toys["labels"]({"text": "red blue", "label": 1})
    ids = tokenizer(example.inputs, return_tensors="pt")
    assert tokenizer.unk_token_id not in ids["input_ids"]
    assert model.generate(**ids, max_new_tokens=4).shape[0] == 1
    stored = weights(folder.parent)
    assert all(torch.equal(p, stored[n]) for n, p in model.named_parameters())


def test_a_runs_model_can_be_trained_further(tmp_path):
    first = run(tmp_path / "first")
    second = run(tmp_path / "second", steps=3, model=str(first / "model"), tasks="toy_labels,toy_number")
    config = yaml.safe_load((second / "config.yaml").read_text(encoding="utf-8"))
    assert (config["optimizer"], config["schedule"]) == ("adafactor", "constant")
    assert list(weights(first)) == list(weights(second))
    assert not torch.equal(weights(first)["shared.weight"], weights(second)["shared.weight"])


def test_a_run_is_not_overwritten_by_itself(tmp_path):
    run(tmp_path / "run", steps=1)
    with pytest.raises(UserError, match=r"^there is a run in .* already: --resume continues it, --overwrite replaces"):
        run(tmp_path / "run", steps=1)
    run(tmp_path / "run", steps=1, overwrite=True)


# ------------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize("optimizer", ["adafactor", "adamw", "adamw-scaled"])
def test_each_optimizer_learns(tmp_path, optimizer):
    folder = run(
        tmp_path / "run", steps=15, batch_size=24, optimizer=optimizer, lr=1e-3 if optimizer == "adamw" else 1e-2
    )
    losses = logged(folder, "train/loss")
    assert np.mean(losses[-3:]) < 0.95 * losses[0]


@pytest.mark.parametrize("loss", ["task", "token", "example"])
def test_each_loss_learns(tmp_path, loss):
    losses = logged(run(tmp_path / "run", steps=15, batch_size=24, loss=loss), "train/loss")
    assert np.mean(losses[-3:]) < 0.9 * losses[0]


def test_a_loss_weight_of_zero_counts_as_seen_but_teaches_nothing(tmp_path):
    alone = {"optimizer": "adamw", "dropout": 0.0, "clip": 0.0}
    muted = run(tmp_path / "muted", per_step={"toy_labels": 6, "toy_span": 4}, loss_weights={"toy_span": 0.0}, **alone)
    mix = read(muted, "mix.json")["tasks"]
    assert mix["toy_span"]["realised"]["examples"] == 24
    losses = logged(muted, "train/loss"), logged(muted, "train/loss/toy_labels")
    np.testing.assert_allclose(losses[0], 0.6 * np.array(losses[1]), rtol=1e-4)


def test_a_task_sees_the_same_examples_whatever_its_company(tmp_path):
    settings = {"vocab_size": None, "per_step": 4.0, "steps": 5}
    joint = read(run(tmp_path / "joint", **settings), "mix.json")["tasks"]["toy_labels"]["realised"]
    other = read(run(tmp_path / "other", tasks="toy_labels,toy_number", **settings), "mix.json")
    assert joint["examples"] == other["tasks"]["toy_labels"]["realised"]["examples"] == 20


def test_steps_without_examples_are_made(tmp_path):
    folder = run(tmp_path / "run", steps=6, per_step=0.5)
    mix = read(folder, "mix.json")
    assert mix["steps"] == 6
    assert [t["realised"]["examples"] for t in mix["tasks"].values()] == [3, 3]
    assert len(logged(folder, "train/loss")) == 6


def test_a_rate_schedule_moves_the_mixture(tmp_path):
    rates = {0.0: {"toy_labels": 1.0, "toy_span": 0.0}, 1.0: {"toy_labels": 0.0, "toy_span": 1.0}}
    mix = read(run(tmp_path / "run", steps=8, rate_schedule=rates), "mix.json")["tasks"]
    for entry in mix.values():
        assert entry["realised"]["examples"] == entry["planned"]["examples"]
        assert 0.3 < entry["realised"]["rate"] < 0.7


def test_the_average_of_the_weights_is_what_is_kept(tmp_path):
    plain, averaged = run(tmp_path / "plain"), run(tmp_path / "averaged", ema=0.9)
    seen = [read(f, "mix.json") for f in (plain, averaged)]
    assert seen[0] == seen[1]  # the training is the same
    assert not torch.equal(weights(plain)["shared.weight"], weights(averaged)["shared.weight"])


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_selected_checkpoint_is_the_one_that_was_scored(tmp_path, ema, monkeypatch):
    """The kept weights are those whose held-out score was best, averaged ones if it was they that were scored."""
    scored: dict[int, dict[str, torch.Tensor]] = {}
    decode = MultitaskModule.validation_step

    def noted(self, *args):
        scored[self.trainer.global_step] = {n: p.detach().clone() for n, p in self.model.named_parameters()}
        return decode(self, *args)

    points = iter([1.0, 3.0, 2.0])
    monkeypatch.setattr(MultitaskModule, "validation_step", noted)
    monkeypatch.setattr("multitask.runs.fitting.score_and_show", lambda *args: {"val/mean": next(points)})
    folder = run(tmp_path / "run", eval_every=2, eval_limit=3, select="mean", selection_rows=6, ema=ema)
    assert [p.name for p in (folder / "checkpoints").glob("best-*")] == ["best-4.ckpt"]
    assert all(torch.equal(tensor, scored[4][name]) for name, tensor in weights(folder).items())


def test_patience_ends_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr("multitask.runs.fitting.score_and_show", lambda *args: {"val/mean": 1.0, "val/toy_labels": 1.0})
    folder = run(tmp_path / "run", steps=20, eval_every=2, eval_limit=3, select="mean", selection_rows=6, patience=2)
    assert read(folder, "mix.json")["steps"] == 6


def test_selection_rows_are_not_trained_on(tmp_path):
    folder = run(tmp_path / "run", eval_every=3, select="toy_span", selection_rows=7)
    assert [e["rows"] for e in read(folder, "mix.json")["tasks"].values()] == [53, 53]


def test_bf16_trains(tmp_path):
    losses = logged(run(tmp_path / "run", steps=2, precision="bf16"), "train/loss")
    assert np.isfinite(losses).all()


def test_the_gated_model_of_a_mixture_of_all_outputs_trains(tmp_path):
    folder = run(tmp_path / "run", tasks="toy_labels,toy_span,toy_number,toy_text", gated=True, steps=3)
    assert set(read(folder, "metrics.json")) == {"toy_labels", "toy_span", "toy_number", "toy_text"}


def test_the_generated_sample_says_what_it_is(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("multitask.evaluation.scores.Decoder.__call__", _majority)
    run(tmp_path / "run", tasks="sst2", vocab_size=500, steps=2, quiet=False)
    assert "GENERATED SAMPLE" in capsys.readouterr().out
    assert read(tmp_path / "run", "run.json")["tasks"]["sst2"]["generated"] is True


def _majority(decoder, model, rows):
    """Instead of decoding 400 rows."""
    from multitask.decoding.decoder import Prediction

    return [Prediction(r, "positive", "positive", -1.0, 2, True) for r in rows]


def test_a_tensorboard_logger_writes_its_events(tmp_path):
    pytest.importorskip("tensorboard")
    folder = run(tmp_path / "run", steps=2, loggers=["tensorboard"])
    assert list((folder / "events").rglob("events.out.tfevents*"))
    assert (folder / "events" / "csv" / "metrics.csv").is_file()
