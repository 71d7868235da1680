"""Examples as a person can read them: what a model is given and should answer, whole but for the middle of long texts.

Words
    whitespace   a line's end is ⏎, a tab ⇥, a space that is not alone ␣: two texts that look alike are not always equal
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from multitask.task import Example
from multitask.terminal.escaping import visible

LONGEST_INPUT, LONGEST_TARGET = 600, 300
"""Characters that are shown of a text."""

_SIGNS = {"\n": "⏎", "\t": "⇥", "\r": "␍", "\u00a0": "⍽", "\u200b": "\\u200b", "\ufeff": "\\ufeff"}
_ODD = re.compile(r"\r\n|[\n\t\r\u00a0\u200b\ufeff]|^ +| +$| {2,}")


def readable(text: str, limit: int) -> str:
    r"""A text in one line with its odd whitespace visible, without its middle if it has more than `limit` characters.

    >>> readable("so  happy\ttoday\n", 40), readable("abcdefghijklmnop" * 3, 12)
    ('so␣␣happy⇥today⏎', 'abcdef … (36 characters) … klmnop')
    """
    if len(text) > limit:
        half = limit // 2
        head, tail = text[:half].rstrip(), text[len(text) - half :].lstrip()
        return f"{_signs(head)} … ({len(text) - len(head) - len(tail):,} characters) … {_signs(tail)}"
    return _signs(text)


def _signs(text: str) -> str:
    return visible(_ODD.sub(lambda m: "␍⏎" if m[0] == "\r\n" else _SIGNS.get(m[0]) or "␣" * len(m[0]), text))


def example_lines(example: Example, width: int = 8) -> list[str]:
    """The input, prefix in front, and the target for people; each after its word in `width` columns."""
    target = readable(example.target, LONGEST_TARGET) if example.target else "(nothing)"
    others = [r for r in dict.fromkeys(example.references) if r != example.target]
    also = f"   (or {'; '.join(readable(r, 60) for r in others[:3])}{', …' if others[3:] else ''})" if others else ""
    return [f"  {'input':<{width}}{readable(example.inputs, LONGEST_INPUT)}", f"  {'target':<{width}}{target}{also}"]


def spread(examples: Sequence[Example], count: int) -> list[Example]:
    """Up to `count` of them, evenly spaced: the first rows of a file are often of one kind.

    >>> [e.inputs for e in spread([Example(str(i), "x") for i in range(10)], 3)]
    ['0', '3', '6']
    """
    return list(examples[:: max(1, len(examples) // count)][:count]) if count else []
