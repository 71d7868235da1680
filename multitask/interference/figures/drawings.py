"""How effects are drawn: matrix and forest. `multitask.interference.figures.figures` says when, and in which style.

Colour says what the evidence supports, as `evidence` has it, and never how large an effect is.

Words
    axes    matplotlib's word for one panel
    band    what counts as equal: from −margin to margin
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from multitask.interference.figures.canvas import add_titles, blank_figure, text_width
from multitask.interference.figures.palette import BAND, FILLS, GAIN, INK, LINE, LOSS, MUTED, PAPER, SINGLE
from multitask.interference.results.learned import unlearned_tasks
from multitask.interference.results.lookup import (
    BUDGETS,
    SYMBOLS,
    confidence,
    effects_of,
    measured,
    primary,
    score_of,
    short,
    unit_of_metric,
    units_of,
)
from multitask.interference.results.ranges import inside, range_of
from multitask.interference.results.record import Effect, StudyRecord
from multitask.interference.tables.cells import UNDEFINED
from multitask.interference.tables.evidence import Evidence, evidence
from multitask.tables.numbers import MISSING, interval, plain, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = (34, 90)
"""The forest takes one column more beyond so many rows."""
PLOT, ROW, HEADING, AXIS = 2.6, 0.2, 0.25, 0.42
"""Inches: width of a forest's axes; heights of a row, of a task's heading, and of what stands under its rows."""


def draw_matrix(record: StudyRecord, kind: str, match: str) -> Figure | None:
    """Matrix of `pair` or `without` effects; row: the task evaluated, column: its companion."""
    from matplotlib.patches import Rectangle

    metrics, not_learned = primary(record), unlearned_tasks(record)
    effects = {(e["task"], e["companion"]): e for e in effects_of(record, kind, match, metrics)}
    if not measured(list(effects.values())):
        return None
    names, n = list(metrics), len(metrics)
    longest = max(len(short(name)) for name in names)
    figure, (ax,) = blank_figure(max(4.6, 1.02 * n + 0.075 * longest + 0.9), 0.56 * n + (2.2 if longest <= 12 else 3.0))
    looks: dict[str, None] = {}
    for y, task in enumerate(names):
        for x, companion in enumerate(names):
            if task == companion:
                score = score_of(record, task, "single", match, metrics[task])
                fill, ink = PAPER, INK
                lines = _score_lines(score["mean"] if score else None, score["sd"] if score else None)
                hatch = None
            else:
                effect = effects.get((task, companion))
                claim = evidence(effect, not_learned)
                looks[claim.look] = None
                fill, ink = FILLS.get(claim.look, (PAPER, MUTED))
                lines = _effect_lines(effect, claim)
                hatch = "////" if claim.look in ("missing", "undefined") else None
            bold = task == companion or lines[0].endswith(("▲", "▼", "="))
            edge = LINE if task != companion else PAPER
            ax.add_patch(
                Rectangle((x - 0.48, y - 0.47), 0.96, 0.94, facecolor=fill, edgecolor=edge, hatch=hatch, linewidth=0.6)
            )
            ax.text(
                *(x, y - (0.16 if lines[1] else 0), lines[0]),
                ha="center",
                va="center",
                color=ink,
                weight="bold" if bold else "normal",
            )
            ax.text(x, y + 0.22, lines[1], ha="center", va="center", color=ink, fontsize=7)
    ax.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5))
    under = {name: "\nnot learned" if name in not_learned else f"\n{metrics[name]}" for name in names}
    ax.set_yticks(range(n), [short(name) + under[name] for name in names])
    ax.set_xticks(range(n), [short(name) for name in names])
    ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    if longest > 12:
        for label in ax.get_xticklabels():
            label.set(rotation=40, ha="left", va="bottom", rotation_mode="anchor")
    ax.spines[:].set_visible(False)
    title = (
        "Pairs: what the task of a column does to the task of a row"
        if kind == "pair"
        else "Leave one out: what the task of a column does to the task of a row in the company of all others"
    )
    said = ", ".join(_WORDS[look] for look in _WORDS if look in looks)
    add_titles(
        figure,
        title,
        f"Δ in {units_of(primary(record))} at {BUDGETS[match]}, {confidence(record)} intervals: {said}. "
        "Diagonal: the task alone ± sd over seeds.",
    )
    return figure


_WORDS = {
    "gain": "▲ gain",
    "loss": "▼ loss",
    "equal": "= equal",
    "none": "grey no evidence",
    "one-seed": "grey 1 seed, no verdict",
    "few-rows": "grey not judged, for too few rows differ",
    "unlearned": "white not judged, for the task was not learned",
    "undefined": f"{UNDEFINED} undefined",
    "missing": f"{MISSING} not measured",
}


def _effect_lines(effect: Effect | None, claim: Evidence) -> tuple[str, str]:
    if effect is None:
        return MISSING, ""
    if claim.look == "undefined":
        return UNDEFINED, ""
    digits, _ = unit_of_metric(effect["metric"])
    ends = interval(effect["low"], effect["high"], digits) if effect["low"] is not None else ""
    return f"{signed(effect['delta'], digits)} {claim.mark}".strip(), ends


def _score_lines(mean: float | None, sd: float | None) -> tuple[str, str]:
    return (plain(mean, 1), "" if mean is None or sd is None else f"± {plain(sd, 1)}")


class _Group(NamedTuple):
    """A task's part of the forest."""

    task: str
    heading: str
    rows: list[tuple[str, Effect]]

    @property
    def height(self) -> float:
        """In inches."""
        return HEADING + ROW * len(self.rows) + AXIS


