"""A finished run as its folder tells it: settings, files of the user's own, tasks; without loading its model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import get_type_hints

from multitask.config import TrainConfig, check_config, located
from multitask.errors import UserError
from multitask.folder import is_finished
from multitask.plugins import is_included
from multitask.prepare import load_plugins
from multitask.registry import did_you_mean
from multitask.shape import check_shape
from multitask.task import TASKS, Task
from multitask.yaml_files import read_yaml


def run_config(run: Path) -> TrainConfig:
    """The settings that a run was trained with.

    Raises:
        UserError: If `run` is not a run folder.
    """
    path = run / "config.yaml"
    if not path.is_file():
        raise UserError(f"{run} is not a run folder: it has no config.yaml.")
    hints = get_type_hints(TrainConfig)
    stored = read_yaml(path, hint=hints)
    if not isinstance(stored, dict):
        raise UserError(f"{path} holds no settings.")
    known = {f.name for f in dataclasses.fields(TrainConfig)}
    for name in stored:
        if name not in known:
            raise UserError(f"{path} has the unknown setting '{name}': {did_you_mean(str(name), list(known))}")
    for name, value in stored.items():
        check_shape({name: value}, dict[str, hints[name]], path)  # type: ignore[valid-type]
    config = located(TrainConfig(**stored))
    try:
        check_config(config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return config


def check_finished(run: Path, parts: Sequence[str] = ("model",)) -> TrainConfig:
    """The settings of a run whose model is there.

    Args:
        run: The run folder.
        parts: Files or folders in it that will be used.

    Raises:
        UserError: If `run` is not a run folder, its training has not ended, or a part is not as it was written.
    """
    config = run_config(run)
    if not (run / "model" / "config.json").is_file() or not is_finished(run, parts):
        raise UserError(f"{run} has no model yet: the run is not finished; multitask train … --resume continues it.")
    return config


def load_includes(run: Path, config: TrainConfig, more: Sequence[str]) -> None:
    """Run the files that the user named, `more`; a run folder may be a stranger's, so what it names is only asked for.

    Raises:
        UserError: If the run was trained with a file that is neither among them nor included by this process before.
    """
    given = {Path(file).name for file in more}
    missing = [file for file in config.include if Path(file).name not in given and not is_included(file)]
    if missing:
        raise UserError(
            f"{run} was trained with --include {missing[0]}: give --include with its path, if you trust that file. "
            "What a run folder names is not run by itself."
        )
    load_plugins(list(more))


def renamed(task: Task, config: TrainConfig) -> Task:
    """The task with the columns renamed as in the run's settings."""
    return task.replace(columns={**task.columns, **config.columns[task.name]}) if task.name in config.columns else task


def prediction_task(run: Path, name: str, include: Sequence[str] = ()) -> Task:
    """The task of that name as the run knows it, with its renamed columns; checked without loading the model.

    Raises:
        UserError: If the run is not finished, or there is no such task.
    """
    config = check_finished(run)
    load_includes(run, config, include)
    return renamed(TASKS.get(name), config)
