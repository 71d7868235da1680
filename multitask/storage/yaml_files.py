"""YAML of plain values, from files that may be untrusted: no tag makes an object, and no alias expands without bound.

Text is as it is written. YAML 1.1 reads `no` as false, `2024-01-01` as a date, `007` as 7 and `~` as nothing, also
where the name of a task, a column or a folder stands; so a key is text here (unless its type says that it is a number),
and so is a value whose type says so.

Words
    alias    `*name` stands for what was written at `&name`. Nine lists that each name the one before nine times are a
             few hundred characters, and 387 million values to whoever walks through them.
    hint     the type of a value, as a dataclass annotates it
"""

from __future__ import annotations

import math
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from multitask.errors import UserError
from multitask.terminal.escaping import shown

MOST_VALUES = 100_000
"""In one file, every alias counted as what it stands for."""

_NUMBER = re.compile(r"[-+]?([0-9][0-9_]*)(\.[0-9_]*)?[eE][-+]?[0-9]+|[-+]?\.[0-9]+[eE][0-9]+")
"""A number to all but YAML 1.1, which wants a point and a sign of the exponent: 1e-4, 1e3."""
_PLAIN = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp"))


def load_yaml(text: str, hint: Any = Any) -> Any:
    """The plain value of a YAML text.

    Args:
        text: One document.
        hint: Where it has text (`str`, or one of several types that is `str`), the text is as written; where it has a
            dictionary with keys of another type, these are of that type; a text in place of a list of texts is split at
            its commas. What fits it nowhere is read as YAML.

    Raises:
        yaml.YAMLError: If it is not YAML, has a tag of Python's, too many values, or a key twice.

    >>> load_yaml("{no: on, 1e3: 1e3}"), load_yaml("{no: on, 1e3: 1e3}", dict[str, str])
    ({'no': True, '1e3': 1000.0}, {'no': 'on', '1e3': '1e3'})
    """
    import yaml

    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _count(node, {}, ()) > MOST_VALUES:
            raise yaml.YAMLError(f"its aliases stand for more than {MOST_VALUES:,} values")
        return _value(loader, node, hint)
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    finally:
        loader.dispose()


def _count(node: Any, known: dict[int, int], above: tuple[int, ...]) -> int:
    """The values under a node, itself included."""
    import yaml

    if id(node) in above:
        raise yaml.YAMLError("an alias stands for something that it is itself a part of")
    if id(node) not in known:
        children = [n for pair in node.value for n in pair] if isinstance(node, yaml.MappingNode) else node.value
        inner = [] if isinstance(node, yaml.ScalarNode) else children
        known[id(node)] = 1 + sum(_count(n, known, (*above, id(node))) for n in inner)
    return known[id(node)]


def _value(loader: Any, node: Any, hint: Any) -> Any:
    import yaml

    if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
        return _mapping(loader, node, hint)
    if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        inner = next((get_args(one)[0] for one in _kinds(hint) if get_origin(one) is list), Any)
        return [_value(loader, one, inner) for one in node.value]
    if not isinstance(node, yaml.ScalarNode) or node.tag not in _PLAIN:
        return loader.construct_object(node, deep=True)  # which says that there is no such tag
    kinds = _kinds(hint)
    nothing = node.tag == "tag:yaml.org,2002:null" and (types.NoneType in kinds or node.value == "")
    if not nothing and any(one is str or get_origin(one) is Literal for one in kinds):
        return node.value
    if not nothing and list[str] in kinds:
        return node.value.split(",")
    if node.style is None and _NUMBER.fullmatch(node.value):
        return float(node.value.replace("_", ""))
    if node.tag == "tag:yaml.org,2002:timestamp" or (node.style is None and re.match(r"[-+]?\d+:", node.value)):
        return node.value  # a date; to YAML 1.1 "1:30" is 90
    try:
        return loader.construct_object(node, deep=True)
    except ValueError as error:  # an integer of more than 4,300 digits
        raise yaml.constructor.ConstructorError(None, None, shown(error), node.start_mark) from error


def _mapping(loader: Any, node: Any, hint: Any) -> dict[Any, Any]:
    import yaml

    fields = hint if isinstance(hint, Mapping) else {}
    of_key, of_value = next((get_args(one) for one in _kinds(hint) if get_origin(one) is dict), (str, Any))

    def name(key: Any) -> Any:
        if not isinstance(key, yaml.ScalarNode) or key.tag not in _PLAIN:
            raise yaml.constructor.ConstructorError(None, None, "a name must be plain text", key.start_mark)
        return key.value if of_key is str else _value(loader, key, of_key)

    written = [name(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    if len(set(written)) < len(written):
        twice = next(one for i, one in enumerate(written) if one in written[:i])
        raise yaml.constructor.ConstructorError(None, None, f"{shown(repr(twice), 60)} stands twice", node.start_mark)
    loader.flatten_mapping(node)  # `<<`, before what is written beside it
    pairs = [(name(key), value) for key, value in node.value]
    return {one: _value(loader, value, fields.get(one, of_value)) for one, value in pairs}


def _kinds(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def read_yaml(path: Path, what: str | None = None, hint: Any = Any) -> Any:
    """The plain value of a YAML file.

    Args:
        path: The file.
        what: What the error calls it, e.g. "--config my.yaml"; by default the path.
        hint: As in `load_yaml`, or {key: hint} of a file of settings.

    Raises:
        UserError: If it cannot be read, is not UTF-8, or not YAML of plain values: with the line.
    """
    import yaml

    what = what or str(path)
    try:
        return load_yaml(path.read_text(encoding="utf-8"), hint)
    except OSError as error:
        raise UserError(f"{what} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{what} is not UTF-8 at byte {error.start}.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{what}{at} is not YAML: {problem}.") from error


def dump_yaml(value: Any, *, quoted: bool = False, flow: bool = False) -> str:
    r"""YAML that every reader reads as the same value, whichever version of YAML it knows.

    Args:
        value: Plain values.
        quoted: All text in quotation marks, ASCII.
        flow: In one line, with brackets.

    >>> dump_yaml({"1e3": "no", "b": 1e3}), dump_yaml({"a": "b"}, quoted=True)
    ("'1e3': 'no'\nb: 1000.0\n", '"a": "b"\n')
    """
    import yaml

    class Dumper(yaml.SafeDumper):
        """With the numbers that YAML 1.1 does not know: as text they need quotation marks for those who do."""

    Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+.0123456789"))
    # What is not printable is escaped, as it must be within quotation marks: PyYAML writes U+0085 as a line's end.
    Dumper.add_representer(
        str,
        lambda dumper, text: dumper.represent_scalar(
            "tag:yaml.org,2002:str", text, '"' if quoted or not text.isprintable() else None
        ),
    )
    return str(
        yaml.dump(
            value,
            Dumper=Dumper,
            sort_keys=False,
            allow_unicode=not quoted,
            default_flow_style=flow,
            width=math.inf if flow else None,
        )
    )
