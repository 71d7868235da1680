"""The finished runs that trained one task, with its predictions in them, example by example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from multitask.interference.design.arms import Arm
from multitask.interference.results.inputs import StudyInputs
from multitask.interference.results.pairing import aligned
from multitask.interference.results.record import LIKELIHOOD
from multitask.metrics.metric import METRICS, Metric
from multitask.runs.reader import RunReader
from multitask.task import Task

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class TaskRuns:
    """A task with all runs that trained it, which its analysis begins with."""

    inputs: StudyInputs
    task: Task
    frames: dict[Arm, list[pd.DataFrame]]
    """{arm with the task: its labelled predictions, one frame a seed, all of the same examples}"""

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name

    @property
    def arms(self) -> list[Arm]:
        """The arms that train the task."""
        return list(self.frames)

    @property
    def alone(self) -> Arm | None:
        """The task's single arm: at its own examples if there is one, else at the budget that was matched."""
        singles = [arm for arm in self.arms if len(arm.tasks) == 1 and not arm.twin]
        return min(singles, key=lambda arm: arm.budget, default=None)

    @property
    def metrics(self) -> list[Metric]:
        """The primary one, and the log-likelihood, which varies less."""
        primary = self.task.primary
        return [primary] if primary.name == LIKELIHOOD else [primary, METRICS.get(LIKELIHOOD)]

    def runs(self, arm: Arm) -> list[RunReader]:
        """An arm's finished runs, one a seed."""
        return self.inputs.runs(arm)

    def describe_arm(self, arm: Arm) -> dict[str, Any]:
        """Begin a row about an arm: task, arm, companions, match and budget."""
        return {
            "task": self.name,
            "arm": self.inputs.design.family(arm),
            "companions": [t for t in arm.tasks if t != self.name],
            "match": self._match(arm),
            "budget": float(arm.budget),
        }

    def _match(self, arm: Arm) -> str | None:
        """Which budget an arm that is compared against has been given."""
        design = self.inputs.design
        if arm.treatment or design.family(arm) in ("null", "noise", "joint", "pair"):
            return None
        return "examples" if arm.budget == design.budget(arm.tasks) else "steps"


def read_task_runs(inputs: StudyInputs, name: str) -> TaskRuns:
    """Read a task's predictions in all runs that trained it.

    Raises:
        UserError: If runs were evaluated on different examples.
    """
    arms = dict.fromkeys(arm for arm in inputs.design.needed() if name in arm.scored)
    return TaskRuns(inputs, inputs.tasks[name], aligned(name, {arm: inputs.runs(arm) for arm in arms}))
