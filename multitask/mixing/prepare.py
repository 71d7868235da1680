"""From settings to what a run needs before it touches a model: tasks, examples, rates and the plan."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from multitask.config import TrainConfig, data_seed, selection_size
from multitask.errors import UserError
from multitask.examples.choose_source import data_setting, resolve_source
from multitask.examples.dataset import TaskData
from multitask.examples.loading import load_task, split_examples
from multitask.examples.misfits import data_cautions
from multitask.metrics.metric import METRICS
from multitask.mixing.halves import name_second_half
from multitask.mixing.mixture import Mixture, parse_tasks
from multitask.mixing.plan import MixingPlan
from multitask.mixing.rates import temperature_schedule
from multitask.mixing.schedule import RateSchedule, exact
from multitask.plugins import check_distribution, include
from multitask.registry import did_you_mean
from multitask.task import TASKS, Task


@dataclass(frozen=True, eq=False)
class PlannedMixture:
    """Tasks with their examples, and the plan that mixes them."""

    tasks: dict[str, Task]
    data: dict[str, TaskData]
    plan: MixingPlan
    batch_size: float
    """Examples per step on average; what a task's are divided by to give its rate, unless the settings say another."""
    steps: int
    halves: dict[str, str] = field(default_factory=dict)
    """{second half: its task}, of a task that is trained as two disjoint halves."""
    shuffled: tuple[str, ...] = ()
    """Tasks whose training examples have each other's targets."""

    @property
    def evaluated(self) -> list[str]:
        """The tasks that are scored: not second halves, which have the same validation rows, nor shuffled tasks."""
        return [name for name in self.tasks if name not in self.halves and name not in self.shuffled]

    @property
    def sizes(self) -> dict[str, int]:
        """Training examples of each task."""
        return {name: len(d.train) for name, d in self.data.items()}

    @property
    def generated(self) -> list[str]:
        """The tasks whose examples are the generated sample."""
        return [name for name, d in self.data.items() if d.train.generated]

    @property
    def skipped_rows(self) -> list[dict[str, Any]]:
        """The bad rows that were left out: task, split, file, row, line and reason of each."""
        return [
            row.listed(d.task.name)
            for name, d in self.data.items()
            if name not in self.halves
            for part in (d.train, d.validation)
            for row in part.bad_rows
        ]

    @property
    def notes(self) -> list[str]:
        """Notes for a reader of the results about the data."""
        return [note for d in self.data.values() for note in d.notes]


def load_plugins(files: list[str]) -> None:
    """Import the user's own files; installed packages come by themselves with the first look-up."""
    check_distribution()
    for path in files:
        include(path)


def select_tasks(spec: str | list[str], columns: Mapping[str, Mapping[str, str]]) -> tuple[Mixture, dict[str, Task]]:
    """The mixture that `--tasks` names and its tasks, with renamed columns.

    Raises:
        UserError: If a task is unknown, or has a metric that was registered anew since.
    """
    mixture = parse_tasks(spec)
    tasks = {}
    for name in mixture.tasks:
        task = TASKS.get(name)
        for metric in task.metrics:
            if METRICS.was_replaced(metric):
                raise UserError(
                    f"task '{name}' has the metric '{metric.name}' as it was before another was registered under that "
                    f"name: register the task again too (run its cell)."
                )
        tasks[name] = task.replace(columns={**task.columns, **columns[name]}) if name in columns else task
    for name in columns:
        if name not in tasks:
            raise UserError(
                f"columns are given for task '{name}', which is not trained: {did_you_mean(name, list(tasks))}"
            )
    return mixture, tasks


def prepare_mixture(config: TrainConfig) -> PlannedMixture:
    """Load and format all examples, and plan the training.

    Raises:
        UserError: Whatever is wrong with tasks, files, rows or rates.
    """
    load_plugins(config.include)
    mixture, tasks = select_tasks(config.tasks, config.columns)
    selected = [config.select] if config.select not in ("last", "mean", "per-task") else []
    for name in (*config.loss_weights, *selected):
        if name not in tasks:
            raise UserError(f"'{name}' is not among the tasks that are trained: {did_you_mean(name, list(tasks))}")
    for task in tasks.values():
        for metric in task.metrics:
            metric.prepare()  # a metric from the Hub is fetched now, not after hours of training
    where = data_setting(config.data)
    sources = {name: resolve_source(task, where) for name, task in tasks.items()}
    selection, seed = selection_size(config), data_seed(config)
    data = {
        name: load_task(
            task,
            sources[name],
            seed=seed,
            holdout=config.holdout,
            selection=selection,
            on_bad_row=config.on_bad_row,
        )
        for name, task in tasks.items()
    }
    if config.validation_rows is not None:
        data = {name: fewer_rows(d, config.validation_rows, seed) for name, d in data.items()}
    data = {name: cautioned(d.task, d) for name, d in data.items()}
    return plan_mixture(config, mixture, {name: d.task for name, d in data.items()}, data)


def cautioned(task: Task, data: TaskData) -> TaskData:
    """Put warnings that scores on this data can mean nothing in front of its notes.

    Raises:
        UserError: If a metric of the task cannot score the data.
    """
    found = data_cautions(task, data)
    return data._replace(notes=[*(WARNING + line for line in (*found.undefined, *found.one_kind)), *data.notes])


