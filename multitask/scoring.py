"""What a T5's decoder says along tokens it is given, for a batch of inputs that its encoder reads once.

Words
    scorer      a model that has read a batch of inputs. `FlatScorer` computes on flat tokens (`flat`); `PlainScorer` of
                `plain` does the same through the model's own code, for what `flat` does not know
    chain       a decoder input, start token included; several may belong to one input
    memory      cross-attention's keys and values, worked out once an input and not once a chain
    cache       self-attention's, of chains that grow
    query       a token of a chain and the token asked for after it

Logits over the vocabulary are never kept: block by block they are reduced to their log-normaliser.

Legend: B inputs, S input tokens, C chains, N decoder tokens, F fresh ones of a chain, M queries, D model width,
H heads, K width of a head, V vocabulary, T slots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from multitask.batching import attention_groups
from multitask.flat import NO_DROPOUT, encoder_states, feed_forward, layout_of, norm, scales_output

LOGITS = 1 << 20
"""Logits that are held at once: 4 MiB in fp32, so that they stay in a core's cache while they are reduced."""

COLUMNS = 2048
"""Of the vocabulary at once, so that a block of the output layer is used for many rows while it is in the cache."""

PASS_TOKENS = 4096
"""Decoder tokens of one pass, one chain at least."""

CACHE_BYTES = 1 << 29
"""The most that a cache may come to take; where it could take more, chains are computed anew as they grow."""


# ---------------------------------------------------------------------------------------------------- the decoder pass


class Slots(NamedTuple):
    """Where flat tokens stand in the padded rows that attention needs."""

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


