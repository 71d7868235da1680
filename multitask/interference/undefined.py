"""Primary metrics that are undefined on the rows that something is chosen on, so that nothing can be chosen by them."""

from __future__ import annotations

from collections.abc import Mapping

from multitask.errors import UserError
from multitask.interference.design.config import StudyConfig
from multitask.mixing.prepare import PlannedMixture
from multitask.task import Task


def undefined_on_selection(tasks: Mapping[str, Task], mix: PlannedMixture, limit: int | None = None) -> dict[str, str]:
    """{task: why its primary metric is undefined on its first `limit` selection examples}; see `examples.misfits`."""
    from multitask.examples.misfits import undefined_metrics

    found = {}
    for name, task in tasks.items():
        reason = undefined_metrics(task, (mix.data[name].selection or ())[:limit]).get(task.primary.name)
        if reason is not None:
            found[name] = f"'{task.primary.name}' of {name} is undefined on its selection examples ({reason})"
    return found


def check_selection(config: StudyConfig, tasks: Mapping[str, Task], mix: PlannedMixture) -> None:
    """Refuse what could choose nothing, before any model is trained.

    Raises:
        UserError: With the tasks and the reasons.
    """
    then = "Hold out more (--selection-rows), or give another primary metric."
    train = config.train
    alone = undefined_on_selection(tasks, mix, train.eval_limit) if train.select != "last" else {}
    if alone:  # every task is trained alone too
        raise UserError(
            f"--select {train.select} cannot choose among the checkpoints of a task alone: "
            f"{'; '.join(alone.values())}. {then}"
        )
    undefined = undefined_on_selection(tasks, mix) if config.lr_grid else {}
    if undefined and len(undefined) == len(tasks):
        raise UserError(f"--lr-grid cannot choose a learning rate: {'; '.join(undefined.values())}. {then}")
