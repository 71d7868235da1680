"""Decoder inputs that share prefixes, and the cache of their keys and values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


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
class DecoderCache:
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
