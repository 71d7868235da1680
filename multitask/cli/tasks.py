"""multitask tasks: the tasks there are, one of them, and checks of their data."""

from __future__ import annotations

from multitask.cli.common import add_include, announce, parse_settings, planned_settings, shown_tasks
from multitask.printable import visible


def run(arguments: list[str]) -> int:
    """Run `multitask tasks`; gives the exit code."""
    if arguments and arguments[0] == "check":
        return _tasks_check(arguments[1:])
    from multitask.flags import plain_parser

    parser = plain_parser("tasks", "List the tasks, or describe one; `multitask tasks check` checks data for training.")
    parser.add_argument("name", nargs="?", metavar="NAME", help="describe this task")
    add_include(parser)
    options = parser.parse_args(arguments)
    from multitask.prepare import load_plugins
    from multitask.task_list import describe_task, print_tasks

    load_plugins(options.include)
    if options.name:
        print(visible(describe_task(options.name)))
    else:
        print_tasks()
    return 0


def _tasks_check(arguments: list[str]) -> int:
    about = "Check the data of tasks: rows, lengths, truncation, round trip, duplicates, overlap between tasks."
    config, own = parse_settings("tasks check", about, arguments, formats=True)
    announce("tasks check", shown_tasks(config))
    config = planned_settings(config)
    from multitask.planning import print_check

    print_check(config, as_json=own["format"] == "json")
    return 0
