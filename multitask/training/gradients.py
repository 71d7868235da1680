"""How much of a step's gradient is each task's own.

Clipping acts on the norm of the whole gradient, and an adaptive optimiser divides by averages of its squares, so a task
moves the model less in any company, beside pure noise too. Norms, alone and in company, say how much of an effect that
can be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from multitask.training.nonfinite import StepPart, only


class OwnGradient(NamedTuple):
    """One task's part of a step's gradient g."""

    norm: float
    """Of the gradient g_t of its own term of the loss."""
    part: float
    """g_t · g / ‖g‖²: its share of the direction; over the tasks they add up to 1. Below 0 it is pulled back."""


def own_gradients(
    parameters: Sequence[Tensor], parts: Sequence[StepPart], loss_of: Callable[[StepPart], Tensor], norm: float
) -> dict[int, OwnGradient]:
    """{task id: its part} of the gradient that the parameters hold; costs a forward and a backward pass a task.

    Neither the gradients nor the random state are changed.

    Args:
        parameters: With the step's gradient.
        parts: All that was computed of the step.
        loss_of: The loss of a part again, with a graph and the same dropout.
        norm: Of the gradient.
    """
    tasks = sorted({int(t) for part in parts for piece in part.pieces for t in piece.task_ids[piece.real]})
    whole = [p.grad for p in parameters]
    if len(tasks) == 1:
        return {tasks[0]: OwnGradient(norm, 1.0)}
    found = {}
    device = parameters[0].device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        for task in tasks:
            own = _gradient(parameters, [part._replace(batch=only(part.batch, task)) for part in parts], loss_of)
            there = [(g, o) for g, o in zip(whole, own, strict=True) if g is not None and o is not None]
            along = sum(float((g.double() * o.double()).sum()) for g, o in there)
            length = float(torch.nn.utils.get_total_norm([o for _, o in there]))
            found[task] = OwnGradient(length, along / norm**2)
    return found


def _gradient(
    parameters: Sequence[Tensor], parts: Sequence[StepPart], loss_of: Callable[[StepPart], Tensor]
) -> list[Tensor | None]:
    total: list[Tensor | None] = [None] * len(parameters)
    for part in parts:
        with torch.enable_grad():
            loss = loss_of(part)
        grads = torch.autograd.grad(loss, list(parameters), allow_unused=True)
        total = [a if b is None else b if a is None else a + b for a, b in zip(total, grads, strict=True)]
    return total
