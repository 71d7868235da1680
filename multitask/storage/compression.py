"""Compressed files, unpacked in memory with a bound: a few kilobytes can stand for all of the memory there is.

gzip, bzip2, xz and zstd, of one stream or several on end (as `cat a.gz b.gz` and pbzip2 make them). A file that ends
too early or is damaged anywhere is an error: what could be unpacked of it is not used.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from multitask.errors import UserError
from multitask.terminal.escaping import shown

UNPACKED_TIMES = 100
"""A file may unpack to so many times its size. Texts reach 10."""
UNPACKED_BYTES = 2**28
"""…or to so many bytes, whatever its size."""
_CHUNK = 2**20
_DICTIONARY = 2**28  # bytes that an xz file may ask for before anything is unpacked; xz -9 asks for 2**26


_MARKS = {
    "gz": rb"\x1f\x8b",
    "bz2": rb"BZh[1-9]1AY&SY",
    "xz": rb"\xfd7zXZ\0",
    "zst": rb"\x28\xb5\x2f\xfd",
    "zip": rb"PK\x03\x04",
    "parquet": rb"PAR1(?s:.*)PAR1\Z",
}
"""{the kind of a file: how it begins, or its whole}."""


def binary_kind(content: bytes) -> str | None:
    """Tell what a file is by its first bytes, whatever its name says; None for what may be text."""
    return next((kind for kind, mark in _MARKS.items() if re.match(mark, content)), None)


def split_ending(name: str) -> tuple[str, str]:
    """(the name without the ending of a compression, that ending in small letters or "").

    >>> split_ending("train.csv.GZ"), split_ending("train.csv")
    (('train.csv', '.gz'), ('train.csv', ''))
    """
    ending = next((e for e in UNPACKERS if name.lower().endswith(e)), "")
    return name[: len(name) - len(ending)], ending


def unpacked(path: str, content: bytes) -> bytes:
    """Give the content of a file, unpacked if the ending of its name says that it is compressed.

    Raises:
        UserError: If it is cut off or damaged, or unpacks to more than `UNPACKED_TIMES` its size and `UNPACKED_BYTES`.
    """
    _, ending = split_ending(path)
    if not ending:
        return content
    limit = max(UNPACKED_BYTES, UNPACKED_TIMES * len(content))
    parts, size = [], 0
    try:
        for part in UNPACKERS[ending](content):
            size += len(part)
            if size > limit:
                raise UserError(
                    f"'{path}' has {len(content):,} bytes and unpacks to more than {limit:,}, the most that is read of "
                    f"such a file ({UNPACKED_TIMES} times its size, or {UNPACKED_BYTES:,}); unpack it if that "
                    f"is meant."
                )
            parts.append(part)
    except EOFError as error:
        raise UserError(
            f"'{path}' is cut off: it ends before the end of what was compressed; copy or download it again."
        ) from error
    except (OSError, zlib.error, lzma.LZMAError, ValueError) as error:
        reason = shown(str(error).strip().rstrip(".")) or type(error).__name__
        raise UserError(
            f"'{path}' is not a readable {ending[1:]} file: {reason}; copy or download it again, or correct its name."
        ) from error
    return b"".join(parts)


def _gzip(content: bytes) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        while part := file.read(_CHUNK):
            yield part


def _streams(new: Callable[[], Any], content: bytes) -> Iterator[bytes]:
    """Not `BZ2File` and `LZMAFile`: they pass over what follows the first stream if it is damaged."""
    at = 0
    while at < len(content):
        one = new()
        while not one.eof:
            piece = content[at : at + _CHUNK] if one.needs_input else b""
            if one.needs_input and not piece:
                raise EOFError
            at += len(piece)
            yield one.decompress(piece, _CHUNK)
        at -= len(one.unused_data)
        while at < len(content) and content[at] == 0:  # padding
            at += 1


def _bz2(content: bytes) -> Iterator[bytes]:
    return _streams(bz2.BZ2Decompressor, content)


def _xz(content: bytes) -> Iterator[bytes]:
    return _streams(lambda: lzma.LZMADecompressor(memlimit=_DICTIONARY), content)


def _zstd(content: bytes) -> Iterator[bytes]:
    import pyarrow as pa  # type: ignore[import-untyped]

    with pa.input_stream(pa.BufferReader(content), compression="zstd") as stream:
        try:
            while part := stream.read(_CHUNK):
                yield part
        except OSError as error:
            raise (EOFError() if "runcated" in str(error) else error) from error


UNPACKERS: dict[str, Callable[[bytes], Iterator[bytes]]] = {".gz": _gzip, ".bz2": _bz2, ".xz": _xz, ".zst": _zstd}
"""{the ending of a compressed file's name: from its content to the pieces of what it holds}."""