class Memory(NamedTuple):
    """Keys and values of every layer's cross-attention."""

    keys: tuple[Tensor, ...]
    """Of each layer [B, H, S, K]."""
    values: tuple[Tensor, ...]
    bias: Tensor | None
    """[B, 1, 1, S], -inf where no token stands; None if all do everywhere."""

    @classmethod
    def of(cls, model: Any, encoded: Tensor, slots: Slots) -> Memory:
        """Of the encoder's flat output [N, D]."""
        layers = [block.layer[1].EncDecAttention for block in model.decoder.block]
        bias = None
        if slots.places is not None:
            bias = encoded.new_full((slots.rows * slots.width,), -torch.inf).index_fill_(0, slots.places, 0.0)
            bias = bias.view(slots.rows, 1, 1, slots.width)
        return cls(
            tuple(slots.spread(F.linear(encoded, a.k.weight), a.n_heads).contiguous() for a in layers),
            tuple(slots.spread(F.linear(encoded, a.v.weight), a.n_heads).contiguous() for a in layers),
            bias,
        )

    def of_rows(self, rows: Tensor) -> Memory:
        """The memory of these inputs, in this order."""
        return Memory(
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


def decoder_pass(
    model: Any,
    ids: Tensor,
    among: Callable[[int, Tensor, Tensor, Tensor], Tensor],
    across: Callable[[int, Tensor], Tensor],
) -> Tensor:
    """[N, D] the decoder's output for the flat tokens `ids` [N], ready for the output layer.

    Args:
        model: A Hugging Face encoder-decoder of the T5 family, in evaluation mode.
        ids: [N] int64.
        among: (layer, q, k, v [N, H * K]) → self-attention's [N, H * K].
        across: (layer, q [N, H * K]) → cross-attention's [N, H * K].
    """
    x = F.embedding(ids, model.decoder.embed_tokens.weight)
    for i, block in enumerate(model.decoder.block):
        own, cross = block.layer[0].SelfAttention, block.layer[1].EncDecAttention
        normed = norm(block.layer[0].layer_norm, x)
        q, k, v = F.linear(normed, own.q.weight), F.linear(normed, own.k.weight), F.linear(normed, own.v.weight)
        x = x + F.linear(among(i, q, k, v), own.o.weight)
        q = F.linear(norm(block.layer[1].layer_norm, x), cross.q.weight)
        x = x + F.linear(across(i, q), cross.o.weight)
        x = feed_forward(block.layer[-1], x, NO_DROPOUT)
    x = norm(model.decoder.final_layer_norm, x)
    return x * model.model_dim**-0.5 if scales_output(model) else x


def distance_biases(model: Any, width: int) -> list[Tensor]:
    """Of each decoder layer [H, width]: self-attention's bias for a key so many places before the query."""
    biases: list[Tensor] = []
    for block in model.decoder.block:
        own = block.layer[0].SelfAttention
        if own.has_relative_attention_bias:  # the first block's serves all, but for uMT5
            biases.append(own.compute_bias(width, width)[0, :, -1].flip(-1))
        else:
            biases.append(biases[-1])
    return biases


def log_probabilities(model: Any, states: Tensor, rows: Tensor, tokens: Tensor) -> Tensor:
    """[M] log p(`tokens[i]`) after the decoder's output `states[rows[i]]`, at least fp32.

    Args:
        model: The model.
        states: [N, D] from `decoder_pass`.
        rows: [M] int64, rising.
        tokens: [M] int64.
    """
    head = model.lm_head.weight
    wanted, place = torch.unique_consecutive(rows, return_inverse=True)
    totals = log_normalisers(states.index_select(0, wanted), head)
    found = []
    for at in range(0, len(rows), PASS_TOKENS):
        r, t = rows[at : at + PASS_TOKENS], tokens[at : at + PASS_TOKENS]
        chosen = (states.index_select(0, r) * head.index_select(0, t)).sum(1)
        found.append(chosen.to(totals.dtype) - totals[place[at : at + PASS_TOKENS]])
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


# -------------------------------------------------------------------------------------------------------------- chains


class Chains(NamedTuple):
    """Decoder inputs, one behind the other, and what is asked along them."""

    owners: np.ndarray
    """[C] int64, rising: the input that each belongs to."""
    lengths: np.ndarray
    """[C] int64, 1 or more."""
    tokens: np.ndarray
    """[N] int64, each chain's start token first."""
    rows: np.ndarray
    """[M] int64, rising: the token after which something is asked."""
    asked: np.ndarray
    """[M] int64: the token that is asked for."""

    def cut(self, most: int) -> list[tuple[int, int]]:
        """Ranges of chains of at most `most` tokens together, one chain at least."""
        ranges, first, size = [], 0, 0
        for i, length in enumerate(self.lengths.tolist()):
            if size and size + length > most:
                ranges.append((first, i))
                first, size = i, 0
            size += length
        return [*ranges, (first, len(self.lengths))] if len(self.lengths) else []

    def part(self, first: int, last: int) -> Chains:
        """The chains `first` up to `last` alone."""
        begin, end = int(self.lengths[:first].sum()), int(self.lengths[:last].sum())
        low, high = np.searchsorted(self.rows, [begin, end])
        return Chains(
            self.owners[first:last],
            self.lengths[first:last],
            self.tokens[begin:end],
            self.rows[low:high] - begin,
            self.asked[low:high],
        )


@dataclass(eq=False)
class Cache:
    """Self-attention's keys and values of chains that grow, by name: nothing is computed twice."""

    places: np.ndarray
    """[names, width] int64, where each chain's tokens stand among the rows that are kept; chains may share them."""
    known: np.ndarray
    """[names] int64, tokens of each that are kept."""
    kept: list[tuple[Tensor, Tensor]]
    """Of each layer the keys and values [rows, H * K]."""
    size: int
    """Rows in use."""

    def adopt(self, names: np.ndarray, of: np.ndarray, counts: np.ndarray) -> None:
        """The chains `names` begin as those `of`, for so many tokens each."""
        self.places[names] = self.places[of]
        self.known[names] = counts

    def add(self, names: np.ndarray, chain: np.ndarray, position: np.ndarray) -> None:
        """Tokens of chains `names[chain]` are to come at these positions, one row each."""
        self.places[names[chain], position] = self.size + np.arange(len(chain))
        self.size += len(chain)
        np.maximum.at(self.known, names[chain], position + 1)

    def store(self, layer: int, at: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keep a layer's keys and values [rows, H * K] from row `at` on; all that are kept of it."""
        if layer == len(self.kept):
            self.kept.append((k, v))
        keys, values = self.kept[layer]
        if len(keys) < self.size:
            room = max(self.size, 2 * len(keys)) - len(keys)
            keys, values = (torch.cat([x, x.new_zeros(room, x.shape[1])]) for x in (keys, values))
            self.kept[layer] = keys, values
        keys[at : at + len(k)], values[at : at + len(v)] = k, v
        return keys, values


@dataclass(eq=False)
class FlatScorer:
    """A model that has read a batch of inputs, on flat tokens.

    Args:
        model: A Hugging Face encoder-decoder of the T5 family that `flat` computes, in evaluation mode.
        inputs: [tokens] int64 of each input.
    """

    model: Any
    inputs: Sequence[np.ndarray]

    def __post_init__(self) -> None:
        lengths = np.array([len(ids) for ids in self.inputs])
        self.device = next(self.model.parameters()).device
        self.start: int = self.model.config.decoder_start_token_id
        groups = attention_groups(lengths, np.ones_like(lengths))
        order = np.concatenate(groups)
        ids = torch.from_numpy(np.concatenate([self.inputs[i] for i in order]).astype(np.int64)).to(self.device)
        encoded = encoder_states(self.model, ids, layout_of(self.model, [lengths[g] for g in groups]))
        width = int(lengths.max())
        places = None
        if len(groups) > 1 or int(lengths.min()) < width:
            places = self._tensor(np.concatenate([i * width + np.arange(lengths[i]) for i in order]))
        self.memory = Memory.of(self.model, encoded, Slots(len(lengths), width, places))
        self._biases: list[Tensor] = []

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64)).to(self.device)

    def biases(self, width: int) -> list[Tensor]:
        """Of each decoder layer [H, at least `width`]; see `distance_biases`."""
        if not self._biases or self._biases[0].shape[1] < width:
            self._biases = distance_biases(self.model, max(width, 32))
        return self._biases

    def cacheable(self, tokens: np.ndarray) -> list[np.ndarray]:
        """The inputs, of which so many decoder tokens each may be kept, in parts that fit `CACHE_BYTES`."""
        parts, first, size = [], 0, 0
        for i, more in enumerate((tokens * self._token_bytes).tolist()):
            if size and size + more > CACHE_BYTES:
                parts.append(np.arange(first, i))
                first, size = i, 0
            size += more
        return [*parts, np.arange(first, len(tokens))]

    @property
    def _token_bytes(self) -> int:
        _, heads, _, width = self.memory.keys[0].shape
        return 2 * len(self.memory.keys) * heads * width * self.memory.keys[0].element_size()

    def cache(self, room: int, chains: int, width: int) -> Cache | None:
        """For so many growing chains of at most `width` tokens, `room` in all; None if those exceed `CACHE_BYTES`."""
        if room * self._token_bytes > CACHE_BYTES:
            return None
        return Cache(np.zeros((chains, width), np.int64), np.zeros(chains, np.int64), [], 0)

    def log_probabilities(
        self, chains: Chains, cache: Cache | None = None, names: np.ndarray | None = None
    ) -> np.ndarray:
        """[M] log-probability of what is asked along the chains.

        Args:
            chains: The chains.
            cache: What was computed of them before, and will be kept. Nothing may be asked along what was.
            names: [C] of the chains in the cache.
        """
        parts = []
        for first, last in chains.cut(PASS_TOKENS):
            part = chains.part(first, last)
            if cache is None or names is None:
                own = Slots.of(part.lengths, self.device)
                states = self._states(part, own, self._positions_bias(np.arange(own.width), None))
            else:
                part, states = self._grown(part, cache, names[first:last])
            told = log_probabilities(self.model, states, self._tensor(part.rows), self._tensor(part.asked))
            parts.append(told.cpu().numpy())
        return np.concatenate(parts) if parts else np.zeros(0)

    def _grown(self, chains: Chains, cache: Cache, names: np.ndarray) -> tuple[Chains, Tensor]:
        """The chains cut to what is new of them, and the decoder's output for that."""
        known = cache.known[names]
        fresh = chains.lengths - known
        position = np.arange(len(chains.tokens)) - np.repeat(np.cumsum(chains.lengths) - chains.lengths, chains.lengths)
        chain = np.repeat(np.arange(len(names)), chains.lengths)
        new = position >= known[chain]  # [N]
        rows = np.cumsum(new)[chains.rows] - 1
        chains = chains._replace(lengths=fresh, tokens=chains.tokens[new], rows=rows)
        cache.add(names, chain[new], position[new])
        width = int(cache.known[names].max())
        own = Slots.of(fresh, self.device)
        places = self._tensor(cache.places[names, :width].ravel())
        key = np.arange(width)
        apart = known[:, None, None] + np.arange(own.width)[:, None] - key  # [C, F, T]
        distance, hidden = self._tensor(np.maximum(apart, 0)), torch.from_numpy(apart < 0).to(self.device)
        made: dict[int, Tensor] = {}
        biases = self.biases(width + own.width)
        for b in biases:
            if id(b) not in made:
                made[id(b)] = b[:, distance].masked_fill_(hidden, -torch.inf).transpose(0, 1).contiguous()
        heads = self.model.config.num_heads
        at = cache.size - int(fresh.sum())

        def among(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = cache.store(layer, at, k, v)
            k, v = (
                x.index_select(0, places).view(len(names), width, heads, -1).transpose(1, 2) for x in (keys, values)
            )
            return own.gather(attend(own.spread(q, heads), k, v, made[id(biases[layer])]))

        return chains, self._decode(chains, among)

    def tree_log_probabilities(
        self, tokens: np.ndarray, positions: np.ndarray, sees: np.ndarray, rows: np.ndarray, asked: np.ndarray
    ) -> np.ndarray:
        """[B, M] what is asked along one tree of decoder tokens, which is the same for every input.

        Args:
            tokens: [n] int64, the start token first.
            positions: [n] int64, how far from the start each stands.
            sees: [n, n] bool, whether the token of the row may see that of the column.
            rows: [M] int64, rising: the token after which something is asked.
            asked: [M] int64.
        """
        n, many = len(tokens), len(self.inputs)
        bias = self._positions_bias(positions, sees)
        size = max(1, PASS_TOKENS // n)
        found = []
        for at in range(0, many, size):
            b = min(size, many - at)
            chains = Chains(
                np.arange(at, at + b),
                np.full(b, n),
                np.tile(tokens, b),
                (np.arange(b)[:, None] * n + rows).ravel(),
                np.tile(asked, b),
            )
            states = self._states(chains, Slots(b, n, None), bias)
            told = log_probabilities(self.model, states, self._tensor(chains.rows), self._tensor(chains.asked))
            found.append(told.view(b, -1))
        return torch.cat(found).cpu().numpy()

    def _positions_bias(self, positions: np.ndarray, sees: np.ndarray | None) -> list[Tensor]:
        """Of each layer [H, T, T]."""
        apart = positions[:, None] - positions
        if sees is None:
            sees = apart >= 0
        distance, hidden = self._tensor(np.maximum(apart, 0)), torch.from_numpy(~sees).to(self.device)
        made: dict[int, Tensor] = {}
        biases = self.biases(int(positions.max()) + 1)
        for b in biases:
            if id(b) not in made:
                made[id(b)] = b[:, distance].masked_fill(hidden, -torch.inf)
        return [made[id(b)] for b in biases]

    def _states(self, chains: Chains, own: Slots, bias: Sequence[Tensor]) -> Tensor:
        heads = self.model.config.num_heads

        def among(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return own.gather(attend(own.spread(q, heads), own.spread(k, heads), own.spread(v, heads), bias[layer]))

        return self._decode(chains, among)

    def _decode(self, chains: Chains, among: Callable[[int, Tensor, Tensor, Tensor], Tensor]) -> Tensor:
        heads = self.model.config.num_heads
        inputs, counts = np.unique(chains.owners, return_counts=True)
        tokens = np.add.reduceat(chains.lengths, np.concatenate([[0], np.cumsum(counts)[:-1]]))  # of each input
        crossing = Slots.of(tokens, self.device)
        memory = self.memory if len(inputs) == len(self.inputs) else self.memory.of_rows(self._tensor(inputs))

        def across(layer: int, q: Tensor) -> Tensor:
            return crossing.gather(memory.attend(layer, crossing.spread(q, heads)))

        return decoder_pass(self.model, self._tensor(chains.tokens), among, across)
