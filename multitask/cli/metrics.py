"""multitask metrics: the metrics there are, and one of them in full."""

from __future__ import annotations

from typing import Any

from multitask.cli.commands import Command, own_options
from multitask.cli.common import add_include


def _add_options(parser: Any) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="Describe this metric.")
    add_include(parser)


COMMAND = Command(
    "metrics",
    "List the metrics with their direction and range, or describe one: what it counts, and for which outputs it is.",
    "[NAME] [options]",
    _add_options,
    examples=("multitask metrics", "multitask metrics f1", "multitask metrics my_metric --include my_tasks.py"),
)


def run(arguments: list[str]) -> int:
    """Run `multitask metrics`; gives the exit code."""
    options = own_options(COMMAND, arguments)
    from multitask.cli.metric_list import describe_metric, print_metrics
    from multitask.mixing.prepare import load_plugins
    from multitask.terminal.output import say

    load_plugins(options.include)
    if options.name:
        say(describe_metric(options.name), hanging="")
    else:
        print_metrics()
    return 0
