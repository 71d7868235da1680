"""A finished run as its folder tells it: settings, files of the user's own, tasks; without loading its model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import get_type_hints

from multitask.config import TrainConfig, check_config
from multitask.errors import UserError, shown
from multitask.folder import check_files, read_json
from multitask.prepare import load_plugins
from multitask.registry import did_you_mean
from multitask.shape import check_shape
from multitask.task import TASKS, Task


def run_config(run: Path) -> TrainConfig:
    """The settings that a run was trained with.

    Raises:
        UserError: If `run` is not a run folder.
    """
    import yaml

    path = run / "config.yaml"
    if not path.is_file():
        raise UserError(f"{run} is not a run folder: it has no config.yaml.")
    try:
        stored = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:  # of a date that is none, a deep nesting
        reason = shown(str(error).strip().partition("\n")[0] or type(error).__name__)
        raise UserError(f"{path} cannot be read: {reason}") from error
    if not isinstance(stored, dict):
        raise UserError(f"{path} holds no settings.")
    known = {f.name for f in dataclasses.fields(TrainConfig)}
    for name in stored:
        if name not in known:
            raise UserError(f"{path} has the unknown setting '{name}': {did_you_mean(str(name), list(known))}")
    hints = get_type_hints(TrainConfig)
    for name, value in stored.items():
        check_shape({name: value}, dict[str, hints[name]], path)  # type: ignore[valid-type]
    config = TrainConfig(**stored)
    try:
        check_config(config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return config


def check_finished(run: Path) -> TrainConfig:
    """The settings of a run whose model is there.

    Raises:
        UserError: If `run` is not a run folder, its training has not ended, or the model is not as it was written.
    """
    config = run_config(run)
    there = (run / "model" / "config.json").is_file() and (run / "run.json").is_file()
    if not there or read_json(run / "run.json").get("status") != "finished":
        raise UserError(f"{run} has no model yet: the run is not finished; multitask train … --resume continues it.")
    check_files(run, ("model",))
    return config


def load_includes(run: Path, config: TrainConfig, more: Sequence[str]) -> None:
    """The files that register the run's tasks; other ones may stand in for those that are not there from here."""
    missing = [file for file in config.include if not Path(file).is_file()]
    if missing and not more:
        raise UserError(
            f"{run} was trained with --include {missing[0]}, which is not there from here: "
            "give --include with its path."
        )
    load_plugins([*(file for file in config.include if file not in missing), *more])


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
