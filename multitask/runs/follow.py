"""A run seen from outside, by its folder alone: the view of its training, as its own terminal shows it."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np

from multitask.errors import UserError
from multitask.runs.progress_file import RunProgress, finished_record, is_under_way, read_progress
from multitask.terminal.counting import duration
from multitask.terminal.escaping import visible
from multitask.terminal.live import live
from multitask.terminal.output import say
from multitask.terminal.training import TaskRow, TrainingView

EVERY = 1.0
"""Seconds between two looks at the folder."""


def watch_run(folder: Path) -> None:
    """Show how far a run is until it ends; Ctrl-C ends the looking alone.

    Raises:
        UserError: If there is no run in the folder.
    """
    if not (folder / "config.yaml").is_file():
        raise UserError(
            f"{folder} is neither a run folder nor a study folder: it has no config.yaml and no cells.json."
        )
    follow = _Follow(folder)
    if follow.look():
        view = follow.view
        with live(view.render, view.line, every=20.0, keep=True) as display:
            display.update(now=True)
            while follow.look():
                display.update()
                time.sleep(EVERY)
    say(_ending(folder))


def _ending(folder: Path) -> str:
    record = finished_record(folder)
    if record is not None:
        took = duration(float(record.get("seconds") or 0))
        return f"{folder} is finished ({took}): multitask report {folder} shows its scores"
    progress = read_progress(folder)
    where = f" at step {progress.step:,} of {progress.steps:,}" if progress else ""
    return f"{folder}: no process is at work on it{where}; multitask train --resume {folder} goes on"


class _Follow:
    """Feeds the view from the file of progress."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.view = folder, TrainingView()
        self._began: float | None = None
        self._written = 0.0

    def look(self) -> bool:
        """Look at the folder; whether the run is under way."""
        if finished_record(self.folder) is not None:
            return False
        found = read_progress(self.folder)
        if not is_under_way(self.folder, found):
            return False
        if found is None:  # it loads its data, or has not begun to train
            return True
        if self._began != found.began:
            self._begin(found)
        if found.written != self._written:
            self._written = found.written
            self._take(found)
        return True

    def _begin(self, found: RunProgress) -> None:
        self._began = found.began
        rows = zip(found.tasks, found.rows, found.metrics, found.higher_is_better, strict=True)
        tasks = [TaskRow(visible(name), int(n), metric, higher_is_better=up) for name, n, metric, up in rows]
        self.view.begin(tasks, np.zeros((len(tasks), 4)), found.start, found.steps)
        self.view.passed(time.time() - found.began)

    def _take(self, found: RunProgress) -> None:
        view = self.view
        view.step = found.step
        view.count(np.asarray(found.seen, float))
        scores = {visible(n): (math.nan if v is None else v, math.nan) for n, v in found.scores.items()}
        if scores:
            view.score(scores, math.nan if found.mean is None else found.mean)
        if found.evaluating:
            view.evaluate(*found.evaluating[:3])
        else:
            view.go_on()
