"""The one exception class for what a user can mend at the prompt, and how foreign text is quoted in it."""

from __future__ import annotations

import unicodedata


class UserError(Exception):
    """A mistake that its maker can mend: printed as one line, without a traceback, exit code 2.

    The sentence says what was asked, what is true, and what to do. Wrong *values* given to a Python function are
    `ValueError`s as everywhere; this class is for what arrives from outside: flags, files, rows, folders. Whatever
    stands in those, the message is printable: see `printable`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the sentence, without the frames of this program that found the mistake."""
        return [f"{type(self).__name__}: {self}"]


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
    """What a message quotes of a value of any length, without its middle if it is long.

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
