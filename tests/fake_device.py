"""A GPU that is not there: tensors without values, which know where they would be.

PyTorch's fake tensors raise where tensors of two devices meet, so what was left on the CPU is found on a machine
without a GPU. What the host reads from the device is counted, and answered with ones: on a GPU each of those waits.

The device is PyTorch's own stand-in for a backend written in Python, under the name `gpu`: a build without CUDA knows
no gradients of fake tensors on `cuda`. In the code all that asks for another device than the CPU is met; what asks for
CUDA by name (copies from page-locked memory) is not.
"""

from __future__ import annotations

import contextlib
import functools
import traceback
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

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
    if name in ("numpy", "nonzero"):
        raise AssertionError(f"{name} of a tensor of the device")
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


@functools.cache
def _set_up() -> None:
    _setup_privateuseone_for_python_backend(NAME)


@contextlib.contextmanager
def fake_device() -> Iterator[HostReads]:
    """Tensors that are made inside have no values, and may be on the device `gpu`."""
    _set_up()
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
