"""The few operations of a T5 that PyTorch computes wastefully on unpadded tokens, each with its own backward pass.

Words
    flat        tokens of many sequences, one behind the other, without padding: [N, D]
    layout      where each flat token stands among padded slots, for attention alone: everything else is computed on
                unpadded tokens, and padding costs nothing there
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
from typing import Any

import torch
from torch import Tensor

from multitask.model.unpadded.layout import Layout
from multitask.model.unpadded.pointwise import Masks, _apply, _scaled, aten

# ---------------------------------------------------------------------------------------------------------- attention


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
            # Under autocast a softmax is in fp32; its weights go back to what the products are in, as Hugging Face's.
            weights = torch.softmax(scores, -1).to(scores.dtype)
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
