"""Sources that are objects of Python: lists, functions, frames, a `datasets.Dataset`, or a dict of them by split.

Words
    rows   a list, a pandas frame, an Arrow table or a `Dataset`; a function or generator function that gives them
    home   the file of the task that they were given to: it stands in tables, where `<function load at 0x7f…>` would
           say nothing

The rows themselves are part of a run's address, the code that makes them is not (`multitask.runs.code_digest` looks at
formatter, postprocess and metrics): a function that gives other rows makes other data, which a run that is continued
and a study are told by the fingerprint of the examples. So it must give the same rows whenever it is asked, in each
process; draw nothing without a seed. A worker process finds the source as it finds the task, by running the file that
registers it, so a lambda or a closure in such a file will do; what is pickled (a task that is not registered) must be
importable by name.

Use them through `multitask.sources.hugging_face`.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import os
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multitask.errors import UserError
from multitask.short_repr import Plain, short_repr
from multitask.sources.split_files import is_split_name
from multitask.sources.table import ArrowRows, Row, Rows, check_split, columns_of, rows_fingerprint
from multitask.terminal.escaping import shown


def dataset(data: Any) -> DatasetSource:
    """A `datasets.Dataset` (its rows are the split "train"), a `DatasetDict`, or a dict of such.

    Raises:
        ValueError: If it is something else, an `IterableDataset` for instance: rows must have positions.
    """
    named = dict(data) if isinstance(data, Mapping) else {"train": data}
    for split, one in named.items():
        if library_of(one) != DATASET:
            raise ValueError(f"dataset(...) takes a Dataset or a dict of them. Got {type(one).__name__} ({split!r}).")
    return DatasetSource(named)


@dataclass(frozen=True)
class DatasetSource:
    """A `datasets.Dataset` as a source; `dataset` makes it."""

    data: Mapping[str, Any]
    home: str = ""

    def __repr__(self) -> str:
        return short_repr(self, Plain(self.description))

    @property
    def description(self) -> str:
        """Its size and the file that made it; a `Dataset` has no name."""
        return f"datasets.Dataset of {_sizes(self.data)}{_inside(self.home)}"

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
        one = _as_python(self.data[split])
        origin = f"{self.description}, split {split}"
        return Rows(one, columns=one.column_names, fingerprint=rows_fingerprint(one), origin=origin)


def rows(
    source: Callable[..., Iterable[Row]] | Mapping[str, Any] | Sequence[Row] | Any,
    *,
    splits: Sequence[str] | None = None,
) -> PythonSource:
    """Rows from Python: a list or frame (the split "train"), {split: rows}, or a function.

    Args:
        source: Rows; {split: rows}, each a list, a frame, an Arrow table or a `Dataset`; or a function of the split's
            name that gives rows or yields them, called once for every time that the split is asked for. One without a
            parameter gives the split "train".
        splits: The splits that a function knows, by default "train" and "validation"; a mapping's are its keys.

    >>> list(rows({"train": [{"body": "Hello", "queue": "billing"}]}).rows("train"))
    [{'body': 'Hello', 'queue': 'billing'}]
    """
    if isinstance(splits, str):
        raise ValueError(f"splits must be a list of names. Got the string {splits!r}.")
    if isinstance(source, Mapping):
        return PythonSource(dict(source), tuple(source))
    if isinstance(source, (list, tuple)) or is_table(source):
        return PythonSource({"train": source}, ("train",))
    if not callable(source) or isinstance(source, type):
        raise ValueError(f"rows(...) takes rows, {{split: rows}} or a function. Got {type(source).__name__}.")
    if splits is None:
        splits = ("train", "validation") if _takes_split(source) else ("train",)
    return PythonSource(source, tuple(splits))


@dataclass(frozen=True)
class PythonSource:
    """Rows in memory, or a function that gives them, as a source; `rows` makes it."""

    source: Callable[..., Iterable[Row]] | Mapping[str, Any]
    names: tuple[str, ...]
    home: str = ""
    """The file of the task; of a function its own is known."""

    def __repr__(self) -> str:
        return short_repr(self, Plain(self.description))

    @property
    def description(self) -> str:
        """What it is and where it stands: "list of 120 rows in my_tasks.py", "function load_rows in my_tasks.py"."""
        if not isinstance(self.source, Mapping):
            return described_function(self.source)
        if len(self.source) != 1 or not self.home:
            return f"rows{_inside(self.home) or ' given in Python'}"
        (only,) = self.source.values()
        return (
            described_function(only)
            if callable(only)
            else f"{_kind(only)} of {_sizes(self.source)}{_inside(self.home)}"
        )

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
            made = self.source[split] if isinstance(self.source, Mapping) else self.source
            made = _called(made, split) if callable(made) else made
            items = None if made is None else _items(made, origin, self.description)
        except UserError:
            raise
        except Exception as error:  # the function is the user's, so anything may come
            frame = traceback.extract_tb(error.__traceback__)[-1]
            raise UserError(
                f"{origin} cannot be had{_how_far(error)}: {type(error).__name__}: {shown(error, 240)} "
                f"({frame.filename}:{frame.lineno}){self._no_such_split(split, error)}"
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
            for name in row:
                if not isinstance(name, str):
                    raise UserError(
                        f"{origin}, row {position}: the column {shown(repr(name), 60)} is named by no string; give "
                        f"columns names that are text."
                    )
        return Rows(items, columns=columns_of(items), fingerprint=_fingerprint(items, origin), origin=origin)

    def at_hand(self, count: int) -> Rows | None:
        """The first rows of the first split, whatever its length; None where that would call or use up something."""
        held: Any = next(iter(self.source.values()), None) if isinstance(self.source, Mapping) else None
        if held is None or callable(held) or isinstance(held, Iterator):
            return None
        kind = library_of(held)
        if kind == FRAME:
            few = held.head(count)
        elif kind == ARROW:
            few = held.slice(0, count)
        elif kind == DATASET:
            few = held.select(range(min(count, len(held))))
        else:
            few = list(itertools.islice(held, count))
        return PythonSource({"train": few}, ("train",)).rows("train")

    def _no_such_split(self, split: str, error: Exception) -> str:
        """Say what to do where a function does not know a split that it was asked for unasked."""
        if split == "train" or isinstance(self.source, Mapping) or not isinstance(error, (LookupError, ValueError)):
            return ""
        return f". If there is no such split, say so: multitask.rows({_named(self.source)}, splits=['train'])"


def _how_far(error: Exception) -> str:
    at = getattr(error, "row_position", 0)
    return f" after {at:,} row{'s'[: at != 1]}" if at else ""


def _named(function: Any) -> str:
    name = str(getattr(function, "__name__", "function"))
    return name if name.isidentifier() else "function"


def _takes_split(function: Callable[..., Any]) -> bool:
    """Whether a function takes the split's name.

    A first parameter with a default is the split if it is called so, or if its default is one: `def load(limit=100)`
    must not be called with "train".

    Raises:
        UserError: If it takes something else.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a builtin without a signature
        return True
    first = next(iter(signature.parameters.values()), None)
    if first is not None and first.default is not first.empty and first.name != "split":
        return isinstance(first.default, str) and is_split_name(first.default)
    for arguments in (("train",), ()):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return bool(arguments)
    raise UserError(
        f"{described_function(function)} is called with the name of a split, or with nothing, and takes {signature}; "
        f"give the rest with functools.partial."
    )


