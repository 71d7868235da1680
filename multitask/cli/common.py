"""What several commands share: settings, checks before torch is imported, output to a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.terminal.quiet import quiet_libraries

EXIT_FAILED = 1


def parse_settings(
    command: str, about: str, arguments: list[str], *, formats: bool = False
) -> tuple[TrainConfig, dict[str, Any]]:
    """The settings that a command was given, and the values of its own options."""
    from multitask.flags import config_parser, parse_config

    parser = config_parser(command, about)
    if formats:
        parser.add_argument("--format", choices=("table", "json"), default="table", help="How to print it.")
    return parse_config(parser, arguments)


def check_early(config: TrainConfig) -> None:
    """What can be said against the settings before torch and Lightning are imported, which takes seconds."""
    from multitask.config import check_config, check_precision
    from multitask.model_check import check_model
    from multitask.prepare import data_setting, load_plugins, select_tasks
    from multitask.sources import resolve_source

    check_precision(config.precision)
    check_config(config)
    load_plugins(config.include)
    for task in select_tasks(config.tasks, config.columns)[1].values():
        resolve_source(task, data_setting(config.data))
    check_model(config.model, config.revision)


def planned_settings(config: TrainConfig) -> TrainConfig:
    """The settings as training would have them, for the commands that only look."""
    from multitask.config import check_trainer_names, resolved
    from multitask.models import is_from_scratch

    quiet_libraries()
    check_early(config)
    if config.trainer.keys() - {"max_steps"}:
        check_trainer_names(config.trainer)
    return resolved(config, from_scratch=is_from_scratch(config.model))


def write_output(path: Path | None, text: str) -> None:
    """To `--output`, whole or not at all, or to standard output."""
    if path is None:
        sys.stdout.write(text)
        return
    from multitask.folder import atomic

    try:
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--output {path} cannot be written: {error.strerror}.") from error


def add_include(parser: Any) -> None:
    """`--include`, for commands that have few options."""
    parser.add_argument(
        "--include", action="append", default=[], metavar="FILE", help="a Python file that registers tasks"
    )


def with_hyphens(arguments: list[str]) -> list[str]:
    """`--batch_tokens` is understood too, as everywhere."""
    words = (a.partition("=") if a.startswith("--") else (a, "", "") for a in arguments)
    return [(o.replace("_", "-") if o.startswith("--") else o) + equals + value for o, equals, value in words]
