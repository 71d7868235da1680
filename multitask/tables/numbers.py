"""Numbers as text and as cells. What was not measured is a dot and never 0; a minus is a minus and no hyphen."""

from __future__ import annotations

import math

from multitask.tables.cells import Cell

MISSING = "·"
"""What was not measured; never 0."""


def signed(value: float | None, digits: int = 2) -> str:
    """A difference, with its sign; never "-0.00".

    >>> signed(1.5), signed(-0.25), signed(-0.001), signed(None)
    ('+1.50', '−0.25', '0.00', '·')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    shown = f"{value:+,.{digits}f}"
    return shown.replace("-", "−") if float(shown.replace(",", "")) else shown[1:]


def plain(value: float | None, digits: int = 2) -> str:
    """A number; a minus only where it is one.

    >>> plain(1234.5, 1), plain(-0.3, 1), plain(None)
    ('1,234.5', '−0.3', '·')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    return signed(value, digits).removeprefix("+")


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Both ends of an interval.

    >>> interval(-0.31, 2.0, 1), interval(None, None)
    ('[−0.3, 2.0]', '·')
    """
    return MISSING if low is None or high is None else f"[{plain(low, digits)}, {plain(high, digits)}]"


def number(value: float | None, digits: int = 1, *, unit: str = "") -> Cell:
    """A number, or what stands for one that was not measured."""
    text = plain(value, digits)
    return Cell(MISSING) if text == MISSING else Cell(text + unit, value)


def change(value: float | None, digits: int = 1, *, verdict: str | None = None, unit: str = "") -> Cell:
    """A difference with its sign."""
    text = signed(value, digits)
    return Cell(MISSING) if text == MISSING else Cell(text + unit, value, verdict)


def range_cell(low: float | None, high: float | None, digits: int = 1, *, undefined: str = MISSING) -> Cell:
    """An interval, sorted by its lower end; `undefined` is the reason where there is none.

    >>> range_cell(None, None, undefined="undefined: 1 seed").text
    'undefined: 1 seed'
    """
    text = interval(low, high, digits)
    return Cell(undefined, emphasis="quiet" if undefined != MISSING else "") if text == MISSING else Cell(text, low)


def count(value: float | None) -> Cell:
    """A large number as people say it: 9,600 · 239k · 1.2M."""
    if value is None:
        return Cell(MISSING)
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= max(size, 99_950) or (size > 1e3 and value >= size):
            scaled = value / size
            return Cell(f"{scaled:.{0 if scaled >= 99.5 else 1}f}{letter}", value)
    return Cell(f"{value:,.0f}", value)


def probability(value: float | None) -> Cell:
    """A p or q with as many digits as matter: 0.24 · 0.012 · <0.001."""
    if value is None:
        return Cell(MISSING)
    return Cell("<0.001" if value < 0.001 else f"{value:.3f}" if value < 0.0995 else f"{value:.2f}", value)


def tally(value: int | None) -> Cell:
    """A whole number."""
    return Cell(MISSING) if value is None else Cell(f"{value:,}", value)


def percent(value: float | None, digits: int = 1) -> Cell:
    """A share 0..1 in %."""
    return Cell(MISSING) if value is None else number(100 * value, digits, unit=" %")


def spread(mean: float | None, sd: float | None, digits: int) -> Cell:
    """A mean with what it varies by: `81.2 ± 0.4`; without the latter the mean alone."""
    shown = plain(mean, digits)
    if shown == MISSING:
        return Cell(MISSING)
    return Cell(shown if plain(sd, digits) == MISSING else f"{shown} ± {plain(sd, digits)}", mean)


def number_text(value: float | None, digits: int = 3) -> str:
    """A number_text for a line of text.

    >>> number_text(0.81234), number_text(float("nan"))
    ('0.812', '·')
    """
    return MISSING if value is None or not math.isfinite(value) else f"{value:,.{digits}f}"
