"""Lines of standard input as they come: one by one from whoever types, many at once from a file or a fast pipe."""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from multitask.errors import UserError

WAIT = 0.02
"""Seconds in which more may come of a pipe before what is there is answered."""
MANY = 1 << 24
"""Bytes that are answered at once, at most."""
_CHUNK = 1 << 16
_BOM = b"\xef\xbb\xbf"


def read_file(path: str) -> list[str]:
    """The lines of a file, which may be compressed.

    Raises:
        UserError: If it cannot be read or is no UTF-8.
    """
    from multitask.storage.compression import unpacked

    try:
        content = unpacked(path, Path(path).read_bytes())
    except OSError as error:
        raise UserError(f"--input {path} cannot be read: {error.strerror}.") from error
    return _lines_of(content.removeprefix(_BOM), f"--input {path}", len(_BOM) * content.startswith(_BOM))


def is_typed(stream: Any) -> bool:
    """Whether somebody types into it."""
    return stream is not None and bool(stream.isatty())


def read_batches(stream: Any = None) -> Iterator[list[str]]:
    """All lines that are there, as soon as there is one; until the end of standard input.

    Args:
        stream: By default standard input.

    Raises:
        UserError: If it is closed, cannot be read or is no UTF-8.
    """
    stream = stream or sys.stdin
    if stream is None:
        raise UserError("standard input is closed: give --input FILE.")
    name, read, rest = "standard input", 0, b""
    try:
        for chunk in _chunks(stream):
            content = rest + chunk
            if read == 0 and content.startswith(_BOM):
                content, read = content[len(_BOM) :], len(_BOM)
            whole, end, rest = content.rpartition(b"\n")
            if end:
                yield _lines_of(whole, name, read)
                read += len(whole) + 1
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}.") from error
    if rest:
        yield _lines_of(rest, name, read)


def _chunks(stream: Any) -> Iterator[bytes]:
    """Yield what can be had without waiting, and at first something."""
    try:
        number = stream.fileno()
        waits = not stat.S_ISREG(os.fstat(number).st_mode) and os.name != "nt"  # where select is for sockets
    except OSError:  # no file of the system's
        waits = False
    if not waits:
        yield stream.buffer.read()
        return
    typed = is_typed(stream)
    while True:
        parts = [os.read(number, _CHUNK)]
        size = len(parts[0])
        while parts[-1] and not typed and size < MANY and select.select([number], [], [], WAIT)[0]:
            parts.append(os.read(number, _CHUNK))
            size += len(parts[-1])
        yield b"".join(parts)
        if not parts[-1]:
            return


def _lines_of(content: bytes, name: str, before: int) -> list[str]:
    """Not `splitlines`: a text may hold U+2028 and its like."""
    try:
        return content.decode().split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not UTF-8 at byte {before + error.start}.") from error