WARNING = "WARNING: "
"""What a note begins with that is one."""


def fewer_rows(data: TaskData, rows: int, seed: int) -> TaskData:
    """At most so many validation examples (with groups, as near as they allow)."""
    if len(data.validation) <= rows:
        return data
    chosen = split_examples(data.validation, rows, seed=seed)[1]
    there = len(data.validation)
    chosen = dataclasses.replace(chosen, skipped=data.validation.skipped)
    note = f"{data.task.name}: {len(chosen):,} of {there:,} validation examples are scored (chosen by seed {seed})."
    return data._replace(validation=chosen, notes=[*data.notes, note])


def plan_mixture(
    config: TrainConfig, mixture: Mixture, tasks: dict[str, Task], data: dict[str, TaskData]
) -> PlannedMixture:
    """Plan the training on examples that are loaded already: a run of a study loads them once for all its arms.

    Raises:
        UserError: If the settings do not fit the tasks.
    """
    if config.twin is not None:
        if list(tasks) != [config.twin]:
            raise UserError(
                f"--twin {config.twin} is trained alone, as its own company; --tasks names {', '.join(tasks)}."
            )
        tasks, data = _halve(config, tasks, data)
    if config.shuffle_targets:
        data = _shuffle(config, data)
    steps = int(config.trainer["max_steps"])
    plan, batch = plan_of(config, mixture, {name: len(d.train) for name, d in data.items()}, steps)
    halves = {} if config.twin is None else {name_second_half(config.twin): config.twin}
    return PlannedMixture(tasks, data, plan, batch, steps, halves, tuple(config.shuffle_targets))


def _shuffle(config: TrainConfig, data: dict[str, TaskData]) -> dict[str, TaskData]:
    """The data with other targets for the tasks that are noise."""
    for name in config.shuffle_targets:
        if name not in data:
            raise UserError(f"--shuffle-targets {name}: {did_you_mean(name, list(data))}")
    if set(config.shuffle_targets) == set(data):
        raise UserError("--shuffle-targets names every task, so that there is nothing to learn: leave one out.")
    seed = data_seed(config)
    return {
        name: d._replace(train=d.train.shuffled_targets(seed)) if name in config.shuffle_targets else d
        for name, d in data.items()
    }


def _halve(
    config: TrainConfig, tasks: dict[str, Task], data: dict[str, TaskData]
) -> tuple[dict[str, Task], dict[str, TaskData]]:
    """The task as two: each has half of the training rows, and a stream of its own."""
    (name, whole), (task,) = next(iter(data.items())), tasks.values()
    if len(whole.train) < 2:
        raise UserError(f"--twin {name}: {len(whole.train)} training example cannot be split in two halves.")
    first, second = split_examples(whole.train, len(whole.train) // 2, seed=data_seed(config))
    other = name_second_half(name)
    return {name: task, other: task}, {
        name: whole._replace(train=first),
        other: whole._replace(train=second, notes=[]),
    }


def plan_of(config: TrainConfig, mixture: Mixture, sizes: Mapping[str, int], steps: int) -> tuple[MixingPlan, float]:
    """The plan, and its examples per step."""
    if config.per_step is not None:
        fixed = config.per_step if isinstance(config.per_step, dict) else dict.fromkeys(sizes, config.per_step)
        if config.twin is not None and config.twin in fixed:
            fixed = {**fixed, name_second_half(config.twin): fixed[config.twin]}
        if fixed.keys() != sizes.keys():
            odd = ", ".join(sorted(fixed.keys() ^ sizes.keys()))
            raise UserError(f"--per-step must name the tasks that are trained, each once. Only one side has {odd}.")
        if not any(fixed.values()):
            raise UserError(f"--per-step is 0 for {', '.join(sorted(fixed))}, so that there is nothing to train on.")
        plan = MixingPlan(sizes, {task: exact(b) for task, b in fixed.items()}, config.seed)
        return plan, config.rate_base or float(sum(plan.per_step_at(t, 0) for t in plan.tasks))
    settings: dict[str, Any] = {
        "strategy": config.mixing,
        "temperature": config.temperature,
        "cap": config.cap,
        "scale": config.scale or None,
        "max_epochs": config.max_epochs,
    }
    if config.mixing == "unimax":
        settings["budget"] = float(steps) * config.batch_size
    given = {name: value for name, value in settings.items() if value is not None}
    rates: Mapping[str, float] | RateSchedule
    if config.rate_schedule:
        points = sorted((float(at), rates) for at, rates in config.rate_schedule.items())
        rates = RateSchedule.over(steps, points)
        if set(rates.tasks) != set(sizes):
            raise UserError(f"rate_schedule must give a rate for each of {', '.join(sizes)}, and for no other.")
    elif config.temperature_end is not None:
        assert config.temperature is not None
        at = functools.partial(mixture.rates, dict(sizes), cap=config.cap, scale=config.scale or None)
        rates = temperature_schedule(at, config.temperature, config.temperature_end, steps)
    else:
        rates = mixture.rates(dict(sizes), **given)
    return MixingPlan.from_rates(sizes, rates, config.batch_size, config.seed), float(config.batch_size)
