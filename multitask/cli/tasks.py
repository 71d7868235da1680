"""multitask tasks: the tasks there are, one of them, and checks of their data."""

from __future__ import annotations

from typing import Any

from multitask.cli.commands import Command, own_options
from multitask.cli.common import add_format, add_include, announce, planned_settings, shown_tasks
from multitask.cli.settings import USED
from multitask.errors import UserError


def _add_options(parser: Any) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="Describe this task.")
    parser.add_argument("--data", metavar="DIR", help="Where its example comes from: DIR, hub (downloads) or sample.")
    add_include(parser)


def _add_check_options(parser: Any) -> None:
    add_format(parser)
    parser.add_argument(
        "--show",
        type=int,
        default=0,
        metavar="N",
        help="Print N training examples of each task as the model sees them.",
    )


COMMAND = Command(
    "tasks",
    "List the tasks, or describe one; `multitask tasks check` checks data for training.",
    "[NAME] [options]",
    _add_options,
    examples=("multitask tasks", "multitask tasks span", "multitask tasks ticket --include my_tasks.py"),
)
CHECK = Command(
    "tasks check",
    "Check the data of tasks: rows, lengths, truncation, round trip, duplicates, overlap between tasks.",
    "--tasks NAMES [options]",
    _add_check_options,
    USED["tasks check"],
    ("multitask tasks check --tasks ticket --include my_tasks.py --data DIR --show 3",),
)


def run(arguments: list[str]) -> int:
    """Run `multitask tasks`; gives the exit code."""
    if arguments and arguments[0] == "check":
        return _tasks_check(arguments[1:])
    _check_words(arguments)
    options = own_options(COMMAND, arguments)
    from multitask.cli.task_list import describe_task, print_tasks
    from multitask.mixing.prepare import load_plugins
    from multitask.terminal.output import say

    load_plugins(options.include)
    if options.name:
        say(describe_task(options.name, options.data))
    else:
        print_tasks()
    return 0


def _check_words(arguments: list[str]) -> None:
    """Say how it is written here to who writes `tasks list` or `tasks show NAME`."""
    word = arguments[0] if arguments else ""
    if word in ("list", "ls"):
        raise UserError(f"multitask tasks lists them: leave '{word}' out.")
    if word in ("show", "describe", "info"):
        name = arguments[1] if len(arguments) > 1 else "NAME"
        raise UserError(f"multitask tasks {name} describes a task: leave '{word}' out.")
    options = [one.partition("=")[0] for one in arguments]
    if "--show" in options:
        name = word if word and not word.startswith("-") else "NAME"
        raise UserError(f"--show is of the check: multitask tasks check --tasks {name} --show 3.")
    if "--tasks" in options or "--task" in options:
        raise UserError("multitask tasks NAME describes a task; multitask tasks check --tasks NAMES checks data.")


def _tasks_check(arguments: list[str]) -> int:
    from multitask.cli.flags import parse_command

    config, own = parse_command(CHECK, arguments)
    if own["show"] < 0:
        raise UserError(f"--show must be 0 or more. Got {own['show']}.")
    announce("tasks check", shown_tasks(config))
    config = planned_settings(config)
    from multitask.checks.preview import print_check

    print_check(config, as_json=own["format"] == "json", show=own["show"])
    return 0
