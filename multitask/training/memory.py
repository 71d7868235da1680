"""The most memory that a training takes, as the system counts it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import re
from pathlib import Path
from typing import NamedTuple

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak(NamedTuple):
    """Megabytes (10^6 bytes); None where it cannot be known."""

    process: float | None
    """Of the process, beyond what it held before training: the libraries, the data and the model are not in it
    (Linux)."""
    device: float | None
    """Of tensors on the GPU, the model's among them; None without one."""


def forget_peak() -> float | None:
    """Begin to count anew; gives what the process holds now in MB, for `peak_memory`, or None if it cannot be known.

    What earlier trainings of this process gave back is in the C library's hands still, and would be taken for free.
    """
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5")  # proc(5): resets the peak resident set size
        return _status("VmRSS")
    return None


def peak_memory(before: float | None) -> Peak:
    """The most since `forget_peak`, which gave `before`."""
    most = _status("VmHWM") if before is not None else None
    process = None if most is None or before is None else max(most - before, 0.0)
    device = torch.cuda.max_memory_allocated() / 1e6 if torch.cuda.is_available() else None
    return Peak(process, device)


def _status(name: str) -> float | None:
    with contextlib.suppress(OSError):
        found = re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
        return int(found[1]) * 1024 / 1e6 if found else None
    return None
