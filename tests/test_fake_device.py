"""Training, evaluation and decoding on a GPU that is not there: nothing is left on the CPU, and little is read from it.

How often the host reads from the device is how often it waits: once a step.
"""

from __future__ import annotations

import contextlib
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from multitask import Task
from multitask.batching.arrays import micro_batches, unpadded_step
from multitask.batching.step import gather_step
from multitask.batching.step_maker import as_tensors
from multitask.metrics.metric import METRICS
from multitask.task import Example
from multitask.training.balance import make_balancer
from multitask.training.module import MultitaskModule
from multitask.training.optim import OptimizerSettings

HELP = runpy.run_path(str(Path(__file__).with_name("fake_device.py")))
fake_device, on_device, NAME = (HELP[name] for name in ("fake_device", "on_device", "NAME"))

OWN = "multitask: module.py:_read"
"""Where the host reads the norm of the gradient and what was counted, together."""


def test_a_tensor_that_was_left_on_the_cpu_is_found():
    with fake_device() as reads:
        there, here = torch.empty(2, 2, device=NAME), torch.ones(2, 2)
        with pytest.raises(RuntimeError, match="device"):
            there @ here
        assert float((there @ there).sum()) == 1.0
        assert len(reads.places) == 1


class SingleDeviceStrategy:
    """Lightning's name, by which the module knows that each process holds the whole gradient."""

    model = None


def trainer() -> SimpleNamespace:
    plugin = SimpleNamespace(train_step_context=contextlib.nullcontext)
    return SimpleNamespace(
        global_rank=0,
        world_size=1,
        log_every_n_steps=50,
        accumulate_grad_batches=1,
        gradient_clip_val=1.0,
        strategy=SingleDeviceStrategy(),
        precision_plugin=plugin,
        _results={},
    )


def tokens(tiny_tokenizer):
    examples = [Example("red blue green", "a"), Example("old new", "b"), Example("red", "a")]
    task = Task("one", lambda row: row, "one: ", metrics=[METRICS.get("accuracy")])
    return task, examples


def move(value):
    """A batch on the device, as Lightning moves it."""
    if isinstance(value, torch.Tensor):
        return torch.empty(value.shape, dtype=value.dtype, device=NAME)
    if isinstance(value, dict):
        return {name: move(v) for name, v in value.items()}
    return [move(v) for v in value] if isinstance(value, list) and value and isinstance(value[0], dict) else value


def batch(execution: str):
    from multitask.tokenization.ragged import Ragged
    from multitask.tokenization.tokenize import TokenizedTask

    parts = (
        TokenizedTask(Ragged.of([[5, 6, 1], [7, 8, 9, 1]]), Ragged.of([[4, 1], [4, 5, 6, 1]]), 0, 0),
        TokenizedTask(Ragged.of([[9, 1]]), Ragged.of([[3, 3, 1]]), 0, 0),
    )
    rows = {0: np.array([0, 1]), 1: np.array([0])}

    def made(rows):
        step = gather_step(parts, rows, loss="task", loss_weights=(1.0, 1.0), batch_size=3)
        arrays = unpadded_step(step, parts) if execution == "flat" else micro_batches(step, parts, pad=0)
        return as_tensors(arrays)

    whole = {"step": 0, "index": 0, "scale": 1.0}
    by_task = {"by_task": [{"task": t, **made({t: r})} for t, r in rows.items()], "present": [0, 1]}
    return {**whole, **made(rows)}, {**whole, **by_task}


def one_step(module, given, optimizer) -> None:
    """What Lightning calls in a step."""
    module.on_train_batch_start(given, 0)
    loss = module.training_step(given, 0)
    module.backward(loss)
    module.on_before_optimizer_step(optimizer)
    module.configure_gradient_clipping(optimizer, 1.0, "norm")
    optimizer.step()
    module.guard.good()


@pytest.mark.parametrize("execution", ["flat", "grouped"])
@pytest.mark.parametrize("optimizer", ["adafactor", "adamw-scaled", "adamw"])
@pytest.mark.parametrize("balance", ["sum", "uw"])
def test_a_training_step_stays_on_the_device_and_waits_for_it_once(
    tiny_model, monkeypatch, execution, optimizer, balance
):
    if balance != "sum" and optimizer != "adamw-scaled":
        optimizer = "adamw-scaled"
    model = tiny_model("t5", dropout=0.3)
    plain, by_task = batch(execution)
    balancer = make_balancer(balance, 2, scale="sum", accumulate=1)
    with fake_device() as reads:
        settings = OptimizerSettings(optimizer)
        module = MultitaskModule(on_device(model), ("a", "b"), settings, balancer=balancer)
        module._device = torch.device(NAME)
        monkeypatch.setattr(module, "log", lambda *args, **kwargs: None)
        module.trainer = trainer()
        module._trainer = module.trainer
        module.on_train_start()
        made = made_optimizer(module, optimizer)
        given = move(plain if balance == "sum" else by_task)
        one_step(module, given, made)
        reads.places.clear()
        one_step(module, {**given, "step": 1, "index": 1}, made)
        own = [place for place in reads.places if not place.startswith("transformers")]
        grads = {p.grad.device.type for p in module.parameters() if p.grad is not None}
    assert grads == {NAME}
    if balance == "sum":
        assert own == [OWN], own
    else:
        assert OWN in own and len(own) <= 4, own


def made_optimizer(module, name):
    if name == "adamw":  # its fused kernel knows real devices alone; the plain one has the same reads
        return torch.optim.AdamW(module.parameters(), lr=1e-3, foreach=False)
    return module.configure_optimizers()["optimizer"]
