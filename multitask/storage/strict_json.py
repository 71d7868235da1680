"""JSON from outside, read so that nothing is lost without a word.

Python's reader takes the last of two values under one name and makes infinity of 1e999; here both are errors. NaN,
which Python and pandas write for a value that is missing, stays a NaN.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from multitask.terminal.escaping import shown


class JsonError(ValueError):
    """Text that is not JSON, or JSON that cannot be used.

    Args:
        reason: What is wrong, as the end of a sentence without its full stop.
        line: Of the text, from 1; None where it is not known.
    """

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.line = reason, line


def parse_json(text: str) -> Any:
    r"""The value that `text` holds. Halves of surrogate pairs ("\ud83d") are let through: they are for who uses them.

    Raises:
        JsonError: If it is not JSON, has a name twice in one object, or a number that no float or integer can hold.

    >>> parse_json('{"a": [1, 2.5, null]}')
    {'a': [1, 2.5, None]}
    >>> parse_json('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    multitask.storage.strict_json.JsonError: JSON that cannot be used: 'a' stands twice in one object
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        reason = error.msg.removesuffix(" (decode using utf-8-sig)")
        raise JsonError(f"not JSON: {reason} at column {error.colno}", error.lineno) from error
    except RecursionError as error:
        raise JsonError("JSON that cannot be used: it is nested too deep") from error
    except ValueError as error:  # ours, from below, and Python's about integers of more than 4,300 digits
        raise JsonError(f"JSON that cannot be used: {shown(error)}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"{shown(repr(twice), 60)} stands twice in one object")
    return made


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{shown(digits, 40)} is more than a float can hold")
    return value


def _constant(name: str) -> float:
    return float("nan") if name == "NaN" else _refuse(name)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_float=_float, parse_constant=_constant)
