"""How far a training is, in a file of its run folder: for whoever looks at the folder, on this machine or another.

RUN/events/progress.json is there while the run is under way, and is written every few seconds. One that was killed
leaves it; one that ends well deletes it.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from multitask.errors import UserError
from multitask.runs.folder import read_run
from multitask.storage.json_files import read_json, write_json
from multitask.storage.locking import is_held
from multitask.terminal.training import TaskRow

EVERY = 2.0
"""Seconds between two times that it is written."""
SILENT = 600.0
"""Seconds without a word after which a process of another machine is not taken to be at work."""


class RunProgress(NamedTuple):
    """How far a training is."""

    step: int
    steps: int
    tasks: list[str]
    rows: list[int]
    """Training examples of each task."""
    metrics: list[str]
    """The primary one of each."""
    higher_is_better: list[bool]
    seen: list[list[float]]
    """[tasks, 4]: examples, input tokens, target tokens, summed loss in nats."""
    scores: dict[str, float | None]
    """Of the last evaluation, in the metrics' own units."""
    mean: float | None
    """Over tasks, of the last evaluation, in points."""
    evaluating: list[Any]
    """[task, rows done, rows] while it is evaluated; else empty."""
    began: float
    """When training began, in seconds of the clock."""
    start: int
    """The step that it began at."""
    written: float
    """When this was written."""


def progress_path(folder: Path) -> Path:
    """Where it is."""
    return folder / "events" / "progress.json"


def write_progress(folder: Path, progress: RunProgress) -> None:
    """Write it; a full disk does not end a training for it."""
    with contextlib.suppress(OSError):
        write_json(progress_path(folder), progress._asdict())


def read_progress(folder: Path) -> RunProgress | None:
    """How far the training in a folder is; None if none is under way, or nothing can be read."""
    try:
        found: Mapping[str, Any] = read_json(progress_path(folder), dict[str, Any])
        progress = RunProgress(**found)
        numbers = (progress.step, progress.steps, progress.began, progress.written)
        if not all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers):
            return None
    except (UserError, OSError, TypeError):
        return None
    return progress


def is_under_way(folder: Path, progress: RunProgress | None) -> bool:
    """Whether a process is at work in a run folder; `progress` is what was read there.

    Of another machine's process nothing is known but that it writes how far it is, as long as it lives.
    """
    held = is_held(folder)
    return (progress is not None and time.time() - progress.written < SILENT) if held is None else held


def finished_record(folder: Path) -> dict[str, Any] | None:
    """run.json of a finished run, which is taken at its word: what it wrote is checked when it is used."""
    try:
        record = read_run(folder)
    except UserError:
        return None
    return record if record.get("status") == "finished" else None


def delete_progress(folder: Path) -> None:
    """The run has ended."""
    with contextlib.suppress(OSError):
        progress_path(folder).unlink(missing_ok=True)


class ProgressWriter:
    """Writes it while a run trains.

    Args:
        folder: The run folder.
        enabled: Whether this is the process that writes.
    """

    def __init__(self, folder: Path, *, enabled: bool) -> None:
        self._folder, self._enabled, self._last = folder, enabled, -math.inf
        self._tasks: Sequence[TaskRow] = ()
        self._names: Sequence[str] = ()
        self._now = RunProgress(0, 0, [], [], [], [], [], {}, None, [], 0.0, 0, 0.0)

    def describe(self, names: Sequence[str], tasks: Sequence[TaskRow]) -> None:
        """Say which tasks are trained."""
        self._names, self._tasks = names, tasks

    def score(self, values: Mapping[str, float], mean: float) -> None:
        """Take the scores of an evaluation, in the metrics' own units, and their mean in points."""
        if self._enabled:
            self._now = self._now._replace(scores=dict(values), mean=mean)

    def end(self) -> None:
        """The run has ended well."""
        if self._enabled:
            delete_progress(self._folder)

    def callback(self) -> Any:
        """A callback of Lightning's that feeds it."""
        import pytorch_lightning as pl

        writer = self

        class WriteProgress(pl.Callback):
            """Looks at what is counted on the CPU anyway."""

            def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
                writer._begin(trainer.global_step, trainer.max_steps)
                writer._write(trainer, pl_module)

            def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
                if time.monotonic() - writer._last >= EVERY:
                    writer._write(trainer, pl_module)

            def on_validation_batch_end(
                self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
            ) -> None:
                if time.monotonic() - writer._last >= EVERY:
                    writer._write(trainer, pl_module, [writer._names[batch.task_id], 0, 0])

            def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
                writer._write(trainer, pl_module, ["", 0, 0])

        return WriteProgress()

    def _begin(self, step: int, steps: int) -> None:
        tasks = self._tasks
        self._now = self._now._replace(
            step=step,
            steps=steps,
            tasks=list(self._names),
            rows=[t.rows for t in tasks],
            metrics=[t.metric for t in tasks],
            higher_is_better=[t.higher_is_better for t in tasks],
            began=time.time(),
            start=step,
        )

    def _write(self, trainer: Any, module: Any, evaluating: Sequence[Any] = ()) -> None:
        self._last = time.monotonic()
        if not self._enabled:
            return
        self._now = self._now._replace(
            step=trainer.global_step,
            seen=(module.counted() * trainer.world_size).tolist(),
            evaluating=list(evaluating),
            written=time.time(),
        )
        write_progress(self._folder, self._now)
