"""What looks like a mistake though nothing failed: a task that is not drawn, answers that are all the same."""

from __future__ import annotations

import collections
import math
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from multitask.metrics import LIKELIHOOD_METRICS
from multitask.plan import MixingPlan
from multitask.schedule import Ramp
from multitask.task import UNLABELLED, Task

if TYPE_CHECKING:
    import pandas as pd

LONG = 0.1
"""Share of the steps that a task may go without examples before it is said."""
SHOWN = 5
"""Labels that a sentence names."""


def undrawn(plan: MixingPlan, steps: int) -> list[str]:
    """The tasks that `steps` steps of the plan give no example, or none any more for a long time.

    A task that has not begun yet is left out, and so is one whose share is small but steady: its examples come.

    >>> undrawn(MixingPlan({"span": 9, "sst2": 9}, {"span": 3, "sst2": "1/2000"}), 100)
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


def unseen(mix: Mapping[str, Any]) -> list[str]:
    """From mix.json: the tasks that were planned, but of which nothing was seen."""
    return [
        f"task '{name}' was given no example: {entry['planned']['examples']:,} were planned, in more steps than the "
        f"{mix['steps']:,} that were made."
        for name, entry in mix["tasks"].items()
        if entry["planned"]["examples"] and not entry["realised"]["examples"]
    ]


def undefined(task: Task, metrics: Mapping[str, float], examples: int) -> list[str]:
    """Of a task's scores: those that are NaN, and so neither good nor bad.

    Metrics of the likelihood are left out, which are NaN where it was not measured.
    """
    names = [name for name, value in metrics.items() if math.isnan(value) and name not in LIKELIHOOD_METRICS]
    if not examples or not names:
        return []
    verb = "is" if len(names) == 1 else "are"
    return [
        f"task '{task.name}': {', '.join(names)} {verb} undefined on these {examples:,} examples and predictions; it "
        "stands as · in tables, and no mean rests on it."
    ]


def one_sided(task: Task, frame: pd.DataFrame) -> list[str]:
    """Of a task's predictions: that all are one string, or that a label is never among them though it is a target.

    Args:
        task: Whose predictions they are.
        frame: As `evaluation.predictions_frame`; rows without a label are not looked at.
    """
    known = frame[frame["target"] != UNLABELLED]
    targets, predictions = collections.Counter(known["target"]), collections.Counter(known["prediction"])
    rows = len(known)
    if len(targets) > 1 and len(predictions) == 1:
        (only,) = predictions
        return [
            f"task '{task.name}': all {rows:,} predictions are {_quoted(only)}, of {len(targets):,} different targets."
        ]
    if not task.labels:
        return []
    never = [(label, n) for label, n in targets.most_common() if label in task.labels and label not in predictions]
    if not never:
        return []
    named = ", ".join(f"'{label}' (target of {n:,})" for label, n in never[:SHOWN])
    more = f" and {len(never) - SHOWN} more" if len(never) > SHOWN else ""
    return [f"task '{task.name}': in {rows:,} predictions there is never {named}{more}."]


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")
