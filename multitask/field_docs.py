"""The texts under the fields of a dataclass as a part of its docstring, where `help()` and a notebook's `?` look.

They are read from the source when they are asked for: nothing is paid for them at import.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def explain_fields(cls: type[T]) -> type[T]:
    """Class decorator: the docstring goes on with each field, its type, its default and the text under it.

    >>> from multitask.task import Decoding
    >>> for line in inspect.getdoc(Decoding).splitlines()[2:5]:
    ...     print(line)
    Fields:
        max_new_tokens: int = 64
            Tokens that free generation may spend on one answer.
    """
    cls.__doc__ = _FieldDocs(cls.__doc__ or "")  # type: ignore[assignment]
    return cls


class _FieldDocs:
    """The `__doc__` of a class, which puts the whole text together when it is looked at."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.whole: str | None = None

    def __get__(self, instance: object, owner: type) -> str:
        if self.whole is None:
            self.whole = f"{inspect.cleandoc(self.text)}\n\nFields:\n" + "\n".join(_lines(owner))
        return self.whole


def _lines(cls: Any) -> list[str]:
    texts, made = field_texts(cls), []
    for field in dataclasses.fields(cls):
        if field.name.startswith("_"):
            continue
        made.append(f"    {field.name}: {field.type}{_default(field)}")
        made += textwrap.wrap(texts.get(field.name, ""), 112, initial_indent=" " * 8, subsequent_indent=" " * 8)
    return made


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return f" = {field.default!r}"
    if field.default_factory is dataclasses.MISSING:
        return ""
    return f" = {field.default_factory()!r}"


def field_texts(cls: type) -> dict[str, str]:
    """{field: the text under it}, each in one line; empty where the source is not there."""
    try:  # not by inspect.getsource, which reads the whole module twice: `--help` looks at docstrings too
        source = Path(str(inspect.getsourcefile(cls))).read_text(encoding="utf-8")
        lines = re.search(rf"^class {cls.__qualname__}\b.*\n(?:(?:[ \t].*)?\n)*", source, flags=re.MULTILINE)
        body = ast.parse(lines[0] if lines else "").body[0]
    except (OSError, TypeError, SyntaxError, ValueError, IndexError):
        return {}
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        is_field = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if is_field and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[field.target.id] = " ".join(str(text.value.value).split())  # type: ignore[attr-defined]
    return found
