"""`multitask COMMAND …`: which command it is, and what is said of whatever goes wrong in it."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import textwrap
from collections.abc import Sequence

from multitask.cli.command_names import COMMANDS
from multitask.errors import UserError
from multitask.storage.system_errors import RESOURCES, system_error, told
from multitask.terminal.escaping import printable
from multitask.terminal.width import print_notice
from multitask.version import __version__

EXIT_USER = 2
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Gives 0 done, 1 a failure, 2 a user's mistake (one line on standard error), 130 interrupted (143 by SIGTERM).

    Args:
        argv: The words after `multitask`, for tests and notebooks, which get the code back; by default those of the
            process, which then exits with the code. Any other exception is a bug and keeps its traceback.
    """
    try:
        _check_streams()
        if not _is_here():  # torch's libraries would end the process
            raise UserError("the folder that this was started in is no longer there.")
        code = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except UserError as error:
        print_notice(f"multitask: error: {' '.join(str(error).split())}")
        code = EXIT_USER
    except KeyboardInterrupt as stopped:
        print("multitask: interrupted.", file=sys.stderr)
        code = 128 + getattr(stopped, "signal", EXIT_INTERRUPTED - 128)
    except BrokenPipeError:
        # `multitask predict … | head`: Python flushes once more at its end, and must not fail there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        found = system_error(error)
        if found is None:
            raise
        print_notice(f"multitask: error: {_told(found)}.")
        code = EXIT_USER
    except SystemExit as done:  # argparse, after --help and --print-config
        if done.code not in (None, 0):
            raise
        code = 0
    if argv is None:
        try:
            sys.stdout.flush()
        except OSError:  # said already; Python flushes once more at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(code)
    return code


def _check_streams() -> None:
    """Escape what a terminal's encoding does not have; a stream that was closed before us swallows all."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure") and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _told(error: OSError) -> str:
    return " ".join(printable(told(error, "a file or standard output" if error.errno in RESOURCES else None)).split())


def _is_here() -> bool:
    try:
        return bool(os.getcwd())
    except FileNotFoundError:
        return False


def _run(arguments: list[str]) -> int:
    if "_ARGCOMPLETE" in os.environ:
        from multitask.cli.completion import complete

        complete()
    if not arguments:  # a first look, or a script's mistake: the page, and the code of a mistake
        with contextlib.redirect_stdout(sys.stderr):
            _print_help()
        return EXIT_USER
    name = arguments[0]
    if name == "help" and len(arguments) > 1 and not arguments[1].startswith("-"):
        arguments = [*arguments[1:], "--help"]
        name = arguments[0]
    if name in ("-h", "--help", "help"):
        _print_help()
        return 0
    if name in ("-V", "-v", "--version"):
        print(f"multitask {__version__}")
        return 0
    if name.startswith("-"):
        raise UserError(f"{name.partition('=')[0]} comes after a command, as in multitask train --steps 500.")
    if name not in COMMANDS:
        raise UserError(f"unknown command '{name}': {_meant(name)}")
    return int(importlib.import_module(f"multitask.cli.{name}").run(arguments[1:]))


def _print_help() -> None:
    from multitask.cli.commands import page_width, wrapped

    print("usage: multitask COMMAND [options]\n")
    print(wrapped("Fine-tune one text-to-text model on many tasks, and see which tasks help and hurt each other."))
    print()
    wide = max(map(len, COMMANDS)) + 4
    for command, text in COMMANDS.items():
        lines = textwrap.wrap(text, page_width() - wide)
        print(f"  {command.ljust(wide - 2)}{lines[0]}", *(" " * wide + line for line in lines[1:]), sep="\n")
    print("\n" + wrapped("multitask COMMAND --help, or multitask help COMMAND, shows a command's options. Examples:"))
    print("\n  multitask train --tasks span,sst2")
    print('  eval "$(multitask completion bash)"')


def _meant(name: str) -> str:
    from multitask.cli.synonyms import COMMANDS as SYNONYMS
    from multitask.registry import did_you_mean

    meant = SYNONYMS.get(name.lower())
    return f"did you mean '{meant}'?" if meant else did_you_mean(name.lower(), list(COMMANDS))
