"""multitask mix: the planned mixture, before any training."""

from __future__ import annotations

from multitask.cli.common import announce, parse_settings, planned_settings, shown_tasks


def run(arguments: list[str]) -> int:
    """Run `multitask mix`; gives the exit code."""
    about = "Show the planned mixture: rates, examples, epochs and token shares."
    config, own = parse_settings("mix", about, arguments, formats=True)
    announce("mix", shown_tasks(config))
    config = planned_settings(config)
    from multitask.planning import print_plan

    print_plan(config, as_json=own["format"] == "json")
    return 0
