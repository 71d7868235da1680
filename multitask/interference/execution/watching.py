"""A study that is under way, as a terminal, a notebook or a pipe shows it.

    models 12/35 ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╺━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ 3:20 left
    Δ so far         alone    span    sst2  tweet_s…ment    all
    span              84.0            −3.1          −3.3   −2.7
    sst2              69.2   −14.8                     ·      ·
    …
    points, equal exposure; means over finished seeds (grey: not yet all 5); verdicts come last
    joint seed 2             step 230/500  46 %
    pair-span-sst2 seed 2    evaluating

The matrix is grey as long as some seeds are missing, and never has a verdict's colour: no verdict is given before all
models are there. Too narrow for its columns, it keeps what the joint run does and the ends of the others; too low for
its rows, it counts the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from multitask.interference.design.arms import Arm
from multitask.interference.execution.partial import Partial, SoFar
from multitask.interference.results.lookup import BUDGETS
from multitask.tables.numbers import MISSING, plain, signed
from multitask.terminal.counting import duration
from multitask.terminal.escaping import visible
from multitask.terminal.width import shorten

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.text import Text

TRAINED = 0.9
"""The part of a run's cost that training is; the rest is its evaluation."""
GAP, NUMBER, NAME = 2, 6, 24
"""Columns between columns, of a number, of a task's name at most."""
SOON, MODEL = 5.0, 0.05
"""Seconds, and models, before which nothing is said of the time that is left: the first steps are slow."""


class Work(NamedTuple):
    """A model under way."""

    step: int
    evaluating: bool = False


