"""What a check of tasks and data found, and its tables; it is made by `multitask.checks`, which has the words."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from multitask.ceilings import RoundTrip
from multitask.console import say
from multitask.overlap import Overlap
from multitask.tables.numbers import MISSING, number, percent, tally
from multitask.tables.table import Cell, Column, Table
from multitask.tables.terminal import print_tables


@dataclass(frozen=True)
class Lengths:
    """Lengths in tokens, end of sequence included, before anything is cut."""

    p50: int
    """The smallest length such that half of the strings are no longer; 0 if there are none."""
    p90: int
    p99: int
    longest: int
    limit: int
    """The task's: what is longer is cut."""
    cut: int
    """How many are longer."""

    @classmethod
    def of(cls, lengths: Sequence[int], limit: int) -> Lengths:
        """Of all lengths of a split.

        >>> Lengths.of([1, 2, 3, 40], limit=3)
        Lengths(p50=2, p90=40, p99=40, longest=40, limit=3, cut=1)
        """
        if not len(lengths):
            return cls(0, 0, 0, 0, limit, 0)
        p50, p90, p99, longest = np.percentile(lengths, (50, 90, 99, 100), method="inverted_cdf")
        return cls(int(p50), int(p90), int(p99), int(longest), limit, sum(n > limit for n in lengths))


@dataclass(frozen=True)
class SplitReport:
    """One split of one task."""

    rows: int
    """Examples, after formatting."""
    source: str
    skipped: dict[str, int]
    """{reason: examples that were left out}."""
    duplicates: int
    conflicting: int
    empty_targets: int
    """Targets of nothing but spaces."""
    inputs: Lengths
    targets: Lengths
    unreachable: int
    """0 where labels are ranked or a span is chosen among all pieces: nothing is generated there."""
    unknown_tokens: float
    """Share of the inputs' tokens that are <unk>, 0..1; NaN without examples."""
    bad_rows: list[dict[str, Any]] = field(default_factory=list)
    """Those that were left out: task, split, file, row, line and reason of each."""
    held_out: str = ""
    """A sentence on the training examples that were held out for it; empty for a split of the source's own."""
    unwritable: int = 0
    """Targets that hold <unk>, where an answer is written."""


@dataclass(frozen=True)
class Labels:
    """One label of a label task."""

    counts: dict[str, int]
    """{split: examples with this label}."""
    tokens: int
    """Its length, end of sequence included."""
    unknown: bool
    """Whether its tokens hold <unk>."""
    same_as: str
    """An earlier label with the same token ids, which wins every ranking against this one; empty if there is none."""


@dataclass(frozen=True)
class TaskReport:
    """One task."""

    output: str
    primary: str
    generated: bool
    """Whether the rows are the generated sample."""
    splits: dict[str, SplitReport]
    labels: dict[str, Labels]
    """Empty if it is no label task."""
    round_trip: RoundTrip
    """Of the validation split."""


@dataclass(frozen=True)
class CheckReport:
    """All tasks of a mixture."""

    tasks: dict[str, TaskReport]
    overlaps: list[Overlap]
    warnings: list[str]
    """Sentences, the most serious first."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with None for what was not measured."""
        from multitask.folder import finite

        plain: dict[str, Any] = finite(dataclasses.asdict(self))
        return plain


# ------------------------------------------------------------------------------------------------------------ tables


SHOWN_PARTS = 0.005
"""Pairs of tasks that share phrases only are shown from this share of the validation examples on."""


def print_report(report: CheckReport) -> None:
    """The report as tables on standard output, the warnings last, where they are seen."""
    print_tables(*check_tables(report))
    print()
    say(f"{len(report.warnings)} warning{'s'[: len(report.warnings) != 1]}, the most serious first:")
    say(*(f"  - {w}" for w in report.warnings))


def check_tables(report: CheckReport) -> list[Table]:
    """Rows, lengths, ceilings, and labels and overlaps where there are any."""
    found = [_rows(report), _lengths(report), _ceilings(report), _labels(report), _overlaps(report)]
    return [table for table in found if table is not None]


def _share(share: float, digits: int = 1) -> Cell:
    return Cell(MISSING) if share != share else percent(share, digits)


