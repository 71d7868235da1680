"""Sources that hold their rows in memory: a `datasets.Dataset`, a Python function, a mapping.

Use them through `multitask.sources`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multitask.errors import UserError
from multitask.table import Row, Rows, check_split, columns_of, rows_fingerprint


def dataset(data: Any) -> DatasetSource:
    """A `datasets.Dataset` (its rows are the split "train"), a `DatasetDict`, or a dict of `Dataset`s.

    Raises:
        ValueError: If it is something else, an `IterableDataset` for instance: rows must have positions.
    """
    import datasets  # type: ignore[import-untyped]

    named = dict(data) if isinstance(data, Mapping) else {"train": data}
    for split, one in named.items():
        if not isinstance(one, datasets.Dataset):
            raise ValueError(f"dataset(...) takes a Dataset or a dict of them. Got {type(one).__name__} ({split!r}).")
    return DatasetSource(named)


@dataclass(frozen=True)
class DatasetSource:
    """See `dataset`."""

    data: Mapping[str, Any]

    @property
    def description(self) -> str:
        """What kind of source it is; a `Dataset` has no name."""
        return "a datasets.Dataset"

    @property
    def generated(self) -> bool:
        """False."""
        return False

    def splits(self) -> tuple[str, ...]:
        """The keys of the dict, or "train"."""
        return tuple(self.data)

    def rows(self, split: str) -> Rows:
        """The rows of a split, still in the `Dataset`."""
        check_split(split, self.splits(), self.description)
        # By content: the fingerprint that `datasets` keeps is another one after each unhashable `map`.
        one = self.data[split]
        origin = f"{self.description}, split {split}"
        return Rows(one, columns=one.column_names, fingerprint=rows_fingerprint(one), origin=origin)


def rows(
    source: Callable[[str], Iterable[Row]] | Mapping[str, Iterable[Row]],
    *,
    splits: Sequence[str] = ("train", "validation"),
) -> PythonSource:
    """Rows from Python: a function of the split's name, or {split: rows}.

    Args:
        source: `function(split) -> rows`, called once for every time that the split is asked for, or a mapping.
        splits: The splits that the function knows; a mapping's are its keys.

    >>> list(rows({"train": [{"body": "Hello", "queue": "billing"}]}).rows("train"))
    [{'body': 'Hello', 'queue': 'billing'}]
    """
    if isinstance(source, Mapping):
        return PythonSource(dict(source), tuple(source))
    if not callable(source):
        raise ValueError(f"rows(...) takes a function of the split or {{split: rows}}. Got {type(source).__name__}.")
    if isinstance(splits, str):
        raise ValueError(f"splits must be a list of names. Got the string {splits!r}.")
    return PythonSource(source, tuple(splits))


@dataclass(frozen=True)
class PythonSource:
    """See `rows`."""

    source: Callable[[str], Iterable[Row]] | Mapping[str, Iterable[Row]]
    names: tuple[str, ...]

    @property
    def description(self) -> str:
        """The function's name."""
        if isinstance(self.source, Mapping):
            return "rows given in Python"
        module = getattr(self.source, "__module__", None)
        return f"{module}.{getattr(self.source, '__qualname__', type(self.source).__name__)}"

    @property
    def generated(self) -> bool:
        """False: whose rows they are is the caller's knowledge."""
        return False

    def splits(self) -> tuple[str, ...]:
        """The mapping's keys, or what `rows(..., splits=)` said."""
        return self.names

    def rows(self, split: str) -> Rows:
        """Calls the function."""
        check_split(split, self.splits(), self.description)
        made = self.source[split] if isinstance(self.source, Mapping) else self.source(split)
        if made is None:
            raise UserError(
                f"{self.description} gives None for split '{split}'; return rows, or name the splits that it knows "
                f"with rows(..., splits=[...])."
            )
        items = list(made)
        origin = f"{self.description}, split {split}"
        for position, row in enumerate(items):
            if not isinstance(row, Mapping):
                raise UserError(
                    f"{origin}, row {position}: a row must be a mapping from column names to values. "
                    f"Got {type(row).__name__}."
                )
        return Rows(items, columns=columns_of(items), fingerprint=rows_fingerprint(items), origin=origin)
