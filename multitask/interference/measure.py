"""`multitask.measure_interference(…)`: a study from Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multitask.interference.design.config import StudyConfig
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
        where = Path(out or study_folder(config))
        return conduct_study(prepare_request(config), where, quiet=quiet, overwrite=overwrite).study
