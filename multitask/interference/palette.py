"""Colours and marks that figures and report share, so that a cell looks the same in both.

Words
    scale    loss (brown) over nothing (white) to gain (blue), symmetric about 0, for eyes of every kind
    mark     a verdict as one character, so that colour is never the only carrier

Nothing heavy is imported here: the report's tables use the colours without matplotlib.
"""

from __future__ import annotations

import math

from multitask.tables.table import MARKS as MARKS

INK, MUTED, LINE, PAPER, BAND = "#1f2328", "#59636e", "#d0d7de", "#ffffff", "#eaeef2"
GAIN, LOSS, SINGLE, JOINT = "#2166ac", "#b35806", "#66707a", "#7b3f9e"

THEMED = {
    INK: "ink",
    MUTED: "muted",
    LINE: "line",
    PAPER: "paper",
    BAND: "band",
    GAIN: "gain",
    LOSS: "loss",
    SINGLE: "single",
    JOINT: "joint",
}
"""{colour in a figure: the style sheet's variable that stands for it}: so an inline figure follows the page's theme."""

_LIGHT = ("#b35806", "#f1a340", "#fee0b6", "#ffffff", "#d1e5f0", "#67a9cf", "#2166ac")
_DARK = ("#c9690f", "#9a5412", "#4d3520", "#262c36", "#203a54", "#2a5f93", "#3d8bd4")


def diverging(value: float, limit: float, *, dark: bool = False) -> str:
    """The colour of an effect on the scale from -limit to limit, as #rrggbb; outside it is that of the end.

    >>> diverging(0.0, 5.0), diverging(5.0, 5.0), diverging(-9.0, 5.0)
    ('#ffffff', '#2166ac', '#b35806')
    """
    anchors = _DARK if dark else _LIGHT
    at = (min(1.0, max(-1.0, value / limit)) + 1) / 2 * (len(anchors) - 1)
    below = min(int(at), len(anchors) - 2)
    part = at - below
    mixed = (
        round(a + (b - a) * part) for a, b in zip(_channels(anchors[below]), _channels(anchors[below + 1]), strict=True)
    )
    return "#" + "".join(f"{c:02x}" for c in mixed)


def ink_on(colour: str) -> str:
    """Black or white, whichever is easier to read on `colour`: the contrast is never below 4.5 to 1.

    >>> ink_on("#fee0b6"), ink_on("#2166ac")
    ('#000000', '#ffffff')
    """
    return max(("#000000", "#ffffff"), key=lambda ink: contrast(ink, colour))


def contrast(a: str, b: str) -> float:
    """Contrast of two colours, 1..21 (WCAG 2.2, "contrast ratio"; text needs 4.5).

    >>> contrast("#000000", "#ffffff")
    21.0
    """
    low, high = sorted((_luminance(a), _luminance(b)))
    return (high + 0.05) / (low + 0.05)


def limit_of(values: list[float], least: float = 1.0) -> float:
    """A round end of the scale that holds all values; `least` at least, so that noise does not look like an effect.

    >>> limit_of([0.2, -3.4]), limit_of([])
    (4.0, 1.0)
    """
    largest = max([least, *(abs(v) for v in values)])
    unit = 10.0 ** math.floor(math.log10(largest))
    return next(n * unit for n in (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0) if n * unit >= largest)


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    shares = (v / 255 for v in _channels(colour))
    red, green, blue = (c / 12.92 if c <= 0.04045 else math.pow((c + 0.055) / 1.055, 2.4) for c in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
