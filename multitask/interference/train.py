"""Training the runs of a study that are missing."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Sequence

from multitask.interference.design.runs import StudyRun
from multitask.interference.execution.partial import Partial
from multitask.interference.execution.pool import train_runs
from multitask.interference.setup import StudySetup, count_evaluated_rows


def delete_kept_models(setup: StudySetup, runs: Sequence[StudyRun]) -> None:
    """Delete the weights that were kept for merging."""
    for run in runs:
        if run.keep_model and not setup.request.config.keep_models:
            shutil.rmtree(run.folder / "model", ignore_errors=True)


def train_missing(setup: StudySetup, missing: Sequence[StudyRun], *, done: int, partial: Partial | None = None) -> None:
    """Train runs of a study side by side; arguments as in `execution.pool.train_runs`."""
    for run in missing:
        run.folder.parent.mkdir(parents=True, exist_ok=True)
    train_runs(
        missing,
        setup.base,
        evaluated=functools.partial(count_evaluated_rows, mix=setup.mix),
        jobs=setup.request.jobs,
        threads=setup.threads,
        keep_models=setup.request.config.keep_models,
        done=done,
        partial=partial,
    )
