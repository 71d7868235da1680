"""Who may write to a folder: one process at a time, also where the file system keeps no locks.

The lock on `LOCK` ends with its process, however that ends. But some file systems keep none (Lustre without its flock
option refuses; NFS with local_lock, and some of FUSE, say yes to everybody). So the process that has the lock also
writes its name and a random token to `OWNER`. Who finds there a process of this machine that is alive does not begin;
and before a file takes its name its writer looks whether the token is still its own. If it is not, another one, on
another machine perhaps, has taken the folder over: the writer ends with one sentence and writes nothing more.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from multitask.errors import UserError

LOCK, OWNER = ".lock", ".owner"
HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
"""What `flock` says where another process has the lock; all else (ENOLCK, ENOSYS, EOPNOTSUPP): there are no locks."""
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""Neither through a link nor waiting for the other end of a pipe; Windows has neither."""


class LockedError(UserError):
    """Another process holds the folder: the same may work later."""


_tokens: dict[Path, str] = {}
"""{folder that this process owns: its token}."""


def check_lock(folder: Path) -> None:
    """Refuse a folder whose lock or owner's file is a link, or no file at all, without touching anything.

    Raises:
        UserError: Names it.
    """
    for name in (LOCK, OWNER):
        with contextlib.suppress(OSError):
            mode = (folder / name).lstat().st_mode
            if not stat.S_ISREG(mode):
                kind = f"a link to {os.readlink(folder / name)}" if stat.S_ISLNK(mode) else "no plain file"
                raise UserError(f"{folder / name} is {kind}: this program writes no such thing; remove it.")


@contextlib.contextmanager
def locked(folder: Path, what: str, wait: float = 0.0) -> Iterator[None]:
    """Hold a folder against other processes.

    Args:
        folder: Made if it is not there.
        what: What is in it, for the error: "run", "study".
        wait: Seconds to wait for a process that may be ending.

    Raises:
        LockedError: If another process holds it.
        UserError: If it cannot be written to.
    """
    check_lock(folder)
    deadline = time.monotonic() + wait
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o666)
    except OSError as error:
        raise UserError(f"--out {folder} cannot be written: {error.strerror or error}.") from error
    try:
        while not (_flocked(handle) and not _is_at_work(_owner(folder))):
            if time.monotonic() >= deadline:
                raise LockedError(f"another process is working on the {what} in {folder}: wait for it, or stop it.")
            time.sleep(0.1)
        with _owning(folder):
            yield
    finally:
        os.close(handle)


def is_held(folder: Path) -> bool | None:
    """Whether a process is at work in a folder; None where one of another machine was, of which nothing is known."""
    owner = _owner(folder)
    if not owner:
        return False
    if (owner["host"], owner["boot"]) != (platform.node(), _boot()):
        return None
    return _is_at_work(owner) or (owner["pid"] == os.getpid() and owner["token"] in _tokens.values())


def _flocked(handle: int) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in HELD
    return True


@contextlib.contextmanager
def _owning(folder: Path) -> Iterator[None]:
    key, token = folder.absolute(), secrets.token_hex(16)
    temporary = folder / f"{OWNER}.{token[:8]}"  # of the form of a leftover, see `folder.clear_leftovers`
    try:
        try:
            temporary.write_text(json.dumps({"token": token, **_this_process()}) + "\n", encoding="utf-8")
            os.replace(temporary, folder / OWNER)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise UserError(f"--out {folder} cannot be written: {error.strerror or error}.") from error
        _tokens[key] = token
        yield
    finally:
        _tokens.pop(key, None)
        if _owner(folder).get("token") == token:
            with contextlib.suppress(OSError):
                (folder / OWNER).unlink()


def check_owner(path: Path) -> None:
    """Refuse to write `path` if it lies in a folder that this process owned and owns no more.

    Raises:
        UserError: Names the folder.
    """
    if not _tokens:
        return
    where = path.absolute()
    for folder in (where, *where.parents):
        token = _tokens.get(folder)
        if token is not None and (found := _owner(folder)).get("token") != token:
            who = f"process {found['pid']} of {found['host']}" if found else "another process, or somebody,"
            raise UserError(
                f"{who} has taken over {folder} while this process was at work there: this one ends, and writes "
                f"nothing more. Give each run a folder of its own."
            )


def _owner(folder: Path) -> dict[str, Any]:
    """Read OWNER; nothing if it is not there, or is not as it was written."""
    try:
        handle = os.open(folder / OWNER, os.O_RDONLY | NO_FOLLOW)
        with open(handle, encoding="utf-8") as file:
            found = json.loads(file.read(4096))
    except (OSError, ValueError, RecursionError):
        return {}
    kinds = {"token": str, "host": str, "boot": str, "pid": int, "began": str}
    plain = isinstance(found, dict) and all(isinstance(found.get(name), kind) for name, kind in kinds.items())
    return found if plain else {}


def _this_process() -> dict[str, Any]:
    return {"pid": os.getpid(), "began": _began(os.getpid()), "host": platform.node(), "boot": _boot()}


def _is_at_work(owner: dict[str, Any]) -> bool:
    """Whether the owner is another process of this machine that is alive; of another machine's nothing can be known."""
    if not owner or (owner["host"], owner["boot"]) != (platform.node(), _boot()) or os.name != "posix":
        return False
    if owner["pid"] == os.getpid():  # what this process holds, it knows of; else it is left from before
        return owner["token"] in _tokens.values()
    try:
        os.kill(owner["pid"], 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # another user's
    return bool(owner["pid"] > 0 and _began(owner["pid"]) == owner["began"])


def _began(pid: int) -> str:
    """When a process began, in ticks since the machine did: a number may be given out again. Linux only, else ""."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return "ended" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return ""


def _boot() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""
