"""Whether plain data that was read from a file has the types that are written down for it."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from multitask.errors import UserError
from multitask.terminal.escaping import shown

_NAMES: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "nothing",
    dict: "names with values",
    list: "a list",
}


def check_shape(value: object, hint: Any, path: object) -> None:
    """Refuse data of another type than `hint`, which may be made of TypedDicts, dicts, lists, unions and literals.

    Args:
        value: As a JSON or YAML reader gives it.
        hint: Its type. More keys than a TypedDict names are let through.
        path: The file, for the message.

    Raises:
        UserError: Names the file and the place in it.

    >>> check_shape({"sst2": {"accuracy": 0.9}}, dict[str, dict[str, float]], "metrics.json")
    >>> check_shape({"sst2": [0.9]}, dict[str, dict[str, float]], "metrics.json")
    Traceback (most recent call last):
    multitask.errors.UserError: metrics.json is not as it was written: 'sst2' must hold names with values, not a list.
    """
    problem = next(_problems(value, hint, ""), None)
    if problem is not None:
        raise UserError(f"{path} is not as it was written: {problem}.")


def problem_of(value: object, hint: Any) -> str | None:
    """Say what is wrong with a value, as the end of a sentence that begins with its name; None if `hint` fits.

    >>> problem_of("ten", int | None), problem_of(10, int | None)
    ('must be a whole number, not text', None)
    """
    problem = next(_problems(value, hint, ""), None)
    return problem and problem.removeprefix("it ")


def _problems(value: object, hint: Any, at: str) -> Iterator[str]:
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return
    if origin in (Union, types.UnionType):
        if value is None and types.NoneType in inner:
            return
        found = [list(_problems(value, one, at)) for one in inner if one is not types.NoneType]
        if all(found):  # of several, that of the type that comes nearest
            yield max(found, key=lambda problems: problems[0].count(".") + problems[0].count("["))[0]
    elif origin is Literal:
        if not any(value == one and type(value) is type(one) for one in inner):
            yield f"{_place(at)} must be one of {', '.join(map(str, inner))}, not {shown(repr(value), 40)}"
    elif is_typeddict(hint) or origin in (dict, Mapping):
        if not isinstance(value, dict):
            yield f"{_place(at)} must hold names with values, not {_kind(value)}"
        elif is_typeddict(hint):
            for name, one in get_type_hints(hint).items():
                if name in value:
                    yield from _problems(value[name], one, _below(at, name))
                else:
                    yield f"{_place(at)} has no '{name}'"
        else:
            for name, one in value.items():
                yield from _problems(name, inner[0], f"a name in {at or 'it'}")
                yield from _problems(one, inner[1], _below(at, name))
    elif origin is list:
        if not isinstance(value, list):
            yield f"{_place(at)} must be a list, not {_kind(value)}"
        else:
            for i, one in enumerate(value):
                yield from _problems(one, inner[0], f"{at}[{i}]")
    elif type(value) is not hint and not (hint is float and type(value) is int):
        yield f"{_place(at)} must be {_NAMES.get(hint, hint.__name__)}, not {_kind(value)}"


def _below(at: str, name: object) -> str:
    return f"{at}.{shown(name, 40)}" if at else shown(name, 40)


def _place(at: str) -> str:
    return f"'{shown(at)}'" if at else "it"


def _kind(value: object) -> str:
    return _NAMES.get(type(value), type(value).__name__)
