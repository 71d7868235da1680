"""A T5 decoder's probabilities along given tokens, for a batch of inputs that its encoder reads once.

Words
    scorer      a model that has read a batch of inputs. `UnpaddedScorer` computes on unpadded tokens;
                `PaddedScorer` does the same through the model's own code, for models that the former does not know
    chain       a decoder input, start token included; several may belong to one input
    cache       self-attention's keys and values, of chains that grow; cross-attention's are the memory (`decoder`)
    query       a token of a chain and the token asked for after it

Legend: B inputs, S input tokens, C chains, N decoder tokens, F fresh ones of a chain, M queries, D model width,
H heads, K width of a head, V vocabulary, T slots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from multitask.batching.grouping import attention_groups
from multitask.decoding.chains import Chains, DecoderCache
from multitask.decoding.cross_attention import CrossAttentionCache, Slots, attend, distance_biases, log_probabilities
from multitask.model.unpadded.forward import decoder_pass, encoder_states, layout_of

PASS_TOKENS = 4096
"""Decoder tokens of one pass, one chain at least."""

CACHE_BYTES = 1 << 29
"""The most that a cache may come to take; where it could take more, chains are computed anew as they grow."""


@dataclass(eq=False)
class UnpaddedScorer:
    """A model that has read a batch of inputs, on unpadded tokens.

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
        self.memory = CrossAttentionCache.of(self.model, encoded, Slots(len(lengths), width, places))
        self._biases: list[Tensor] = []

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64)).to(self.device)

    def biases(self, width: int) -> list[Tensor]:
        """Biases of each decoder layer [H, at least `width`]; see `distance_biases`."""
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

    def cache(self, room: int, chains: int, width: int) -> DecoderCache | None:
        """For so many growing chains of at most `width` tokens, `room` in all; None if those exceed `CACHE_BYTES`."""
        if room * self._token_bytes > CACHE_BYTES:
            return None
        return DecoderCache(np.zeros((chains, width), np.int64), np.zeros(chains, np.int64), [], 0)

    def log_probabilities(
        self, chains: Chains, cache: DecoderCache | None = None, names: np.ndarray | None = None
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

    def _grown(self, chains: Chains, cache: DecoderCache, names: np.ndarray) -> tuple[Chains, Tensor]:
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
        """The encoder's bias between positions, of each layer [H, T, T]."""
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
