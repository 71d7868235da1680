"""Refusals of the system as sentences: a full disk, a limit on files, a path that cannot be.

A user can fix it, so it is one line, wherever it comes from and whichever library wraps it.

Words
    wrapped   safetensors and tokenizers say "(os error 27)" in errors of their own, the import system says "cannot open
              shared object file: Too many open files": the number or the words are looked for
"""

from __future__ import annotations

import errno
import os
import re

from multitask.errors import UserError
from multitask.terminal.escaping import shown


def _numbers(*names: str) -> frozenset[int]:
    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


RESOURCES = _numbers("ENOSPC", "EDQUOT", "EROFS", "EFBIG", "EMFILE", "ENFILE", "EIO", "ESTALE", "ENODEV", "EREMOTEIO")
"""What a disk or a limit has no more of: looked for in wrapped errors too."""
PATHS = _numbers(
    *("EACCES", "EPERM", "ENOENT", "ENOTDIR", "EISDIR", "ENAMETOOLONG", "ELOOP", "EBUSY", "ETXTBSY", "EEXIST"),
    *("ENOTEMPTY", "EXDEV", "ENXIO", "EMLINK", "ENOTSUP", "EOPNOTSUPP", "ENOLCK", "EILSEQ", "EOVERFLOW"),
    *("ENOMEM", "EAGAIN"),
)
"""What is wrong with a path, or what the system cannot do now."""
_HINTS = {
    errno.EMFILE: " (the limit on open files: ulimit -n)",
    errno.ENFILE: " (the system's limit on open files)",
    errno.EFBIG: " (the limit on the size of a file: ulimit -f)",
}
_OPENED = _numbers("EMFILE", "ENFILE", "ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "ENXIO")


def system_error(error: BaseException) -> OSError | None:
    """The system's own error in or behind an error; None if it is none that a user can fix.

    >>> system_error(RuntimeError("I/O error: File too large (os error 27)"))
    OSError(27, 'File too large')
    >>> system_error(RuntimeError("a bug"))
    """
    if isinstance(error, OSError) and error.errno in PATHS:
        return error
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # pathlib's, until Python 3.13
        return OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(error).partition("'")[2].rstrip("'") or None)
    seen: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in seen and not isinstance(at, UserError):
        seen.append(at)
        if isinstance(at, OSError) and at.errno in RESOURCES:
            return at
        number = _wrapped(str(at))
        if number is not None:
            return OSError(number, os.strerror(number))
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return None


def _wrapped(text: str) -> int | None:
    for found in re.findall(r"(?:os error |Errno |errno:? ?=? ?)(\d+)", text):
        if int(found) in RESOURCES:
            return int(found)
    return next((number for number in sorted(RESOURCES) if os.strerror(number) in text), None)


def told(error: OSError, where: object = None) -> str:
    """A sentence, without its full stop, of what cannot be done and why.

    Args:
        error: Of `system_error`.
        where: What cannot be read or written if the error names no file.

    >>> told(OSError(28, "No space left on device", "run/metrics.json"))
    'run/metrics.json cannot be written: No space left on device'
    """
    text = error.strerror or str(error)
    if error.errno and "[errno" in text:  # Arrow's, with what it was doing
        text = os.strerror(error.errno)
    reason = f"{text}{_HINTS.get(error.errno or 0, '')}"
    name = error.filename if isinstance(error.filename, (str, bytes, os.PathLike)) else where
    if name is None:
        return reason
    return f"{shown(os.fsdecode(name) if isinstance(name, bytes) else name, 200)} cannot be {_what(error)}: {reason}"


def _what(error: OSError) -> str:
    return "opened" if error.errno in _OPENED else "written" if error.errno in RESOURCES else "used"
