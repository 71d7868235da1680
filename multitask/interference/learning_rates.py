"""The learning rate of each kind of arm, chosen among a grid on held-out training rows before the seeds run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from multitask.interference.design.runs import StudyRun
from multitask.interference.setup import StudySetup, find_missing, make_run
from multitask.interference.train import train_missing, write_plan
from multitask.interference.undefined import undefined_on_selection
from multitask.runs.reader import RunReader
from multitask.task import Task
from multitask.terminal.output import say

TRIAL_SEED = 1_000_000
"""Added to the first seed for the trials of the search: no reported run has it."""


class Tuned(NamedTuple):
    """The result of a search."""

    lr: dict[str, float]
    """{kind of arm: learning rate}"""
    trials: list[dict[str, Any]]
    """Each kind of arm at each rate: `arm`, `lr`, `score` in points, `chosen`."""


def trial_runs(setup: StudySetup) -> list[StudyRun]:
    """Every arm at every learning rate of the grid, once: the same number of trials for each kind of arm."""
    design = setup.request.design
    seed = design.seeds[0] + TRIAL_SEED
    arms = [arm for arm in design.needed() if not arm.twin and arm.control is None]
    return [
        make_run(setup, arm, seed, where="trials", lr=lr, evaluate_on="selection", select="last")
        for lr in setup.request.config.lr_grid
        for arm in arms
    ]


def choose_learning_rates(setup: StudySetup, *, quiet: bool = False) -> Tuned:
    """Train the trials that are missing, and choose each kind of arm's rate by the mean over tasks.

    Args:
        setup: The study, with a grid.
        quiet: Print nothing but progress.
    """
    undefined = undefined_on_selection(setup.request.tasks, setup.mix)  # which their notes say
    trials = trial_runs(setup)
    missing = find_missing(setup, trials).runs
    if not quiet:
        say(f"{len(trials)} trials of the learning rate, {len(trials) - len(missing)} of them finished")
    write_plan(setup, trials)
    train_missing(setup, missing, done=len(trials) - len(missing))
    means = _mean_scores(trials, {name: t for name, t in setup.request.tasks.items() if name not in undefined})
    chosen = dict(setup.lr)
    for family in chosen:
        of = {lr: score for (f, lr), score in means.items() if f == family}
        if of:
            chosen[family] = max(of, key=lambda lr: (of[lr], -lr))
    return Tuned(
        chosen,
        [
            {"arm": family, "lr": lr, "score": score, "chosen": chosen.get(family) == lr}
            for (family, lr), score in sorted(means.items())
        ],
    )


def _mean_scores(trials: Sequence[StudyRun], tasks: Mapping[str, Task]) -> dict[tuple[str, float], float]:
    """{(kind of arm, learning rate): mean points over arms and these tasks}."""
    import numpy as np

    from multitask.evaluation.scores import deciding_points

    points: dict[tuple[str, float], list[float]] = {}
    for trial in trials:
        metrics = RunReader(trial.folder).metrics
        for task in trial.arm.tasks:
            if task in tasks:
                metric = tasks[task].primary
                points.setdefault((trial.family, float(trial.config.lr or 0)), []).append(
                    deciding_points(metric, metrics[task][metric.name])
                )
    return {key: float(np.mean(values)) for key, values in points.items()}
