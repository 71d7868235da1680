"""Values of a row that are no text (bytes, lists, mappings, dates): to be used as they are, never written out as text.

`f"{row['text']}"` and `str(row["text"])` are how formatters take a text; of bytes they make "b'…'", of a list of words
"['the', …]", and a model would be trained on that without a word. So what is no text says so there: `guarded` gives
such a value as a subclass of its type that refuses to become text, and is else the same (`row["answers"]["text"][0]`,
`row["date"].isoformat()`, `json.dumps(row["entities"])`, `repr(row["more"])`). A piece of it is no text either
(`row["text"][:100]`, `row["text"].strip()`). What is missing (null, NaN) and containers of other classes (an array of
numpy) are looked for in what was made: see `written_out`.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from multitask.terminal.escaping import shown


class ValueAsTextError(TypeError):
    """A value that is no text was about to be written out as one."""

    def __init__(self, value: object, column: str) -> None:
        super().__init__(
            f"column {shown(repr(column), 60)} holds {_kind(value)}, which is no text: {shown(repr(value), 60)}; "
            f"write text there, or let the formatter take the text out of it."
        )
        self.column = column


def _kind(value: object) -> str:
    for kinds, name in (
        (dict, "a mapping"),
        (tuple, "a tuple"),
        (list, "a list"),
        (bytes, "bytes"),
        (bool, "a truth value"),
        (Null, "null"),
        (float, "NaN"),
        ((datetime.date, datetime.time), "a date or time"),
        (datetime.timedelta, "a length of time"),
    ):
        if isinstance(value, kinds):
            return name
    return f"a value of type {type(value).__name__}"


def _still_guarded(kind: type, *names: str) -> Callable[[type], type]:
    """A class decorator: what these methods of `kind` give is guarded too."""

    def decorate(guarding: type) -> type:
        for name in names:
            setattr(guarding, name, _guarding(getattr(kind, name)))
        return guarding

    return decorate


def _guarding(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return guarded(method(self, *args, **kwargs), self.column)

    return call


class _Guarded:
    """Mixed into a type whose values must not become text."""

    column = ""

    def __str__(self) -> str:
        raise ValueAsTextError(self, self.column)

    def __format__(self, spec: str) -> str:
        if spec:  # f"{row['date']:%Y}" says what it wants
            return super().__format__(spec)
        raise ValueAsTextError(self, self.column)


@_still_guarded(bytes, "__add__", "__getitem__", "__mul__", "__mod__", "lower", "upper", "replace", "join")
@_still_guarded(bytes, "strip", "lstrip", "rstrip", "removeprefix", "removesuffix", "translate", "split", "splitlines")
class _Bytes(_Guarded, bytes):
    pass


@_still_guarded(list, "__add__", "__getitem__", "__mul__", "copy")
class _List(_Guarded, list[Any]):
    pass


@_still_guarded(tuple, "__add__", "__getitem__", "__mul__")
class _Tuple(_Guarded, tuple[Any, ...]):
    pass


class _Dict(_Guarded, dict[str, Any]):
    pass


class _Date(_Guarded, datetime.date):
    pass


class _DateTime(_Guarded, datetime.datetime):
    pass


class _Time(_Guarded, datetime.time):
    pass


class _Duration(_Guarded, datetime.timedelta):
    pass


class NotANumber(_Guarded, float):
    """NaN, as pandas writes what is missing: see `Null`."""


class Null(_Guarded):
    """A value that is missing (null), to ask a formatter whether it writes that out as "None"."""

    def __init__(self, column: str) -> None:
        self.column = column

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, Null)

    def __hash__(self) -> int:
        return hash(None)

    def __repr__(self) -> str:
        return "None"


for _class in _Guarded.__subclasses__():  # an error says what it got: "list", and not "_List"
    if _class is not Null:
        _class.__name__ = _class.__qualname__ = _class.__mro__[2].__name__

_TEXT_AND_NUMBERS = frozenset((str, int, float, bool, type(None)))

_COPY: dict[type, Callable[[Any, str], Any]] = {
    bytes: lambda value, column: _Bytes(value),
    list: lambda value, column: _List(guarded(one, column) for one in value),
    tuple: lambda value, column: _Tuple(guarded(one, column) for one in value),
    dict: lambda value, column: _Dict((name, guarded(one, column)) for name, one in value.items()),
    datetime.date: lambda value, column: _Date(value.year, value.month, value.day),
    datetime.datetime: lambda value, column: _DateTime.combine(value.date(), value.timetz()),
    datetime.time: lambda value, column: _Time(
        value.hour, value.minute, value.second, value.microsecond, value.tzinfo, fold=value.fold
    ),
    datetime.timedelta: lambda value, column: _Duration(value.days, value.seconds, value.microseconds),
}
_TIMES = (datetime.datetime, datetime.timedelta)  # those of pandas are of classes of their own


def guarded(value: Any, column: str) -> Any:
    """The value; if it is no text, as one that raises `ValueAsTextError` where it would become text.

    Text, numbers, truth values and None are given back as they are, as is what is of none of the types above.

    >>> guarded("a", "text"), guarded([1, {"a": "b"}], "more")
    ('a', [1, {'a': 'b'}])
    >>> f"{guarded(b'abc', 'text')}"
    Traceback (most recent call last):
    multitask.sources.raw_values.ValueAsTextError: column 'text' holds bytes, which is no text: b'abc'; write ...
    """
    kind = type(value)
    if kind in _TEXT_AND_NUMBERS:
        return value
    copy = _COPY.get(kind) or next((_COPY[k] for k in _TIMES if isinstance(value, k)), None)
    if copy is None:
        return value
    try:
        made = copy(value, column)
    except (ValueError, OverflowError, RecursionError):  # NaT of pandas; lists within lists without end
        return value
    made.column = column
    return made


def written_out(values: Mapping[str, Any], texts: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Find what a formatter may have written out although it is no text: (column, what to ask it with again).

    A value that is missing and stands in one of the texts as "None" or "nan" may have come there in another way, so a
    stand-in is given, `Null` or `NotANumber`, that refuses to become text.

    Args:
        values: Of the row, guarded.
        texts: What was made of it.

    Raises:
        ValueAsTextError: If a container that could not be guarded stands in a text.
    """
    for column, value in values.items():
        kind = type(value)
        if kind is str or kind is int:
            continue
        if value is None:
            if any("None" in text for text in texts):
                yield column, Null(column)
        elif isinstance(value, float):
            if value != value and any("nan" in text for text in texts):
                missing = NotANumber(value)
                missing.column = column
                yield column, missing
        elif not isinstance(value, (str, _Guarded)) and (_is_container(value) or kind.__name__ == "NaTType"):
            as_text = str(value)
            if len(as_text) > 1 and any(as_text in text for text in texts):
                raise ValueAsTextError(value, column)


def _is_container(value: object) -> bool:
    """Whether it is made of other values; an array with one dimension or more is."""
    return isinstance(value, (Collection, memoryview)) or getattr(value, "ndim", 0) > 0
