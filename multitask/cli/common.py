"""Shared by several commands: settings, checks before torch is imported, output to a file."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from multitask.config import TrainConfig, task_words
from multitask.errors import UserError
from multitask.gc_pause import pause_garbage_collection
from multitask.terminal.escaping import visible
from multitask.terminal.live import is_live_terminal
from multitask.terminal.quiet import quiet_libraries
from multitask.terminal.width import print_notice
from multitask.training.processes import is_first_process
from multitask.training.signals import deliver_interrupts
from multitask.version import __version__

EXIT_FAILED = 1
LINE = 120
"""Columns of prose at most: longer lines are hard to read."""


def announce(command: str, *facts: str) -> None:
    """Say on a terminal what begins, before torch is imported, which takes seconds; into a pipe nothing goes."""
    if not (is_first_process() and sys.stderr.isatty()):
        return
    try:
        width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        width = 80
    lines = [f"multitask {__version__} · {command} {facts[0]}"]
    for fact in facts[1:]:
        if len(lines[-1]) + len(fact) + 3 <= width:
            lines[-1] += f" · {fact}"
        else:
            lines.append(f"  {fact}")
    print_notice(visible("\n".join(lines)))


def shown_tasks(config: TrainConfig, limit: int = 50) -> str:
    """The tasks of a command in a few words."""
    words = task_words(config)
    shown = ", ".join(words)
    if len(shown) <= limit:
        return shown
    few = [word for i, word in enumerate(words) if len(", ".join(words[: i + 1])) <= limit - 15]
    return f"{', '.join(few or [words[0][:limit]])}, … ({len(words)} tasks)"


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Say on a terminal that torch is being loaded, while it is."""
    shown = _is_watched() and "torch" not in sys.modules
    if shown:
        sys.stderr.write("loading PyTorch …")
        sys.stderr.flush()
    try:
        with deliver_interrupts(whole=False), pause_garbage_collection():
            yield
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _is_watched() -> bool:
    """Whether a person looks at what the first process writes."""
    return is_first_process() and is_live_terminal(sys.stderr)


def add_format(parser: Any) -> None:
    """`--format table` or `json`."""
    parser.add_argument("--format", choices=("table", "json"), default="table", help="How to print it.")


def check_early(config: TrainConfig) -> None:
    """Check settings as far as possible before torch and Lightning are imported, which takes seconds."""
    from multitask.config_checks import check_config, check_precision
    from multitask.examples.choose_source import data_setting, resolve_source
    from multitask.mixing.prepare import load_plugins, select_tasks
    from multitask.model.availability import check_model

    check_precision(config.precision)
    check_config(config)
    load_plugins(config.include)
    for task in select_tasks(config.tasks, config.columns)[1].values():
        resolve_source(task, data_setting(config.data))
    check_model(config.model, config.revision)


def planned_settings(config: TrainConfig) -> TrainConfig:
    """The settings as training would have them, for the commands that only look."""
    from multitask.config_checks import check_trainer_names, fill_defaults
    from multitask.model.from_scratch import is_from_scratch

    quiet_libraries()
    check_early(config)
    if config.trainer.keys() - {"max_steps"}:
        check_trainer_names(config.trainer)
    return fill_defaults(config, from_scratch=is_from_scratch(config.model))


def write_output(path: Path | None, text: str) -> None:
    """To `--output`, whole or not at all, or to standard output."""
    if path is None:
        sys.stdout.write(text)
        return
    from multitask.storage.atomic import atomic

    try:
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--output {path} cannot be written: {error.strerror}.") from error


def answer_text(study: Any, *, width: int | None = None, color: bool | None = None, commands: bool = False) -> str:
    """A study's answer for standard output, or for a file of that width."""
    from multitask.tables.terminal import shows_colour
    from multitask.terminal.width import output_width

    if color is None:
        color = shows_colour()
    width = min(output_width() if width is None else width, LINE)
    text: str = study.answer(width=width, commands=commands).render(width, color=color)
    return text


def add_include(parser: Any) -> None:
    """`--include`, for commands that have few options."""
    parser.add_argument(
        "--include", action="append", default=[], metavar="FILE", help="A Python file that registers tasks."
    )
