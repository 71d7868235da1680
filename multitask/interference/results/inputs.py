"""The inputs of a study's record: its finished runs, and the facts about its data and settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from multitask.interference.design.arms import Arm, Design
from multitask.interference.statistics.verdicts import MARGIN
from multitask.runs.reader import RunReader
from multitask.task import Task


@dataclass(frozen=True, eq=False)
class StudyInputs:
    """All that a record is made of."""

    design: Design
    tasks: Mapping[str, Task]
    finished: Mapping[tuple[Arm, int], RunReader]
    """{(arm, seed): its finished run}"""
    setting: Mapping[str, Any]
    """What `Setting` says that the design does not."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """`warnings`, `notes`, `trials`."""
    margin: float = MARGIN
    intervals: str = "moderated"
    resamples: int = 10_000
    groups: int = 3

    def runs(self, arm: Arm) -> list[RunReader]:
        """An arm's finished runs, one a seed."""
        return [self.finished[arm, seed] for seed in self.design.seeds]
