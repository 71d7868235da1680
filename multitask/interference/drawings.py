"""How effects are drawn: matrix and forest. `multitask.interference.figures` says when, and in which style.

Words
    axes    matplotlib's word for one panel
    band    what counts as equal: from −margin to margin
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from multitask.interference.canvas import add_titles, blank_figure
from multitask.interference.lookup import (
    BUDGETS,
    MISSING,
    SYMBOLS,
    confidence,
    effects_of,
    interval,
    measured,
    plain,
    primary,
    scale_limit,
    score_of,
    short,
    signed,
)
from multitask.interference.palette import (
    BAND,
    GAIN,
    LINE,
    LOSS,
    MARKS,
    MUTED,
    PAPER,
    SINGLE,
    diverging,
    ink_on,
)
from multitask.interference.record import Effect, StudyRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = (34, 90)
"""The forest takes one column more beyond so many rows."""


def draw_matrix(record: StudyRecord, kind: str, match: str) -> Figure | None:
    """Heat map of `pair` or `without` effects; row: the task evaluated, column: its companion."""
    from matplotlib.patches import Rectangle

    metrics = primary(record)
    effects = {(e["task"], e["companion"]): e for e in effects_of(record, kind, match, metrics)}
    if not measured(list(effects.values())):
        return None
    names, n = list(metrics), len(metrics)
    longest = max(len(short(name)) for name in names)
    limit = scale_limit(record, metrics)
    figure, (ax,) = blank_figure(max(4.6, 1.02 * n + 0.075 * longest + 0.9), 0.56 * n + (2.6 if longest <= 12 else 3.4))
    for y, task in enumerate(names):
        for x, companion in enumerate(names):
            effect = effects.get((task, companion))
            if task == companion:
                score = score_of(record, task, "single", match, metrics[task])
                fill, lines = BAND, _score_lines(score["mean"] if score else None, score["sd"] if score else None)
            elif effect is None or effect["delta"] is None:
                fill, lines = PAPER, (MISSING, "")
            else:
                fill = diverging(effect["delta"], limit)
                mark = MARKS.get(effect["verdict"] or "", "")
                lines = (f"{signed(effect['delta'], 1)} {mark}".strip(), interval(effect["low"], effect["high"], 1))
            ink = MUTED if fill == PAPER else ink_on(fill)
            hatch = "////" if lines[0] == MISSING else None
            ax.add_patch(
                Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=fill, edgecolor=LINE, hatch=hatch, linewidth=0.6)
            )
            ax.text(x, y - (0.16 if lines[1] else 0), lines[0], ha="center", va="center", color=ink, weight="bold")
            ax.text(x, y + 0.22, lines[1], ha="center", va="center", color=ink, fontsize=7)
    ax.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5))
    ax.set_yticks(range(n), [f"{short(name)}\n{metrics[name]}" for name in names])
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
    under = (
        f"Δ in points at {BUDGETS[match]}, {confidence(record)} intervals. ▲ gain, ▼ loss, = equal, no mark: "
        + ("1 seed, no verdict" if len(record["setting"]["seeds"]) == 1 else "no evidence")
        + f". {MISSING} not measured. Diagonal: the task alone ± sd over seeds."
    )
    _scale(figure, ax, limit)
    add_titles(figure, title, under)
    return figure


def _score_lines(mean: float | None, sd: float | None) -> tuple[str, str]:
    return (plain(mean, 1), "" if mean is None or sd is None else f"± {plain(sd, 1)}")


def _scale(figure: Figure, ax: Axes, limit: float) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    steps = 40  # from 50 on a colour bar becomes pixels, also in SVG
    colours = ListedColormap([diverging((2 * (i + 0.5) / steps - 1) * limit, limit) for i in range(steps)])
    colours_of = ScalarMappable(Normalize(-limit, limit), colours)
    bar = figure.colorbar(colours_of, ax=ax, orientation="horizontal", aspect=45, shrink=0.7, pad=0.03)
    ticks = [-limit, -limit / 2, 0.0, limit / 2, limit]
    bar.set_ticks(ticks, labels=[f"{t:+g}".replace("-", "−") if t else "0" for t in ticks])
    bar.set_label("Δ in points", fontsize=8)
    bar.outline.set_visible(False)


def draw_forest(record: StudyRecord) -> Figure | None:
    """Effects of company and pairs with their intervals, a group for each task."""
    lead, *others = record["setting"]["match"]
    metrics = primary(record)
    rows: list[tuple[str, str, Effect | None]] = []  # task, label, effect; a heading has none
    for task in metrics:
        one = {task: metrics[task]}
        effects = [
            (f"all, {BUDGETS[m]} ({SYMBOLS[m]})", e)
            for m in (lead, *others)
            for e in effects_of(record, "company", m, one)
        ]
        effects += [("dilution (C − I)", e) for e in effects_of(record, "dilution", None, one)]
        effects += [(f"+ {short(e['companion'] or '')}", e) for e in effects_of(record, "pair", lead, one)]
        effects = [(label, e) for label, e in effects if e["delta"] is not None]
        if effects:
            rows += [(task, f"{short(task)} ({metrics[task]})", None), *((task, label, e) for label, e in effects)]
    if not rows:
        return None
    columns = _columns(rows)
    longest, height = max(len(label) for _, label, _ in rows), max(len(c) for c in columns)
    figure, axes = blank_figure((3.9 + 0.07 * longest) * len(columns), 0.2 * height + 1.5, columns=len(columns))
    ends = [v for _, _, e in rows if e for v in (e["low"], e["high"], e["delta"]) if v is not None]
    span = max(ends) - min(ends) or 1.0
    for ax, column in zip(axes, columns, strict=True):
        _forest_column(ax, column)
        ax.set(xlim=(min(0.0, *ends) - 0.05 * span, max(0.0, *ends) + 0.05 * span), ylim=(height - 0.3, -0.7))
        ax.set_xlabel("Δ in points: left is a loss, right a gain")
    one_seed = len(record["setting"]["seeds"]) == 1
    add_titles(
        figure,
        "Effects of company, against the task alone",
        f"{confidence(record)} intervals. "
        + ("1 seed: evaluation noise only, no verdict. " if one_seed else "▲ gain, ▼ loss, ■ equal, ○ no evidence. ")
        + f"Grey band: what counts as equal. Pairs at {BUDGETS[lead]}.",
    )
    return figure


def _columns(rows: list[tuple[str, str, Effect | None]]) -> list[list[tuple[str, str, Effect | None]]]:
    """Whole groups, side by side, so that none is much longer than a page."""
    groups = [list(group) for _, group in groupby(rows, key=lambda row: row[0])]
    wanted = 1 + sum(len(rows) > n for n in COLUMNS)
    limit = max(len(rows) / wanted, *map(len, groups)) if len(groups) > 1 else len(rows)
    columns: list[list[tuple[str, str, Effect | None]]] = [[]]
    for group in groups:
        if columns[-1] and len(columns[-1]) + len(group) / 2 > limit:
            columns.append([])
        columns[-1] += group
    return columns


def _forest_column(ax: Axes, rows: list[tuple[str, str, Effect | None]]) -> None:
    from matplotlib.patches import Rectangle

    looks = {"gain": ("^", GAIN, GAIN), "loss": ("v", LOSS, LOSS), "equal": ("s", SINGLE, SINGLE)}
    ax.axvline(0, color=MUTED, linewidth=0.8)
    at = ax.get_yaxis_transform()
    for y, (_, label, e) in enumerate(rows):
        if e is None:
            ax.text(-0.02, y, label, ha="right", va="center", weight="bold", transform=at)
            group = [r[2] for r in rows[y + 1 :] if r[0] == rows[y][0]]
            margin = next((g["margin"] for g in group if g and g["margin"] is not None), None)
            if margin is not None:
                ax.add_patch(Rectangle((-margin, y + 0.5), 2 * margin, len(group), facecolor=BAND, zorder=0))
            continue
        marker, edge, face = looks.get(e["verdict"] or "", ("o", MUTED, PAPER))
        if e["low"] is not None and e["high"] is not None:
            ax.plot([e["low"], e["high"]], [y, y], color=edge, linewidth=1.4, solid_capstyle="butt")
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
        ax.text(
            1.02, y, f"{signed(e['delta'])} {interval(e['low'], e['high'])}", va="center", fontsize=7.5, transform=at
        )
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.grid(axis="x")
