"""Values of a row that are no text (bytes, lists, mappings, dates): to be used as they are, never written out as text.

`f"{row['text']}"` and `str(row["text"])` are how formatters take a text; of bytes they make "b'…'", of a list of words
"['the', …]", and a model would be trained on that without a word. So what is no text says so there: `guarded` gives
such a value as a subclass of its type that refuses to become text, and is else the same (`row["answers"]["text"][0]`,
`row["date"].isoformat()`, `json.dumps(row["entities"])`, `repr(row["more"])`).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from multitask.errors import shown


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
        ((datetime.date, datetime.time), "a date or time"),
        (datetime.timedelta, "a length of time"),
    ):
        if isinstance(value, kinds):
            return name
    return f"a value of type {type(value).__name__}"


class _Guarded:
    """Mixed into a type whose values must not become text."""

    column = ""

    def __str__(self) -> str:
        raise ValueAsTextError(self, self.column)

    def __format__(self, spec: str) -> str:
        if spec:  # f"{row['date']:%Y}" says what it wants
            return super().__format__(spec)
        raise ValueAsTextError(self, self.column)


class _Bytes(_Guarded, bytes):
    pass


class _List(_Guarded, list[Any]):
    pass


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
    multitask.raw_values.ValueAsTextError: column 'text' holds bytes, which is no text: b'abc'; write text there, ...
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
