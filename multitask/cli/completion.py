"""multitask completion: what a shell needs to complete commands, options, tasks, presets and run folders.

The shell starts this program at each Tab, by argcomplete's protocol; so task names are those that are there now.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from multitask.cli.commands import Command, own_options, parser_of
from multitask.errors import UserError
from multitask.storage.paths import expanded

SHELLS = ("bash", "zsh", "fish")


def _add_options(parser: Any) -> None:
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help="bash, zsh or fish.")


COMMAND = Command(
    "completion",
    "Print the script by which a shell completes commands, options, tasks, presets and run folders. For bash and zsh, "
    "put the line below into ~/.bashrc or ~/.zshrc; for fish, into ~/.config/fish/config.fish.",
    "SHELL",
    _add_options,
    examples=(
        'eval "$(multitask completion bash)"',
        'eval "$(multitask completion zsh)"',
        "multitask completion fish | source",
    ),
)


def run(arguments: list[str]) -> int:
    """Run `multitask completion`; gives the exit code."""
    shell = own_options(COMMAND, arguments).shell
    from argcomplete.shell_integration import shellcode

    script = shellcode(["multitask"], shell=shell)
    if shell == "zsh":  # `compdef` is there only after this, which a bare ~/.zshrc has not called
        script = "#compdef multitask\n(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }\n" + script
    print(script.rstrip("\n"))
    return 0


def complete() -> None:
    """Answer the shell and end the process; what it typed is in the environment."""
    import argcomplete

    argcomplete.autocomplete(_whole_parser(os.environ.get("COMP_LINE", "")), always_complete_options="long")


def _whole_parser(typed: str) -> argparse.ArgumentParser:
    """All commands as one parser; of their options only those of the command that is typed, which is faster."""
    from multitask.cli.command_names import COMMANDS

    words = typed.split()[1:]
    if typed.endswith(" "):
        words.append("")
    whole = argparse.ArgumentParser("multitask")
    whole.add_argument("--version", action="store_true", help="print the version")
    below = whole.add_subparsers()
    below.add_parser("help", help="show a command's options").add_argument("command", choices=list(COMMANDS))
    for name, text in COMMANDS.items():
        if words[:1] != [name] or len(words) < 2:
            below.add_parser(name, help=text)
            continue
        module = importlib.import_module(f"multitask.cli.{name}")
        commands = {one.name: one for one in vars(module).values() if isinstance(one, Command)}
        longer = {full.partition(" ")[2]: one for full, one in commands.items() if " " in full}
        if len(words) > 2 and words[1] in longer:
            nested = below.add_parser(name, help=text).add_subparsers()
            _add_completers(parser_of(longer[words[1]], functools.partial(_below, nested, words[1])))
        elif name in commands:
            parser = parser_of(commands[name], functools.partial(_below, below, name))
            if longer and not any(not action.option_strings for action in parser._actions):
                parser.add_argument("more", nargs="?", choices=list(longer))
            _add_completers(parser)
    return whole


def _below(parsers: Any, name: str, **options: Any) -> Any:
    return parsers.add_parser(name, **options)


TRAINER = ("accelerator", "accumulate_grad_batches", "devices", "max_steps", "max_time", "num_nodes", "strategy")
"""Options of Lightning's Trainer that people use; to know all would take seconds, for Lightning has to be imported."""


def _spell_parts(parser: Any) -> None:
    """For `--trainer.OPTION` the options, for `--scale.TASK` what a task's name follows."""
    for action in list(parser._actions):
        for option in [one for one in action.option_strings if one != one.lower()][:1]:
            head = option[: option.index(".") + 1]
            names = [f"{head}{name}" for name in TRAINER] if head == "--trainer." else [head]
            for name in names:
                parser.add_argument(name, help=action.help, metavar=action.metavar)
            for one in action.option_strings:
                parser._option_string_actions.pop(one)
            parser._actions.remove(action)


def _add_completers(parser: Any) -> None:
    _spell_parts(parser)
    completers: dict[str, Callable[..., Iterable[str]]] = {
        "tasks": _complete_tasks,
        "task": _complete_trained,
        "config": _complete_configs,
        "run": _complete_runs,
        "folder": _complete_runs,
        "resume": _complete_runs,
        "study": _complete_runs,
        "name": _complete_metrics if parser.prog.split()[-1] == "metrics" else _complete_names,
    }
    for action in parser._actions:
        if action.dest in completers:
            action.completer = completers[action.dest]


def _complete_tasks(prefix: str, **_: Any) -> list[str]:
    """Names after the last comma."""
    from multitask.task import TASKS

    before, comma, _last = prefix.rpartition(",")
    return [before + comma + name for name in TASKS if name not in before.split(",")]


def _complete_trained(prefix: str, parsed_args: Any, **_: Any) -> list[str]:
    """The tasks of the run that is named before."""
    from multitask.config import task_names
    from multitask.runs.finished import run_config

    try:
        return task_names(run_config(Path(parsed_args.run)))
    except (UserError, TypeError):  # no run is named, or none that can be read
        return _complete_tasks(prefix)


def _complete_names(prefix: str, **_: Any) -> list[str]:
    return [*_complete_tasks(prefix), "check"]


def _complete_metrics(prefix: str, **_: Any) -> list[str]:
    from multitask.metrics.metric import METRICS

    return list(METRICS)


def _complete_configs(prefix: str, **_: Any) -> list[str]:
    from multitask.cli.spelling import presets

    folders = [f"{one}/" for one in _paths(prefix) if Path(expanded(one)).is_dir()]
    return [*presets(), *folders, *(one for one in _paths(prefix) if one.endswith((".yaml", ".yml")))]


def _complete_runs(prefix: str, **_: Any) -> list[str]:
    """Folders of runs and studies, and the folders that lead to them."""
    found = [(name, Path(expanded(name))) for name in _paths(prefix)]
    return [name if _is_run(path) else f"{name}/" for name, path in found if path.is_dir()]


def _is_run(path: Path) -> bool:
    return any((path / name).is_file() for name in ("config.yaml", "study.yaml"))


def _paths(prefix: str) -> list[str]:
    """The paths that begin with what was typed, written as it was typed."""
    folder, slash, name = prefix.rpartition("/")
    try:
        there = sorted(path.name for path in Path(expanded(folder + slash)).iterdir())
    except OSError:
        return []
    return [f"{folder}{slash}{one}" for one in there if one.startswith(name) and (name or not one.startswith("."))]
