"""The definitions that a run was begun with, as run.json holds them, and their changes since: settings and tasks.

A run's results are those of its tasks as they were. A task of one's own lives in a file that changes, and config.yaml
can be edited: whoever continues a run, or uses it, is told what changed, by name. A run of before these facts were
recorded is believed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from multitask.config import OPERATIONAL, OPERATIONAL_TRAINER, TrainConfig
from multitask.errors import UserError
from multitask.runs.code_digest import code_digest, package_of, same_code
from multitask.storage.json_files import finite
from multitask.storage.paths import tilde
from multitask.storage.schema import check_shape
from multitask.storage.yaml_files import read_yaml
from multitask.task import Task
from multitask.terminal.escaping import shown

SETTINGS, DEFINITION = "settings", "definition"
"""Keys in run.json: of the run, and of each of its tasks."""
LEARNT = ("prefix", "output", "labels")
"""Fields of a task that a model was trained on: under others it answers another question."""
FORMATTER = "formatter"
PLACES = ("data", "include")
"""Settings that say where something lies: it may have moved, and is compared by its content."""


class _Definition(TypedDict):
    """The fields that a definition must have; a later version may add to it."""

    decoding: dict[str, Any]
    code: dict[str, str | None]


class Change(NamedTuple):
    """A part of a task that is not what it was."""

    part: str
    """A field (`decoding.num_beams`), or whose code it is: formatter, postprocess, metric NAME."""
    sentence: str
    """Its name, and where it can be said what it was and is."""


def definition(task: Task) -> dict[str, Any]:
    """All of a task that decides how it is trained and scored, but its rows: fields by value, code by its digest."""
    home = package_of(task.formatter)
    code = {FORMATTER: task.formatter, "postprocess": task.postprocess}
    found: dict[str, Any] = tilde(
        finite(
            {
                "prefix": task.prefix,
                "output": task.output,
                "labels": task.labels,
                "metrics": [metric.name for metric in task.metrics],
                "max_input_tokens": task.max_input_tokens,
                "max_target_tokens": task.max_target_tokens,
                "decoding": dataclasses.asdict(task.decoding),
                "code": {
                    **{part: code_digest(function, home) for part, function in code.items()},
                    **{f"metric {metric.name}": code_digest(metric, home) for metric in task.metrics},
                },
            }
        )
    )
    return found


def definitions_in(record: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """{task: its definition} of a run.json, where they are recorded.

    Raises:
        UserError: If it is not as it was written.
    """
    tasks = record.get("tasks", {})
    check_shape(tasks, dict[str, dict[str, Any]], path)
    return {name: about[DEFINITION] for name, about in tasks.items() if DEFINITION in about}


def changes(before: Any, now: Mapping[str, Any], path: Path) -> list[Change]:
    """Find the parts of a task's definition that differ.

    Args:
        before: What a run.json holds; None in one of before it did.
        now: `definition` of the task as it is; what only one side has is passed over.
        path: Of the run.json, for the error.

    Raises:
        UserError: If `before` is no definition.
    """
    if before is None:
        return []
    for side in (before, now):
        check_shape(side, _Definition, path)
    return list(_changes(before, now))


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    had, has = (_fields(side) for side in (before, now))
    for name in has:
        if name in had and had[name] != has[name]:
            yield Change(name, f"its {name} was {_quoted(had[name])} and is {_quoted(has[name])}")
    for name, digest in now["code"].items():
        code = before["code"]
        if name in code and same_code(code[name], digest) is False:
            yield Change(name, f"the code of its {name} is another")


def _fields(found: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in found.items() if name not in ("decoding", "code")}
    return plain | {f"decoding.{name}": value for name, value in found["decoding"].items()}


def said(found: list[Change]) -> str:
    """The changes as a part of a sentence."""
    return ", ".join(change.sentence for change in found)


# ---- settings --------------------------------------------------------------------------------------------------------


def recorded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of config.yaml that run.json holds too: all but those that a resumed run may change."""
    kept = {name: value for name, value in settings.items() if name not in OPERATIONAL}
    trainer = kept.get("trainer")
    if isinstance(trainer, Mapping):
        kept["trainer"] = {name: value for name, value in trainer.items() if name not in OPERATIONAL_TRAINER}
    plain: dict[str, Any] = finite(kept)
    return plain


def edited(run: Path, record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, sentence) of each setting in a run's config.yaml that is not the one that the run was begun with.

    Args:
        run: The run folder.
        record: Its run.json; of one of before settings were recorded there nothing is known.

    Raises:
        UserError: If one of the two cannot be read.
    """
    if SETTINGS not in record:
        return []
    check_shape(record[SETTINGS], dict[str, Any], run / "run.json")
    path = run / "config.yaml"
    stored = read_yaml(path)
    # What somebody took out is what it is by default: that is how the file would be read.
    filled = dataclasses.asdict(TrainConfig()) | (stored if isinstance(stored, dict) else {})
    before, now = tilde(record[SETTINGS]), recorded(tilde(filled))
    return [
        (name, f"{path} was edited: {name} is {_quoted(now[name])}, and the run was begun with {_quoted(before[name])}")
        for name in before
        if name in now and now[name] != before[name]
    ]


def _quoted(value: Any) -> str:
    return shown(repr(value), 80)


def check_settings_file(run: Path, record: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Refuse a run whose config.yaml is not the one that it was begun with.

    Args:
        run: The run folder.
        record: Its run.json.
        say: Told of another of `PLACES`.

    Raises:
        UserError: Names the setting and both values.
    """
    for name, sentence in edited(run, record):
        if name not in PLACES:
            raise UserError(f"{sentence}. Restore it; for other settings train another run.")
        say(f"WARNING: {sentence}.")
