"""`Source`: what every source of rows can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from multitask.sources.table import Rows

if TYPE_CHECKING:
    pass


class Source(Protocol):
    """Where rows come from. Any object with these four members is one; it must pickle."""

    @property
    def description(self) -> str:
        """The words for it in tables and run folders, e.g. "nyu-mll/glue (sst2)"."""

    @property
    def generated(self) -> bool:
        """True if the rows are made up, so that scores on them say nothing about the task."""

    def splits(self) -> tuple[str, ...]:
        """The names of the splits."""

    def rows(self, split: str) -> Rows:
        """The rows of a split; a `UserError` that names the splits there are if it is not one of them."""
