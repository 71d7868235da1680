"""Faults planted in a training's numbers: what is named, that nothing was updated, and that the run can go on."""

from __future__ import annotations

import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from safetensors.torch import load_file

import multitask.model.unpadded.forward
import multitask.model.unpadded.loss
import multitask.training.callbacks
import multitask.training.nonfinite
from multitask.cli import main
from multitask.errors import UserError
from multitask.runs.run import StoppedError
from multitask.runs.train import train
from multitask.training.module import MultitaskModule
from multitask.training.nonfinite import NonFiniteError


@pytest.fixture(autouse=True)
def _toys(toys):
    return toys


def run(out: Path, steps: int = 6, trainer: dict[str, Any] | None = None, **settings: Any) -> Path:
    options = {"max_steps": steps, "enable_progress_bar": False, "accelerator": "cpu", **(trainer or {})}
    given = {"tasks": "toy_labels,toy_span", "vocab_size": 70, "batch_size": 12, "log_every": 1, "quiet": True}
    return train(**{**given, "out": str(out), "trainer": options, **settings}).folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def assert_identical(one: Path, other: Path) -> None:
    left, right = weights(one), weights(other)
    assert all(torch.equal(left[n], right[n]) for n in left)
    for name in ("metrics.json", "mix.json"):
        assert read(one, name) == read(other, name)


def checkpoints(folder: Path) -> list[str]:
    return sorted(p.name for p in (folder / "checkpoints").glob("step-*"))


class Infinity(pl.Callback):
    """Makes the loss of one example of a step infinite: the embedding of an input token that no other example has."""

    def __init__(self, step: int) -> None:
        self.step, self.said, self.token = step, "", -1

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step != self.step or self.said:
            return
        flat = batch["flat"]
        inputs = [
            set(x.tolist()) for x in flat["input_ids"].split([n for group in flat["input_lengths"] for n in group])
        ]
        for i, tokens in enumerate(inputs):
            own = tokens - set(flat["labels"].tolist()).union(*(x for j, x in enumerate(inputs) if j != i))
            if own:
                of, row = int(flat["task_ids"][i]), int(flat["rows"][i])
                self.token = own.pop()
                self.said = f"task 'toy_{('labels', 'span')[of]}' (1 of 3 examples: train:{row})"
                return

    def on_train_batch_end(self, *args):
        self.token = -1

    def embed(self, weight, ids, tied):
        out = multitask.model.unpadded.loss.embed(weight, ids, tied)
        return out.masked_fill((ids == self.token)[:, None], math.inf)


@pytest.fixture
def plant(monkeypatch):
    """`plant(callback, …)` adds callbacks to the runs that follow, before those that save."""
    plain = multitask.training.callbacks.callbacks_of

    def add(*callbacks):
        for one in callbacks:
            if isinstance(one, Infinity):
                monkeypatch.setattr(multitask.model.unpadded.forward, "embed", one.embed)
        monkeypatch.setattr(
            multitask.training.callbacks, "callbacks_of", lambda config, *rest: [*callbacks, *plain(config, *rest)]
        )

    return add


@pytest.mark.parametrize("parts", [1, 2])
def test_an_infinite_loss_ends_the_run_with_a_checkpoint_and_skipping_it_goes_on(tmp_path, plant, parts):
    settings = {"batch_size": 6, "trainer": {"accumulate_grad_batches": parts}}
    fault = Infinity(3)
    plant(fault)
    with pytest.raises(UserError) as error:
        run(tmp_path / "run", **settings)
    said = str(error.value)
    assert said == (
        f"step 4: the loss is not finite in {fault.said}. "
        f"{tmp_path / 'run' / 'checkpoints' / 'step-3.ckpt'} holds the state before: multitask train --resume "
        f"{tmp_path / 'run'} --on-nonfinite skip goes on without such updates; or begin again (--overwrite) with a "
        "lower --lr (now 0.01) or --clip (now 1)."
    )
    assert checkpoints(tmp_path / "run") == ["step-3.ckpt"]
    plant(Infinity(3))
    run(tmp_path / "run", resume=True, on_nonfinite="skip", **settings)
    plant(Infinity(3))
    run(tmp_path / "skipped", on_nonfinite="skip", **settings)
    assert_identical(tmp_path / "run", tmp_path / "skipped")
    for folder in (tmp_path / "run", tmp_path / "skipped"):
        assert read(folder, "mix.json")["skipped_steps"] == 1
        (skipped,) = read(folder, "run.json")["skipped_steps"]
        assert (skipped["step"], skipped["reason"]) == (4, said.split(": ", 1)[1].split(". ")[0])
        assert any(w.startswith("1 of 6 steps made no update") for w in read(folder, "run.json")["warnings"])


