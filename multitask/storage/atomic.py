"""Writing a file so that a crash leaves the old one or the new one, and no half."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from multitask.storage.locking import check_owner

if TYPE_CHECKING:
    pass


_LEFTOVER = re.compile(r"\..+\.[a-z0-9_]{8}(\.\w+)?|\.writable")


_ASKING = threading.Lock()


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder that takes `path`'s place if the block ends without an error.

    It is on the disk before it has its name: otherwise a power cut could leave the name with nothing in it.

    Raises:
        UserError: If the folder was this process's to write to, and is another's now.
    """
    check_owner(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Whatever name a file may have, its first one is not too long: 255 bytes for most systems.
    stem = os.fsdecode(os.fsencode(path.name)[:200])
    handle, name = tempfile.mkstemp(prefix=f".{stem}.", suffix=path.suffix[:12], dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _make_ready(temporary)
        check_owner(path)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_files(folder: Path, last: str) -> Iterator[Path]:
    """A temporary folder whose files take their places in `folder` if the block ends without an error.

    For writers that want a folder. Each file is `atomic`; the one named `last` says that the others are there.
    """
    check_owner(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as name:
        yield Path(name)
        made = sorted(Path(name).iterdir(), key=lambda path: (path.name == last, path.name))
        for path in made:
            _make_ready(path)
        check_owner(folder)
        for path in made:
            os.replace(path, folder / path.name)


def _make_ready(path: Path) -> None:
    """Before a file takes its name: on the disk, and for whom the umask lets, not for its owner alone (mkstemp)."""
    os.chmod(path, 0o666 & ~_umask())
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    with _ASKING:  # between the two calls the process has no mask, and another thread would take that for its own
        mask = os.umask(0)
        os.umask(mask)
    return mask


def delete_path(path: Path) -> None:
    """A file, a link or a whole folder, if it is there."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def clear_leftovers(folder: Path) -> None:
    """Delete what writers that were killed left under first names; nobody else may be writing there."""
    for found in (folder, *(folder / name for name in ("checkpoints", "predictions", "examples", "events/csv"))):
        for path in found.iterdir() if found.is_dir() else ():
            if _LEFTOVER.fullmatch(path.name):
                delete_path(path)