def draw_forest(record: StudyRecord) -> Figure | None:
    """Effects of company and pairs with their intervals; every task has an axis of its own."""
    from matplotlib.figure import Figure

    lead = record["setting"]["match"][0]
    not_learned = unlearned_tasks(record)
    groups = [group for task in primary(record) if (group := _group(record, task, not_learned)).rows]
    if not groups:
        return None
    columns = _columns(groups)
    rows = [row for group in groups for row in group.rows]
    left = max(text_width(label, 9.0) for label, _ in rows) + 0.2
    right = max(text_width(_numbers(e), 7.5) for _, e in rows) + 0.22
    width = len(columns) * (left + PLOT + right) + 0.1
    one_seed = len(record["setting"]["seeds"]) == 1
    marks = "1 seed: evaluation noise only, no verdict. " if one_seed else "▲ gain, ▼ loss, ■ equal, ○ no evidence. "
    figure = Figure((width, 1.0))
    titles = (
        "Effects of company, against the task alone",
        f"Δ in {units_of(primary(record))}, {confidence(record)} intervals, an axis for each task. {marks}Grey band: "
        "what counts as equal. "
        f"An arrowhead: beyond the metric's range. Pairs at {BUDGETS[lead]}.",
    )
    top = add_titles(figure, *titles)
    height = top + max(sum(g.height for g in column) for column in columns) + 0.05
    for text in list(figure.texts):
        text.remove()
    figure.set_figheight(height)
    add_titles(figure, *titles)
    for i, column in enumerate(columns):
        x, y = i * (left + PLOT + right) + 0.05, top
        for group in column:
            figure.text(x / width, 1 - (y + 0.04) / height, group.heading, va="top", weight="bold")
            tall = ROW * len(group.rows)
            place = ((x + left) / width, 1 - (y + HEADING + tall) / height, PLOT / width, tall / height)
            _forest_axes(figure.add_axes(place), record, group, not_learned)
            y += group.height
    return figure


def _group(record: StudyRecord, task: str, not_learned: frozenset[str]) -> _Group:
    lead, *others = record["setting"]["match"]
    metric = primary(record)[task]
    one = {task: metric}
    found = [
        (f"all, {BUDGETS[m]} ({SYMBOLS[m]})", e) for m in (lead, *others) for e in effects_of(record, "company", m, one)
    ]
    found += [("dilution (C − I)", e) for e in effects_of(record, "dilution", None, one)]
    found += [(f"+ {short(e['companion'] or '')}", e) for e in effects_of(record, "pair", lead, one)]
    said = f"{metric}, not learned: not judged" if task in not_learned else metric
    return _Group(task, f"{short(task)} ({said})", [(label, e) for label, e in found if e["delta"] is not None])


def _columns(groups: list[_Group]) -> list[list[_Group]]:
    """Whole tasks, side by side, so that no column is much longer than a page."""
    count = sum(len(group.rows) + 1 for group in groups)
    wanted = min(1 + sum(count > n for n in COLUMNS), len(groups))
    limit = max(sum(g.height for g in groups) / wanted, *(g.height for g in groups)) if len(groups) > 1 else 0.0
    columns: list[list[_Group]] = [[]]
    for group in groups:
        if columns[-1] and sum(g.height for g in columns[-1]) + group.height / 2 > limit:
            columns.append([])
        columns[-1].append(group)
    return columns


def _numbers(e: Effect) -> str:
    return f"{signed(e['delta'])} {interval(e['low'], e['high'])}" if e["low"] is not None else signed(e["delta"])


def _forest_axes(ax: Axes, record: StudyRecord, group: _Group, not_learned: frozenset[str]) -> None:
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import MaxNLocator

    looks = {"gain": ("^", GAIN, GAIN), "loss": ("v", LOSS, LOSS), "equal": ("s", SINGLE, SINGLE)}
    of_task = range_of(record, group.task)
    ends = [v for _, e in group.rows for v in (*inside(e, of_task), e["delta"]) if v is not None]
    span = max(0.0, *ends) - min(0.0, *ends) or 1.0
    low, high = min(0.0, *ends) - 0.06 * span, max(0.0, *ends) + 0.06 * span
    margin = next((e["margin"] for _, e in group.rows if e["margin"] is not None), None)
    if margin is not None:
        ax.add_patch(Rectangle((-margin, -0.5), 2 * margin, len(group.rows), facecolor=BAND, zorder=0))
    ax.axvline(0, color=MUTED, linewidth=0.8)
    at = ax.get_yaxis_transform()
    for y, (label, e) in enumerate(group.rows):
        marker, edge, face = looks.get(evidence(e, not_learned).look, ("o", MUTED, PAPER))
        left, right = inside(e, of_task)
        if left is not None and right is not None:
            ax.plot([left, right], [y, y], color=edge, linewidth=1.4, solid_capstyle="butt")
            for end, whole, arrow in ((left, e["low"], "<"), (right, e["high"], ">")):
                if end != whole:
                    ax.plot([end], [y], marker=arrow, linestyle="none", markersize=4.5, color=edge)
        ax.plot(
            [e["delta"] or 0.0],
            [y],
            marker=marker,
            linestyle="none",
            markersize=5.5,
            markerfacecolor=face,
            markeredgecolor=edge,
        )
        ax.text(-0.02, y, label, ha="right", va="center", transform=at)
        ax.text(1.03, y, _numbers(e), va="center", fontsize=7.5, transform=at)
    ax.set(xlim=(low, high), ylim=(len(group.rows) - 0.5, -0.5))
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.tick_params(axis="x", labelsize=7.5, length=2.5)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
