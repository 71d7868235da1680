"""multitask doctor: what this machine is, and whether it computes what it should."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from multitask.cli.commands import Command, own_options
from multitask.cli.common import EXIT_FAILED, add_format, announce, loading
from multitask.terminal.output import say, say_as_it_is
from multitask.terminal.quiet import quiet_libraries


def _add_options(parser: Any) -> None:
    parser.add_argument(
        "--model", metavar="NAME|DIR|ID", default="tiny", help="The model that the self-test computes with."
    )
    parser.add_argument("--cpu", action="store_true", help="Stay on the CPU though there is a GPU.")
    parser.add_argument("--facts", action="store_true", help="Only say what the machine is; no self-test.")
    add_format(parser)


COMMAND = Command(
    "doctor",
    "Say what this machine is, and test in a minute whether it computes what it should: loss, gradients and answers "
    "against float64, a run that is killed and resumed, tokens a second, the largest batch. What it prints is what a "
    "report of a fault should hold.",
    "[options]",
    _add_options,
    examples=("multitask doctor", "multitask doctor --facts --format json"),
)


def run(arguments: list[str]) -> int:
    """Run `multitask doctor`; gives the exit code: 1 if a test failed."""
    options = own_options(COMMAND, arguments)
    announce("doctor", "a self-test of a minute" if not options.facts else "what this machine is")
    quiet_libraries()
    as_json = options.format == "json"
    with loading():
        from multitask.runs.machine import machine_facts
        from multitask.terminal.quiet import quietly

        facts = machine_facts()
    if not as_json:
        wide = max(len(fact.name) for fact in facts) + 2
        say(*(f"{fact.name:<{wide}}{fact.value}" for fact in facts))
    findings = []
    if not options.facts:
        from multitask.model.availability import check_model
        from multitask.runs.doctor import examine

        check_model(options.model, None)
        with tempfile.TemporaryDirectory(prefix="multitask-doctor-") as folder, quietly():
            for found in examine(Path(folder), model=options.model, on_cpu=options.cpu):
                findings.append(found)
                if not as_json:
                    mark = "" if found.verdict == "info" else f"{found.verdict}: "
                    say(f"{found.name:<20}{mark}{found.said}")
    failed = [found.name for found in findings if found.verdict == "FAILED"]
    if as_json:
        plain = {"machine": {f.name: f.value for f in facts}, "tests": [found._asdict() for found in findings]}
        say_as_it_is(json.dumps(plain, indent=2))
    elif failed:
        names = ", ".join(dict.fromkeys(failed))
        print(f"multitask: {names} failed: please report it with all of this.", file=sys.stderr)
    return EXIT_FAILED if failed else 0
