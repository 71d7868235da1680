"""multitask watch: how far a run or a study is, on any machine that sees its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from multitask.cli.commands import Command, own_options
from multitask.cli.common import add_include
from multitask.errors import UserError


def _add_options(parser: Any) -> None:
    parser.add_argument("folder", metavar="RUN_OR_STUDY", help="A run folder or a study folder.")
    add_include(parser)


COMMAND = Command(
    "watch",
    "Show how far a run or a study is until it ends, from its folder alone: on this machine or any other that sees it. "
    "Ctrl-C ends the looking, not the training.",
    "RUN_OR_STUDY",
    _add_options,
    examples=("multitask watch runs/study",),
)


def run(arguments: list[str]) -> int:
    """Run `multitask watch`; gives the exit code."""
    options = own_options(COMMAND, arguments)
    folder = Path(options.folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is neither a run folder nor a study folder: there is no such folder.")
    if (folder / "cells.json").is_file() or (folder / "study.yaml").is_file():
        from multitask.interference.watch import watch_study
        from multitask.mixing.prepare import load_plugins

        load_plugins(options.include)
        watch_study(folder)
    else:
        from multitask.runs.follow import watch_run

        watch_run(folder)
    return 0
