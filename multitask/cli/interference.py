"""multitask interference: which tasks help and hurt each other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from multitask.cli.commands import Command
from multitask.cli.common import announce, loading, shown_tasks
from multitask.cli.settings import USED
from multitask.terminal.quiet import quiet_libraries


def _add_options(parser: Any) -> None:
    from multitask.interference.options import add_study_options

    add_study_options(parser)


COMMAND = Command(
    "interference",
    "Train what a study needs, and tell with intervals, seeds and matched budgets which tasks help and hurt each "
    "other. The same command continues a study that was interrupted, and adds tasks or seeds to it.",
    "--tasks NAMES [options]",
    _add_options,
    USED["interference"],
    (
        "multitask interference --tasks span,sst2,stsb --data DIR --out runs/study",
        "multitask interference --tasks span,sst2 --seeds 10 --arms single,joint --dry-run",
        "multitask interference --runs 'runs/*'",
    ),
    refuses=False,
)


def run(arguments: list[str]) -> int:
    """Run `multitask interference`; gives the exit code."""
    from multitask.cli.flags import parse_command
    from multitask.interference.options import FORMATS, study_config
    from multitask.interference.study import study_folder

    train, own = parse_command(COMMAND, arguments)
    runs, dry_run, format = own.pop("runs"), own.pop("dry_run"), own.pop("format")
    assert format in FORMATS
    config = study_config(train, own)
    out, overwrite = train.out, train.overwrite
    where = Path(out or study_folder(config))
    if runs:
        announce("interference", f"the runs {runs}")
    else:
        announce("interference", shown_tasks(config.train), f"model {config.train.model}", str(where))
    quiet_libraries()
    if runs:
        from multitask.interference.tabulate import tabulate

        _print_study(tabulate(runs, config, out=Path(out) if out else None), format)
        return 0
    with loading():
        from multitask.interference.conduct import Conduct

    conduct = Conduct(config, where, quiet=format != "table", overwrite=overwrite)
    if dry_run:
        conduct.dry_run()
        return 0
    _print_study(conduct.run(), format)
    if format == "table":
        print(f"study folder: {where}  (report: {where / 'report.html'})")
    return 0


def _print_study(study: Any, format: str) -> None:
    sys.stdout.write(study.render(format).rstrip("\n") + "\n")
