"""The request for a study, checked before any data is read: tasks, design, how many models train side by side."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from multitask.errors import UserError
from multitask.interference.design.arms import Design
from multitask.interference.design.config import StudyConfig, check_study_config, design_of
from multitask.interference.execution.slots import plan_slots, visible_gpus
from multitask.mixing.prepare import load_plugins, select_tasks
from multitask.model.from_scratch import is_from_scratch
from multitask.runs.definitions import definition
from multitask.task import TASKS, Task
from multitask.training.precision import settle_precision


@dataclass(frozen=True, eq=False)
class StudyRequest:
    """The settings of a study with all that they say of tasks and models."""

    config: StudyConfig
    """With the study's defaults filled in."""
    tasks: dict[str, Task]
    definitions: dict[str, Any]
    """{task: its fields and the digests of its code}, to compare with those of finished runs."""
    design: Design
    from_scratch: bool
    jobs: int
    """Models that are trained side by side."""
    slots: Sequence[str | None]
    """The GPU of each of them; None for a CPU."""
    threads: int
    """Threads of each."""


def prepare_request(config: StudyConfig) -> StudyRequest:
    """Check a study's settings, and find its tasks and its design.

    Raises:
        UserError: For the first setting that cannot work.
    """
    from multitask.config_checks import check_precision, check_trainer_names
    from multitask.model.availability import check_model
    from multitask.training.callbacks import named_callbacks

    config = check_study_config(config)
    check_precision(config.train.precision)
    # Settled here: all models of a table compute alike, on whichever machine each of them is trained.
    train = settle_precision(config.train)
    config = dataclasses.replace(config, train=train)
    check_trainer_names(train.trainer)
    if train.callbacks:
        named_callbacks(train.callbacks)
    check_model(train.model, train.revision)
    load_plugins(train.include)
    _, tasks = select_tasks(train.tasks, train.columns)
    definitions = {name: definition(task) for name, task in tasks.items()}
    design = design_of(config, list(tasks))
    from_scratch = is_from_scratch(train.model)
    gpus = visible_gpus(str(train.trainer.get("accelerator", "auto"))) if config.engine != "slurm" else []
    jobs, threads = _count_workers(config, from_scratch, len(gpus))
    own = [name for name in tasks if not TASKS.is_reloadable(name)]
    if own and config.engine != "local":
        raise UserError(
            f"--engine {config.engine}: task '{own[0]}' is registered by this program itself, so other processes do "
            "not know it: put the registration in a file and give --include FILE."
        )
    if own and jobs > 1:  # said even if quiet: it takes longer than it might
        jobs, threads = _count_workers(dataclasses.replace(config, jobs=1), from_scratch, len(gpus))
        sys.stderr.write(
            f"multitask: {'tasks' if len(own) > 1 else 'task'} {', '.join(map(repr, own))} "
            f"{'are' if len(own) > 1 else 'is'} registered by this program itself, so other processes do not know "
            f"{'them' if len(own) > 1 else 'it'}: the models are trained here, one after another. To train them "
            "side by side, put the registration in a file and give include=[FILE].\n"
        )
    slots = plan_slots(gpus, config.per_gpu, jobs) if config.engine == "local" else [None] * jobs
    return StudyRequest(config, tasks, definitions, design, from_scratch, jobs, slots, threads)


def _count_workers(config: StudyConfig, from_scratch: bool, gpus: int) -> tuple[int, int]:
    """Choose how many models are trained side by side, and the threads of each.

    A small model gains little from a second thread and loses much when it has to wait for it (measured: two single
    threads train one and a half times as fast as one with two), a large one would not fit the memory several times.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    accelerator = str(config.train.trainer.get("accelerator", "auto"))
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not _has_accelerator())
    jobs = config.jobs or (gpus * (config.per_gpu or 1) if gpus else cores if from_scratch and on_cpu else 1)
    return jobs, config.threads or max(1, cores // jobs)


def _has_accelerator() -> bool:
    import torch

    return torch.accelerator.is_available()
