"""The loss of each target token from the tied embedding, without all logits at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from multitask.model.unpadded.pointwise import _apply


class TiedGradient:
    """The gradient that the output layer gives to a matrix it shares with the embeddings, on its way there.

    A dense gradient of [V, D] is the largest array of a small model's step. Autograd would make three and add them up;
    the output layer's backward pass comes first, so its array is handed on and the embeddings add their rows to it.
    """

    def __init__(self) -> None:
        self.value: Tensor | None = None


class _Embed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, ids: Tensor, tied: TiedGradient | None) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.shape, ctx.tied = weight.shape, tied
        return weight.index_select(0, ids)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (ids,) = ctx.saved_tensors
        total = None
        if ctx.tied is not None:
            total, ctx.tied.value = ctx.tied.value, None
        if total is None:
            total = grads[0].new_zeros(ctx.shape)
        return total.index_add_(0, ids, grads[0]), None, None


def embed(weight: Tensor, ids: Tensor, tied: TiedGradient | None = None) -> Tensor:
    """`weight[ids]`, [N, D]."""
    out: Tensor = _apply(_Embed, weight, ids, tied)
    return out


LOGITS = 1 << 24
"""Logits that the loss holds at once: 64 MiB in fp32."""


class _TokenLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, weights: Tensor, tied: TiedGradient | None
    ) -> tuple[Tensor, Tensor]:
        device = hidden.device.type
        if torch.is_autocast_enabled(device):
            low = torch.get_autocast_dtype(device)
            with torch.autocast(device, enabled=False):
                return _TokenLoss._forward_low(ctx, hidden, weight, labels, weights, tied, low)
        chunk = max(1, LOGITS // weight.shape[0])
        learned = ctx.needs_input_grad[1]
        of_hidden = torch.empty_like(hidden)
        of_weight: Tensor | None = None
        losses = []
        for at in range(0, len(hidden), chunk):
            part, wanted, w = hidden[at : at + chunk], labels[at : at + chunk, None], weights[at : at + chunk, None]
            logits = part @ weight.t()  # [n, V]
            chosen = logits.gather(1, wanted)
            logits -= logits.amax(1, keepdim=True)
            top = chosen - logits.gather(1, wanted)
            exps = logits.exp_()
            total = exps.sum(1, keepdim=True)
            losses.append((total.log() + top - chosen).squeeze(1))
            # The loss is a weighted sum, so the gradient of the logits is known now: softmax - 1 at the label.
            exps.mul_(w / total)
            exps.scatter_add_(1, wanted, -w)
            torch.mm(exps, weight, out=of_hidden[at : at + chunk])
            if of_weight is None:
                of_weight = exps.t() @ part if learned else None
            else:
                of_weight.addmm_(exps.t(), part)
        nll = torch.cat(losses)
        ctx.save_for_backward(of_hidden)
        ctx.of_weight, ctx.tied = of_weight, tied
        ctx.mark_non_differentiable(nll)
        return (nll * weights).sum(), nll

    @staticmethod
    def _forward_low(
        ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, weights: Tensor, tied: TiedGradient | None, low: Any
    ) -> tuple[Tensor, Tensor]:
        """The same with matrix products in bf16; all of the softmax is in fp32, as are the sums of gradients."""
        chunk = max(1, LOGITS // weight.shape[0])
        learned = ctx.needs_input_grad[1]
        exact = torch.promote_types(hidden.dtype, torch.float32)
        matrix, states = weight.to(low), hidden.to(low)
        of_hidden = torch.empty_like(hidden)
        of_weight = torch.zeros_like(weight) if learned else None
        losses = []
        for at in range(0, len(hidden), chunk):
            part, wanted, w = states[at : at + chunk], labels[at : at + chunk, None], weights[at : at + chunk, None]
            logits = (part @ matrix.t()).to(exact)  # [n, V]
            chosen = logits.gather(1, wanted)
            total = torch.logsumexp(logits, 1, keepdim=True)
            losses.append((total - chosen).squeeze(1))
            probabilities = (logits - total).exp_().mul_(w)
            probabilities.scatter_add_(1, wanted, -w.to(exact))
            narrow = probabilities.to(low)
            of_hidden[at : at + chunk] = narrow @ matrix
            if of_weight is not None:
                of_weight += narrow.t() @ part
        nll = torch.cat(losses)
        ctx.save_for_backward(of_hidden)
        ctx.of_weight, ctx.tied = of_weight, tied
        ctx.mark_non_differentiable(nll)
        return (nll * weights).sum(), nll

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (of_hidden,) = ctx.saved_tensors
        of_weight, ctx.of_weight = ctx.of_weight, None
        if of_weight is None and ctx.needs_input_grad[1]:
            raise RuntimeError("the loss was differentiated twice; its gradient is kept for once")
        grad = grads[0]
        if grad.device.type != "cpu" or float(grad) != 1.0:  # to look at it would be to wait for the device
            of_hidden = of_hidden * grad
            of_weight = None if of_weight is None else of_weight.mul_(grad)
        if ctx.tied is not None:
            ctx.tied.value, of_weight = of_weight, None
        return of_hidden, of_weight, None, None, None


def token_loss(
    hidden: Tensor, weight: Tensor, labels: Tensor, weights: Tensor, tied: TiedGradient | None = None
) -> tuple[Tensor, Tensor]:
    """The weighted sum of `cross_entropy(hidden @ weight.T, labels)`, and each token's loss in nats, without gradient.

    The gradient is worked out in the forward pass, chunk by chunk, so that the logits [N, V] are never kept (Hsu et al.
    2024, "Liger Kernel", section 3.2).

    Args:
        hidden: [N, D].
        weight: [V, D].
        labels: [N] int64.
        weights: [N] of each token's loss.
        tied: Takes the gradient of `weight` if the embeddings share it.
    """
    found: tuple[Tensor, Tensor] = _apply(
        _TokenLoss, hidden, weight, labels, weights.to(torch.promote_types(hidden.dtype, torch.float32)), tied
    )
    return found
