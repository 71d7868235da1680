"""Arrays that are made once and kept on disk: named by their content, shared by all runs, checked when they are read.

Words
    entry    one file of flat arrays; its name is a hash of all that they depend on, so it is never out of date
    key      that which they depend on, as plain JSON values
    about    what `multitask cache` says of an entry; not part of its name
    damaged  of another length or another checksum than was written: the entry is left aside and made again

An entry is written under another name and then renamed, so whoever looks finds all of it or nothing, and of several
that make the same one at once any may be last. Its arrays are memory-mapped: runs side by side share one copy.

    8 bytes MAGIC, 4 length of the header, 4 its CRC-32; the header (JSON); each array at a multiple of 64 bytes
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import struct
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from multitask.storage.atomic import atomic
from multitask.terminal.escaping import visible
from multitask.terminal.width import print_notice

if TYPE_CHECKING:
    import numpy as np

FORMAT = 1
"""Part of every name: what older code wrote is not read, and `multitask cache clear` deletes it."""
KEPT_FROM = 100
"""Examples that are worth an entry; fewer are made again sooner than they are found, and toy tasks leave no litter."""
OFF = "off"
"""The value of MULTITASK_CACHE that means none."""

MAGIC = b"multtask"
_HEAD = struct.Struct("<8sII")
_ALIGN = 64
_NAME = re.compile(r"[a-z]+-[0-9a-f]{32}\.entry")
_NUMBERS = re.compile(r"[<>=|][iuf][1248]")
_LEFT_OVER = re.compile(r"\.[a-z]+-[0-9a-f]{32}\.entry\..*")
_WRITING = 3600.0  # seconds: a file under its first name that is older was left by a process that died

Arrays = Mapping[str, "np.ndarray"]


def cache_folder() -> Path | None:
    """Where entries are kept: MULTITASK_CACHE, or `multitask` in the user's cache; None if that says `off`.

    The user's cache is what the system has for it: on Linux XDG_CACHE_HOME or ~/.cache.
    """
    import platformdirs

    setting = os.environ.get("MULTITASK_CACHE")
    if setting == OFF:
        return None
    if setting:
        return Path(setting).expanduser()
    found = platformdirs.user_cache_path("multitask", appauthor=False)
    return found if found.is_absolute() else None  # a user without a home


def _on_stderr(line: str) -> None:
    print_notice(f"multitask: {visible(line)}")


@dataclass(eq=False)
class Cache:
    """The entries of one folder.

    Args:
        folder: Made when it is first written to; None keeps nothing.
        say: Told, in a line each, what went wrong; nothing that goes wrong with a cache ends a run.
    """

    folder: Path | None = field(default_factory=cache_folder)
    say: Callable[[str], None] = _on_stderr
    _unwritable: bool = False

    def path(self, kind: str, key: Mapping[str, Any]) -> Path | None:
        """The file of an entry, whether it is there or not."""
        if self.folder is None:
            return None
        text = json.dumps({"format": FORMAT, **key}, sort_keys=True)
        return self.folder / f"{kind}-{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}.entry"

    def read(self, kind: str, key: Mapping[str, Any]) -> Arrays | None:
        """The arrays of an entry, read-only and memory-mapped; None if it is not there or damaged, which is said."""
        path = self.path(kind, key)
        if path is None:
            return None
        try:
            header, arrays = _read(path)
            if header.get("key") != _plain(key):
                raise DamagedError("it is another entry's")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except DamagedError as error:
            self.say(f"cache: {path} is damaged ({error}); it is made again.")
            return None
        except OSError as error:
            self.say(f"cache: {path} cannot be read ({error.strerror or error}); going on without it.")
            return None
        with contextlib.suppress(OSError):  # another user's
            os.utime(path)  # when it was last used: what `multitask cache clear --older-than` goes by
        return arrays

    def write(self, kind: str, key: Mapping[str, Any], arrays: Arrays, about: Mapping[str, Any]) -> Arrays:
        """Keep the arrays; gives them back memory-mapped, or as they are if they cannot be kept, which is said once."""
        path = self.path(kind, key)
        if path is None:
            return arrays
        try:
            with atomic(path) as temporary:
                _write(temporary, {"kind": kind, "key": _plain(key), "about": _plain(about)}, arrays)
        except OSError as error:
            if os.path.isfile(path):  # another process was first, and has it open where open files are not replaced
                return self.read(kind, key) or arrays
            if not self._unwritable:
                self._unwritable = True
                self.say(f"cache: {self.folder} cannot be written ({error.strerror or error}); going on without it.")
            return arrays
        return self.read(kind, key) or arrays


# ------------------------------------------------------------------------------------------------------------- a file


class DamagedError(Exception):
    """A file that is not as it was written; says in what."""


def _plain(value: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(value))  # tuples are lists, as they will be when they are read


def _write(path: Path, header: Mapping[str, Any], arrays: Arrays) -> None:
    listed = [
        {"name": name, "dtype": array.dtype.str, "count": len(array), "crc": zlib.crc32(array.data)}
        for name, array in arrays.items()
    ]
    text = json.dumps({**header, "arrays": listed}).encode()
    with open(path, "wb") as file:
        file.write(_HEAD.pack(MAGIC, len(text), zlib.crc32(text)) + text)
        for array in arrays.values():
            file.write(b"\0" * (-file.tell() % _ALIGN))
            file.write(array.data)


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header, and where it ends."""
    with open(path, "rb") as file:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size or not head.startswith(MAGIC):
            raise DamagedError("it does not begin as an entry")
        _, length, crc = _HEAD.unpack(head)
        text = file.read(length)
    if len(text) < length or zlib.crc32(text) != crc:
        raise DamagedError("its header is not as it was written")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise DamagedError("its header is not an entry's")
    return header, _HEAD.size + length


