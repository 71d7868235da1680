"""The files of a run folder as types: what a file must hold to be used."""

from __future__ import annotations

from typing import Any, TypedDict

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


class SplitFacts(TypedDict):
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
    train: SplitFacts
    validation: SplitFacts
    skipped: dict[str, dict[str, int]]
    cut: Cut


class PlanEntry(TypedDict):
    """A task of the plan."""

    per_step: Any


class Plan(TypedDict):
    """The plan."""

    format: int
    tasks: dict[str, PlanEntry]


class RunFile(TypedDict):
    """run.json."""

    steps: int
    parameters: int
    plan: Plan
    tasks: dict[str, About]


class Planned(TypedDict):
    """The planned share of a task."""

    rate: float


class Realised(TypedDict):
    """The share of a task that the model was given."""

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
