"""Generated rows in the form of some tasks, to try everything without any data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from multitask.errors import UserError
from multitask.registry import did_you_mean
from multitask.short_repr import Plain, short_repr
from multitask.sources.sample_rows import SAMPLED, sample_rows
from multitask.sources.table import Rows, check_split, rows_fingerprint

if TYPE_CHECKING:
    pass
from multitask.sources.protocol import Source


def sample(name: str) -> Source:
    """Generated rows in the form of a task's data: enough to try everything without a network, and nothing more."""
    if name not in SAMPLED:
        raise UserError(f"there is no generated sample for task '{name}': {did_you_mean(name, list(SAMPLED))}")
    return SampleSource(name)


def sampled_name(*names: str) -> str | None:
    """The name of the generated sample for a task that is called one of these, or whose folder is; None without one."""
    return next((name for name in names if name in SAMPLED), None)


@dataclass(frozen=True)
class SampleSource:
    """The generated sample as a source; `sample` makes it."""

    name: str

    def __repr__(self) -> str:
        return short_repr(self, Plain(self.description))

    @property
    def description(self) -> str:
        """Says that it is no real data."""
        return f"generated sample '{self.name}'"

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
        items = sample_rows(self.name, split)
        origin = f"{self.description}, split {split}"
        return Rows(items, columns=tuple(items[0]), fingerprint=rows_fingerprint(items), origin=origin)
