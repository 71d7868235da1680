"""Colours that figures and report share, so that a cell looks the same in both.

Loss is orange and gain is blue, for eyes of every kind; a mark beside them says the same, so that colour is never the
only carrier. Whatever is no verdict is grey.

Nothing is imported here: the report's tables use the colours without matplotlib.
"""

from __future__ import annotations

import math

INK, MUTED, LINE, PAPER, BAND = "#1f2328", "#59636e", "#d0d7de", "#ffffff", "#eaeef2"
GAIN, LOSS, SINGLE, JOINT = "#2166ac", "#b35806", "#66707a", "#7b3f9e"

FILLS = {
    "gain": (GAIN, PAPER),
    "loss": (LOSS, PAPER),
    "none": (BAND, INK),
    "one-seed": (BAND, INK),
    "few-rows": (BAND, INK),
}
"""{look of `evidence`: colour of a cell and of what is written in it}; all others are paper and muted."""


def contrast(a: str, b: str) -> float:
    """Contrast of two colours, 1..21 (WCAG 2.2, "contrast ratio"; text needs 4.5).

    >>> contrast("#000000", "#ffffff")
    21.0
    """
    low, high = sorted((_luminance(a), _luminance(b)))
    return (high + 0.05) / (low + 0.05)


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    shares = (v / 255 for v in _channels(colour))
    red, green, blue = (c / 12.92 if c <= 0.04045 else math.pow((c + 0.055) / 1.055, 2.4) for c in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
