"""How wide output is, and prose that is wrapped at words."""

from __future__ import annotations

import os
import re
import shutil
import sys
from typing import TextIO

PIPE_WIDTH = 160
"""Columns of output that is no terminal, unless COLUMNS says otherwise: 80 would cut what a file has room for."""


_LABEL = re.compile(r"\s*\S+(?: \S+)* {2,}(?=\S)")
"""`name   ` before its text."""


_WORD = re.compile(r"\[[−+\d][^\s\]]*, [^\s\]]+\]\S*|\S+")


def is_terminal(stream: TextIO | None = None) -> bool:
    """Whether a person sees it as it is written; standard output by default."""
    stream = sys.stdout if stream is None else stream
    return bool(getattr(stream, "isatty", bool)())  # it may be None, or a stand-in for a stream


def output_width(stream: TextIO | None = None) -> int:
    """Columns of the terminal, or of COLUMNS where that is set, or `PIPE_WIDTH`."""
    return prose_width(stream) or PIPE_WIDTH


def prose_width(stream: TextIO | None = None) -> int | None:
    """As `output_width`, but None in a pipe of no stated width: a sentence stays one line there, to be searched for."""
    if is_terminal(stream):
        return shutil.get_terminal_size().columns
    stated = os.environ.get("COLUMNS", "")
    return int(stated) if stated.isdecimal() and int(stated) else None


def words_of(text: str) -> list[str]:
    """The words of a text, an interval being one.

    >>> words_of("+4.7 points [−18.1, 27.5].")
    ['+4.7', 'points', '[−18.1, 27.5].']
    """
    return _WORD.findall(text)


def wrap_words(text: str, width: int | None, *, hanging: str = "  ") -> list[str]:
    r"""The lines of a text, none wider than `width` columns; words are never broken, so a long path stands alone.

    Lines that follow a wrapped one begin with its own indentation and `hanging`; after a label and two spaces or more,
    below the text.

    >>> wrap_words("  - 3 rows of sst2 are left out", 20)
    ['  - 3 rows of sst2', '    are left out']
    >>> wrap_words("labels   negative, positive", 20)
    ['labels   negative,', '         positive']
    """
    if width is None:
        return text.split("\n")
    from rich.cells import cell_len

    lines = []
    for line in text.split("\n"):
        if cell_len(line) <= width:
            lines.append(line)
            continue
        indent = line[: len(line) - len(line.lstrip())]
        label = _LABEL.match(line)
        head, after = indent, indent + hanging
        if label and cell_len(label[0]) <= width // 2:
            head, after = label[0], " " * cell_len(label[0])
        first, *words = words_of(line[len(head) :]) or [""]
        current = head + first
        for word in words:
            if cell_len(current) + 1 + cell_len(word) <= width:
                current += f" {word}"
            else:
                lines.append(current)
                current = after + word
        lines.append(current)
    return lines


def shorten(name: str, length: int) -> str:
    """A name of at most so many columns, its middle left out: tasks often differ only at their ends.

    >>> shorten("sst2", 20), shorten("tweet_sentiment_of_film_reviews", 20), shorten("情感情感情感", 8)
    ('sst2', 'tweet_sent…m_reviews', '情感…感')
    """
    from rich.cells import cell_len

    def columns(text: str) -> int:  # what has no width here may have one elsewhere
        return max(cell_len(text), len(text))

    if columns(name) <= length:
        return name
    head, tail = "", ""
    while True:
        first = len(head) <= len(tail)
        taken = name[len(head)] if first else name[-len(tail) - 1]
        if columns(head + taken + tail) > length - 1:
            return f"{head}…{tail}"
        head, tail = (head + taken, tail) if first else (head, taken + tail)


def print_notice(text: str) -> None:
    """Write a line to standard error: wrapped at words on a terminal, elsewhere one line, to be searched for."""
    width = prose_width(sys.stderr) if is_terminal(sys.stderr) else None
    print(*wrap_words(text, width), sep="\n", file=sys.stderr, flush=True)
