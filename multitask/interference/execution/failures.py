"""How the training of a model ends that does not finish: in words, and in a log that is kept."""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "MemoryError")
"""In the last words of CUDA, of PyTorch on a CPU and of Python."""


def cause(text: str, gpu: str | None = None) -> str:
    r"""The last line of a traceback, and what to do where it says that memory was short.

    >>> cause("Traceback …\nRuntimeError: only in the joint run")
    'RuntimeError: only in the joint run'
    >>> cause("torch.OutOfMemoryError: CUDA out of memory. Tried …", "0")[:27]
    'out of memory on GPU 0: let'
    """
    lines = [line for line in text.splitlines() if line.strip()]
    last = lines[-1].strip() if lines else "it said nothing"
    if not any(words.lower() in last.lower() for words in OUT_OF_MEMORY):
        return last
    where, fewer = (f" on GPU {gpu}", "--per-gpu") if gpu is not None else ("", "--jobs")
    return (
        f"out of memory{where}: let fewer models share it ({fewer} 1), or cut steps into parts "
        f"(--trainer.accumulate_grad_batches 2) ({last[:200]})"
    )


def ending(code: int) -> str:
    """How a process ended that said nothing.

    >>> ending(1), ending(-9)
    ('ended with code 1', 'was killed (SIGKILL), perhaps for want of memory')
    """
    if code >= 0:
        return f"ended with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed ({name}){', perhaps for want of memory' if code == -9 else ''}"


def note(log: Path, text: str) -> None:
    """Add to a model's log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text.rstrip("\n") + "\n")


def heading(attempt: int) -> str:
    """The line under which an attempt's words stand."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return f"== attempt {attempt}, {now}, process {os.getpid()}"


def last_line(log: Path) -> str:
    """The last words of a log, which say why it failed; empty if there is none."""
    with contextlib.suppress(OSError):
        size = log.stat().st_size
        with log.open("rb") as file:
            file.seek(max(0, size - 20_000))
            lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
        if lines:
            return lines[-1]
    return ""


@contextlib.contextmanager
def written_to(log: Path) -> Iterator[None]:
    """Send what this process writes inside to a log: also what CUDA or the C library says, past Python.

    Only for a process that is ours alone.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    before = [os.dup(stream) for stream in (1, 2)]
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        for stream in (1, 2):
            os.dup2(target, stream)
        yield
    finally:
        with contextlib.suppress(ValueError, OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        for old, stream in zip(before, (1, 2), strict=True):
            os.dup2(old, stream)
            os.close(old)
        os.close(target)
