"""Lines on standard output: wrapped for people, as they are for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from multitask.terminal.escaping import visible
from multitask.terminal.width import prose_width, wrap_words

if TYPE_CHECKING:
    pass


def say(*lines: Any, hanging: str = "  ") -> None:
    """Lines on standard output, wrapped at words on a terminal, as they are but for what a terminal would obey.

    Args:
        lines: Each may hold several.
        hanging: What a wrapped line goes on with; nothing for paragraphs.
    """
    width = prose_width()
    for line in lines:
        print(*wrap_words(visible(str(line)), width, hanging=hanging), sep="\n", flush=True)


def say_as_it_is(text: str) -> None:
    """Text for programs, such as JSON, which is not wrapped."""
    print(visible(text), flush=True)
