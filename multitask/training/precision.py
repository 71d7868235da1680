"""In which numbers a run computes, by its device."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

from multitask.config import TrainConfig


def settle_precision(config: TrainConfig) -> TrainConfig:
    """The settings with `auto` as what this machine's device computes in.

    bf16 is many times slower than fp32 on a processor without its instructions, so on a CPU it has to be asked for.
    """
    if config.precision != "auto":
        return config
    return dataclasses.replace(config, precision="bf16" if _has_bf16(config) else "fp32")


def _has_bf16(config: TrainConfig) -> bool:
    if str(config.trainer.get("accelerator", "auto")) not in ("auto", "gpu", "cuda") or "precision" in config.trainer:
        return False
    import torch

    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


@contextlib.contextmanager
def computing_in(precision: str, device: str) -> Iterator[None]:
    """Compute in these numbers inside, whatever is around it.

    Args:
        precision: fp32 or bf16.
        device: Its kind, e.g. cuda.
    """
    import torch

    with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
        yield


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Let CUDA's matrix products of fp32 round to TF32 inside; torch's own setting is left as it was."""
    import torch

    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        matmul.allow_tf32 = before
