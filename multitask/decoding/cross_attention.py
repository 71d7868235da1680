"""Inputs of a decoder's pass on unpadded tokens: slots, cross-attention's keys and values, biases; and its logits.

Words
    slots       where unpadded tokens stand in the padded rows that attention alone needs
    memory      cross-attention's keys and values, worked out once an input and not once a decoder input

Logits over the vocabulary are never kept: block by block they are reduced to their log-normaliser.

Legend: B inputs, S input tokens, N decoder tokens, M queries, D model width, H heads, K width of a head,
V vocabulary.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from multitask.model.unpadded.forward import linear, of_layers

LOGITS = 1 << 20
"""Logits that are held at once: 4 MiB in fp32, so that they stay in a core's cache while they are reduced."""

COLUMNS = 2048
"""Of the vocabulary at once, so that a block of the output layer is used for many rows while it is in the cache."""


class Slots(NamedTuple):
    """Where unpadded tokens stand in the padded rows that attention needs."""

    rows: int
    width: int
    places: Tensor | None
    """[N] the slot of each token; None if every slot has its token, in order."""

    @classmethod
    def of(cls, lengths: np.ndarray, device: torch.device) -> Slots:
        """Of rows of these lengths."""
        count, width = len(lengths), int(lengths.max())
        if int(lengths.min()) == width:
            return cls(count, width, None)
        return cls(count, width, torch.from_numpy(np.flatnonzero(np.arange(width) < lengths[:, None])).to(device))

    def spread(self, x: Tensor, heads: int) -> Tensor:
        """[N, H * K] → [rows, H, width, K], 0 where no token stands."""
        if self.places is not None:
            x = x.new_zeros(self.rows * self.width, x.shape[1]).index_copy_(0, self.places, x)
        return x.view(self.rows, self.width, heads, -1).transpose(1, 2)

    def gather(self, x: Tensor) -> Tensor:
        """The way back, to [N, H * K]."""
        flat = x.transpose(1, 2).reshape(self.rows * self.width, -1)
        return flat if self.places is None else flat.index_select(0, self.places)


class CrossAttentionCache(NamedTuple):
    """Keys and values of every layer's cross-attention."""

    keys: tuple[Tensor, ...]
    """Of each layer [B, H, S, K]."""
    values: tuple[Tensor, ...]
    bias: Tensor | None
    """[B, 1, 1, S], -inf where no token stands; None if all do everywhere."""

    @classmethod
    def of(cls, model: Any, encoded: Tensor, slots: Slots) -> CrossAttentionCache:
        """Of the encoder's flat output [N, D]."""
        layers = [block.layer[1].EncDecAttention for block in model.decoder.block]
        bias = None
        if slots.places is not None:
            bias = encoded.new_full((slots.rows * slots.width,), -torch.inf).index_fill_(0, slots.places, 0.0)
            bias = bias.view(slots.rows, 1, 1, slots.width)
        return cls(
            tuple(slots.spread(linear(a.k, encoded), a.n_heads).contiguous() for a in layers),
            tuple(slots.spread(linear(a.v, encoded), a.n_heads).contiguous() for a in layers),
            bias,
        )

    def of_rows(self, rows: Tensor) -> CrossAttentionCache:
        """The memory of these inputs, in this order."""
        return CrossAttentionCache(
            tuple(k.index_select(0, rows) for k in self.keys),
            tuple(v.index_select(0, rows) for v in self.values),
            None if self.bias is None else self.bias.index_select(0, rows),
        )

    def attend(self, layer: int, q: Tensor) -> Tensor:
        """[B, H, Q, K] from queries of that shape."""
        return attend(q, self.keys[layer], self.values[layer], self.bias)


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """T5's unscaled attention."""
    scores = torch.matmul(q, k.transpose(2, 3))
    if bias is not None:
        scores = scores.add_(bias)
    return torch.matmul(torch.softmax(scores, -1), v)


def distance_biases(model: Any, width: int) -> list[Tensor]:
    """Self-attention's bias of each layer [H, width] for a key so many places before the query."""
    return of_layers(model.decoder, lambda own: own.compute_bias(width, width)[0, :, -1].flip(-1))


def log_probabilities(model: Any, states: Tensor, rows: Tensor, tokens: Tensor) -> Tensor:
    """[M] log p(`tokens[i]`) after the decoder's output `states[rows[i]]`, at least fp32.

    Args:
        model: The model.
        states: [N, D] from `flat.decoder_pass`.
        rows: [M] int64, rising.
        tokens: [M] int64.
    """
    head = model.lm_head.weight
    wanted, place = torch.unique_consecutive(rows, return_inverse=True)
    totals = log_normalisers(states.index_select(0, wanted), head)
    found = []
    size = max(1, LOGITS // states.shape[1])
    for at in range(0, len(rows), size):
        r, t = rows[at : at + size], tokens[at : at + size]
        chosen = (states.index_select(0, r) * head.index_select(0, t)).sum(1)
        found.append(chosen.to(totals.dtype) - totals[place[at : at + size]])
    return torch.cat(found) if found else totals


def log_normalisers(states: Tensor, head: Tensor) -> Tensor:
    """[N] log-sum-exp of `states @ head.T`, at least fp32, block by block of rows and of the vocabulary.

    For 32,128 tokens and D = 256 a row costs 0.3 ms so, of which 0.05 are the reduction; 32 rows with the whole
    vocabulary at a time took 0.7 ms each, since all of `head` came from memory for them.
    """
    columns = torch.split(head, COLUMNS)
    totals = []
    for part in torch.split(states, max(1, LOGITS // min(COLUMNS, len(head)))):
        total = top = None
        for block in columns:
            logits = F.linear(part, block)
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            highest = logits.amax(1)
            if total is not None and top is not None:
                highest = torch.maximum(highest, top)
                total = total * (top - highest).exp_()
            here = logits.sub_(highest[:, None]).exp_().sum(1)
            total, top = here if total is None else total + here, highest
        if total is not None and top is not None:
            totals.append(total.log() + top)
    return torch.cat(totals) if totals else states.new_zeros(0)
