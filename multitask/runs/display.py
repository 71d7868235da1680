"""The display of a run while it trains and is evaluated."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence

from multitask.evaluation.baselines import score_baselines
from multitask.mixing.prepare import PlannedMixture
from multitask.runs.progress_file import ProgressWriter
from multitask.task import Example
from multitask.terminal.escaping import visible
from multitask.terminal.live import Display, live
from multitask.terminal.training import TaskRow
from multitask.training.progress_bar import TrainProgress


class RunDisplay:
    """One display of training and evaluation, which Lightning's events feed.

    Args:
        shown: Whether it is shown at all: in the first process, and if progress is wanted.
        file: What writes the same into the run folder.
    """

    def __init__(self, *, shown: bool, file: ProgressWriter) -> None:
        self.shown, self.file = shown, file
        self.events = TrainProgress()
        """A callback for the Trainer."""
        self._display: Display | None = None
        self._baselines: dict[str, float] = {}

    @property
    def is_rewritten(self) -> bool:
        """Whether it stands in place, so that scores are shown in it; else they are lines."""
        return self._display is not None and self._display.rewritten

    @contextlib.contextmanager
    def show(self) -> Iterator[None]:
        """Show what goes on inside."""
        if not self.shown:
            yield
            return
        view = self.events.view
        with live(view.render, view.line, every=20.0, keep=True) as self._display:
            self.events.display = self._display
            yield

    def describe_tasks(self, mix: PlannedMixture, watched: Mapping[str, Sequence[Example]]) -> None:
        """Say which tasks are trained, and how many rows of each evaluation during training looks at."""
        self.events.tasks = [
            TaskRow(
                visible(name),
                len(mix.data[name].train),
                task.primary.name,
                higher_is_better=task.primary.higher_is_better,
            )
            for name, task in mix.tasks.items()
        ]
        self.file.describe(list(mix.data), self.events.tasks)
        self.events.watched = {visible(name): len(part) for name, part in watched.items()}

    def show_scores(
        self, values: Mapping[str, float], mean: float, watched: Mapping[str, Sequence[Example]], mix: PlannedMixture
    ) -> None:
        """Show scores of the watched rows beside what an answer without a model scores, which is worked out once."""
        for name, part in watched.items():
            if name not in self._baselines:
                task = mix.tasks[name]
                found = score_baselines(task, mix.data[name].train, part)
                self._baselines[name] = found[0].metrics.get(task.primary.name, math.nan) if found else math.nan
        self.events.view.score({visible(n): (values[n], self._baselines[n]) for n in watched}, mean)

    def finish(self) -> None:
        """Show that all is done."""
        self.events.view.done = True
