"""Sources that hold their rows in memory: a `datasets.Dataset`, a Python function, a mapping.

Use them through `multitask.sources`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multitask.errors import UserError, shown
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
        origin = f"{self.description}, split {split}"
        try:
            made = self.source[split] if isinstance(self.source, Mapping) else self.source(split)
            items = None if made is None else list(made)
        except UserError:
            raise
        except Exception as error:  # the function is the user's, so anything may come
            frame = traceback.extract_tb(error.__traceback__)[-1]
            raise UserError(
                f"{origin} cannot be had: {type(error).__name__}: {shown(error, 240)} ({frame.filename}:{frame.lineno})"
            ) from error
        if items is None:
            raise UserError(
                f"{self.description} gives None for split '{split}'; return rows, or name the splits that it knows "
                f"with rows(..., splits=[...])."
            )
        for position, row in enumerate(items):
            if not isinstance(row, Mapping):
                raise UserError(
                    f"{origin}, row {position}: a row must be a mapping from column names to values. "
                    f"Got {type(row).__name__}."
                )
            odd = next((name for name in row if not isinstance(name, str)), None)
            if odd is not None:
                raise UserError(f"{origin}, row {position}: the column {shown(repr(odd), 60)} is named by no string.")
        return Rows(items, columns=columns_of(items), fingerprint=_fingerprint(items, origin), origin=origin)


def _fingerprint(items: Sequence[Row], origin: str) -> str:
    try:
        return rows_fingerprint(items)
    except (UserError, TypeError, ValueError, RecursionError, OverflowError):
        for position, row in enumerate(items):  # which one is it?
            try:
                rows_fingerprint([row])
            except (UserError, TypeError, ValueError, RecursionError, OverflowError) as error:
                raise UserError(f"{origin}, row {position}: {shown(error, 240)}") from error
        raise
