"""cells.json: the models of a study as a list, each of which any process that sees the folder can train by its number.

What is in it needs nothing else: the settings of a run that differ from the defaults, its folder, its cost. A relative
path in it is one of the study's own folder, so that a study which was moved, or which another machine sees elsewhere,
is the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from multitask.config import TrainConfig, expand_paths
from multitask.errors import UserError
from multitask.examples.choose_source import data_setting
from multitask.interference.design.runs import StudyRun
from multitask.interference.execution.runs import is_finished, relative_cost
from multitask.registry import did_you_mean
from multitask.runs.finished import has_model
from multitask.storage.json_files import read_json, write_json
from multitask.storage.paths import tilde

FILE, LOGS = "cells.json", "logs"


class CellFile(TypedDict):
    """An entry of cells.json."""

    number: int
    name: str
    arm: str
    tasks: list[str]
    per_step: dict[str, float]
    twin: str | None
    seed: int
    lr: float | None
    folder: str
    steps: int
    cost: float
    keep_model: bool
    settings: dict[str, Any]


class Cell(NamedTuple):
    """A model of a study, as cells.json has it."""

    number: int
    name: str
    """For people: `joint seed 0`."""
    kind: str
    """single, joint, pair, …"""
    tasks: tuple[str, ...]
    seed: int
    steps: int
    cost: float
    """In examples, see `relative_cost`."""
    config: TrainConfig
    folder: Path
    log: Path
    """What it said, if it failed."""
    keep_model: bool

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do."""
        return is_finished(self.folder) and (not self.keep_model or has_model(self.folder))


def log_of(study: Path, folder: Path) -> Path:
    """Where a model's failures are kept."""
    return study / LOGS / f"{folder.name}.log"


def write_cells(study: Path, runs: Sequence[StudyRun], evaluated: Callable[[StudyRun], int], *, keep: bool) -> None:
    """Write cells.json.

    Args:
        study: The study's folder.
        runs: All that it needs, finished or not.
        evaluated: How many rows a run is evaluated on.
        keep: Keep the weights of all.
    """
    entries: list[CellFile] = [
        {
            "number": number,
            "name": run.name,
            "arm": run.family,
            "tasks": list(run.arm.tasks),
            "per_step": dict(run.config.per_step) if isinstance(run.config.per_step, dict) else {},
            "twin": run.config.twin,
            "seed": run.seed,
            "lr": run.config.lr,
            "folder": str(run.folder.relative_to(study)),
            "steps": run.steps,
            "cost": relative_cost(run, evaluated(run)),
            "keep_model": keep or run.keep_model,
            "settings": _settings(run.config, study),
        }
        for number, run in enumerate(runs)
    ]
    write_json(study / FILE, tilde(entries))


def _settings(config: TrainConfig, study: Path) -> dict[str, Any]:
    """The settings that are not the default, with whole paths but for those inside the study."""
    plain = TrainConfig()
    changed = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    changed = {name: value for name, value in changed.items() if value != getattr(plain, name)}
    changed["data"] = data_setting(config.data)
    for name in ("data", "model"):
        value = changed.get(name)
        if isinstance(value, str) and Path(value).exists():
            changed[name] = str(Path(value).absolute())
    changed["include"] = [str(Path(file).absolute()) for file in config.include]
    inside = study.absolute()
    for name in ("vocab", "merge_runs"):
        value = changed.get(name)
        if value:
            paths = [Path(p).absolute() for p in ([value] if isinstance(value, str) else value)]
            shown = [str(p.relative_to(inside) if p.is_relative_to(inside) else p) for p in paths]
            changed[name] = shown[0] if isinstance(value, str) else shown
    return changed


def read_cells(study: Path) -> list[Cell]:
    """The models of a study.

    Raises:
        UserError: If there is no study, or its cells were not written by this version.
    """
    path = study / FILE
    if not path.is_file():
        raise UserError(
            f"{study} has no {FILE}: it is no study's folder, or the study has not planned its models yet "
            "(multitask interference … --plan-only does that and nothing else)."
        )
    entries: list[CellFile] = read_json(path, list[CellFile])
    return [_read(entry, study) for entry in entries]


def _read(entry: CellFile, study: Path) -> Cell:
    settings = dict(entry["settings"])
    known = {f.name for f in dataclasses.fields(TrainConfig)}
    for name in settings:
        if name not in known:
            raise UserError(f"{study / FILE} has the unknown setting '{name}': another version wrote it.")
    folder = Path(entry["folder"])
    if folder.is_absolute() or ".." in folder.parts:
        raise UserError(f"{study / FILE} names the folder {folder}, which is not inside the study.")
    config = expand_paths(TrainConfig(**settings))
    own: dict[str, Any] = {}
    if config.vocab:
        own["vocab"] = str(study / config.vocab)
    if config.merge_runs:
        own["merge_runs"] = [str(study / run) for run in config.merge_runs]
    return Cell(
        entry["number"],
        entry["name"],
        entry["arm"],
        tuple(entry["tasks"]),
        entry["seed"],
        entry["steps"],
        entry["cost"],
        dataclasses.replace(config, **own),
        study / folder,
        log_of(study, folder),
        entry["keep_model"],
    )


def find_cell(cells: Sequence[Cell], which: str) -> Cell:
    """The model of this number, or of this folder's name.

    Raises:
        UserError: If there is none.
    """
    if which.isdecimal():
        if int(which) < len(cells):
            return cells[int(which)]
        raise UserError(f"there is no cell {which}: the study has {len(cells)}, from 0 to {len(cells) - 1}.")
    by_name = {name: cell for cell in cells for name in (cell.folder.name, cell.name)}
    if which not in by_name:
        raise UserError(f"no cell is called '{which}': {did_you_mean(which, list(by_name))}")
    return by_name[which]
