"""multitask train: one model on a mixture of tasks, each evaluated."""

from __future__ import annotations

import shlex
from pathlib import Path

from multitask.cli.commands import Command
from multitask.cli.common import EXIT_FAILED, announce, check_early, loading, shown_tasks
from multitask.cli.settings import USED
from multitask.config import TrainConfig, default_folder, expand_paths
from multitask.runs.folder import check_folder
from multitask.terminal.escaping import visible
from multitask.terminal.quiet import quiet_libraries, quiet_lightning
from multitask.terminal.width import output_width, print_notice
from multitask.training.processes import ProcessError, is_first_process

COMMAND = Command(
    "train",
    "Train one model on a mixture of tasks and evaluate each. Without any option it trains a tiny model from scratch "
    "on a generated sample.",
    "--tasks NAMES [options]",
    settings=USED["train"],
    examples=(
        "multitask train --tasks span,sst2",
        "multitask train --tasks ticket --include my_tasks.py --data DIR --out runs/ticket",
        "multitask train --config t5-small --data DIR --steps 2000 --out runs/small",
        "multitask train --resume runs/small",
    ),
)


def run(arguments: list[str]) -> int:
    """Run `multitask train`; gives the exit code."""
    from multitask.cli.flags import parse_command

    config, _ = parse_command(COMMAND, arguments)
    announce("train", shown_tasks(config), f"model {config.model}", config.out or default_folder(config))
    quiet_libraries()
    check_early(config)
    if is_first_process():
        out = Path(expand_paths(config).out or default_folder(config))
        check_folder(out, resume=config.resume, overwrite=config.overwrite)
    with loading():
        from multitask.runs.run import StoppedError
        from multitask.runs.train import train

    quiet_lightning()
    try:
        done = train(config)
    except StoppedError as error:
        print_notice(f"multitask: {visible(str(error))}")
        return 128 + error.signal
    except ProcessError as error:
        print_notice(f"multitask: error: {visible(str(error))}")
        return EXIT_FAILED
    if is_first_process():
        print(visible(next_commands(done.folder, config)))
    return 0


def next_commands(run: Path, config: TrainConfig) -> str:
    """The next commands for a finished run, which can be typed as they stand."""
    from multitask.runs.finished import has_model
    from multitask.runs.reader import RunReader

    where = shlex.quote(str(run))
    task = next(iter(RunReader(run).metrics))
    include = "".join(f" --include {shlex.quote(file)}" for file in config.include)
    lines = [
        (f"multitask predict {where} --task {shlex.quote(task)}{include}", "answers what you type, a line each"),
        (f"multitask eval {where} --data DIR{include}", "scores on other data"),
        (f"multitask report {where}", "these scores again; report.html there is the whole page"),
    ]
    if not has_model(run):  # one of a study
        lines = [(f"multitask report {where}", "these scores again")]
    room = max(len(command) for command, _ in lines)
    wide = room + 56 <= output_width()
    return "\n".join(["next:", *(f"  {c:{room}}  # {about}" if wide else f"  {c}" for c, about in lines)])
