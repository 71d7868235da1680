"""Generated rows in the form of some tasks, to try everything without any data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from multitask.errors import UserError
from multitask.registry import did_you_mean
from multitask.short_repr import Plain, short_repr
from multitask.sources.protocol import Source
from multitask.sources.sample_rows import SAMPLED, sample_rows
from multitask.sources.table import Row, Rows, check_split, rows_fingerprint


def sample(name: str) -> Source:
    """Generated rows in the form of a task's data: enough to try everything without a network, and nothing more."""
    if name not in SAMPLED:
        raise UserError(f"there is no generated sample for task '{name}': {did_you_mean(name, list(SAMPLED))}")
    return SampleSource(name)


def sampled_name(*names: str) -> str | None:
    """The name of the generated sample for a task that is called one of these, or whose folder is; None without one."""
    return next((name for name in names if name in SAMPLED), None)


class GeneratedSource:
    """Rows that are generated: a source but for what it is called and what makes its rows."""

    @property
    def description(self) -> str:
        """Says that it is no real data."""
        raise NotImplementedError

    def made(self, split: str) -> Sequence[Row]:
        """The rows of a split, always the same."""
        raise NotImplementedError

    @property
    def generated(self) -> bool:
        """True."""
        return True

    def splits(self) -> tuple[str, ...]:
        """Train and validation."""
        return ("train", "validation")

    def rows(self, split: str) -> Rows:
        """The rows, always the same."""
        check_split(split, self.splits(), self.description)
        items = [dict(row) for row in self.made(split)]
        origin = f"{self.description}, split {split}"
        return Rows(items, columns=tuple(items[0]), fingerprint=rows_fingerprint(items), origin=origin)


@dataclass(frozen=True)
class SampleSource(GeneratedSource):
    """The generated sample as a source; `sample` makes it."""

    name: str

    def __repr__(self) -> str:
        return short_repr(self, Plain(self.description))

    @property
    def description(self) -> str:
        """Says that it is no real data."""
        return f"generated sample '{self.name}'"

    def made(self, split: str) -> Sequence[Row]:
        """The rows of a split."""
        return sample_rows(self.name, split)
