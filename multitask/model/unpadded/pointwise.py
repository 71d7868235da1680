"""Dropout, ReLU and RMS norm with backward passes that keep less than autograd would."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

aten = torch.ops.aten


def _apply(function: type[torch.autograd.Function], *given: Any) -> Any:
    return function.apply(*given)  # type: ignore[no-untyped-call]


class Masks:
    """Dropout masks from a private generator, 16 random bits a decision.

    A rate is rounded to a multiple of 2^-16, and what is kept is scaled by the rounded rate, so that the expectation
    is exact.

    Args:
        rate: Dropout rate; 0 gives no masks.
        seed: Of the generator.
    """

    def __init__(self, rate: float, seed: int = 0) -> None:
        self.dropped = round(rate * 65536)
        self.scale = 65536 / (65536 - self.dropped) if self.dropped < 65536 else 0.0
        self._bits = np.random.SFC64(seed) if self.dropped else None

    def draw(self, *shape: int) -> Tensor | None:
        """[shape] int8 on the CPU, 1 = kept; None if nothing is dropped."""
        if self._bits is None:
            return None
        count = int(np.prod(shape))
        words: np.ndarray = self._bits.random_raw(-(-count // 4))
        kept = words.view(np.uint16)[:count] >= self.dropped
        return torch.from_numpy(kept.view(np.int8)).view(shape)

    def like(self, x: Tensor) -> Tensor | None:
        """As `draw`, of the shape and on the device of `x`; on another device by its own generator."""
        if x.device.type == "cpu" or self._bits is None:
            return self.draw(*x.shape)
        return torch.empty(x.shape, dtype=torch.int8, device=x.device).bernoulli_(1 - self.dropped / 65536)


def _scaled(x: Tensor, mask: Tensor, scale: float) -> Tensor:
    return (x * mask.to(x.dtype)).mul_(scale)


class _AddDropped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, update: Tensor, mask: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(mask)
        ctx.scale = scale
        return torch.addcmul(x, update, mask.to(x.dtype), value=scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (grad,) = grads
        return grad, _scaled(grad, ctx.saved_tensors[0], ctx.scale), None, None


def add_dropped(x: Tensor, update: Tensor, masks: Masks) -> Tensor:
    """`x + dropout(update)`."""
    mask = masks.like(update)
    return x + update if mask is None else _apply(_AddDropped, x, update, mask, masks.scale)


class _Dropped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(mask)
        ctx.scale = scale
        return _scaled(x, mask, scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return _scaled(grads[0], ctx.saved_tensors[0], ctx.scale), None, None


def dropped(x: Tensor, masks: Masks) -> Tensor:
    """`dropout(x)`."""
    mask = masks.like(x)
    return x if mask is None else _apply(_Dropped, x, mask, masks.scale)


class _ReluDropped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor | None, scale: float) -> Tensor:
        out = x.clamp_min(0)
        if mask is not None:
            out.mul_(mask.to(x.dtype)).mul_(scale)
        # What is above 0 was above 0 before and kept: the mask and the input need not be.
        ctx.save_for_backward(out)
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (out,) = ctx.saved_tensors
        grad = aten.threshold_backward(grads[0], out, 0)
        return (grad if ctx.scale == 1.0 else grad.mul_(ctx.scale)), None, None


def relu_dropped(x: Tensor, masks: Masks) -> Tensor:
    """`dropout(relu(x))`."""
    out: Tensor = _apply(_ReluDropped, x, masks.like(x), masks.scale)
    return out


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        inverse = (torch.linalg.vector_norm(exact, dim=-1, keepdim=True).square_().div_(x.shape[-1]) + eps).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        normed: Tensor = x * inverse.to(x.dtype)
        return normed.mul_(weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, weight, inverse = ctx.saved_tensors
        normed = x * inverse.to(x.dtype)  # [N, D]
        of_weight = (grads[0] * normed).sum(0)
        grad = grads[0] * weight
        mean = (grad * normed).mean(-1, keepdim=True)
        return normed.mul_(mean).sub_(grad).mul_(-inverse.to(x.dtype)), of_weight, None


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """`weight * x / sqrt(mean(x^2) + eps)` over the last axis of [N, D] (T5's layer norm; Zhang & Sennrich 2019)."""
    out: Tensor = _apply(_RmsNorm, x, weight, eps)
    return out
