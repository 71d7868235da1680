"""Which tasks help and which hurt each other: studies of matched training runs, and tables that can be believed.

In the order of the data: `design` (which models), `study` (settings and folder), `execute` (training them), `partial`
and `watching` (how far it is), `collect` (reading them back), `resampling` and `statistics` (intervals), `assemble`
(the record), `advice`, `answer` (it in eight lines), `tables`, `figures`, `report` (what people see), `findings` (a
study as an object), `conduct` (all of it), `tabulate` (runs that exist).
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multitask.interference.design.config import StudyConfig
    from multitask.interference.study import Study

__all__ = ["Study", "interference"]


def interference(
    config: StudyConfig | None = None, *, out: str | Path | None = None, quiet: bool = True, overwrite: bool = False,
    **settings: Any,
) -> Study:  # fmt: skip
    """Train what a study needs and tell which tasks help and hurt each other; the same as `multitask interference`.

        study = multitask.interference(tasks="span,sst2", seeds=5, out="runs/study", data="data/")
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
        UserError: For whatever a user can mend, before training starts.
        KeyboardInterrupt: If it was interrupted; the same call continues.
    """
    from multitask.terminal.quiet import quietly

    if config is not None and settings:
        raise TypeError("interference takes a config or single settings, not both.")
    with quietly():
        from multitask.interference.conduct import Conduct, settings_of
        from multitask.interference.design.config import study_folder

        config = config or settings_of(settings)
        return Conduct(config, Path(out or study_folder(config)), quiet=quiet, overwrite=overwrite).run()


def __getattr__(name: str) -> Any:
    if name == "Study":
        from multitask.interference.study import Study

        return Study
    raise AttributeError(f"module 'multitask.interference' has no attribute '{name}'")


class _Callable(types.ModuleType):
    """`multitask.interference(...)` is what stands beside `multitask.train(...)`, and this package has the name."""

    def __call__(self, *args: Any, **settings: Any) -> Study:
        return interference(*args, **settings)


sys.modules[__name__].__class__ = _Callable
