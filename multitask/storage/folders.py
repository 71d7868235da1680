"""Folders to write to, and names that are safe as file names."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from multitask.errors import UserError
from multitask.storage.locking import check_owner

if TYPE_CHECKING:
    pass
from multitask.storage.atomic import atomic, clear_leftovers, delete_path


def resume_command(run: Path, include: Iterable[str] = ()) -> str:
    """The command that continues a run, as it can be typed; its other settings stand in its folder.

    >>> resume_command(Path("runs/my run"), ["my_tasks.py"])
    "multitask train --resume 'runs/my run' --include my_tasks.py"
    """
    files = "".join(f" --include {shlex.quote(file)}" for file in include)  # what a folder names is not run by itself
    return f"multitask train --resume {shlex.quote(str(run))}{files}"


def _forbidden(folder: Path) -> str:
    if hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY:
        return os.strerror(errno.EROFS)
    return os.strerror(errno.EACCES)


def check_links(out: Path) -> None:
    """Refuse a folder that is to be written to if a link in it leads out: it may be of untrusted origin.

    Raises:
        UserError: Names the link.
    """
    inside = out.resolve()
    for folder, folders, files in os.walk(out):  # which does not follow links
        for name in (*folders, *files):
            path = Path(folder) / name
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                raise UserError(f"{path} is a link that leads out of {out}, so writing there would change other files.")


def make_folder(out: Path, *, delete: Iterable[str] = ()) -> None:
    """Make a folder that can be written to, after deleting the parts named in it.

    Raises:
        UserError: If writing fails.
    """
    check_owner(out)
    try:
        for name in delete:
            delete_path(out / name)
        out.mkdir(parents=True, exist_ok=True)
        clear_leftovers(out)
        with atomic(out / ".writable") as probe:
            probe.write_text("")
        (out / ".writable").unlink()
    except OSError as error:
        raise UserError(f"--out {out} cannot be written: {error.strerror or error}.") from error


def safe_name(text: str) -> str:
    """Part of a folder's name: letters, digits, hyphens and underscores, 80 at most, in 160 bytes of UTF-8.

    >>> safe_name("span=2,sst2")
    'span-2-sst2'
    """
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in text)[:80]
    return name.encode()[:160].decode(errors="ignore")