def _called(function: Callable[..., Iterable[Row]], split: str) -> Any:
    return function(split) if _takes_split(function) else function()


# ---------------------------------------------------------------------------------------------------------- their rows


def is_table(value: object) -> bool:
    """Whether it is a pandas frame, an Arrow table or a `datasets.Dataset`, without importing one of them."""
    return library_of(value) in (FRAME, ARROW, DATASET)


FRAME, ARROW, DATASET = ("pandas", "DataFrame"), ("pyarrow", "Table"), ("datasets", "Dataset")


def library_of(value: object) -> tuple[str, str]:
    """(top-level package, class) of the first class of its own that is a table's."""
    kinds = [(kind.__module__.partition(".")[0], kind.__name__) for kind in type(value).__mro__]
    return next((kind for kind in kinds if kind in (FRAME, ARROW, DATASET)), kinds[0])


def _items(made: Any, origin: str, function: str) -> Sequence[Row]:
    """The rows of what was given.

    Raises:
        UserError: If it is nothing that has rows.
        Exception: What a generator raises, with its place as `row_position`.
    """
    kind = library_of(made)
    if kind == FRAME:
        return _of_frame(made, origin)
    if kind == ARROW:
        names = list(made.column_names)
        _check_names(names, origin)
        return ArrowRows(made, origin)
    if kind == DATASET:
        return list(_as_python(made))
    if isinstance(made, (str, bytes, os.PathLike, Mapping)) or not isinstance(made, Iterable):
        if inspect.iscoroutine(made):
            made.close()  # or Python warns that nobody waited for it
        raise UserError(f"{function} gives {type(made).__name__} and no rows; {_WAY.get(type(made), _RETURN)}.")
    items: list[Row] = []
    try:
        # Copies: a generator may fill one dict again and again.
        copied = isinstance(made, Iterator)
        items.extend(dict(row) if copied and isinstance(row, dict) else row for row in made)
    except Exception as error:
        with contextlib.suppress(Exception):  # of a class that takes no attributes
            error.row_position = len(items)  # type: ignore[attr-defined]
        raise
    return items


