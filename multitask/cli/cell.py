"""multitask cell: one model of a study, for schedulers."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

from multitask.cli.commands import Command, own_options
from multitask.cli.common import add_include, loading
from multitask.errors import UserError
from multitask.terminal.quiet import quiet_libraries

EXIT_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h: what it did is saved, and the same command goes on."""


def _add_options(parser: Any) -> None:
    parser.add_argument("study", metavar="STUDY", help="The study's folder.")
    parser.add_argument("number", metavar="N", help="The number of the model in cells.json, or its folder's name.")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="In place of the study's; another number changes the last bits."
    )
    add_include(parser)


COMMAND = Command(
    "cell",
    "Train one model of a study, for a scheduler: a finished one is left alone, one that was begun goes on. Exit "
    "codes: 0 it is finished; 75 try again, what was done is saved; 2 a mistake; 1 it failed.",
    "STUDY N [options]",
    _add_options,
    examples=("multitask interference --tasks span,sst2 --out runs/study --plan-only", "multitask cell runs/study 0"),
)


def run(arguments: list[str]) -> int:
    """Run `multitask cell`; gives the exit code."""
    options = own_options(COMMAND, arguments)
    if options.threads is not None and options.threads < 1:
        raise UserError(f"--threads must be at least 1. Got {options.threads}.")
    signals = {getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)}
    try:
        _train(options)
    except KeyboardInterrupt as stopped:
        if getattr(stopped, "signal", None) in signals:
            return _again("interrupted before its training began")
        raise
    return 0


def _train(options: Any) -> None:
    from multitask.training.signals import handle_stop_signals, interrupt

    with handle_stop_signals(interrupt):
        quiet_libraries()
        with loading():
            from multitask.interference.execution.cell import TryAgainError, train_cell

        try:
            train_cell(Path(options.study), options.number, include=options.include, threads=options.threads)
        except TryAgainError as error:
            sys.exit(_again(str(error)))


def _again(text: str) -> int:
    print(f"multitask: {text}", file=sys.stderr)
    return EXIT_AGAIN
