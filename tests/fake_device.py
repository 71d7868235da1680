"""A GPU that is not there: tensors without values, which know where they would be. A script of `test_fake_device`.

PyTorch's fake tensors raise where tensors of two devices meet, so what was left on the CPU is found on a machine
without a GPU. What the host reads from the device is counted, and answered with ones: on a GPU each of those waits.

The device is PyTorch's own stand-in for a backend written in Python, under the name `gpu`: a build without CUDA knows
no gradients of fake tensors on `cuda`. In the code all that asks for another device than the CPU is met; what asks for
CUDA by name (copies from page-locked memory) is not.
"""

from __future__ import annotations

import contextlib
import json
import sys
import traceback
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from multitask.batching.arrays import micro_batches, unpadded_step
from multitask.batching.packing import packed_step
from multitask.batching.step import gather_step
from multitask.batching.step_maker import as_tensors
from multitask.tokenization.ragged import Ragged
from multitask.tokenization.tokenize import TokenizedTask
from multitask.training.balance import make_balancer
from multitask.training.module import MultitaskModule
from multitask.training.optim import OptimizerSettings

NAME = "gpu"
READS = ("item", "__float__", "__int__", "__bool__", "__index__", "cpu", "numpy", "nonzero")


class HostReads(TorchFunctionMode):
    """Counts what the host reads of fake tensors on the device, by the function that reads."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def __torch_function__(self, function: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        of = args[0] if args else None
        if name == "tensor" and torch.device(kwargs.get("device") or "cpu").type == NAME:
            return torch.empty(np.asarray(of).shape, dtype=kwargs.get("dtype"), device=NAME)
        if name == "to" and isinstance(of, torch.Tensor) and _leads_to(NAME, args, kwargs) and of.device.type != NAME:
            return torch.empty(of.shape, dtype=of.dtype, device=NAME)
        if isinstance(of, FakeTensor) and (name in READS or (name == "to" and _leads_to("cpu", args, kwargs))):
            if of.device.type == NAME:
                self.places.append(_caller())
            return _answer(name, of)
        return function(*args, **kwargs)


def _leads_to(device: str, args: Any, kwargs: Any) -> bool:
    values = (*args[1:], *kwargs.values())
    return any(isinstance(v, (str, torch.device)) and torch.device(v).type == device for v in values)


def _answer(name: str, of: Any) -> Any:
    if name in ("cpu", "to"):
        return torch.ones(of.shape, dtype=of.dtype)
    if name == "numpy":
        return np.ones(tuple(of.shape), str(of.dtype).removeprefix("torch."))
    if name == "nonzero":
        raise AssertionError("the size of a result depends on values of the device")
    return {"__bool__": True, "__int__": 1, "__index__": 1}.get(name, 1.0)


def _caller() -> str:
    for frame in reversed(traceback.extract_stack()):
        file = frame.filename
        if "fake_device.py" in file:
            continue
        for part in ("/multitask/", "/transformers/", "/pytorch_lightning/", "/tests/"):
            if part in file:
                return f"{part.strip('/')}: {file.rpartition('/')[2]}:{frame.name}"
    return "elsewhere"


@contextlib.contextmanager
def fake_device() -> Iterator[HostReads]:
    """Tensors that are made inside have no values, and may be on the device `gpu`."""
    plain = FakeTensor.tolist  # it reads number by number
    with FakeTensorMode(allow_non_fake_inputs=True), HostReads() as reads:

        def tolist(of: torch.Tensor) -> Any:
            if of.device.type == NAME:
                reads.places.append(_caller())
            return np.ones(tuple(of.shape)).tolist()

        FakeTensor.tolist = tolist  # type: ignore[method-assign]
        try:
            yield reads
        finally:
            FakeTensor.tolist = plain  # type: ignore[method-assign]


def on_device(model: torch.nn.Module) -> torch.nn.Module:
    """The model with fake weights and buffers on the device; a matrix that two layers share stays one."""
    made: dict[int, torch.nn.Parameter] = {}
    for module in model.modules():
        for name, weight in list(module._parameters.items()):
            if weight is not None:
                if id(weight) not in made:
                    there = torch.empty(weight.shape, dtype=weight.dtype, device=NAME)
                    made[id(weight)] = torch.nn.Parameter(there, requires_grad=weight.requires_grad)
                module._parameters[name] = made[id(weight)]
        for name, value in list(module._buffers.items()):
            if value is not None:
                module._buffers[name] = torch.empty(value.shape, dtype=value.dtype, device=NAME)
    return model


# ------------------------------------------------------------------------------------------------------------- a step


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


def move(value):
    """A batch on the device, as Lightning moves it."""
    if isinstance(value, torch.Tensor):
        return torch.empty(value.shape, dtype=value.dtype, device=NAME)
    if isinstance(value, dict):
        return {name: move(v) for name, v in value.items()}
    return [move(v) for v in value] if isinstance(value, list) and value and isinstance(value[0], dict) else value


def batch(execution: str):
    parts = (
        TokenizedTask(Ragged.of([[5, 6, 1], [7, 8, 9, 1]]), Ragged.of([[4, 1], [4, 5, 6, 1]]), 0, 0),
        TokenizedTask(Ragged.of([[9, 1]]), Ragged.of([[3, 3, 1]]), 0, 0),
    )
    rows = {0: np.array([0, 1]), 1: np.array([0])}

    def made(rows):
        step = gather_step(parts, rows, loss="task", loss_weights=(1.0, 1.0), batch_size=3)
        made = {
            "flat": lambda: unpadded_step(step, parts),
            "grouped": lambda: micro_batches(step, parts, pad=0),
            "packed": lambda: packed_step(step, parts, shape=(16, 8), pad=0, start=0),
        }
        return as_tensors(made[execution]())

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


def tiny() -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    shape = {"vocab_size": 448, "d_model": 16, "d_ff": 32, "d_kv": 8, "num_heads": 2, "num_layers": 2}
    return T5ForConditionalGeneration(T5Config(**shape, dropout_rate=0.3, decoder_start_token_id=0))


def made_optimizer(module, name):
    if name == "adamw":  # its fused kernel knows real devices alone; the plain one has the same reads
        return torch.optim.AdamW(module.parameters(), lr=1e-3, foreach=False)
    return module.configure_optimizers()["optimizer"]


def training(execution: str, optimizer: str, balance: str) -> dict[str, list[str]]:
    """Where the gradients are after a step, and what the host read in the second one."""
    model, (plain, by_task) = tiny(), batch(execution)
    balancer = make_balancer(balance, 2, scale="sum", accumulate=1)
    with fake_device() as reads:
        module = MultitaskModule(on_device(model), ("a", "b"), OptimizerSettings(optimizer), balancer=balancer)
        module._device = torch.device(NAME)
        module.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
        module._trainer = trainer()
        module.on_train_start()
        made = made_optimizer(module, optimizer)
        given = move(plain if balance == "sum" else by_task)
        one_step(module, given, made)
        reads.places.clear()
        one_step(module, {**given, "step": 1, "index": 1}, made)
        grads = {p.grad.device.type for p in module.parameters() if p.grad is not None}
    return {"grads": sorted(grads), "reads": reads.places}


def mixed() -> dict[str, Any]:
    """What is said of a product of tensors of two devices, and what a read counts."""
    with fake_device() as reads:
        there, here = torch.empty(2, 2, device=NAME), torch.ones(2, 2)
        try:
            there @ here
            said = ""
        except RuntimeError as error:
            said = str(error)
        float((there @ there).sum())
    return {"said": said, "reads": len(reads.places)}


def main() -> None:
    _setup_privateuseone_for_python_backend(NAME)
    found: dict[str, Any] = {"mixed": mixed()}
    for execution in ("flat", "grouped", "packed"):
        for optimizer in ("adafactor", "adamw-scaled", "adamw"):
            found[f"{execution} {optimizer} sum"] = training(execution, optimizer, "sum")
        found[f"{execution} adamw-scaled uw"] = training(execution, "adamw-scaled", "uw")
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
