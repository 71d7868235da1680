"""multitask interference: which tasks help and hurt each other."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multitask.cli.commands import Command
from multitask.cli.common import announce, answer_text, loading, shown_tasks
from multitask.cli.settings import USED
from multitask.errors import UserError
from multitask.terminal.output import say
from multitask.terminal.quiet import quiet_libraries

if TYPE_CHECKING:
    from multitask.interference.design.config import StudyConfig


def _add_options(parser: Any) -> None:
    from multitask.cli.study_options import add_study_options

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
        "multitask interference runs/study --status",
    ),
    refuses=False,
)


def run(arguments: list[str]) -> int:
    """Run `multitask interference`; gives the exit code."""
    from multitask.cli.flags import parse_command
    from multitask.cli.study_options import FORMATS, study_config
    from multitask.interference.design.config import study_folder

    train, own = parse_command(COMMAND, arguments)
    runs, dry_run, format, verbose = (own.pop(name) for name in ("runs", "dry_run", "format", "verbose"))
    assert format in FORMATS
    study, status = own.pop("study"), own.pop("status")
    if study or status:
        return _print_status(study or train.out, format, status=status)
    config = study_config(train, own)
    for name, given in (("--runs", runs), ("--dry-run", dry_run)):
        if given and config.estimate:
            raise UserError(f"{name} is for a measured study: leave it or --estimate out.")
    out, overwrite = train.out, train.overwrite
    where = Path(out or study_folder(config))
    if runs:
        announce("interference", f"the runs {runs}")
    else:
        arms = f"{', '.join(config.arms)} × {_seeds(config)}"
        announce("interference", shown_tasks(config.train), f"model {config.train.model}", arms, str(where))
    quiet_libraries()
    if runs:
        from multitask.interference.tabulate import tabulate

        study = tabulate(runs, config, out=Path(out) if out else None)
        print_study(study, format, verbose=verbose or not out)  # what is not written is printed
        return 0
    with loading():
        from multitask.interference.conduct import conduct_study
        from multitask.interference.dry_run import print_dry_run
        from multitask.interference.request import prepare_request
        from multitask.interference.train import HandedOver

    request, quiet = prepare_request(config), format != "table"
    if dry_run:
        print_dry_run(request, where, quiet=quiet, overwrite=overwrite)
        return 0
    if config.estimate:
        from multitask.interference.estimated import estimate_pairs

        estimated = estimate_pairs(request, where, quiet=quiet, overwrite=overwrite)
        sys.stdout.write(estimated.render(format).rstrip("\n") + "\n")
        return 0
    try:
        study, printed = conduct_study(request, where, quiet=quiet, overwrite=overwrite)
    except HandedOver as handed:
        say(str(handed))
        return 0
    print_study(study, format, verbose=verbose, printed=printed)
    return 0


def _print_status(folder: str | None, format: str, *, status: bool) -> int:
    from multitask.interference.watch import print_status

    if not folder:
        raise UserError("--status needs the study's folder: multitask interference STUDY --status.")
    if not status:
        raise UserError(
            f"multitask interference {folder}: a folder is given with --status alone; the command that began the "
            "study, with its --tasks, goes on with it."
        )
    print_status(Path(folder), as_json=format == "json")
    return 0


def _seeds(config: StudyConfig) -> str:
    from multitask.interference.design.arms import parse_seeds

    count = len(parse_seeds(config.seeds, config.train.seed))
    return f"{count} seed{'s'[: count != 1]}"


def print_study(study: Any, format: str, *, verbose: bool, printed: Collection[str] = ()) -> None:
    """The answer, and before it all tables or else the warnings that were not `printed` yet."""
    if format != "table":
        sys.stdout.write(study.render(format).rstrip("\n") + "\n")
        return
    if verbose:
        sys.stdout.write(study.render() + "\n")
    else:
        say(*(f"WARNING: {line}" for line in study.record["warnings"] if line not in printed))
    sys.stdout.write(answer_text(study, commands=True))
