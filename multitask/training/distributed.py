"""Values of all processes of a training, in each of them."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor


def is_distributed() -> bool:
    """Whether this is one of several processes of a training."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def summed(here: Tensor, device: torch.device) -> Tensor:
    """A CPU tensor summed over the processes, each of which must call this; `device` is what they exchange on."""
    if not is_distributed():
        return here
    total = here.to(device)
    torch.distributed.all_reduce(total)
    return total.cpu()


def gathered(items: list[T]) -> list[T]:
    """Gather the items of every process, in the order of the processes; every process must call this."""
    if not is_distributed():
        return items
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, items)
    return [one for part in parts for one in part]


T = TypeVar("T")
