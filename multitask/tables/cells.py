"""Cells, columns and what stands above tables; and all of their text as a terminal may be given it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar, cast

from multitask.terminal.escaping import visible

MARKS = {"gain": "▲", "loss": "▼", "equal": "=", "no evidence": ""}
"""{verdict: its mark}, so that colour is never the only carrier."""


class Column(NamedTuple):
    """A column's head, and what may be done to it where there is little room."""

    name: str
    left: bool = False
    """Text on the left, not numbers on the right."""
    short: str = ""
    """The name where the terminal is narrow."""
    optional: int = 0
    """From 1 on: left out where the terminal is narrow, the largest first."""
    wrap: bool = False
    """Text that may go on in a next line, at a space."""


class Cell(NamedTuple):
    """One entry."""

    text: str
    value: float | None = None
    """What it sorts by, unrounded."""
    verdict: str | None = None
    """One of MARKS; None where there is none."""
    detail: str = ""
    emphasis: str = ""
    """`strong`, `quiet` or `warning`; colour and weight only, never the only carrier of anything."""

    @property
    def marked(self) -> bool:
        """Whether it is an effect, which shows its verdict by a mark."""
        return self.value is not None and self.verdict in MARKS

    @property
    def mark(self) -> str:
        """The mark of its verdict, or nothing."""
        return MARKS[self.verdict or ""] if self.marked else ""


class Preface(NamedTuple):
    """The lines above tables."""

    lead: str
    """One line, in bold."""
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()


T = TypeVar("T")


def visible_in(value: T) -> T:
    """Tables and what stands above them with all of their text as a terminal may be given it; see `printable`."""
    made: Any = value
    if isinstance(value, str):
        made = visible(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        made = type(value)(*(visible_in(getattr(value, f.name)) for f in dataclasses.fields(value)))
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        made = type(value)(*map(visible_in, value))
    elif isinstance(value, (list, tuple)):
        made = type(value)(map(visible_in, value))
    return cast(T, made)
