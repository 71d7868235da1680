"""What is read of the files of a run folder, as types: what a file must hold to be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

from multitask.storage.json_files import read_json
from multitask.storage.schema import check_shape

Metrics = dict[str, dict[str, float | None]]
"""metrics.json, deployed.json, standard_errors.json: {task: {metric: value}}."""
Baselines = dict[str, dict[str, Any]]
"""baselines.json: the same, the name of each task's `answers`, and {name: {metric: value}} of its `others`."""
OTHERS = ("answers", "others")
"""Keys of a task in baselines.json that are no metric."""

PREDICTIONS = {
    **dict.fromkeys(("id", "inputs", "prediction", "target", "references"), "O"),
    "log_likelihood": "f",
    "target_tokens": "iu",
}
"""Columns of predictions/TASK.parquet, and the kinds of their values."""


class Part(TypedDict):
    """One split of a task."""

    examples: int
    fingerprint: str


class Cut(TypedDict):
    """How many texts of a task were longer than its limits."""

    inputs: int
    targets: int


class About(TypedDict):
    """A task in run.json."""

    version: int
    source: str
    generated: bool
    train: Part
    validation: Part
    skipped: dict[str, dict[str, int]]
    cut: Cut


class Entry(TypedDict):
    """A task of the plan."""

    per_step: Any


class Plan(TypedDict):
    """The plan."""

    format: int
    tasks: dict[str, Entry]


class RunFile(TypedDict):
    """run.json."""

    steps: int
    parameters: int
    plan: Plan
    tasks: dict[str, About]


class Planned(TypedDict):
    """What was planned for a task."""

    rate: float


class Realised(TypedDict):
    """What the model was given of a task."""

    rate: float
    examples: int
    input_tokens: int
    target_tokens: int
    loss_share: float | None


class Mixed(TypedDict):
    """A task in mix.json."""

    rows: int
    planned: Planned
    realised: Realised


class MixFile(TypedDict):
    """mix.json."""

    tasks: dict[str, Mixed]


def read_errors(folder: Path) -> Metrics | None:
    """Read a run's standard_errors.json; None if there is none, as in runs of before it was written.

    Raises:
        UserError: If it is not as it was written.
    """
    path = folder / "standard_errors.json"
    found: Metrics | None = read_json(path, Metrics) if path.is_file() else None
    return found


def read_baselines(path: Path) -> Baselines:
    """Read baselines.json.

    Raises:
        UserError: If it is missing, or not as it was written.
    """
    found: Baselines = read_json(path, Baselines)
    numbers = {task: {name: v for name, v in of.items() if name not in OTHERS} for task, of in found.items()}
    check_shape(numbers, Metrics, path)
    check_shape([of.get("answers", "") for of in found.values()], list[str], path)
    check_shape([of.get("others", {}) for of in found.values()], list[Metrics], path)
    return found
