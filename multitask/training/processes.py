"""The other processes of a run on several devices: which of Lightning's ways to start them fit, and how they end.

Words
    first process   the one that the user started; it starts the others, says what is to be said and writes the folder
    strategy        Lightning's name for how processes work together
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from typing import TYPE_CHECKING, Any

from multitask.errors import UserError

if TYPE_CHECKING:
    import subprocess

GRACE = 20.0
"""Seconds in which a process has to end after it failed, or after the run is over."""


STARTER = "MULTITASK_STARTER"
"""The environment variable that tells a process which one started it."""


class ProcessError(Exception):
    """Another process of the run failed; its own error is on standard error."""


def is_first_process() -> bool:
    """Whether this is not one of the others of a run on several devices, which are started by the same command."""
    # Lightning starts the others, with these set.
    return all(os.environ.get(name, "0") in ("", "0") for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK"))


def check_strategy(trainer: Any) -> None:
    """Refuse strategies whose processes begin inside the training and end with it.

    Raises:
        UserError: Names one that works.
    """
    from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher

    if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        raise UserError(
            "--trainer.strategy: processes that are spawned or forked in the middle of a run do not bring back what it "
            "counted; use ddp, which starts the command once for each device."
        )


def end_with(parent: int) -> None:
    """End this process when the one that started it, `parent`, is gone: nobody else would while it waits."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end-with").start()


EXCHANGE = re.compile(r"gloo|nccl|connection (closed|reset)|broken pipe", re.IGNORECASE)
"""In the errors of an exchange between processes: the library has no class for them."""


def failed(trainer: Any, error: Exception) -> str | None:
    """Which other process failed, and how, if that is why there is an `error` here; None in all but the first process.

    A process that dies closes its connections, and the others' next exchange fails within a moment.
    """
    processes = _started(trainer) if EXCHANGE.search(str(error)) else []
    until = time.monotonic() + GRACE
    while processes and time.monotonic() < until:
        for rank, process in enumerate(processes, start=1):
            if process.poll():
                if process.returncode < 0:
                    return f"process {rank} was ended by signal {-process.returncode}"
                return f"process {rank} ended with exit code {process.returncode}; its error is above"
        if all(process.poll() == 0 for process in processes):
            break
        time.sleep(0.05)
    return None


def stop(trainer: Any) -> None:
    """End the other processes, and forget them: what Lightning's observer finds dead, it kills this process for."""
    processes = _started(trainer)
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()
    processes.clear()


def join(trainer: Any) -> None:
    """Wait until the other processes are done."""
    import subprocess  # now: a command asks this module before it says that it begins

    for process in _started(trainer):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)


def _started(trainer: Any) -> list[subprocess.Popen[bytes]]:
    """Those that this process started: none if something else starts them, e.g. torchrun or SLURM."""
    found: list[subprocess.Popen[bytes]] = getattr(trainer.strategy.launcher, "procs", [])
    return found
