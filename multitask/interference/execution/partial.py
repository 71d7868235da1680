"""Differences so far of a study that is under way: means over the seeds that are finished, from metrics.json alone.

No interval and no verdict: to look often, and to stop at what one likes, is how false alarms are made. Where all seeds
are finished a difference is the one that the tables will show.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from multitask.errors import UserError
from multitask.interference.design.arms import Arm, Design
from multitask.runs.reader import RunReader
from multitask.task import Task


class SoFar(NamedTuple):
    """A mean over the seeds that are finished."""

    value: float
    """In points; NaN where it is undefined."""
    seeds: int


class Partial:
    """Scores of the finished models, and the differences of arms so far, at the budget that the tables lead with."""

    def __init__(self, design: Design, tasks: Mapping[str, Task]) -> None:
        self.design, self.tasks = design, tasks
        self._scores: dict[tuple[Arm, int, str], float] = {}
        lead = [c for c in design.contrasts() if c.match == design.match[0]]
        self.kinds = [k for k in ("company", "pair", "without") if any(c.kind == k for c in lead)]
        """Of the differences that the study has."""
        self._contrasts = {(c.kind, c.task, c.companion): c for c in lead}
        self._single: dict[str, Arm] = {}
        """{task: the single arm that its differences are taken from}"""
        for c in self._contrasts.values():
            for arm in c.arms if c.kind in ("company", "pair") else ():
                if len(arm.tasks) == 1:
                    self._single.setdefault(c.task, arm)

    @property
    def matrix(self) -> str | None:
        """The kind that has a companion: pair, else without."""
        return next((k for k in ("pair", "without") if k in self.kinds), None)

    def add(self, arm: Arm, seed: int, folder: Path) -> None:
        """Read a finished model's scores; one that cannot be read stays out."""
        try:
            metrics = RunReader(folder).metrics
        except UserError:
            return
        for task in arm.scored:
            metric = self.tasks[task].primary
            value = metrics.get(task, {}).get(metric.name)
            self._scores[arm, seed, task] = math.nan if value is None else metric.points(float(value))

    def effect(self, kind: str, task: str, companion: str | None = None) -> SoFar | None:
        """A difference of arms over the seeds for which all of them are finished; None if there is none yet."""
        contrast = self._contrasts.get((kind, task, companion))
        if contrast is None:
            return None
        return self._mean(task, dict(contrast.terms))

    def alone(self, task: str) -> SoFar | None:
        """The score of the single arm that the differences are taken from."""
        single = self._single.get(task)
        return None if single is None else self._mean(task, {single: 1})

    def _mean(self, task: str, terms: Mapping[Arm, int]) -> SoFar | None:
        values = [
            sum(n * self._scores[arm, seed, task] for arm, n in terms.items())
            for seed in self.design.seeds
            if all((arm, seed, task) in self._scores for arm in terms)
        ]
        return SoFar(sum(values) / len(values), len(values)) if values else None
