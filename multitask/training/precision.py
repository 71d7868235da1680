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
    """Compute in these numbers inside, whatever is around it, and without cuDNN's attention.

    Args:
        precision: fp32 or bf16.
        device: Its kind, e.g. cuda.
    """
    import torch

    with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"), without_cudnn_attention():
        yield


@contextlib.contextmanager
def without_cudnn_attention() -> Iterator[None]:
    """Let attention in bf16 be computed by PyTorch's own kernels inside; torch's own setting is left as it was.

    On a Hopper GPU PyTorch prefers cuDNN's, which makes a plan for every new shape: half a second each, and here nearly
    every padded group has a new one. A step of a tiny T5 in padded groups took 570 ms on an H100 with it.
    """
    import torch

    cuda = torch.backends.cuda
    before = cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
    cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        cuda.enable_cudnn_sdp(before)


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
