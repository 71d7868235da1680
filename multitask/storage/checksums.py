"""SHA-256 of files."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass
from multitask.storage.atomic import _LEFTOVER


def digests(folder: Path, parts: Iterable[str]) -> dict[str, str]:
    """{path in the folder: SHA-256} of the files named in `parts`, and of those in the folders named there."""
    found = {}
    for part in parts:
        path = folder / part
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and not _LEFTOVER.fullmatch(file.name):
                found[file.relative_to(folder).as_posix()] = digest_of(file)
    return found


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hex; read again only if its size or time is another."""
    stat = path.stat()
    return _digest(str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino)


@functools.lru_cache(maxsize=1024)
def _digest(path: str, *_: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
