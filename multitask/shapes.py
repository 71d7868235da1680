"""Whether JSON that somebody wrote has the form that its reader relies on, told by Python's own type hints."""

from __future__ import annotations

import types
import typing
from typing import Any

from multitask.errors import UserError


def check_shape(value: Any, hint: Any, where: str) -> None:
    """Refuse a value that is not of the type: a missing key, text for a number, a list for a table.

    A number that was not measured is null, also where the hint says `float`; keys that the hint lacks are let be.

    Args:
        value: Plain JSON.
        hint: A type of plain values: `list[…]`, `dict[str, …]`, a `TypedDict`, a union of such, `Any`.
        where: Its name for the error, e.g. "interference.json: effects".

    Raises:
        UserError: Names the place, what is there and what belongs there.

    >>> check_shape({"sst2": [1.0, None]}, dict[str, list[float]], "scores")
    >>> check_shape({"sst2": ["<b>"]}, dict[str, list[float]], "scores")
    Traceback (most recent call last):
    multitask.errors.UserError: scores.sst2[0] is text where a number belongs.
    """
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return
    if origin in (types.UnionType, typing.Union):
        if value is None and types.NoneType in parts:
            return
        (hint,) = (part for part in parts if part is not types.NoneType)  # T | None is all that records hold
        check_shape(value, hint, where)
    elif typing.is_typeddict(hint):
        _of(value, dict, where)
        for name, inner in typing.get_type_hints(hint).items():
            if name not in value:
                raise UserError(f"{where} has no '{name}'.")
            check_shape(value[name], inner, f"{where}.{name}")
    elif origin is list:
        _of(value, list, where)
        for i, one in enumerate(value):
            check_shape(one, parts[0], f"{where}[{i}]")
    elif origin is dict:
        _of(value, dict, where)
        for name, one in value.items():
            check_shape(one, parts[1], f"{where}.{name}")
    elif not (value is None and hint is float):
        _of(value, hint, where)


_NAMES = {dict: "a table", list: "a list", str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _of(value: Any, kind: type, where: str) -> None:
    known = (int, float) if kind is float else (kind,)
    if not isinstance(value, known) or (isinstance(value, bool) and kind is not bool):
        found = "nothing" if value is None else _NAMES.get(type(value), type(value).__name__)
        raise UserError(f"{where} is {found} where {_NAMES[kind]} belongs.")
