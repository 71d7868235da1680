"""`multitask cell`: one model of a study, trained by whoever is told its number.

It is idempotent: a finished one is left alone, one that was begun goes on from its checkpoint. Who else is at work on
it is noticed, on this machine or any other that sees the folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.interference.execution.cells import Cell, find_cell, read_cells
from multitask.interference.execution.failures import heading, note
from multitask.interference.execution.watching import Progress
from multitask.interference.execution.worker import StudyExamples, finish_run, silence
from multitask.runs.finished import has_model, load_includes
from multitask.storage.locking import LockedError
from multitask.terminal.live import live
from multitask.terminal.output import say


class TryAgainError(Exception):
    """A model cannot be finished now, and can later: it was interrupted, or waits for another."""


def train_cell(study: Path, which: str, *, include: Sequence[str] = (), threads: int | None = None) -> None:
    """Train one model of a study, unless it is finished.

    Args:
        study: The study's folder.
        which: Its number in cells.json, or the name of its folder.
        include: The Python files that register its tasks: what a folder names is not run by itself.
        threads: In place of the study's: another number changes the last bits.

    Raises:
        UserError: For a mistake, as a number that there is not.
        TryAgainError: If another process is at work on it, or it needs models that are not finished.
        KeyboardInterrupt: If it was interrupted; what was done is saved.
    """
    from multitask.interference.design.folder import read_study

    cell = find_cell(read_cells(study), which)
    if cell.is_finished:
        say(f"{cell.name}: finished already")
        return
    lacking = [run for run in cell.config.merge_runs if not has_model(Path(run))]
    if lacking:
        raise TryAgainError(f"{cell.name} merges models that are not finished yet: {Path(lacking[0]).name}, …")
    load_includes(study, cell.config, include)
    given = {Path(file).name: str(file) for file in include}
    own = [given.get(Path(file).name, file) for file in cell.config.include]
    cell = cell._replace(config=dataclasses.replace(cell.config, include=own))
    stored = read_study(study) or {}
    count = threads or stored.get("threads") or 1
    try:
        _train(cell, int(count))
    except LockedError as error:
        raise TryAgainError(str(error)) from error
    say(f"{cell.name}: finished")


def load_examples(config: TrainConfig) -> StudyExamples:
    """The examples of a run as its study gives them, without the rest of the study."""
    plain = dataclasses.replace(config, twin=None, shuffle_targets=[], merge=None, merge_runs=[])
    return StudyExamples(plain)


def _train(cell: Cell, threads: int) -> None:
    import torch

    from multitask.runs.run import StoppedError
    from multitask.storage.system_errors import system_error

    torch.set_num_threads(threads)
    progress = Progress([cell], [cell.cost], done=0, jobs=1, partial=None)
    with live(progress.render, progress.line, every=30.0) as display, silence():

        def tell(what: str, value: Any = None) -> None:
            progress.evaluating(0) if what == "evaluate" else progress.step(0, int(value))
            display.update()

        try:
            data = load_examples(cell.config)
            progress.ready()
            progress.step(0, 0)
            finish_run(cell.config, cell.folder, cell.keep_model, data, tell)
        except StoppedError as stopped:
            raise TryAgainError(str(stopped)) from None
        except UserError:
            raise
        except Exception as error:
            if system_error(error) is None:
                note(cell.log, f"{heading(1)}\n{traceback.format_exc()}")
            raise
    with contextlib.suppress(OSError):
        cell.log.unlink(missing_ok=True)
    sys.stdout.flush()
