"""Signals that ask a program to end: Ctrl-C, and those with which clusters announce the end of a job's time."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""Those that mean: save where you are, and end."""


class Interrupted(KeyboardInterrupt):
    """As by Ctrl-C, by any of `STOPPING`.

    Args:
        number: Of the signal.
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        self.signal = number


@contextlib.contextmanager
def restore_signal_handlers() -> Iterator[None]:
    """Restore the signals' handlers after the block as they were before it.

    Lightning leaves a SIGTERM handler of its own behind when another one is set and given back within its training: the
    process would ignore the signal from then on, and hold on to the trainer and all its tensors.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # it was not set from Python
                signal.signal(number, handler)


@contextlib.contextmanager
def handle_stop_signals(answer: Callable[[int, Any], Any]) -> Iterator[None]:
    """The signals call `answer` inside; only the main thread can set handlers, in another nothing changes."""
    with restore_signal_handlers():
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                signal.signal(number, answer)
        yield


@contextlib.contextmanager
def deliver_interrupts(*, whole: bool) -> Iterator[None]:
    """Ctrl-C inside ends the program after the block at the latest, though a `__del__` caught the exception.

    So it went while torch was imported: "Exception ignored in …", and the program went on.

    Args:
        whole: Raise it only after the block, unless it comes twice: torch half imported can never be used again by a
            process that goes on, such as a notebook's.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    times = 0

    def note(*_: Any) -> None:
        nonlocal times
        times += 1
        if times > 1 or not whole:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if times:
        raise KeyboardInterrupt


def interrupt(number: int, _: Any) -> None:
    """An answer: end as by Ctrl-C.

    Raises:
        Interrupted: Always.
    """
    raise Interrupted(number)
