"""multitask train: one model on a mixture of tasks, each evaluated."""

from __future__ import annotations

import sys

from multitask.cli.common import EXIT_FAILED, announce, check_early, loading, parse_settings, shown_tasks
from multitask.config import default_folder
from multitask.printable import visible
from multitask.terminal.quiet import quiet_libraries, quiet_lightning


def run(arguments: list[str]) -> int:
    """Run `multitask train`; gives the exit code."""
    config, _ = parse_settings("train", "Train one model on a mixture of tasks and evaluate each.", arguments)
    announce("train", shown_tasks(config), f"model {config.model}", config.out or default_folder(config))
    quiet_libraries()
    check_early(config)
    with loading():
        from multitask.processes import ProcessError
        from multitask.run import StoppedError, train

    quiet_lightning()
    try:
        train(config)
    except StoppedError as error:
        print(f"multitask: {visible(str(error))}", file=sys.stderr)
        return 128 + error.signal
    except ProcessError as error:
        print(f"multitask: error: {visible(str(error))}", file=sys.stderr)
        return EXIT_FAILED
    return 0