def _listed(header: Any) -> list[dict[str, Any]]:
    """Read the header's entry of each array: numbers only. An array of objects would be addresses in the memory."""
    try:
        listed = [{name: one[name] for name in ("name", "dtype", "count", "crc")} for one in header["arrays"]]
        plain = all(_NUMBERS.fullmatch(one["dtype"]) and int(one["count"]) >= 0 for one in listed)
    except (KeyError, TypeError, ValueError):
        plain = False
    if not plain:
        raise DamagedError("its header does not list arrays of numbers")
    return listed


def _read(path: Path) -> tuple[dict[str, Any], Arrays]:
    import numpy as np

    header, at = _header(path)
    places = []
    for one in _listed(header):
        at += -at % _ALIGN
        places.append((one, at))
        at += one["count"] * np.dtype(one["dtype"]).itemsize
    size = path.stat().st_size
    if size != at:
        raise DamagedError(f"it has {size:,} bytes and should have {at:,}")
    # As a plain array: the class memmap makes each slice slower. What is mapped stays so, and stays read-only.
    mapped = np.asarray(np.memmap(path, mode="r"))
    arrays = {}
    for one, begin in places:
        dtype = np.dtype(one["dtype"])
        array = mapped[begin : begin + one["count"] * dtype.itemsize].view(dtype)
        if zlib.crc32(array) != one["crc"]:
            raise DamagedError(f"the checksum of '{one['name']}' is not as it was written")
        arrays[one["name"]] = array
    return header, arrays


# ---------------------------------------------------------------------------------------------- all entries of a folder


class Entry(NamedTuple):
    """An entry, as far as it is known without reading all of it."""

    path: Path
    kind: str
    """tokens or vocabulary; `damaged` if the header cannot be read."""
    about: Mapping[str, Any]
    size: int
    """Bytes."""
    used: float
    """When it was last used, in seconds as `time.time()`."""


def _files(folder: Path, name: re.Pattern[str]) -> list[Path]:
    try:
        there = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / file for file in there if name.fullmatch(file)]


def entries(folder: Path) -> list[Entry]:
    """The entries of a folder, the last used first; other files are not looked at.

    Raises:
        OSError: If the folder cannot be read.
    """
    found = []
    for path in _files(folder, _NAME):
        try:
            stat = path.stat()
            try:
                header = _header(path)[0]
                kind, about = header.get("kind", "damaged"), header.get("about", {})
            except DamagedError:
                kind, about = "damaged", {}
        except OSError:  # deleted meanwhile
            continue
        found.append(Entry(path, kind, about, stat.st_size, stat.st_mtime))
    return sorted(found, key=lambda entry: -entry.used)


def clear(folder: Path, *, unused_days: float = 0.0) -> tuple[list[Entry], list[Entry]]:
    """Delete the entries that were not used for so many days; gives (those that are gone, those that would not go).

    What a process that died left half written goes too. Nothing else in the folder is touched. A run that has an
    entry open keeps it.

    Raises:
        OSError: If the folder cannot be read.
    """
    now = time.time()
    gone, stayed = [], []
    for entry in entries(folder):
        if now - entry.used >= unused_days * 86_400:
            try:
                entry.path.unlink(missing_ok=True)
                gone.append(entry)
            except OSError:
                stayed.append(entry)
    for path in _files(folder, _LEFT_OVER):
        with contextlib.suppress(OSError):  # renamed or deleted meanwhile
            if now - path.stat().st_mtime > _WRITING:
                path.unlink()
    return gone, stayed


def shown_size(size: float) -> str:
    """Bytes as people read them.

    >>> shown_size(999), shown_size(1_250_000)
    ('1.0 kB', '1.2 MB')
    """
    for unit in ("kB", "MB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:,.1f} GB"
