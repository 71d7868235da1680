"""Warnings about a plan that looks like a mistake though nothing failed: a task that is never sampled."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from multitask.mixing.plan import MixingPlan
from multitask.mixing.schedule import Ramp

if TYPE_CHECKING:
    pass

LONG = 0.1
"""Share of the steps that a task may go without examples before it is said."""


def find_never_sampled(plan: MixingPlan, steps: int) -> list[str]:
    """The tasks that `steps` steps of the plan give no example, or none any more for a long time.

    A task that has not begun yet is left out, and so is one whose share is small but steady: its examples come.

    >>> find_never_sampled(MixingPlan({"span": 9, "sst2": 9}, {"span": 3, "sst2": "1/2000"}), 100)
    ["task 'sst2' gets no example in 100 steps: 0.0005 a step are planned. Give it a higher rate, or train longer."]
    """
    found = []
    for task in plan.tasks:
        b = plan.per_step[task]
        if not plan.count(task, steps):
            mean = float(b.total(steps) / steps if isinstance(b, Ramp) else b)
            found.append(
                f"task '{task}' gets no example in {steps:,} steps: {mean:.3g} a step are planned. Give it a higher "
                "rate, or train longer."
            )
        elif isinstance(b, Ramp):
            at = sorted({0, steps, *(step for step, _ in b.knots if step < steps)})
            silent = [
                (a, z) for a, z in pairwise(at) if plan.count(task, a) and plan.count(task, a) == plan.count(task, z)
            ]
            found += [
                f"task '{task}' gets no example from step {a + 1:,} to {z:,} of {steps:,}, by its rates there."
                for a, z in _joined(silent)
                if z - a >= LONG * steps
            ]
    return found


def _joined(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    made: list[tuple[int, int]] = []
    for a, z in stretches:
        made[-1:] = [(made[-1][0], z)] if made and made[-1][1] == a else [*made[-1:], (a, z)]
    return made
