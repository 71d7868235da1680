"""`multitask.measure_interference(…)`: a study from Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from multitask.errors import UserError

if TYPE_CHECKING:
    from multitask.interference.design.config import StudyConfig
    from multitask.interference.estimation.written import Estimated
    from multitask.interference.study import Study


def measure_interference(
    config: StudyConfig | None = None,
    *,
    out: str | Path | None = None,
    quiet: bool = True,
    overwrite: bool = False,
    **settings: Any,
) -> Study:
    """Train what a study needs and tell which tasks help and hurt each other; the same as `multitask interference`.

        study = multitask.measure_interference(tasks="span,sst2", seeds=5, out="runs/study", data="data/")
        print(study)                             # its answer: who loses and gains with whom, what is undecided
        study.effects                            # a DataFrame: delta, low, high, q, verdict, …
        study.effect("sst2", companion="span")   # one of them
        study.plot("matrix")                     # a matplotlib figure

    A study in `out` is continued, and may grow by tasks, seeds and arms: only the missing models are trained.

    Args:
        config: All settings at once.
        out: The study's folder; by default runs/interference-TASKS-MODEL.
        quiet: Print nothing but progress.
        overwrite: Begin anew.
        settings: Those of `StudyConfig` (arms, seeds, match, null, lr_grid, margin, resamples, groups, jobs, threads,
            keep_models) and of `TrainConfig`, by name; not beside `config`.

    Raises:
        UserError: For whatever a user can fix, before training starts.
        KeyboardInterrupt: If it was interrupted; the same call continues.
    """
    from multitask.terminal.quiet import quietly

    if config is not None and settings:
        raise TypeError("measure_interference takes a config or single settings, not both.")
    with quietly():
        from multitask.interference.conduct import conduct_study
        from multitask.interference.design.config import parse_settings, study_folder
        from multitask.interference.request import prepare_request

        config = config or parse_settings(settings)
        if config.estimate is not None or config.confirm:
            raise UserError("estimate and confirm are for estimate_interference, which gives an estimate and no study.")
        where = Path(out or study_folder(config))
        return conduct_study(prepare_request(config), where, quiet=quiet, overwrite=overwrite).study


def estimate_interference(
    method: str = "joined",
    *,
    confirm: int = 0,
    out: str | Path | None = None,
    quiet: bool = True,
    overwrite: bool = False,
    **settings: Any,
) -> Estimated:
    """Estimate which pairs help and hurt for less than training each; the same as `multitask interference --estimate`.

        found = multitask.estimate_interference(tasks="span,sst2,stsb,trec", confirm=2, out="runs/study")
        print(found.render())   # the matrix, marked as estimated; never a verdict
        found.values            # [n, n]; row: the task evaluated, column: its companion

    Args:
        method: joined, branches, early, merged, refit, attribution, look-ahead or cosine; see docs/estimate.md.
        confirm: Pairs to train in full, those that matter most; the others are corrected by them.
        out: The study's folder, which a study may share: finished models are used again.
        quiet: Print nothing but progress.
        overwrite: Begin anew.
        settings: As of `measure_interference`.

    Raises:
        UserError: For whatever a user can fix, before training starts.
        KeyboardInterrupt: If it was interrupted; the same call continues.
    """
    from multitask.terminal.quiet import quietly

    with quietly():
        from multitask.interference.design.config import parse_settings, study_folder
        from multitask.interference.estimated import estimate_pairs
        from multitask.interference.request import prepare_request

        config = parse_settings({**settings, "estimate": method, "confirm": confirm})
        where = Path(out or study_folder(config))
        return estimate_pairs(prepare_request(config), where, quiet=quiet, overwrite=overwrite)
