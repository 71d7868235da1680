"""Small SVG charts for pages: intervals, points of seeds, curves. Colours are classes of page.css.

Words
    axis     a range of values on a width in pixels; what lies outside is drawn at its end
    mark     a shape as well as a colour, so that colour is never the only carrier: ▲ gain, ▼ loss, ■ equal, ○ none

All functions give `Markup`; texts are escaped. Numbers that are None or not finite are left out.

>>> print(bar(0.5, label="half"))
<svg class="chart" width="90" height="13" viewBox="0 0 90 13" role="img" aria-label="half"><rect class="band" x="0" \
y="2" width="90" height="9"/><rect class="joint" x="0" y="2" width="45" height="9" stroke="none"/></svg>
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

if TYPE_CHECKING:
    from markupsafe import Markup

Numbers = Sequence[float | None]


class Axis(NamedTuple):
    """Values from `low` to `high` on pixels from `left` to `right`.

    >>> Axis(0, 10, 100, 200).at(5), Axis(0, 10, 100, 200).at(99)
    (150.0, 200.0)
    """

    low: float
    high: float
    left: float
    right: float

    def at(self, value: float) -> float:
        """Where a value is; one outside is at the end."""
        share = (min(max(value, self.low), self.high) - self.low) / ((self.high - self.low) or 1.0)
        return self.left + share * (self.right - self.left)

    def holds(self, value: float) -> bool:
        """Whether a value is not outside."""
        return self.low <= value <= self.high

    def ticks(self, count: int = 4) -> list[float]:
        """About `count` round values within.

        >>> Axis(-7, 12, 0, 1).ticks()
        [-5.0, 0.0, 5.0, 10.0]
        """
        rough = (self.high - self.low) / max(count, 1)
        if not rough > 0:
            return [self.low]
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(n * unit for n in (1, 2, 5, 10) if n * unit >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [n * step for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def axis_of(values: Iterable[float | None], left: float, right: float, *, least: float = 1.0) -> Axis:
    """An axis that holds all values, with a little room, and is not less than `least` long.

    >>> axis_of([1.0, 3.0, None], 0, 100)
    Axis(low=0.9, high=3.1, left=0, right=100)
    """
    found = [v for v in values if _finite(v)] or [0.0]
    low, high = min(found), max(found)
    room = max(0.05 * (high - low), (least - (high - low)) / 2, 0.0)
    return Axis(low - room, high + room, left, right)


class Series(NamedTuple):
    """One line of a chart, with the spread around it."""

    look: str
    """Its class: `single`, `joint`, `ink`, `quiet`, `gain`, `loss`."""
    x: Sequence[float]
    y: Numbers
    low: Numbers = ()
    high: Numbers = ()


def curves(series: Sequence[Series], *, label: str = "", unit: str = "") -> Markup:
    """Lines over steps, with their spread, on two axes."""
    width, height = 300, 150
    found = [v for s in series for line in (s.y, s.low, s.high) for v in line if _finite(v)]
    up = axis_of(found, height - 20, 14, least=max([1e-9, *(0.1 * abs(v) for v in found)]))
    steps = [x for s in series for x in s.x] or [0]
    across = Axis(min(0, *steps), max(1, *steps), 40, width - 8)
    parts = [text(0, 4, unit)] if unit else []
    for tick in up.ticks(4):
        y = up.at(tick)
        parts += [rule(across.left, y, across.right, y), text(across.left - 5, y + 3.5, _short(tick), anchor="end")]
    parts += [text(across.at(t), height - 5, _short(t), anchor="middle") for t in across.ticks(3)]
    for s in series:
        parts += [_spread(s, across, up), _line(s.look, s.x, s.y, across, up)]
    return _svg(width, height, label, *parts)


def interval(
    axis: Axis,
    value: float | None,
    low: float | None,
    high: float | None,
    *,
    look: str = "quiet",
    margin: float | None = None,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    label: str = "",
) -> Markup:
    """An effect and its interval, in a row of its own; rows on one axis stand under each other.

    What lies beyond `bounds` cannot be: it is not drawn, and the end gets an arrowhead.

    Args:
        axis: Its range and place; 0 is marked if it is on it.
        value: The estimate; without one the row is empty.
        low: Lower end of the interval.
        high: Upper end.
        look: `gain`, `loss`, `equal`, or anything else for no verdict.
        margin: Half-width of the band around 0 that counts as equal.
        bounds: The least and the largest value that can be.
        label: What it shows, for those who cannot see it.
    """
    height, parts = 27, []
    middle = height / 2
    if margin:
        left, right = axis.at(-margin), axis.at(margin)
        parts.append(_tag("rect", "band", x=left, y=0, width=right - left, height=height))
    if axis.holds(0.0):
        parts.append(rule(axis.at(0.0), 0, axis.at(0.0), height, "zero"))
    drawn = look if look in ("gain", "loss") else "quiet"
    if _finite(low) and _finite(high):
        ends = [(low, max(low, bounds[0], axis.low), -1), (high, min(high, bounds[1], axis.high), 1)]
        parts.append(rule(axis.at(ends[0][1]), middle, axis.at(ends[1][1]), middle, f"span {drawn}"))
        for wanted, shown, way in ends:
            if shown != wanted:
                x = axis.at(shown)
                d = f"M{_n(x + 6 * way)} {_n(middle)}l{-7 * way} -4v8z"
                parts.append(_tag("path", drawn, d=d))
    if _finite(value):
        parts.append(mark(axis.at(value), middle, look))
    return _svg(axis.left + axis.right, height, label, *parts)


def mark(x: float, y: float, look: str) -> Markup:
    """▲ gain, ▼ loss, ■ equal, ○ anything else."""
    shapes = {
        "gain": f"M{_n(x)} {_n(y - 5.5)}l5.5 10h-11z",
        "loss": f"M{_n(x)} {_n(y + 5.5)}l5.5 -10h-11z",
        "equal": f"M{_n(x - 4)} {_n(y - 4)}h8v8h-8z",
    }
    if look in shapes:
        return _tag("path", "quiet" if look == "equal" else look, d=shapes[look])
    return _tag("circle", "quiet open", cx=x, cy=y, r=4)


def strip(
    axis: Axis,
    values: Numbers,
    *,
    baseline: float | None = None,
    between: tuple[float | None, float | None] = (None, None),
    look: str = "single",
    label: str = "",
) -> Markup:
    """Values as points on one bare axis, in the height of a line, with an interval; a dashed line is the baseline."""
    parts = [rule(axis.left, 11, axis.right, 11)]
    low, high = between
    if _finite(low) and _finite(high):
        parts.append(rule(axis.at(low), 11, axis.at(high), 11, f"span {look}"))
    if _finite(baseline) and axis.holds(baseline):
        parts.append(_tag("path", "dashed", d=f"M{_n(axis.at(baseline))} 2V20"))
    return _svg(axis.left + axis.right, 22, label, *parts, dots(axis, values, 11, look))


def points(
    axis: Axis,
    rows: Sequence[tuple[str, str, Numbers]],
    *,
    baseline: float | None = None,
    joined: bool = False,
    label: str = "",
) -> Markup:
    """Values as points with their mean, a row for each (name, look, values), on one axis with ticks.

    Args:
        axis: Leave room for the names on its left.
        rows: What is shown, from above.
        baseline: Marked by a dashed line.
        joined: Whether a line joins values at the same place of two rows.
        label: What it shows, for those who cannot see it.
    """
    bottom = 22 * len(rows) + 4
    lines = f"M{_n(axis.left)} {bottom}H{_n(axis.right)}" + _ticks(axis, bottom, bottom + 4)
    for i in range(1, len(rows) if joined else 0):
        for a, b in zip(rows[i - 1][2], rows[i][2], strict=False):
            if _finite(a) and _finite(b):
                lines += f"M{_n(axis.at(a))} {22 * i - 9}L{_n(axis.at(b))} {22 * i + 13}"
    parts = [_tag("path", "axis", d=lines), _labels(axis, bottom + 15)]
    if _finite(baseline) and axis.holds(baseline):
        parts.append(_tag("path", "dashed", d=f"M{_n(axis.at(baseline))} 0V{bottom}"))
    for i, (name, look, values) in enumerate(rows):
        y = 22 * i + 13
        whole = [v for v in values if _finite(v)]
        parts += [text(0, y + 4, name), dots(axis, values, y, look)]
        if whole:
            parts.append(_tag("path", "mean", d=f"M{_n(axis.at(sum(whole) / len(whole)))} {y - 8}v16"))
    return _svg(axis.right + 12, bottom + 20, label, *parts)


def dots(axis: Axis, values: Numbers, y: float, look: str) -> Markup:
    """Points at one height, as one path: lines without length, with round ends."""
    return _tag("path", f"dots {look}", d="".join(f"M{_n(axis.at(v))} {_n(y)}h0" for v in values if _finite(v)))


def _ticks(axis: Axis, top: float, bottom: float) -> str:
    return "".join(f"M{_n(axis.at(tick))} {_n(top)}V{_n(bottom)}" for tick in axis.ticks())


def _labels(axis: Axis, y: float, *, sign: bool = False) -> Markup:
    """Numbers under the ticks."""
    from markupsafe import Markup

    shown = [text(axis.at(t), y, ("+" if sign and t > 0 else "") + _short(t)) for t in axis.ticks()]
    return Markup('<g class="ticks">') + Markup("").join(shown) + Markup("</g>")


def ruler(axis: Axis) -> Markup:
    """The axis that stands under rows of `interval`."""
    lines = f"M{_n(axis.left)} 1H{_n(axis.right)}" + _ticks(axis, 1, 5)
    return _svg(axis.left + axis.right, 20, "", _tag("path", "axis", d=lines), _labels(axis, 16, sign=True))


def bar(share: float | None, *, label: str = "") -> Markup:
    """A share 0..1 as a bar of a whole."""
    width = 90
    parts = [_tag("rect", "band", x=0, y=2, width=width, height=9)]
    if _finite(share):
        parts.append(_tag("rect", "joint", x=0, y=2, width=width * min(max(share, 0.0), 1.0), height=9, stroke="none"))
    return _svg(width, 13, label, *parts)


def rule(x1: float, y1: float, x2: float, y2: float, look: str = "axis") -> Markup:
    """A straight line."""
    return _tag("path", look, d=f"M{_n(x1)} {_n(y1)}L{_n(x2)} {_n(y2)}")


def text(x: float, y: float, words: str, *, anchor: str = "start") -> Markup:
    """A text at a place."""
    from markupsafe import Markup

    anchored = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return Markup(f'<text x="{_n(x)}" y="{_n(y)}"{anchored}>{{}}</text>').format(words)  # noqa: S704  # numbers


def _line(look: str, x: Sequence[float], y: Numbers, across: Axis, up: Axis) -> Markup:
    """A gap where a value is missing."""
    d, pen = "", "M"
    for a, b in zip(x, y, strict=False):
        if _finite(b):
            d += f"{pen}{_n(across.at(a))} {_n(up.at(b))}"
        pen = "L" if _finite(b) else "M"
    line = _tag("path", f"line {look}", d=d)
    alone = [(a, b) for a, b in zip(x, y, strict=False) if _finite(b)]
    if len(alone) == 1:  # one value has no line
        line += dots(across, [alone[0][0]], up.at(alone[0][1]), look)
    return line


def _spread(s: Series, across: Axis, up: Axis) -> Markup:
    from markupsafe import Markup

    rows = [
        (across.at(x), up.at(a), up.at(b))
        for x, a, b in zip(s.x, s.low, s.high, strict=False)
        if _finite(a) and _finite(b)
    ]
    if len(rows) < 2:
        return Markup()
    there = "L".join(f"{_n(x)} {_n(b)}" for x, _, b in rows)
    back = "L".join(f"{_n(x)} {_n(a)}" for x, a, _ in reversed(rows))
    return _tag("path", f"spread {s.look}", d=f"M{there}L{back}z")


def _finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _svg(width: float, height: float, label: str, *parts: Markup) -> Markup:
    from markupsafe import Markup

    w, h = _n(width), _n(height)
    named = Markup(' role="img" aria-label="{}"').format(label) if label else Markup(' aria-hidden="true"')
    head = Markup(f'<svg class="chart" width="{w}" height="{h}" viewBox="0 0 {w} {h}"')  # noqa: S704  # numbers
    return head + named + Markup(">") + Markup("").join(parts) + Markup("</svg>")


def _tag(name: str, look: str, **attributes: float | str) -> Markup:
    """An element of names and numbers, none of them from data."""
    from markupsafe import Markup

    written = "".join(
        f' {key.replace("_", "-")}="{value if isinstance(value, str) else _n(value)}"'
        for key, value in attributes.items()
    )
    return Markup(f'<{name} class="{look}"{written}/>')  # noqa: S704


def _n(value: float) -> str:
    return f"{round(value, 1) + 0.0:g}"


def _short(value: float) -> str:
    """A tick.

    >>> _short(1500.0), _short(-0.25), _short(20.0)
    ('1,500', '−0.25', '20')
    """
    shown = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return "0" if float(shown.replace(",", "")) == 0 else shown.replace("-", "−")
