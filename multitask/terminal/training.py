"""The view of a training while it runs: a row a task, below them one bar.

     task   loss   trend              examples  epochs  metric    score  baseline
     span   1.653  █▇▆▅▄▃▃▂▂▂▁▁          1,920    0.96  jaccard   0.389     0.521
     sst2   0.712  ████▇▇▆▅▅▄▃▂          1,920    0.96  accuracy  0.505     0.500
     ━━━━━━━━━━━━━━━━━━━━━━╸────────────  step 31/60  4,147 tokens/s  0:12 left

It is given what is counted for mix.json anyway, and computes the rest when it is drawn. Where there are more tasks than
lines, several stand in one; where a window is narrow, columns are left out, never a part of a number.

Words
    loss     the task's own, a target token, in nats: an exponential mean over about `HORIZON` steps
    trend    the same over the whole training so far, each task on a scale of its own
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from multitask.terminal.counting import duration

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.text import Text

SAMPLE = 0.2
"""Seconds between two looks at what was counted, at least."""
HORIZON = 20.0
"""Steps after which a loss has lost 1 − 1/e of its weight."""
BINS = 240
"""Of the training, for the trend."""
SPARKS = "▁▂▃▄▅▆▇█"
ROWS = 12
"""Tasks that have a row of their own, at most; more stand side by side."""
GAP = 2


@dataclass
class TaskRow:
    """A task as it is known before training."""

    name: str
    """Fit for a terminal."""
    rows: int
    """Training examples."""
    metric: str = ""
    """The primary one."""
    higher_is_better: bool = True
    score: float = math.nan
    """Its last value, in the metric's own unit."""
    baseline: float = math.nan


