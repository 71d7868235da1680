"""The result of a check of tasks and data, as values; `multitask.checks.check` makes it and has the words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from multitask.checks.ceilings import RoundTrip
from multitask.checks.overlap import Overlap


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
        """Summarise all lengths of a split.

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
        from multitask.storage.json_files import finite

        plain: dict[str, Any] = finite(dataclasses.asdict(self))
        return plain
