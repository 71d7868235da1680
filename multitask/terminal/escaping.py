"""Text from files as a terminal may be given it: characters that a terminal obeys are spelt out."""

from __future__ import annotations

import re
import unicodedata

_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters (but tab and newline), what turns the direction of writing, and halves of surrogate pairs."""


def visible(text: str) -> str:
    r"""The text with every character that a terminal would obey written as JSON writes it.

    An escape sequence in a task's name or a prediction could otherwise rename the window, hide lines, or make a link
    that leads elsewhere. JSON that this is done to still holds the same values.

    >>> visible("\x1b[31mred"), visible("naïve \U0001f600")
    ('\\u001b[31mred', 'naïve 😀')
    """
    return _OBEYED.sub(lambda m: f"\\u{ord(m[0]):04x}", text)


def printable(text: str) -> str:
    r"""The text with everything escaped that a terminal would obey or not show; a line's end becomes a space.

    A message may quote what stands in a file from anywhere: escape sequences, marks that turn the direction of
    writing round, and halves of surrogate pairs, which no encoding can print.

    >>> printable("a\tb\x1b[2J\u202e \ud83d é"), printable("95 %")
    ('a b\\x1b[2J\\u202e \\ud83d é', '95 %')
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or unicodedata.category(c) == "Zs" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return " " if character in "\n\r\t" else character.encode("unicode_escape").decode("ascii")


def shown(value: object, limit: int = 120) -> str:
    """Quote a value of any length in a message, without its middle if it is long.

    Args:
        value: Text, an exception, anything; one whose `str` fails is named by its type.
        limit: In characters; from 4 on.

    >>> shown("abcdefghij", 6), shown(ValueError("no"))
    ('abc…ij', 'no')
    """
    try:
        text = str(value)
    except Exception:  # of a class of the user's
        text = f"a {type(value).__name__}"
    # Escaping makes text longer, so both before (of 10 MB little is escaped) and after.
    text = printable(_shortened(text, limit))
    return _shortened(text, limit)


def _shortened(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    end = (limit - 1) // 2
    return f"{text[: limit - 1 - end]}…{text[len(text) - end :]}"
