"""What a T5's decoder says along tokens it is given, for a batch of inputs that its encoder reads once.

Words
    scorer      a model that has read a batch of inputs. `FlatScorer` computes on flat tokens (`flat`); `PlainScorer` of
                `plain` does the same through the model's own code, for what `flat` does not know
    chain       a decoder input, start token included; several may belong to one input
    cache       self-attention's keys and values, of chains that grow; cross-attention's are the memory (`decoder`)
    query       a token of a chain and the token asked for after it

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
from multitask.decoder import Memory, Slots, attend, distance_biases, log_probabilities
from multitask.flat import decoder_pass, encoder_states, layout_of

PASS_TOKENS = 4096
"""Decoder tokens of one pass, one chain at least."""

CACHE_BYTES = 1 << 29
"""The most that a cache may come to take; where it could take more, chains are computed anew as they grow."""


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
        embedded = F.embedding(ids, self.model.encoder.embed_tokens.weight)
        encoded = encoder_states(self.model, embedded, layout_of(self.model, [lengths[g] for g in groups]))
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

        embedded = F.embedding(self._tensor(chains.tokens), self.model.decoder.embed_tokens.weight)
        return decoder_pass(self.model, embedded, among, across)
