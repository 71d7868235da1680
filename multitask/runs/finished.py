"""A finished run as its folder tells it: settings, files of the user's own, tasks; without loading its model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, get_type_hints

from multitask.config import TrainConfig, expand_paths
from multitask.config_checks import check_config
from multitask.errors import UserError
from multitask.examples.new_inputs import FormatterNeededError
from multitask.metrics.naming import resolve_metrics
from multitask.mixing.prepare import load_plugins
from multitask.plugins import is_included
from multitask.registry import did_you_mean
from multitask.runs.definitions import LEARNT, changes, check_settings_file, definition, definitions_in, said
from multitask.runs.folder import is_finished, read_run
from multitask.storage.folders import resume_command
from multitask.storage.schema import check_shape
from multitask.storage.yaml_files import read_yaml
from multitask.task import DEFAULT_METRIC, TASKS, Decoding, Example, OutputKind, Row, Task
from multitask.terminal.escaping import shown

LARGEST = 1_000_000
"""Of the limits that a run folder may set for answers: it may be untrusted."""


def run_config(run: Path) -> TrainConfig:
    """The settings that a run was trained with.

    Raises:
        UserError: If `run` is not a run folder.
    """
    path = run / "config.yaml"
    if not path.is_file():
        raise UserError(_no_run(run))
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
    config = expand_paths(TrainConfig(**stored))
    try:
        check_config(config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return config


def _no_run(path: Path) -> str:
    if not path.exists():
        return f"{path} is not a run folder: there is no such folder."
    if not path.is_dir():
        return f"{path} is not a run folder: it is a file."
    if (path / "study.yaml").is_file():
        return (
            f"{path} is not a run folder but a study's: multitask report {path} shows it, and the multitask "
            "interference command that began it continues it."
        )
    return f"{path} is not a run folder: it has no config.yaml."


def check_finished(run: Path, parts: Sequence[str] = ("model",)) -> TrainConfig:
    """The settings of a finished run, with its model where that is among the parts.

    Args:
        run: The run folder.
        parts: Files or folders in it that will be used.

    Raises:
        UserError: If `run` is not a run folder, its training has not ended, or a part is not as it was written.
    """
    config = run_config(run)
    if not is_finished(run, parts):
        raise UserError(
            f"{run} has no model yet: the run is not finished; {resume_command(run, config.include)} continues it."
        )
    if "model" in parts and not has_model(run):
        raise UserError(
            f"{run} is finished and holds no model (the runs of a study keep none): multitask report {run} shows its "
            "scores; for a model train a run of its own."
        )
    if "model" in parts:  # which is used by these settings
        check_settings_file(run, read_run(run), lambda line: None)
    return config


def has_model(run: Path) -> bool:
    """Whether a finished run keeps its model: those of a study do not."""
    return (run / "model" / "config.json").is_file()


def check_tasks(run: Path, tasks: Mapping[str, Task], say: Callable[[str], None] | None = None) -> None:
    """Refuse to use a run's model for a task that asks it something else than it was trained on.

    Args:
        run: The run folder.
        tasks: Of these, those that the run was trained on are looked at.
        say: Told what else of them is not as it was: today's is used, for scoring and for decoding.

    Raises:
        UserError: Names the task and the field, with both values.
    """
    path = run / "run.json"
    before = definitions_in(read_run(run), path)
    for name, task in tasks.items():
        found = changes(before.get(name), definition(task), path)
        other = [change for change in found if change.part in LEARNT]
        if other:
            raise UserError(
                f"task '{name}' is not what the model in {run} was trained on: {said(other)}. Restore it, or register "
                "the new one under another name."
            )
        if found and say is not None:
            say(f"WARNING: task '{name}' changed since {run} was trained: {said(found)}. It is used as it is now.")


def load_includes(run: Path, config: TrainConfig, more: Sequence[str]) -> None:
    """Run the files that the user named, `more`; a run folder may be untrusted, so what it names is only asked for.

    Raises:
        UserError: If the run was trained with a file that is neither among them nor included by this process before.
    """
    missing = _missing(config, more)
    if missing:
        raise include_error(run, missing[0])
    load_plugins(list(more))


def include_error(run: Path, file: str) -> UserError:
    """The error for a run that was trained with a file of the user's own that the user did not name."""
    return UserError(
        f"{run} was trained with --include {file}: give --include with its path, if you trust that file. "
        "What a run folder names is not run by itself."
    )


