"""What a check of tasks and data found, and its tables; it is made by `multitask.checks`, which has the words."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from multitask.ceilings import RoundTrip
from multitask.console import MISSING, number, print_table, say
from multitask.overlap import Overlap


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
    _print_rows(report)
    _print_lengths(report)
    _print_ceilings(report)
    _print_labels(report)
    _print_overlaps(report)
    say(f"{len(report.warnings)} warning{'s'[: len(report.warnings) != 1]}, the most serious first:")
    say(*(f"  - {w}" for w in report.warnings))


def _percent(share: float, digits: int = 1) -> str:
    return MISSING if share != share else f"{number(100 * share, digits)} %"


def _print_rows(report: CheckReport) -> None:
    rows = [
        (
            *((name, "generated" if task.generated else "") if first else ("", "")),
            f"{split} (held out)" if s.held_out else split,
            f"{s.rows:,}",
            ", ".join(f"{n:,} {reason}" for reason, n in s.skipped.items()),
            f"{s.duplicates:,}",
            f"{s.conflicting:,}",
            f"{s.empty_targets:,}",
            _percent(s.unknown_tokens, 2),
        )
        for name, task, split, s, first in _splits(report)
    ]
    columns = ("task", "", "split", "rows", "skipped", "duplicate inputs", "conflicting", "empty targets", "<unk>")
    print_table("Rows", columns, rows, left=3)


def _print_lengths(report: CheckReport) -> None:
    rows = []
    for name, _, split, s, first in _splits(report):
        cells = [name if first else "", split]
        for part in (s.inputs, s.targets):
            cells += [f"{n:,}" for n in (part.p50, part.p90, part.p99, part.longest, part.limit)]
            cells.append(_percent(part.cut / s.rows if s.rows else float("nan")))
        rows.append([*cells, f"{s.unreachable:,}"])
    side = ("50 %", "90 %", "99 %", "max", "limit", "cut")
    columns = ("task", "split", "input " + side[0], *side[1:], "target " + side[0], *side[1:], "unreachable")
    print_table("Lengths in tokens", columns, rows, left=2)


def _print_ceilings(report: CheckReport) -> None:
    ways = ("generated", "aligned", "pieces", "ranked")
    rows = []
    for name, task in report.tasks.items():
        trip = task.round_trip
        cells = [number(trip.ceilings.get(way), 4) for way in ways]
        rows.append((name, trip.metric or task.primary, _percent(trip.survive), number(trip.perfect, 4), *cells))
    columns = ("task", "metric", "targets that survive", "perfect", *ways)
    print_table("Round trip through the tokenizer, and the best score it allows (validation)", columns, rows, left=2)


def _print_labels(report: CheckReport) -> None:
    rows = []
    for name, task in report.tasks.items():
        for i, (label, one) in enumerate(task.labels.items()):
            splits = [
                f"{n:,} ({_percent(n / task.splits[split].rows if task.splits[split].rows else float('nan'))})"
                for split, n in itertools.islice(one.counts.items(), 2)
            ]
            note = f"same tokens as '{one.same_as}'" if one.same_as else "has <unk>" if one.unknown else ""
            rows.append((name if i == 0 else "", label, note, *splits, str(one.tokens)))
    if rows:
        print_table("Labels", ("task", "label", "", "train", "validation", "tokens"), rows, left=3)


def _print_overlaps(report: CheckReport) -> None:
    rows = []
    for o in report.overlaps:
        if not o.field and o.share < SHOWN_PARTS:
            continue
        text = o.text if len(o.text) <= 60 else o.text[:59] + "…"
        counts = (f"{o.whole:,}", f"{o.field:,}", f"{o.part:,}", f"{o.examples:,}", _percent(o.share))
        rows.append((o.train, o.validation, text, *counts))
    if rows:
        more = len(report.overlaps) - len(rows)
        columns = ("trained", "evaluated", "e.g.", "whole input", "field", "part", "of", "share")
        title = "Evaluated texts that stand in training" + (f" ({more} more pairs share a few phrases)" if more else "")
        print_table(title, columns, rows, left=3)


def _splits(report: CheckReport) -> list[tuple[str, TaskReport, str, SplitReport, bool]]:
    return [
        (name, task, split, s, i == 0)
        for name, task in report.tasks.items()
        for i, (split, s) in enumerate(task.splits.items())
    ]