_RETURN = "return a list of dicts, or yield them"
_WAY: dict[Any, str] = {
    str: "to read a file, return multitask.files(path).rows('train')",
    dict: "return those of the split that it is called with, or give the dict itself as the source",
}


def _as_python(one: Any) -> Any:
    """A `Dataset` that gives plain values, whatever it was set to give (tensors, frames), with the columns it gives."""
    form = one.format
    if form["type"] in (None, "custom"):  # a transform of the user's makes the rows
        return one
    return one.select_columns(form["columns"]).with_format(None)


def _check_names(columns: Sequence[Any], origin: str) -> None:
    twice = next((name for i, name in enumerate(columns) if name in columns[:i]), None)
    if twice is not None:
        raise UserError(f"{origin} has the column {shown(repr(twice), 60)} twice; rename one.")


def _of_frame(frame: Any, origin: str) -> list[Row]:
    """The rows of a pandas frame, what is missing as None; its index is no column."""
    _check_names(list(frame.columns), origin)
    whole = frame.astype(object)
    found: list[Row] = whole.where(whole.notna(), None).to_dict(orient="records")
    return found


# ---------------------------------------------------------------------------------------------------------- their words


def home_of(function: Any) -> str:
    """The file that the code of a function stands in, as people name it; "" if it has none."""
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(inspect.unwrap(function), "__code__", None)
    code = code or getattr(vars(type(function)).get("__call__"), "__code__", None)  # of a class of the user's
    return file_in_words(getattr(code, "co_filename", ""))


def file_in_words(name: str) -> str:
    """A file of code as people name it; "" for what was typed or made.

    >>> file_in_words("/home/me/my_tasks.py"), file_in_words("/tmp/ipykernel_7/42.py"), file_in_words("<stdin>")
    ('my_tasks.py', 'this notebook', '')
    """
    if re.search(r"ipykernel|<ipython-input", name):
        return "this notebook"
    return "" if name.startswith("<") else os.path.basename(name)


def described_function(function: Any) -> str:
    """A function in words, with the file that it stands in.

    >>> described_function(home_of), described_function(functools.partial(home_of, None)), described_function(len)
    ('function home_of in in_memory.py', 'function home_of in in_memory.py', 'function len')
    """
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__qualname__", None)
    if name is None:
        return f"{type(function).__name__} object{_inside(home_of(function))}"
    if name.endswith("<lambda>"):
        line = getattr(getattr(function, "__code__", None), "co_firstlineno", None)
        at = f", line {line}" if line and home_of(function) else ""
        return f"lambda{_inside(home_of(function))}{at}"
    return f"function {name.rpartition('<locals>.')[2]}{_inside(home_of(function))}"


def _inside(home: str) -> str:
    return f" in {home}" if home else ""


def _kind(value: object) -> str:
    if is_table(value):
        return ".".join(library_of(value))
    return "list" if isinstance(value, (list, tuple)) else type(value).__name__


def _sizes(splits: Mapping[str, Any]) -> str:
    """How many rows, by split if there are several."""
    counts = {name: f"{len(value):,}" if hasattr(value, "__len__") else "some" for name, value in splits.items()}
    if list(counts) == ["train"]:
        return f"{counts['train']} row{'' if counts['train'] == '1' else 's'}"
    *most, last = [f"{count} {name}" for name, count in counts.items()] or ["no"]
    return f"{', '.join(most)}{' and ' if most else ''}{last} rows"


_UNHELD = (UserError, TypeError, ValueError, RecursionError, OverflowError)
"""Of a value that has no form as text."""


def _fingerprint(items: Sequence[Row], origin: str) -> str:
    try:
        return rows_fingerprint(items)
    except _UNHELD:
        for position, row in enumerate(items):  # which one is it?
            try:
                rows_fingerprint([row])
            except _UNHELD as error:
                where = f"{origin}, row {position}{_column(row)}"
                raise UserError(f"{where}: {shown(error, 240)}") from error
        raise


def _column(row: Row) -> str:
    """The first column whose value cannot be held, in words."""
    for name, value in row.items():
        try:
            rows_fingerprint([{name: value}])
        except _UNHELD:
            return f", column {shown(repr(name), 60)}"
    return ""
