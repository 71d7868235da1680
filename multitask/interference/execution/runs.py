"""Runs of a study as the run folders say them: settings with defaults, mixture, address; finished or not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from multitask.config import TrainConfig
from multitask.config_checks import fill_defaults
from multitask.errors import UserError
from multitask.examples.choose_source import data_setting
from multitask.interference.design.runs import StudyRun
from multitask.mixing.mixture import parse_tasks
from multitask.mixing.prepare import PlannedMixture, plan_mixture
from multitask.model.from_scratch import is_from_scratch
from multitask.model.merging import SCALES
from multitask.runs import folder as folders
from multitask.runs.address import run_address
from multitask.training.precision import settle_precision

SCORES = ("metrics.json", "baselines.json", "mix.json", "predictions")
"""What the tables are made of."""


class StudyRunError(Exception):
    """A run failed for a reason that the user cannot fix at the prompt; holds the worker's traceback."""


def resolve_settings(config: TrainConfig) -> TrainConfig:
    """A run's settings with all defaults filled in, as its run folder says them."""
    config = dataclasses.replace(config, data=data_setting(config.data))
    return settle_precision(fill_defaults(config, from_scratch=is_from_scratch(config.model)))


def mix_of_run(config: TrainConfig, full: PlannedMixture) -> PlannedMixture:
    """A run's mix, from the study's data."""
    names = list(config.tasks)
    return plan_mixture(
        resolve_settings(config),
        parse_tasks(names),
        {t: full.tasks[t] for t in names},
        {t: full.data[t] for t in names},
    )


def address_of_run(config: TrainConfig, full: PlannedMixture) -> str:
    """The address that `run.json` of the finished run will have."""
    return run_address(resolve_settings(config), mix_of_run(config, full))


def check_scores(folder: Path) -> bool:
    """Whether the folder holds a finished run; a run's folder has its address in its name.

    Raises:
        UserError: If what the tables are made of is not as the run wrote it.
    """
    return (folder / "metrics.json").is_file() and folders.is_finished(folder, SCORES)


def is_finished(folder: Path) -> bool:
    """Whether the folder holds a finished run of a study; one that is damaged is trained again."""
    try:
        return check_scores(folder)
    except UserError:
        return False


def relative_cost(run: StudyRun, evaluated: int) -> float:
    """How long a run takes, in examples: trained ones, and evaluated ones at about the same price."""
    if run.config.merge:
        return float(len(SCALES[run.config.merge]) * evaluated)
    return float(run.arm.budget) * run.steps + evaluated
