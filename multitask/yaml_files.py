"""YAML of plain values, from files that may be a stranger's: no tag makes an object, and no alias a mountain.

Words
    alias    `*name` stands for what was written at `&name`. Nine lists that each name the one before nine times are a
             few hundred characters, and 387 million values to whoever walks through them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from multitask.errors import UserError

MOST_VALUES = 100_000
"""In one file, every alias counted as what it stands for."""


def load_yaml(text: str) -> Any:
    """The plain value of a YAML text.

    Raises:
        yaml.YAMLError: If it is not YAML, has a tag of Python's, or too many values.
    """
    import yaml

    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _count(node, {}, ()) > MOST_VALUES:
            raise yaml.YAMLError(f"its aliases stand for more than {MOST_VALUES:,} values")
        return loader.construct_document(node)
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


def read_yaml(path: Path, what: str | None = None) -> Any:
    """The plain value of a YAML file.

    Args:
        path: The file.
        what: What the error calls it, e.g. "--config my.yaml"; by default the path.

    Raises:
        UserError: If it cannot be read, is not UTF-8, or not YAML of plain values: with the line.
    """
    import yaml

    what = what or str(path)
    try:
        return load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{what} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{what} is not UTF-8 at byte {error.start}.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{what}{at} is not YAML: {problem}.") from error
