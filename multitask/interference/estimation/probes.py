"""Estimates from the probes of one joint run: attribution, look-ahead, and the cosine of gradients.

All three look at the joint run's own path: what companions do to a task there, one step at a time. What the task would
have done about it in the steps that follow is not seen, which is why they can be wrong.
"""

from __future__ import annotations

import numpy as np

from multitask.interference.estimation.matrix import Floats
from multitask.runs.conflict_file import Conflict, over_probes


def attribution(found: Conflict) -> tuple[Floats, Floats]:
    """[n, n] twice: nats an example that companions' own steps took from each task's held-out loss, and their errors.

    The mean over the probes times the steps of the training they stand for. A probed step of every `every` is as good
    as any other, so the standard error is that of a mean of probes.
    """
    n = len(found.tasks)
    moved = found.own_steps.reshape(-1, n, 2, n).sum(2)  # [K, i, j]
    return _times(found.every * len(found.steps), over_probes(-moved.transpose(0, 2, 1)))


def look_ahead(found: Conflict) -> tuple[Floats, Floats]:
    """[n, n] twice: 1 − Lⱼ after a step on i alone / Lⱼ before (Fifty et al. 2021, equation 1), a mean over probes."""
    with np.errstate(invalid="ignore", divide="ignore"):
        affinity = 1 - found.look_ahead / found.before[:, None, :]
    return over_probes(affinity.transpose(0, 2, 1))


def cosine(found: Conflict) -> tuple[Floats, Floats]:
    """[n, n] twice: the mean cosine between two tasks' gradients; symmetric, and blind to which of two is hurt."""
    return over_probes(found.cosines())


def _times(factor: float, found: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    return factor * found[0], factor * found[1]
