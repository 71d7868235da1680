"""multitask init: a starter project of one's own."""

from __future__ import annotations

import keyword
import re
import shlex
from pathlib import Path
from typing import Any

from multitask.cli.commands import Command, own_options
from multitask.cli.starter import starter_files
from multitask.errors import UserError
from multitask.terminal.output import say


def _add_options(parser: Any) -> None:
    parser.add_argument("folder", metavar="DIR", help="The project's folder, new or empty.")
    parser.add_argument("--task", metavar="NAME", default="ticket", help="The name of its task.")


COMMAND = Command(
    "init",
    "Begin a project: one task on a few rows, its test, settings, and a package that brings it to every command.",
    "DIR [--task NAME]",
    _add_options,
    examples=("multitask init my-tasks",),
)


def run(arguments: list[str]) -> int:
    """Run `multitask init`; gives the exit code."""
    options = own_options(COMMAND, arguments)
    folder, task = Path(options.folder), options.task
    if not task.isidentifier() or keyword.iskeyword(task) or not task.isascii():
        raise UserError(f"--task {task}: the name is one of a Python function: letters, digits and underscores.")
    name = folder.absolute().name
    project = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "my-tasks"
    package = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "my_tasks"
    if not package.isidentifier() or keyword.iskeyword(package) or package in ("multitask", "tests", task):
        package = f"{package}_tasks" if package[:1].isalpha() else f"tasks_{package}"
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} holds something already: a project begins in a new or empty folder.")
    for path, text in starter_files(project, package, task).items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    say(
        f"{folder}: a project with the task '{task}'. Next:",
        f"  cd {shlex.quote(str(folder))}",
        "  python -m pytest",
        f"  multitask train --config config.yaml --include {package}.py --out runs/first",
    )
    return 0