class Model(Protocol):
    """What is shown of a model: a run of a study, as its program or its cells.json has it."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def steps(self) -> int:
        """Optimizer steps."""

    @property
    def seed(self) -> int:
        """Of the run."""

    @property
    def folder(self) -> Path:
        """Of the run."""


class Progress:
    """Which models are done, under way and to come.

    Args:
        runs: Those that are to be trained.
        costs: Of each, in any unit.
        done: Models that were there already.
        jobs: Processes that train.
        partial: Differences so far; None where the models make up no table (trials of learning rates).
        arms: Of each model, for the differences.
    """

    def __init__(
        self,
        runs: Sequence[Model],
        costs: Sequence[float],
        *,
        done: int,
        jobs: int,
        partial: Partial | None,
        arms: Sequence[Arm] = (),
    ) -> None:
        self.runs, self.costs, self.jobs, self.partial = runs, costs, jobs, partial
        self.arms = arms
        self.done, self.total = done, done + len(runs)
        self.spent = 0.0
        self.running: dict[int, Work] = {}
        self.began: float | None = None
        """When the first process had loaded the data."""

    def ready(self) -> None:
        """A process has loaded the data."""
        if self.began is None:
            self.began = time.monotonic()

    def step(self, number: int, step: int) -> None:
        """A model has done so many steps; 0 when it begins."""
        self.running[number] = Work(step)

    def evaluating(self, number: int) -> None:
        """A model is trained, and being evaluated."""
        self.running[number] = Work(self.steps(number), evaluating=True)

    def finished(self, number: int) -> None:
        """A model is done."""
        self.running.pop(number, None)
        self.spent += self.costs[number]
        self.done += 1
        if self.partial is not None:
            run = self.runs[number]
            self.partial.add(self.arms[number], run.seed, run.folder)

    def dropped(self, number: int) -> None:
        """A model failed; it may come again."""
        self.running.pop(number, None)

    def steps(self, number: int) -> int:
        """The number of steps of a model, in all."""
        return self.runs[number].steps

    def part(self, number: int, work: Work) -> float:
        """How much of a model is done."""
        return TRAINED * min(work.step / max(self.steps(number), 1), 1.0)

    @property
    def share(self) -> float:
        """How much of what there was to train is done, by cost."""
        made = self.spent + sum(self.costs[i] * self.part(i, work) for i, work in dict(self.running).items())
        total = sum(self.costs)
        return min(made / total, 1.0) if total > 0 else 1.0

    @property
    def left(self) -> str:
        """The time that is left, as far as it can be known."""
        passed = 0.0 if self.began is None else time.monotonic() - self.began
        share = self.share
        known = passed > SOON and share * len(self.runs) > MODEL
        return f"{duration(passed / share * (1 - share))} left" if known else "… left"

    def line(self) -> str:
        """All in one line, for a pipe."""
        now = sorted(dict(self.running).items())
        shown = ", ".join(f"{self.runs[i].name} {100 * self.part(i, work):.0f} %" for i, work in now)
        return visible(f"models {self.done}/{self.total}  {self.left}  {shown}")

    def render(self) -> View:
        """All of it, for any width and height."""
        return View(self)


class View:
    """A study under way, drawn by rich in the width and height that there is."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The bar, the matrix, the models under way."""
        width, height = options.max_width, max((options.height or console.height) - 1, 3)
        work = list(self._work(width, max(2, height // 3)))
        yield self._bar(width)
        yield from self._matrix(width, height - 1 - len(work))
        yield from work

    def _bar(self, width: int) -> Text:
        from rich.text import Text

        p = self.progress
        head, tail = f"models {p.done}/{p.total} ", f" {p.left}"
        room = width - len(head) - len(tail)
        done = round(room * p.share)
        bar = Text(no_wrap=True).append(head, style="bold")
        if room > 4:
            bar.append("━" * done, style="color(33)").append("━" * (room - done), style="dim")
        return bar.append(tail)

    def _work(self, width: int, rows: int) -> Iterator[Text]:
        """A line a model under way."""
        from rich.text import Text

        p = self.progress
        running = sorted(dict(p.running).items())
        if not running and p.began is None:
            many = f" in {p.jobs} processes" if p.jobs > 1 else ""
            yield Text(f"loading the data{many} …", style="dim")
        lines = []
        for number, work in running:
            steps = p.steps(number)
            doing = "evaluating" if work.evaluating else f"step {work.step:,}/{steps:,}"
            lines.append((visible(p.runs[number].name), doing, f"{100 * work.step / max(steps, 1):3.0f} %"))
        more = len(lines) - rows
        shown = lines if more <= 0 else lines[: rows - 1]
        longest = max((len(doing) for _, doing, _ in shown), default=0)
        room = max(width - longest - 5 - 2 * GAP, 8)
        names = [shorten(name, room) for name, _, _ in shown]
        wide = max(map(_cells, names), default=0)
        for name, (_, doing, percent) in zip(names, shown, strict=True):
            space = " " * (wide - _cells(name) + GAP)
            text = Text(f"{name}{space}{doing:<{longest}}", no_wrap=True)
            if doing == "evaluating":
                text.rstrip()
            else:
                text.append(f"{'':{GAP}}{percent}", style="dim")
            yield text
        if more > 0:
            yield Text(f"and {len(lines) - len(shown)} more", style="dim")

    # ---- the matrix --------------------------------------------------------------------------------------------------

    def _matrix(self, width: int, rows: int) -> Iterator[Text]:
        from rich.text import Text

        partial = self.progress.partial
        if partial is None or not partial.kinds or rows < 4:
            return
        tasks = partial.design.tasks
        more = len(tasks) - (rows - 2)
        shown = tasks if more <= 0 else tasks[: rows - 3]
        heads, runs = self._columns(width, shown)
        names = [visible(task) for task in shown]
        wide = [max(_cells(head), NUMBER) for head in heads]
        room = width - sum(w + GAP for w in wide)
        key = max(min(max(map(_cells, [*names, "Δ so far"])), max(room, 8), NAME), 8)
        top = Text(_left("Δ so far", key), style="bold", no_wrap=True)
        for head, w in zip(heads, wide, strict=True):
            top.append(" " * (GAP + w - _cells(head)) + head)
        yield top
        for name, row in zip(names, runs, strict=True):
            line = Text(_left(shorten(name, key), key), no_wrap=True)
            for (text, style), w in zip(row, wide, strict=True):
                line.append(" " * (GAP + w - _cells(text))).append(text, style=style)
            yield line
        if more > 0:
            yield Text(f"and {len(tasks) - len(shown)} more tasks", style="dim")
        yield Text(shorten_end(self._legend(partial, "lowest" in heads), width), style="dim", no_wrap=True)

    def _columns(self, width: int, shown: Sequence[str]) -> tuple[list[str], list[list[tuple[str, str]]]]:
        """Heads, and for each task its runs: all companions where they fit, else the ends of their differences."""
        partial = self.progress.partial
        assert partial is not None
        tasks, kind = partial.design.tasks, partial.matrix
        alone = [[self._cell(partial.alone(t), plain)] for t in shown]
        joint = "company" in partial.kinds and not (len(tasks) == 2 and kind == "pair")  # there the pair is all
        all_ = [[self._cell(partial.effect("company", t))] if joint else [] for t in shown]
        ends = ["alone", *(["all"] if joint else [])]
        if kind is None:
            return ends, [a + b for a, b in zip(alone, all_, strict=True)]
        longest = max(_cells(visible(t)) for t in tasks)
        room = width - min(longest, NAME) - len(ends) * (NUMBER + GAP)
        if room < len(tasks) * (NUMBER + GAP):  # a shorter key leaves more to the columns
            room = width - min(longest, 10) - len(ends) * (NUMBER + GAP)
        each = room // len(tasks) - GAP
        if each >= NUMBER:
            heads = ["alone", *(shorten(visible(t), min(each, NAME)) for t in tasks), *ends[1:]]
            middle = [[("", "") if t == u else self._cell(partial.effect(kind, t, u)) for u in tasks] for t in shown]
            return heads, [a + m + b for a, m, b in zip(alone, middle, all_, strict=True)]
        found = [[e for u in tasks if u != t and (e := partial.effect(kind, t, u)) is not None] for t in shown]
        if len(ends) * (NUMBER + GAP) + 2 * (NUMBER + GAP + 1) + 8 > width:
            return ends, [a + b for a, b in zip(alone, all_, strict=True)]
        spread = [[self._cell(end(e, default=None)) for end in (min, max)] for e in found]
        return [*ends, "lowest", "highest"], [a + b + c for a, b, c in zip(alone, all_, spread, strict=True)]

    def _cell(self, so_far: SoFar | None, text: Callable[..., str] = signed) -> tuple[str, str]:
        if so_far is None:
            return MISSING, "dim"
        partial = self.progress.partial
        whole = partial is not None and so_far.seeds == len(partial.design.seeds)
        return text(so_far.value, 1), "" if whole else "dim"

    def _legend(self, partial: Partial, ends: bool) -> str:
        seeds = len(partial.design.seeds)
        budget = BUDGETS.get(partial.design.match[0], partial.design.match[0])
        several = f"means over finished seeds (grey: not yet all {seeds})" if seeds > 1 else "1 seed"
        companion = {"pair": "with one companion", "without": "of a task among all"}.get(partial.matrix or "", "")
        columns = f"{'lowest, highest' if ends else 'columns'}: {companion}" if companion else ""
        return "; ".join(filter(None, (f"points, {budget}", several, columns, "verdicts come last")))


def shorten_end(text: str, width: int) -> str:
    """Text of one line, its parts from the end left out until it fits.

    >>> shorten_end("points; 1 seed; verdicts come last", 16)
    'points; 1 seed'
    """
    while _cells(text) > width and "; " in text:
        text = text.rpartition("; ")[0]
    return text


def _left(text: str, width: int) -> str:
    return text + " " * (width - _cells(text))


def _cells(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)
