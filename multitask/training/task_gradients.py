"""The gradients of a step's tasks, kept apart until they are weighted.

The tasks of a step have different examples, so a backward pass for each costs together what one for all does, and their
sum is its gradient. Memory: one gradient a task, as long as the step is computed; the update is made in the place of
the first, and the others are freed one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from multitask.training.distributed import is_distributed


def joined(parameters: Sequence[Tensor], tensors: Sequence[Tensor | None]) -> Tensor:
    """[P] one tensor a parameter, of its shape, one behind the other; zeros where there is none."""
    pairs = zip(parameters, tensors, strict=True)
    return torch.cat([torch.zeros_like(p).flatten() if t is None else t.detach().flatten() for p, t in pairs])


class TaskGradients:
    """A gradient for each task of a step, as flat vectors [P] of all parameters.

    Args:
        parameters: P numbers in all; those that need no gradient are left out.
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        self._rows: dict[int, Tensor] = {}
        self._used = [False] * len(self.parameters)

    def add(self, task: int, term: Tensor) -> None:
        """Add the gradient of a task's term, or of an accumulated part of it; its graph is freed."""
        grads = torch.autograd.grad(term, self.parameters, allow_unused=True)
        self._used = [used or grad is not None for used, grad in zip(self._used, grads, strict=True)]
        flat = joined(self.parameters, grads)
        if task in self._rows:
            self._rows[task] += flat
        else:
            self._rows[task] = flat

    def reduce(self, tasks: Sequence[int]) -> None:
        """Average each task's gradient over the processes, as DDP does with their sum; every process must call this.

        Args:
            tasks: Of the whole step, the same in every process; one that has no examples of a task gives zeros.
        """
        if not is_distributed():
            return
        first = self.parameters[0]
        size = sum(p.numel() for p in self.parameters)
        rows = {t: self._rows.get(t, first.new_zeros(size)) for t in tasks}
        for row in rows.values():
            torch.distributed.all_reduce(row)
            row /= torch.distributed.get_world_size()
        self._rows = rows
        used = torch.tensor(self._used, dtype=torch.uint8, device=first.device)
        torch.distributed.all_reduce(used, torch.distributed.ReduceOp.MAX)
        self._used = [bool(one) for one in used.tolist()]

    @property
    def tasks(self) -> list[int]:
        """Those that have a gradient, in order."""
        return sorted(self._rows)

    def gramian(self) -> Tensor:
        """[k, k] float64 on the CPU: the inner products of the k tasks' gradients, in the order of `tasks`."""
        rows = [self._rows[t] for t in self.tasks]
        found = torch.zeros(len(rows), len(rows), dtype=torch.float64)
        products = [(i, j, torch.dot(rows[i], rows[j])) for i in range(len(rows)) for j in range(i + 1)]
        for (i, j, _), value in zip(products, torch.stack([p for *_, p in products]).tolist(), strict=True):
            found[i, j] = found[j, i] = value
        return found

    def combine(self, weights: Sequence[float]) -> None:
        """Give the parameters the weighted sum as their gradients, and forget the tasks'.

        Args:
            weights: Of each, in the order of `tasks`.
        """
        total: Tensor | None = None
        for task, weight in zip(self.tasks, weights, strict=True):
            row = self._rows.pop(task)
            total = row.mul_(weight) if total is None else total.add_(row, alpha=weight)
        if total is None:
            return
        at = 0
        for p, used in zip(self.parameters, self._used, strict=True):
            p.grad = total[at : at + p.numel()].view_as(p) if used else None
            at += p.numel()
        self._used = [False] * len(self.parameters)
