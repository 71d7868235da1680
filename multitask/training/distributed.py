"""Values of all processes of a training, in each of them."""

from __future__ import annotations

from typing import Any, TypeVar

import torch


def gathered(items: list[T]) -> list[T]:
    """Gather the items of every process, in the order of the processes; every process must call this."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return items
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, items)
    return [one for part in parts for one in part]


T = TypeVar("T")
