"""Shared by all drawings: an empty figure, the lines above it, numbers with gaps."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from multitask.interference.figures.palette import INK, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def blank_figure(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of so many inches and its axes."""
    from matplotlib.figure import Figure

    figure = Figure((width, height), layout="constrained")
    return figure, [figure.add_subplot(1, columns, i + 1) for i in range(columns)]


def engine(figure: Figure) -> Any:
    """The engine that places the axes; of layout "constrained" it knows more than its base class says."""
    return figure.get_layout_engine()


def text_width(text: str, size: float) -> float:
    """Inches that a text takes in the style that is in force."""
    from matplotlib.textpath import TextPath

    return float(TextPath((0, 0), text or " ", size=size).get_extents().width) / 72


def add_titles(figure: Figure, title: str, under: str) -> float:
    """A title and a line of explanation above everything, broken to its width; gives their height in inches."""
    width, height = figure.get_figwidth(), figure.get_figheight()
    y = 0.07  # inches from the top
    for text, size, weight, colour in ((title, 10.0, "bold", INK), (under, 8.5, "normal", MUTED)):
        lines = textwrap.wrap(text, int(width * 100 / size))
        figure.text(
            *(0.07 / width, 1 - y / height),
            "\n".join(lines),
            fontsize=size,
            fontweight=weight,
            color=colour,
            va="top",
            linespacing=1.25,
        ).set_in_layout(False)
        y += len(lines) * size * 1.5 / 72
    if engine(figure) is not None:
        engine(figure).set(rect=(0, 0, 1, 1 - (y + 0.04) / height))
    return y + 0.04


def any_number(values: Sequence[float | None]) -> bool:
    """Whether there is anything to draw."""
    return any(v is not None and math.isfinite(v) for v in values)


def with_gaps(values: Sequence[float | None]) -> list[float]:
    """NaN where nothing was measured: a line is broken there."""
    return [math.nan if v is None else v for v in values]
