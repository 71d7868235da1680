"""Sources from what people give a task: rows, a dict by split, a function, a frame, a path, or a source itself."""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from multitask.errors import UserError
from multitask.sources.in_memory import DATASET, DatasetSource, PythonSource, is_table, library_of, rows
from multitask.sources.local_files import files
from multitask.terminal.escaping import shown

MEMBERS = ("description", "generated", "splits", "rows")
"""Of everything that is a source; see `sources.Source`."""
HOW = (
    "give rows (a list, a pandas frame, a datasets.Dataset), {split: rows}, a function of the split's name, a path, or "
    "multitask.files, multitask.rows or multitask.hub"
)


def as_source(given: Any, task: str, home: str = "") -> Any:
    """The source that was meant; nothing is read.

    Args:
        given: What stands at `source=`.
        task: Its name, for errors.
        home: The file of the task's code, which stands in descriptions of rows.

    Raises:
        UserError: If it is none, with how it becomes one.
    """
    # Not hasattr: a property of a user's own source may read its data.
    missing = [m for m in MEMBERS if inspect.getattr_static(given, m, m) is m]
    is_class = isinstance(given, type)
    if not missing and not is_class:
        return given
    if not is_class:
        try:
            made = _made(given)
        except ValueError as error:
            raise UserError(f"task '{task}': source: {error}") from error
        except UserError as error:
            raise UserError(f"task '{task}': source={shown(repr(given), 60)}: {error}") from error
        if isinstance(made, (PythonSource, DatasetSource)):
            return dataclasses.replace(made, home=home)
        if made is not None:
            return made
    got = f"the class {given.__name__}" if is_class else type(given).__name__
    raise UserError(f"task '{task}': source must be rows or a source of rows. Got {got}; {HOW}.")


def _made(given: Any) -> Any:
    """None for what is nothing that a source is made of."""
    if isinstance(given, (str, os.PathLike)):
        return files(given)
    if isinstance(given, Mapping):
        return _of_splits(given)
    if library_of(given) == DATASET:
        return DatasetSource({"train": given})
    if is_table(given):
        return rows(given)
    if isinstance(given, (list, tuple)):
        if _is_paths(given):
            return files(given)
        _check_rows(given, "row 0")
        return rows(given)
    _check_can_be_read_again(given)
    if callable(given):
        return rows(given)
    if hasattr(given, "to_dicts"):
        raise ValueError(f"a {'.'.join(library_of(given))} becomes rows by it.to_dicts().")
    return None


def _of_splits(given: Mapping[Any, Any]) -> Any:
    if not given:
        raise ValueError("a dict is {split: rows}, and this one is empty.")
    odd = next((split for split in given if not isinstance(split, str)), None)
    if odd is not None:
        raise ValueError(f"a dict is {{split: rows}}, and {shown(repr(odd), 40)} is no split's name.")
    for one in given.values():
        _check_can_be_read_again(one)
    if all(library_of(one) == DATASET for one in given.values()):
        return DatasetSource(dict(given))
    paths = [split for split, one in given.items() if _is_paths(one)]
    if len(paths) == len(given):
        return files(given)
    if paths:
        raise ValueError(
            f"a dict holds paths for each split or rows for each, and this has a path for {', '.join(paths)} alone; "
            f"multitask.files(path).rows('train') are the rows of a file."
        )
    for split, one in given.items():
        if isinstance(one, (list, tuple)):
            _check_rows(one, f"row 0 of {split!r}", " A dict of columns becomes rows by pandas.DataFrame(it).")
        elif not callable(one) and not is_table(one) and not hasattr(one, "__iter__"):
            raise ValueError(f"a dict is {{split: rows}}, and {split!r} holds {type(one).__name__}.")
    return rows(given)


def _check_can_be_read_again(given: Any) -> None:
    if isinstance(given, Iterator):
        raise ValueError(
            f"a {type(given).__name__} can be read once only; give the function that makes it, without calling it, or "
            f"list(it)."
        )
    if any(kind.__name__ == "IterableDataset" for kind in type(given).__mro__):
        raise ValueError(
            "an IterableDataset has no rows to count and to find again; load it without streaming=True, or give "
            "list(it.take(10_000)) as the rows."
        )


def _check_rows(several: Any, where: str, more: str = "") -> None:
    """Only the first one: the others are looked at when they are read."""
    if several and not isinstance(several[0], Mapping):
        raise ValueError(
            f"{where} is {shown(repr(several[0]), 40)}, and a row is a dict from column names to values, as in "
            f"{{'text': 'so good', 'label': 1}}.{more}"
        )


def _is_paths(value: Any) -> bool:
    if isinstance(value, (list, tuple)):  # a list of texts is a column, not a list of files
        return bool(value) and all(
            isinstance(one, os.PathLike)
            or (isinstance(one, str) and (bool(Path(one).suffix) or "*" in one or os.path.exists(one)))
            for one in value
        )
    return isinstance(value, (str, os.PathLike))
