"""Warnings that say the same of several tasks, labels or numbers, as one line."""

from __future__ import annotations

import re
from collections.abc import Sequence

NAMED = 4
"""Names that are listed; of more, three and how many more."""
_PART = re.compile(r"'[^']*'|\d[\d,]*(?:\.\d+)?")


def merge_alike(lines: Sequence[str]) -> list[str]:
    """One line for those that differ in quoted names and numbers alone, where the first of them stood.

    >>> merge_alike(["task 'a': 3 rows are cut.", "no seeds", "task 'b': 12 rows are cut."])
    ["tasks 'a' and 'b': 3 to 12 rows are cut.", 'no seeds']
    """
    kinds: dict[str, list[str]] = {}
    for line in dict.fromkeys(lines):
        kinds.setdefault(kind_of(line), []).append(line)
    return [_merged(alike) for alike in kinds.values()]


def kind_of(line: str) -> str:
    """The line without its quoted names and numbers."""
    return _PART.sub(lambda m: "'…'" if m[0].startswith("'") else "0", line)


def _merged(lines: Sequence[str]) -> str:
    columns = zip(*(_PART.findall(line) for line in lines), strict=True)
    parts = iter([_said(list(dict.fromkeys(column))) for column in columns])
    merged = _PART.sub(lambda _: next(parts), lines[0])
    several = len({_PART.search(line)[0] for line in lines if _PART.search(line)}) > 1  # type: ignore[index]
    return re.sub(r"^task (?=')", "tasks ", merged) if several else merged


def _said(values: Sequence[str]) -> str:
    """Different names as a list, different numbers as a range."""
    if len(values) == 1:
        return values[0]
    if not values[0].startswith("'"):
        ordered = sorted(values, key=lambda v: float(v.replace(",", "")))
        return f"{ordered[0]} to {ordered[-1]}"
    shown = list(values) if len(values) <= NAMED else [*values[: NAMED - 1], f"{len(values) - NAMED + 1:,} more"]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