def _missing(config: TrainConfig, more: Sequence[str]) -> list[str]:
    """The files that a run was trained with and that are neither named nor included by this process before."""
    given = {Path(file).name for file in more}
    return [file for file in config.include if Path(file).name not in given and not is_included(file)]


def renamed(task: Task, config: TrainConfig) -> Task:
    """The task with the columns renamed as in the run's settings."""
    return task.replace(columns={**task.columns, **config.columns[task.name]}) if task.name in config.columns else task


def prediction_task(
    run: Path, name: str, include: Sequence[str] = (), say: Callable[[str], None] | None = None
) -> Task:
    """The task of that name as the run knows it, with its renamed columns; checked without loading the model.

    One of the user's own whose file is not included is made of what the run folder says: it answers strings, but no
    rows, of which only its formatter can make inputs.

    Raises:
        UserError: If the run is not finished, there is no such task, or the run was trained on another of that name.
    """
    config = check_finished(run)
    load_plugins(list(include))
    known = definitions_in(read_run(run), run / "run.json")
    if name not in TASKS and name in known:
        return _stored_task(run, name, known[name], config)
    if name not in TASKS:
        missing = [f" If it is one of {file}, give --include with its path." for file in _missing(config, include)]
        meant = did_you_mean(name, [*{*TASKS, *known}])
        if not meant.startswith("did"):  # of all the tasks that there are, those of the run are what matters
            meant = f"{run} was trained on {shown(', '.join(known), 300)}."
        raise UserError(f"unknown task '{name}': {meant}{''.join(missing[:1])}")
    task = renamed(TASKS.get(name), config)
    check_tasks(run, {name: task}, say)
    return task


class _Words(TypedDict):
    """The fields of a task in run.json that answering strings needs."""

    prefix: str
    output: OutputKind
    labels: list[str]
    max_input_tokens: int
    max_target_tokens: int
    decoding: dict[str, Any]
    code: dict[str, str | None]


def _stored_task(run: Path, name: str, found: Any, config: TrainConfig) -> Task:
    path = run / "run.json"
    check_shape(found, _Words, path)
    hints = get_type_hints(Decoding)
    for part, value in found["decoding"].items():
        if part not in hints:
            raise UserError(f"{path} has the unknown decoding setting '{part}': {did_you_mean(part, list(hints))}")
        check_shape({part: value}, dict[str, hints[part]], path)  # type: ignore[valid-type]
    limits = {part: found[part] for part in ("max_input_tokens", "max_target_tokens")}
    for part, value in {**limits, **{p: found["decoding"].get(p, 1) for p in ("max_new_tokens", "num_beams")}}.items():
        if not 1 <= value <= LARGEST:
            raise UserError(f"{path}: {part} of task '{name}' must be from 1 to {LARGEST:,}. Got {value}.")
    given = f"--include {config.include[0]} with its path" if config.include else "the file that registers it"
    if found["code"].get("postprocess") is not None:
        raise UserError(
            f"task '{name}' changes what the model writes by a function of its own (postprocess), which {run} does not "
            f"hold: give {given}, if you trust that file."
        )

    def no_formatter(row: Row) -> Example:
        raise FormatterNeededError(
            f"rows of task '{name}' become inputs by its formatter, which {run} does not hold: give {given}, if you "
            f"trust that file; or give lines of text, which need none: what comes after {found['prefix']!r}."
        )

    try:
        return Task(
            name=name,
            formatter=no_formatter,
            prefix=found["prefix"],
            output=found["output"],
            labels=tuple(found["labels"]),
            metrics=resolve_metrics([DEFAULT_METRIC[found["output"]]]),
            decoding=Decoding(**found["decoding"]),
            **limits,
        )
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
