"""multitask mix: the planned mixture, before any training."""

from __future__ import annotations

from multitask.cli.commands import Command
from multitask.cli.common import add_format, announce, planned_settings, shown_tasks
from multitask.cli.settings import USED

COMMAND = Command(
    "mix",
    "Show the planned mixture: rates, examples, epochs and token shares.",
    "--tasks NAMES [options]",
    add_format,
    USED["mix"],
    (
        "multitask mix --tasks span=2,sst2=1 --data DIR --steps 2000",
        "multitask mix --tasks span,sst2 --mixing temperature --temperature 2",
    ),
)


def run(arguments: list[str]) -> int:
    """Run `multitask mix`; gives the exit code."""
    from multitask.cli.flags import parse_command

    config, own = parse_command(COMMAND, arguments)
    announce("mix", shown_tasks(config))
    config = planned_settings(config)
    from multitask.checks.preview import print_plan

    print_plan(config, as_json=own["format"] == "json")
    return 0
