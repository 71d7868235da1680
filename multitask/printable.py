"""Text from files as a terminal may be given it: characters that a terminal obeys are spelt out."""

from __future__ import annotations

import re

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
