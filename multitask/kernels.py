"""The few operations of a T5 that PyTorch computes wastefully on flat tokens, each with its own backward pass.

Words
    flat        tokens of many sequences, one behind the other, without padding: [N, D]
    layout      where each flat token stands among padded slots, for attention alone: everything else is computed on
                flat tokens, and padding costs nothing there
    mask        what dropout keeps, [..] int8

Every function here is exact: it gives what the plain expression in its docstring gives, and its gradient, up to
rounding. Why they exist, measured on one core for 1,600 tokens: dropout over [N, 1024] took longer (12.8 ms) than the
product [N, 256] x [256, 1024] before it (9.9 ms), nearly all of it for random numbers; masks from a counter-free
generator of 64 bits, four decisions a number, take 1.5 ms.

Legend: N tokens, D model width, H heads, K width of a head, G sequences of a group, Q query slots, S key slots,
V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

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


# ---------------------------------------------------------------------------------------------------------- attention


class Group(NamedTuple):
    """Sequences of similar length among the slots."""

    size: int
    """G."""
    width: int
    """Slots of each, the longest's length."""
    padding: Tensor | None
    """[G, width] bool, True where no token stands; None if all are of full length."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the flat tokens of one side stand in attention's padded slots.

    The slots of a group are [G, H, width] heads in turn, so that one copy brings a projection [N, H * K] into the
    order that the matrix products need.
    """

    tokens: int
    """N."""
    groups: tuple[Group, ...]
    slots: Tensor
    """[all slots] int64, the flat (token, head) of each slot; one of the group's own tokens where none stands."""
    places: Tensor
    """[N * H] int64, the slot of each flat (token, head)."""

    @classmethod
    def of(cls, lengths: Sequence[np.ndarray], heads: int, device: torch.device | str = "cpu") -> Layout:
        """The layout of flat tokens that stand group by group, sequence by sequence.

        Args:
            lengths: [G] of each group: tokens of its sequences, 1 or more, in flat order.
            heads: H.
            device: Of the model.
        """
        parts = [np.asarray(part, np.int64) for part in lengths]
        sizes = [len(part) for part in parts]
        length = np.concatenate(parts)  # [E], of each sequence
        firsts = np.cumsum([0, *sizes[:-1]])
        longest, shortest = np.maximum.reduceat(length, firsts), np.minimum.reduceat(length, firsts)
        width = np.repeat(longest, sizes)  # [E]
        head = np.arange(heads)
        starts = np.cumsum(length) - length  # [E], of each sequence's tokens
        # The slots of a sequence are `heads` rows of its width.
        rows = np.repeat(width, heads)  # [E * H]
        column = np.arange(rows.sum()) - np.repeat(np.cumsum(rows) - rows, rows)
        column[column >= np.repeat(np.repeat(length, heads), rows)] = 0
        slots = np.repeat((starts[:, None] * heads + head).ravel(), rows) + column * heads
        begin = np.cumsum(width * heads) - width * heads  # [E], of each sequence's slots
        first = np.arange(length.sum()) + np.repeat(begin - starts, length)  # [N], the slot of each token's first head
        places = first[:, None] + np.repeat(width, length)[:, None] * head  # [N, H]
        groups = []
        for part, size, w, full in zip(parts, sizes, longest.tolist(), (shortest == longest).tolist(), strict=True):
            padding = None if full else torch.from_numpy(np.arange(w) >= part[:, None]).to(device)
            groups.append(Group(size, w, padding))
        return cls(
            len(first),
            tuple(groups),
            torch.from_numpy(slots).to(device),
            torch.from_numpy(places.ravel()).to(device),
        )

    def spread(self, x: Tensor, heads: int) -> list[Tensor]:
        """[N, H * K] → for each group [G * H, width, K]."""
        width = x.shape[1] // heads
        rows = x.reshape(-1, width).index_select(0, self.slots)
        sizes = [g.size * heads * g.width for g in self.groups]
        return [part.view(-1, g.width, width) for part, g in zip(torch.split(rows, sizes), self.groups, strict=True)]

    def gather(self, parts: Sequence[Tensor], heads: int) -> Tensor:
        """The way back, to [N, H * K]; what stands in slots without a token is left out."""
        width = parts[0].shape[-1]
        rows = torch.cat([p.reshape(-1, width) for p in parts]) if len(parts) > 1 else parts[0].reshape(-1, width)
        return rows.index_select(0, self.places).view(self.tokens, heads * width)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        heads: int,
        queries: Layout,
        keys: Layout,
        masks: Masks,
        *biases: Tensor | None,
    ) -> Tensor:
        qs, ks, vs = queries.spread(q, heads), keys.spread(k, heads), keys.spread(v, heads)
        outs, saved = [], []
        for i, (gq, gk) in enumerate(zip(queries.groups, keys.groups, strict=True)):
            scores = torch.bmm(qs[i], ks[i].transpose(1, 2)).view(gk.size, heads, gq.width, gk.width)
            bias = biases[i]
            if bias is not None:
                scores += bias
            if gk.padding is not None:
                scores.masked_fill_(gk.padding[:, None, None, :], -torch.inf)
            weights = torch.softmax(scores, -1)
            mask = masks.like(weights)
            kept = weights if mask is None else _scaled(weights, mask, masks.scale)
            outs.append(torch.bmm(kept.view(-1, gq.width, gk.width), vs[i]))
            saved += [qs[i], ks[i], vs[i], weights, mask]
        ctx.save_for_backward(*saved)
        ctx.heads, ctx.queries, ctx.keys, ctx.scale = heads, queries, keys, masks.scale
        ctx.biased = [b is not None for b in biases]
        return queries.gather(outs, heads)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        heads, queries, keys = ctx.heads, ctx.queries, ctx.keys
        spread = queries.spread(grads[0], heads)
        of_q, of_k, of_v, of_bias = [], [], [], []
        for i, (gq, gk) in enumerate(zip(queries.groups, keys.groups, strict=True)):
            q, k, v, weights, mask = ctx.saved_tensors[5 * i : 5 * i + 5]
            grad = spread[i]  # [G * H, Q, K]
            if gq.padding is not None:
                grad.view(gq.size, heads, gq.width, -1).masked_fill_(gq.padding[:, None, :, None], 0)
            shape = (-1, gq.width, gk.width)
            of_weights = torch.bmm(grad, v.transpose(1, 2))  # [G * H, Q, S]
            if mask is None:
                kept = weights
            else:
                kept = _scaled(weights, mask, ctx.scale)
                of_weights = _scaled(of_weights, mask.view(shape), ctx.scale)
            of_v.append(torch.bmm(kept.view(shape).transpose(1, 2), grad))
            of_scores = aten._softmax_backward_data(of_weights, weights.view(shape), -1, weights.dtype)
            of_q.append(torch.bmm(of_scores, k))
            of_k.append(torch.bmm(of_scores.transpose(1, 2), q))
            of_bias.append(of_scores.view(gk.size, heads, gq.width, gk.width).sum(0) if ctx.biased[i] else None)
        return (
            queries.gather(of_q, heads),
            keys.gather(of_k, heads),
            keys.gather(of_v, heads),
            *(None,) * 4,
            *of_bias,
        )


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    heads: int,
    queries: Layout,
    keys: Layout,
    masks: Masks,
    biases: Sequence[Tensor | None],
) -> Tensor:
    """`dropout(softmax(q k^T + bias)) v` within each sequence, T5's unscaled attention; [tokens, H * K].

    Args:
        q: [query tokens, H * K].
        k: [key tokens, H * K].
        v: [key tokens, H * K].
        heads: H.
        queries: Where the query tokens stand.
        keys: Where the key tokens stand; group by group the same sequences.
        masks: Dropout of the weights.
        biases: Of each group [H, Q, S], added to the scores; -inf forbids. None for none.
    """
    out: Tensor = _apply(_Attention, q, k, v, heads, queries, keys, masks, *biases)
    return out


# --------------------------------------------------------------------------------------------- embeddings and the loss


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
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (of_hidden,) = ctx.saved_tensors
        of_weight, ctx.of_weight = ctx.of_weight, None
        if of_weight is None and ctx.needs_input_grad[1]:
            raise RuntimeError("the loss was differentiated twice; its gradient is kept for once")
        grad = grads[0]
        if float(grad) != 1.0:
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
    found: tuple[Tensor, Tensor] = _apply(_TokenLoss, hidden, weight, labels, weights.to(hidden.dtype), tied)
    return found
