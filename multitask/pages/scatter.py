"""Named points on two axes, as SVG: what is best in one respect and in another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from multitask.pages.charts import Axis, _short, _svg, axis_of, mark, rule, text

if TYPE_CHECKING:
    from markupsafe import Markup

WIDTH, HEIGHT, NAMES = 640, 300, 150
"""Pixels: of the whole, and of the column of names on the right."""
LINE = 13
"""Pixels from one name to the next, at least."""


class Point(NamedTuple):
    """One of them."""

    x: float
    y: float
    name: str
    look: str
    """The class of its mark; see `charts.mark`."""


def scatter(points: Sequence[Point], *, label: str, across: str, up: str) -> Markup:
    """Points, and their names in a column beside them: names among points that lie close together could not be read.

    Args:
        points: In any order.
        label: What it shows, for those who cannot see it.
        across: What the horizontal axis measures.
        up: What the vertical one does.
    """
    height = max(HEIGHT, LINE * len(points) + 62)
    horizontal = axis_of([p.x for p in points], 46, WIDTH - NAMES - 24)
    vertical = axis_of([p.y for p in points], height - 40, 22)
    parts = [text(0, 10, up), text(horizontal.right, height - 6, across, anchor="end"), *_grid(horizontal, vertical)]
    order = sorted(points, key=lambda p: (-p.y, -p.x))
    for p, at in zip(order, _spread([vertical.at(p.y) for p in order], vertical.left), strict=True):
        x, y = horizontal.at(p.x), vertical.at(p.y)
        parts += [rule(x, y, WIDTH - NAMES - 4, at), text(WIDTH - NAMES, at + 3.5, p.name)]
    parts += [mark(horizontal.at(p.x), vertical.at(p.y), p.look) for p in order]
    return _svg(WIDTH, height, label, *parts)


def _spread(wanted: Sequence[float], bottom: float) -> list[float]:
    """Places as near as can be to those wanted, which rise, and `LINE` apart.

    >>> _spread([20.0, 21.0, 80.0], 100.0), _spread([90.0, 99.0], 100.0)
    ([20.0, 33.0, 80.0], [87.0, 100.0])
    """
    places: list[float] = []
    for one in wanted:
        places.append(max(one, places[-1] + LINE) if places else one)
    for i in range(len(places) - 1, -1, -1):
        most = bottom if i == len(places) - 1 else places[i + 1] - LINE
        places[i] = min(places[i], most)
    return places


def _grid(horizontal: Axis, vertical: Axis) -> list[Markup]:
    parts = []
    for tick in vertical.ticks(4):
        y = vertical.at(tick)
        parts += [rule(horizontal.left, y, horizontal.right, y), text(40, y + 3.5, _short(tick), anchor="end")]
    for tick in horizontal.ticks(5):
        x = horizontal.at(tick)
        parts += [
            rule(x, vertical.left, x, vertical.left + 4),
            text(x, vertical.left + 16, _short(tick), anchor="middle"),
        ]
    return parts
