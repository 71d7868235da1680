"""Sequences of different lengths in one array."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, eq=False)
class Ragged:
    """Sequences of token ids, one behind the other.

    >>> two = Ragged.of([[5, 6, 1], [7, 1]])
    >>> two[1].tolist(), two.lengths.tolist()
    ([7, 1], [3, 2])
    """

    ids: np.ndarray
    """[sum of lengths] int32."""
    starts: np.ndarray
    """[N + 1] int64; sequence i is `ids[starts[i]:starts[i + 1]]`."""

    @classmethod
    def of(cls, sequences: Iterable[Sequence[int]]) -> Ragged:
        """From lists of ids."""
        kept = list(sequences)
        starts = np.zeros(len(kept) + 1, dtype=np.int64)
        np.cumsum([len(s) for s in kept], out=starts[1:])
        return cls(np.fromiter(itertools.chain.from_iterable(kept), np.int32, count=int(starts[-1])), starts)

    @classmethod
    def joined(cls, parts: Sequence[Ragged]) -> Ragged:
        """The sequences of each part in turn."""
        lengths = np.concatenate([np.zeros(1, np.int64), *(part.lengths for part in parts)])
        return cls(np.concatenate([np.zeros(0, np.int32), *(part.ids for part in parts)]), np.cumsum(lengths))

    def taken(self, rows: np.ndarray) -> Ragged:
        """Those sequences in that order; a row may be named again and again.

        >>> Ragged.of([[5, 6, 1], [7, 1]]).taken(np.array([1, 0, 1])).ids.tolist()
        [7, 1, 5, 6, 1, 7, 1]
        """
        lengths = self.lengths_of(rows)
        starts = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(lengths, out=starts[1:])
        return Ragged(self.ids[np.arange(starts[-1]) + np.repeat(self.starts[rows] - starts[:-1], lengths)], starts)

    def __getitem__(self, i: int) -> np.ndarray:
        return self.ids[self.starts[i] : self.starts[i + 1]]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        """[N] int64."""
        return np.diff(self.starts)

    def lengths_of(self, rows: np.ndarray) -> np.ndarray:
        """[len(rows)] int64."""
        return np.asarray(self.starts[rows + 1] - self.starts[rows])

    def padded(self, rows: np.ndarray, pad: int) -> np.ndarray:
        """[len(rows), longest of them] int64, filled up with `pad` on the right."""
        starts, lengths = self.starts[rows], self.lengths_of(rows)
        columns = np.arange(max(int(lengths.max(initial=0)), 1))
        inside = columns < lengths[:, None]
        out = np.full(inside.shape, pad, dtype=np.int64)
        out[inside] = self.ids[(starts[:, None] + columns)[inside]]
        return out
