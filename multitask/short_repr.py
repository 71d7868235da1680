"""One short line for a thing that may hold very much: what a `repr` gives.

A `repr` is read in a list, an error or a notebook's last line; the data of a thing is asked for by its name.
"""

from __future__ import annotations

from typing import Any

WIDTH = 120
"""The most characters of a line."""


def short_repr(thing: object, *values: Any, **fields: Any) -> str:
    """`Name(values, field=value, …)` in `WIDTH` characters at most.

    The longest values are shortened first, by an ellipsis; strings as they are shown by `repr`.

    Args:
        thing: Its class gives the name.
        values: Shown without a name.
        fields: Shown with theirs; those that are None are left out.

    >>> short_repr(ValueError(), "a", size=3, nothing=None)
    "ValueError('a', size=3)"
    >>> len(short_repr(ValueError(), "a" * 500, "b" * 500, size=3))
    120
    """
    names = [""] * len(values) + [f"{name}=" for name, value in fields.items() if value is not None]
    texts = [_shown(value) for value in (*values, *(value for value in fields.values() if value is not None))]
    head = f"{type(thing).__name__}("
    room = WIDTH - len(head) - 1 - sum(map(len, names)) - 2 * max(len(names) - 1, 0)
    most = max(min(max(map(len, texts), default=0), room), 1)
    while sum(min(len(text), most) for text in texts) > room and most > 1:
        most -= 1
    cut = [text if len(text) <= most else _cut(text, most) for text in texts]
    line = head + ", ".join(map("".join, zip(names, cut, strict=True))) + ")"
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 2]}…)"


def _cut(text: str, most: int) -> str:
    """Shorten a text; the mark or bracket that ends it stays."""
    end = text[-1] if text[-1] in "'\"])}" and most > 2 else ""
    return f"{text[: most - 1 - len(end)]}…{end}"


class Plain(str):
    """Text that stands in a `short_repr` without quotation marks: `Plain("2,000 rows")`."""

    __slots__ = ()


def _shown(value: Any) -> str:
    if isinstance(value, Plain):
        return " ".join(ascii(str(value))[1:-1].split()) if not value.isprintable() else str(value)
    try:
        text = repr(value)
    except Exception as error:  # an object of the user's own
        text = f"<{type(value).__name__}: {type(error).__name__}>"
    return " ".join(text.split())