class Watched(pl.Callback):
    """The weights, the optimiser's averages and the learning rate after each step."""

    def __init__(self) -> None:
        self.after: dict[int, tuple[Any, Any, float]] = {}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        (optimizer,) = trainer.optimizers
        state = [v.clone() for s in optimizer.state.values() for v in s.values() if isinstance(v, torch.Tensor)]
        params = [p.detach().clone() for p in pl_module.parameters()]
        self.after[trainer.global_step] = params, state, optimizer.param_groups[0]["lr"]


@pytest.mark.parametrize("optimizer", ["adamw-scaled", "adamw", "adafactor"])
def test_a_skipped_step_leaves_weights_and_averages_and_moves_the_schedule(tmp_path, plant, optimizer):
    watched = Watched()
    plant(Infinity(3), watched)
    settings = {"optimizer": optimizer, "lr": 1e-3, "schedule": "linear", "warmup_steps": 0, "batch_size": 6}
    folder = run(tmp_path / "run", on_nonfinite="skip", **settings)
    before, skipped, after = (watched.after[step] for step in (3, 4, 5))
    for kind in (0, 1):
        assert before[kind]
        assert all(torch.equal(a, b) for a, b in zip(before[kind], skipped[kind], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(skipped[0], after[0], strict=True))
    assert before[2] > skipped[2] > after[2]
    for entry in read(folder, "mix.json")["tasks"].values():  # the step's examples taught nothing
        assert entry["realised"]["examples"] == entry["planned"]["examples"] - 3
        assert math.isfinite(entry["realised"]["mean_loss"])


def test_a_run_with_a_skipped_step_is_resumed_to_the_bit(tmp_path, plant):
    plant(Infinity(2))
    whole = run(tmp_path / "whole", on_nonfinite="skip", batch_size=6)

    class Interrupt(pl.Callback):
        def on_train_batch_end(self, trainer, *args):
            if trainer.global_step == 4:
                os.kill(os.getpid(), signal.SIGINT)

    plant(Infinity(2), Interrupt())
    with pytest.raises(StoppedError):
        run(tmp_path / "stopped", on_nonfinite="skip", batch_size=6)
    plant()
    resumed = run(tmp_path / "stopped", on_nonfinite="skip", resume=True, batch_size=6)
    assert_identical(whole, resumed)
    assert read(whole, "run.json")["skipped_steps"] == read(resumed, "run.json")["skipped_steps"]


def test_weights_that_are_not_finite_do_not_take_the_place_of_a_good_checkpoint(tmp_path, plant):
    whole = run(tmp_path / "whole", checkpoint_every=2)

    class Break(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, *args):
            if trainer.global_step == 4:
                pl_module.model.lm_head.weight.detach()[3, 5] = math.nan

    plant(Break())
    for on_nonfinite in ("stop", "skip"):  # skipping would not help
        with pytest.raises(UserError) as error:
            run(tmp_path / on_nonfinite, checkpoint_every=2, on_nonfinite=on_nonfinite)
        assert str(error.value) == (
            f"after step 4 the weights are not finite: shared.weight. {tmp_path / on_nonfinite / 'checkpoints'}"
            "/step-2.ckpt holds the state before: begin again (--overwrite) with a lower --lr (now 0.01) or --clip "
            "(now 1)."
        )
        assert checkpoints(tmp_path / on_nonfinite) == ["step-2.ckpt"]
    plant()
    assert_identical(run(tmp_path / "stop", checkpoint_every=2, resume=True), whole)


def test_weights_broken_by_the_last_update_are_not_evaluated(tmp_path, plant):
    class Break(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, *args):
            if trainer.global_step == 3:
                pl_module.model.lm_head.weight.detach()[3, 5] = math.inf

    plant(Break())
    with pytest.raises(
        UserError, match=r"^after step 3 the weights are not finite: shared\.weight\. No checkpoint was"
    ):
        run(tmp_path / "run", steps=3)
    assert not (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.parametrize("settings", [{}, {"execution": "grouped"}, {"clip": 0.0}, {"precision": "bf16"}], ids=str)
def test_a_gradient_that_overflows_is_traced_to_its_task(tmp_path, settings):
    with pytest.raises(UserError) as error:
        run(tmp_path / "run", loss_weights={"toy_span": 1e30}, **settings)
    said = str(error.value)
    assert said.startswith("step 1: the gradient is not finite, though every example's loss is: in shared.weight, ")
    assert "; it comes from task 'toy_span'. No checkpoint was written before: begin again (--overwrite)" in said


def test_too_many_skipped_steps_in_a_row_end_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(multitask.training.nonfinite, "IN_A_ROW", 3)
    with pytest.raises(UserError, match=r"^step 3: .*; the 2 steps before it were skipped for the like\. "):
        run(tmp_path / "run", loss_weights={"toy_span": 1e30}, on_nonfinite="skip")
    assert checkpoints(tmp_path / "run") == ["step-2.ckpt"]


def test_a_learning_rate_that_is_far_too_high_is_one_line_and_exit_code_2(tmp_path, capsys):
    words = ["train", "--tasks", "toy_labels", "--vocab-size", "70", "--batch-size", "8", "--lr", "1e37"]
    words += ["--warmup-steps", "0", "--trainer.max_steps", "9", "--trainer.accelerator", "cpu"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("multitask:")]
    assert " not finite" in line
    assert "lower --lr (now 1e+37)" in line


def test_nothing_was_updated_when_a_bad_step_is_raised(tmp_path, plant, monkeypatch):
    seen: list[Any] = []
    plain = MultitaskModule.configure_gradient_clipping

    def noted(self, *args, **kwargs):
        seen.append([p.detach().clone() for p in self.parameters()])
        plain(self, *args, **kwargs)

    class Kept(pl.Callback):
        def on_exception(self, trainer, pl_module, exception):
            assert isinstance(exception, NonFiniteError)
            assert all(torch.equal(a, b) for a, b in zip(seen[-1], pl_module.parameters(), strict=True))
            seen.append("compared")

    monkeypatch.setattr(MultitaskModule, "configure_gradient_clipping", noted)
    plant(Kept())
    with pytest.raises(UserError):
        run(tmp_path / "run", loss_weights={"toy_span": 1e30})
    assert seen[-1] == "compared"


# ------------------------------------------------------------------------ exploding, never sampled, one-sided


def test_a_task_that_explodes_is_named_once_and_a_normal_run_says_nothing(tmp_path, plant, monkeypatch, capsys):
    monkeypatch.setattr(multitask.training.module, "LOOK_EVERY", 4)
    monkeypatch.setattr(multitask.training.nonfinite, "WINDOW", 30)
    quiet = run(tmp_path / "normal", steps=16, batch_size=24)
    assert not any("explodes" in w for w in read(quiet, "run.json")["warnings"])

    class Spoil(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.global_step == 8:
                pl_module.model.lm_head.weight.detach().mul_(30)

    plant(Spoil())
    folder = run(tmp_path / "spoiled", steps=16, batch_size=24, lr=1e-6, quiet=False)
    said = [w for w in read(folder, "run.json")["warnings"] if "explodes" in w]
    assert [w.split("'")[1] for w in said] == ["toy_labels", "toy_span"]
    assert said[0].startswith("the loss of task 'toy_labels' explodes: ")
    printed = capsys.readouterr().out
    assert all(printed.count(f"WARNING: {w}") == 1 for w in said)


def test_what_looks_like_a_mistake_is_said_and_kept(tmp_path, monkeypatch, capsys):
    from multitask.decoding.decoder import Prediction

    monkeypatch.setattr(
        "multitask.evaluation.scores.Decoder.__call__",
        lambda decoder, model, rows: [Prediction(r, "no", "no", -1.0, 2, True) for r in rows],
    )
    rates = {0.0: {"toy_labels": 1.0, "toy_span": 1.0}, 0.5: {"toy_labels": 1.0, "toy_span": 0.0}}
    folder = run(tmp_path / "run", steps=4, rate_schedule=rates, quiet=False)
    kept = read(folder, "run.json")["warnings"]
    assert kept[0] == "task 'toy_span' gets no example from step 3 to 4 of 4, by its rates there."
    assert kept[1] == "task 'toy_labels': all 12 predictions are 'no', of 2 different targets."
    assert kept[2].startswith("task 'toy_span': all 12 predictions are 'no', of ")
    printed = capsys.readouterr().out
    assert all(printed.count(f"WARNING: {w}") == 1 for w in kept)