class TrainingView:
    """The state of a training as it is shown; `multitask.training.progress_bar` feeds it."""

    def __init__(self) -> None:
        self.tasks: list[TaskRow] = []
        self.done = False
        """Over: the last frame leaves out the scores, as a table of them follows."""

    def begin(self, tasks: Sequence[TaskRow], seen: np.ndarray, start: int, steps: int, processes: int = 1) -> None:
        """Training begins.

        Args:
            tasks: In the order of `seen`.
            seen: [tasks, 4] examples, input tokens, target tokens and summed loss that a resumed run had counted.
            start: Steps that were made before.
            steps: The last one's number.
            processes: How many train together: what this one counts is multiplied by it.
        """
        now = time.monotonic()
        self.tasks = list(tasks)
        self.start, self.steps, self.processes = start, steps, processes
        self.step = self._counted = start
        self._began = self._looked = self._first = now
        self._first_step = start
        self._paused = 0.0  # seconds that evaluations took
        self._pause: float | None = None
        self._before = seen.copy()
        self.seen = seen.copy()
        self._mean = np.zeros((len(tasks), 2))  # decayed sums of losses and target tokens
        self._bins = np.zeros((BINS, len(tasks), 2))
        self.evaluating: tuple[str, int, int] | None = None
        self.mean = math.nan

    def passed(self, seconds: float) -> None:
        """Training began so many seconds ago: who looks on from outside comes later."""
        self._began -= seconds
        self._first -= seconds

    # ---- what happens ----------------------------------------------------------------------------------------------

    def due(self, step: int) -> bool:
        """Whether `count` should be called after this step; costs less than a microsecond."""
        self.step = step
        return time.monotonic() - self._looked >= SAMPLE or step in (self.start + 1, self.steps)

    def count(self, seen: np.ndarray) -> None:
        """Look at what was counted since the last look: [tasks, 4], as in `begin`."""
        now = time.monotonic()
        if self.step == self.start + 1:  # the first step warms up, and says nothing of the others
            self._first, self._first_step = now, self.step
            self._paused = 0.0
        made = seen[:, [3, 2]] - self.seen[:, [3, 2]]
        self._mean = self._mean * math.exp((self._counted - self.step) / HORIZON) + made
        self._bins[self._bin()] += made
        self.seen, self._looked, self._counted = seen.copy(), now, self.step

    def evaluate(self, name: str, done: int, total: int) -> None:
        """Evaluation is at this task, with so many of its rows done."""
        if self._pause is None:
            self._pause = time.monotonic()
        self.evaluating = (name, done, total)

    def go_on(self) -> None:
        """Evaluation is over."""
        if self._pause is not None:
            self._paused += time.monotonic() - self._pause
        self._pause = self.evaluating = None

    def score(self, values: Mapping[str, tuple[float, float]], mean: float) -> None:
        """{task: (score, baseline)} of an evaluation, in the metric's own unit; and the mean over tasks, in points."""
        self.mean = mean
        for row in self.tasks:
            if row.name in values:
                row.score, row.baseline = values[row.name]

    # ---- what is shown ---------------------------------------------------------------------------------------------

    def losses(self) -> list[float]:
        """Each task's loss a target token now; NaN before its first."""
        return [float(nll / tokens) if tokens > 0 else math.nan for nll, tokens in self._mean]

    def trend(self, task: int, width: int) -> str:
        """The task's loss over the training so far, in `width` characters at most."""
        made = self._bins[self._bins.any(axis=(1, 2)), task]
        width = min(width, len(made))
        edges = np.linspace(0, len(made), width + 1).round().astype(int)
        sums = np.array([made[a:b].sum(0) for a, b in itertools.pairwise(edges)])
        return spark([nll / tokens if tokens > 0 else math.nan for nll, tokens in sums])

    def _bin(self) -> int:
        return min(BINS * max(self.step - 1, 0) // max(self.steps, 1), BINS - 1)

    def speed(self) -> tuple[float, float]:
        """Real tokens a second, and seconds a step, both without evaluations."""
        now = self._looked if self.step >= self.steps else (self._pause or time.monotonic())
        now -= self._paused
        tokens = float((self.seen - self._before)[:, 1:3].sum()) * self.processes
        made = self.step - self._first_step
        each = (now - self._first) / made if made > 0 else math.nan
        return tokens / max(now - self._began, 1e-9), each

    def where(self) -> list[str]:
        """The step, the speed and the time that is left, in words."""
        tokens, each = self.speed()
        if self.done:
            spent = time.monotonic() - self._began
            return [f"step {self.step:,}/{self.steps:,}", f"{tokens:,.0f} tokens/s", duration(spent)]
        left = each * (self.steps - self.step)
        words = [f"step {self.step:,}/{self.steps:,}", f"{tokens:,.0f} tokens/s"]
        if self.evaluating:
            name, done, total = self.evaluating
            words.append(f"evaluating {name} {done:,}/{total:,}")
        elif math.isfinite(self.mean) and len(self.tasks) > 1:
            words.append(f"mean score {self.mean:.1f}")
        if self.step < self.steps:
            words.append(f"{duration(left) if math.isfinite(left) else '…'} left")
        return words

    def line(self) -> str:
        """All of it in one line, for a file or pipe."""
        step, tokens, *more = self.where()
        losses = [f"{row.name} {short(loss)}" for row, loss in zip(self.tasks, self.losses(), strict=True)]
        shown = losses if len(losses) <= 6 else [f"{len(losses)} tasks"]
        nll, target = self._mean.sum(0)
        mean = short(nll / target) if target > 0 else "·"
        each = [f"({', '.join(shown)})"] if len(losses) > 1 else []
        return "  ".join([step, f"loss {mean}", *each, tokens, *more])

    def render(self) -> TrainingView:
        """Itself, which rich can render."""
        return self

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self.tasks:
            return
        width, ascii_only = options.max_width, options.ascii_only
        lines = max(console.height - 6, 1) if console.is_terminal else 1000
        many = len(self.tasks) > min(ROWS, lines)
        yield from _in_cells(self, width, lines, ascii_only) if many else _in_rows(self, width, ascii_only)
        yield _bar(self, width, ascii_only)


# ------------------------------------------------------------------------------------------------------------- drawing


class _Column(NamedTuple):
    head: str
    cells: list[Any]
    """Texts, or (text, style)."""
    left: bool = False
    leaves: int = 0
    """Which go first where there is no room: the largest; 0 stays."""


def _in_rows(view: TrainingView, width: int, ascii_only: bool) -> list[Text]:
    """A row a task."""
    from rich.text import Text

    tasks = view.tasks
    examples = (view.seen[:, 0] - view._before[:, 0]) * view.processes + view._before[:, 0]
    scored = not view.done and any(math.isfinite(t.score) for t in tasks)
    columns = [
        _Column("task", [_cut(t.name, max(width // 5, 12)) for t in tasks], left=True),
        _Column("loss", [short(v) for v in view.losses()]),
        _Column("examples", [f"{int(n):,}" for n in examples], leaves=5),
        _Column(
            "epochs", [f"{n / t.rows:.2f}" if t.rows else "·" for n, t in zip(examples, tasks, strict=True)], leaves=2
        ),
    ]
    if scored:
        columns += [
            _Column("metric", [t.metric for t in tasks], left=True, leaves=4),
            _Column("score", [(short(t.score), _style(t)) for t in tasks]),
            _Column("baseline", [short(t.baseline) for t in tasks], leaves=1),
        ]
    trend = 0
    while True:
        widths = [max(_cells(c.head), *(_cells(_text(x)) for x in c.cells)) for c in columns]
        left = width - 1 - sum(widths) - GAP * len(widths)
        trend = 0 if ascii_only else min(left - GAP, 40)
        if trend >= 8 or (ascii_only and left >= 0) or not any(c.leaves for c in columns):
            break
        columns.remove(max((c for c in columns if c.leaves), key=lambda c: c.leaves))
    if trend >= 5:
        columns.insert(2, _Column("trend", [view.trend(i, trend) for i in range(len(tasks))], left=True))
        widths.insert(2, trend)
    if sum(widths) + GAP * len(widths) + 1 > width:  # a long name in a narrow window
        widths[0] = max(width - 1 - sum(widths[1:]) - GAP * len(widths), 4)
    made = [Text(" ", no_wrap=True, overflow="crop")]
    for column, room in zip(columns, widths, strict=True):
        made[0].append(_fit(column.head, room, column.left), style="dim").append(" " * GAP)
    for i in range(len(tasks)):
        row = Text(" ", no_wrap=True, overflow="crop")
        for column, room in zip(columns, widths, strict=True):
            cell = column.cells[i]
            row.append(_fit(_text(cell), room, column.left), style=_style_of(column, cell)).append(" " * GAP)
        made.append(row)
    for row in made:
        row.rstrip()
    return made


def _in_cells(view: TrainingView, width: int, lines: int, ascii_only: bool) -> list[Text]:
    """Several tasks in a line: name, loss, trend and score of each."""
    from rich.text import Text

    tasks, losses = view.tasks, view.losses()
    scored = not view.done and any(math.isfinite(t.score) for t in tasks)
    name = min(max(_cells(t.name) for t in tasks), 14)
    room = name + 1 + 6 + (0 if ascii_only else 7) + (7 if scored else 0)
    across = max((width - 1 + GAP) // (room + GAP), 1)
    down = -(-len(tasks) // across)
    shown = min(down, lines if down <= lines else lines - 1)
    made = []
    for i in range(max(shown, 1)):
        row = Text(" ", no_wrap=True, overflow="crop")
        for at in range(i, len(tasks), down):
            task = tasks[at]
            row.append(_fit(task.name, name, True)).append(_fit(short(losses[at]), 7, False), style="bold")
            if not ascii_only:
                row.append(" " + _fit(view.trend(at, 6), 6, True), style="cyan")
            if scored:
                row.append(_fit(short(task.score), 7, False), style=_style(task))
            row.append(" " * GAP)
        row.rstrip()
        made.append(row)
    if shown < down:
        made.append(Text(f" … {len(tasks) - shown * len(range(0, len(tasks), down))} more tasks", style="dim"))
    return made


def _bar(view: TrainingView, width: int, ascii_only: bool) -> Text:
    """The bar, and beside it where the training is."""
    from rich.text import Text

    words = view.where()
    said = "  ".join(words)
    while len(words) > 1 and _cells(said) > width - 4:
        words.pop(1 if len(words) > 2 else 0)
        said = "  ".join(words)
    room = min(width - 3 - GAP - _cells(said), 60)
    made = Text(" ", no_wrap=True, overflow="crop")
    if room >= 5:
        part = min(max((view.step / view.steps) if view.steps else 0.0, 0.0), 1.0)
        full = int(part * room)
        full_mark, rest_mark = ("#", "-") if ascii_only else ("━", "─")
        made.append(full_mark * full, style="green" if view.done else "cyan").append(
            rest_mark * (room - full), style="dim"
        )
        made.append(" " * GAP)
    return made.append(said)


def _style(task: TaskRow) -> str:
    """The style of a score beside its baseline; the numbers stand there too."""
    difference = task.score - task.baseline
    if not math.isfinite(difference) or difference == 0:
        return ""
    return "green" if (difference > 0) == task.higher_is_better else "yellow"


def _style_of(column: _Column, cell: Any) -> str:
    if isinstance(cell, tuple):
        return str(cell[1])
    return {"loss": "bold", "trend": "cyan", "task": ""}.get(column.head, "dim")


def _text(cell: Any) -> str:
    return str(cell[0] if isinstance(cell, tuple) else cell)


def _cells(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _cut(text: str, room: int) -> str:
    from rich.cells import set_cell_size

    return text if _cells(text) <= room else set_cell_size(text, max(room - 1, 0)) + "…"


def _fit(text: str, room: int, left: bool) -> str:
    text = _cut(text, room)
    size = _cells(text)
    return text + " " * (room - size) if left else " " * (room - size) + text


def short(value: float) -> str:
    """A number in six characters or fewer, if it is below a million; `·` for none.

    >>> short(0.51234), short(12.3456), short(1234.5), short(float("nan"))
    ('0.512', '12.35', '1,234', '·')
    """
    if not math.isfinite(value):
        return "·"
    size = abs(value)
    return (
        f"{value:.3f}"
        if size < 10
        else f"{value:.2f}"
        if size < 100
        else f"{value:.1f}"
        if size < 1000
        else f"{value:,.0f}"
    )


def spark(values: Sequence[float]) -> str:
    """A character a value, from the lowest to the highest of them; a space where there is none.

    >>> spark([3.0, 2.0, float("nan"), 1.0])
    '█▅ ▁'
    """
    known = [v for v in values if math.isfinite(v)]
    if not known:
        return ""
    low, high = min(known), max(known)
    scale = (len(SPARKS) - 1) / (high - low) if high > low else 0.0
    return "".join(SPARKS[int((v - low) * scale + 0.5)] if math.isfinite(v) else " " for v in values)
