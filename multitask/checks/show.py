"""The check of tasks and data as tables on the terminal, or as JSON."""

from __future__ import annotations

import itertools
import math

from multitask.checks.report import CheckReport, SplitReport, TaskReport
from multitask.tables.cells import Cell, Column
from multitask.tables.numbers import MISSING, number, percent, tally
from multitask.tables.table import Table
from multitask.tables.terminal import print_tables
from multitask.terminal.output import say

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
