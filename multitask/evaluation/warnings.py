"""Warnings about scores: undefined metrics, and answers that are all the same."""

from __future__ import annotations

import collections
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from multitask.metrics.builtin import LIKELIHOOD_METRICS
from multitask.task import UNLABELLED, Task

if TYPE_CHECKING:
    import pandas as pd


SHOWN = 5
"""Labels that a sentence names."""


def undefined(task: Task, metrics: Mapping[str, float], examples: int) -> list[str]:
    """Name the scores of a task that are NaN, and so neither good nor bad.

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
    """Say if all predictions of a task are one string, or a label is never among them though it is a target.

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
