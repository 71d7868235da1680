"""Where the sequences of a step lie in its unpadded tokens, and which of them attend together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Group(NamedTuple):
    """Sequences of similar length among the slots."""

    size: int
    """G."""
    width: int
    """Slots of each, the longest's length."""
    padding: Tensor | None
    """[G, width] bool, True where no token stands; None if all are of full length."""


def send(array: np.ndarray, device: torch.device | str) -> Tensor:
    """An array on a device; to a GPU from page-locked memory, so that nobody waits for the copy."""
    made = torch.from_numpy(array)
    if torch.device(device).type == "cuda" and torch.cuda.is_available():
        return made.pin_memory().to(device, non_blocking=True)
    return made.to(device)


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the unpadded tokens of one side stand in attention's padded slots.

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
        """The layout of unpadded tokens that stand group by group, sequence by sequence.

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
            padding = None if full else send(np.arange(w) >= part[:, None], device)
            groups.append(Group(size, w, padding))
        return cls(
            len(first),
            tuple(groups),
            send(slots, device),
            send(places.ravel(), device),
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