def _rows(report: CheckReport) -> Table:
    rows = tuple(
        (
            Cell(name),
            Cell(f"{split} (held out)" if s.held_out else split),
            Cell("generated" if task.generated and first else ""),
            tally(s.rows),
            Cell(", ".join(f"{n:,} {reason}" for reason, n in s.skipped.items())),
            *map(tally, (s.duplicates, s.conflicting, s.empty_targets)),
            _share(s.unknown_tokens, 2),
        )
        for name, task, split, s, first in _splits(report)
    )
    columns = (
        Column("task", left=True),
        Column("split", left=True),
        Column("", left=True),
        Column("rows"),
        Column("skipped", left=True, wrap=True),
        Column("duplicate inputs"),
        Column("conflicting"),
        Column("empty targets"),
        Column("<unk>"),
    )
    return Table("Rows", columns, rows, key="rows", grouped=True, keys=2).without_empty_columns()


def _lengths(report: CheckReport) -> Table:
    rows = []
    for name, _, split, s, _first in _splits(report):
        cells = [Cell(name), Cell(split)]
        for part in (s.inputs, s.targets):
            cells += map(tally, (part.p50, part.p90, part.p99, part.longest, part.limit))
            cells.append(_share(part.cut / s.rows if s.rows else float("nan")))
        rows.append((*cells, tally(s.unreachable)))
    side = ("50 %", "90 %", "99 %", "max", "limit", "cut")
    optional = (2, 3, 4, 0, 0, 0)
    columns = (
        *(Column("task", left=True), Column("split", left=True)),
        *(
            Column(f"{part} {n}", optional=o)
            for part in ("input", "target")
            for n, o in zip(side, optional, strict=True)
        ),
        Column("unreachable", optional=1),
    )
    return Table("Lengths in tokens", columns, tuple(rows), key="lengths", grouped=True, keys=2)


def _ceilings(report: CheckReport) -> Table:
    found = {way for task in report.tasks.values() for way in task.round_trip.ceilings}
    ways = [way for way in ("generated", "aligned", "pieces", "ranked") if way in found]
    rows = []
    for name, task in report.tasks.items():
        trip = task.round_trip
        cells = [number(trip.ceilings.get(way), 4) for way in ways]
        rows.append(
            (Cell(name), Cell(trip.metric or task.primary), _share(trip.survive), number(trip.perfect, 4), *cells)
        )
    columns = (
        *(Column("task", left=True), Column("metric", left=True)),
        *(Column("targets that survive"), Column("perfect", optional=1)),
        *map(Column, ways),
    )
    title = "Round trip through the tokenizer, and the best score it allows (validation)"
    return Table(title, columns, tuple(rows), key="ceilings")


def _labels(report: CheckReport) -> Table | None:
    rows = []
    for name, task in report.tasks.items():
        for label, one in task.labels.items():
            splits = [
                Cell(f"{n:,} ({_share(n / task.splits[split].rows if task.splits[split].rows else math.nan).text})", n)
                for split, n in itertools.islice(one.counts.items(), 2)
            ]
            splits += [Cell(MISSING)] * (2 - len(splits))
            note = f"same tokens as '{one.same_as}'" if one.same_as else "has <unk>" if one.unknown else ""
            rows.append((Cell(name), Cell(label), Cell(note), *splits, tally(one.tokens)))
    columns = (
        *(Column("task", left=True), Column("label", left=True, wrap=True), Column("", left=True, wrap=True)),
        *(Column("train"), Column("validation"), Column("tokens", optional=1)),
    )
    if not rows:
        return None
    return Table("Labels", columns, tuple(rows), key="labels", grouped=True, keys=2).without_empty_columns()


def _overlaps(report: CheckReport) -> Table | None:
    rows = []
    for o in report.overlaps:
        if not o.field and o.share < SHOWN_PARTS:
            continue
        text = o.text if len(o.text) <= 60 else o.text[:59] + "…"
        counts = map(tally, (o.whole, o.field, o.part, o.examples))
        rows.append((Cell(o.train), Cell(o.validation), Cell(text), *counts, _share(o.share)))
    if not rows:
        return None
    more = len(report.overlaps) - len(rows)
    columns = (
        *(Column("trained", left=True), Column("evaluated", left=True)),
        Column("e.g.", left=True, wrap=True, optional=2),
        *(
            Column("whole input"),
            Column("field", optional=1),
            Column("part", optional=2),
            Column("of"),
            Column("share"),
        ),
    )
    title = "Evaluated texts that stand in training" + (f" ({more} more pairs share a few phrases)" if more else "")
    return Table(title, columns, tuple(rows), key="overlaps", keys=2)


def _splits(report: CheckReport) -> list[tuple[str, TaskReport, str, SplitReport, bool]]:
    return [
        (name, task, split, s, i == 0)
        for name, task in report.tasks.items()
        for i, (split, s) in enumerate(task.splits.items())
    ]
