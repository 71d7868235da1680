"""A command as a value: its name, its options and the settings it uses; and its parser, for `--help` and completion."""

from __future__ import annotations

import argparse
import re
import shutil
import textwrap
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn

from multitask.cli.mistakes import error_sentence
from multitask.cli.settings import GROUPS, STEPS, setting_options
from multitask.errors import UserError

WIDEST = 110
"""Columns of a help page at most: longer lines are hard to read."""
NARROW = 70
"""Below so many columns an option's text begins on a line of its own."""


class Command(NamedTuple):
    """A command as the program knows it before it runs."""

    name: str
    """`tasks check` for one under another."""
    about: str
    """In whole sentences."""
    usage: str
    """What follows the name: `RUN --task NAME [options]`."""
    add_options: Callable[[Any], None] = lambda parser: None
    """Adds the command's own options to a parser."""
    settings: frozenset[str] = frozenset()
    """The settings of training that it uses; none if it takes no `--config`."""
    examples: tuple[str, ...] = ()
    """Whole command lines."""
    refuses: bool = True
    """Whether the others are refused by name; false where the command says itself why it takes none of them."""


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """As wide as the terminal and no wider than can be read; no word is broken."""

    def __init__(self, prog: str, **_: Any) -> None:
        width = page_width()
        super().__init__(prog, max_help_position=30 if width >= NARROW else 6, width=width)

    def start_section(self, heading: str | None) -> None:
        """Argparse's own titles say how it parses."""
        super().start_section({"positional arguments": "arguments"}.get(heading or "", heading))

    def _format_action_invocation(self, action: argparse.Action) -> str:
        """With hyphens, which is how people write flags; underscores are understood too."""
        text = super()._format_action_invocation(action)
        return re.sub(r"--[a-z][a-z_]+", lambda m: m.group().replace("_", "-"), text)

    def _metavar_formatter(self, action: argparse.Action, default_metavar: str) -> Callable[[int], tuple[str, ...]]:
        if action.metavar is None and action.choices is not None:
            word = "|".join(map(str, action.choices))
            return lambda count: (word,) * count
        return super()._metavar_formatter(action, default_metavar)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text, default = action.help or "", action.default
        if default in (None, "", False, argparse.SUPPRESS) or default == [] or "default" in text:
            return text
        return f"{text.rstrip()} (default: {f'{default:,}' if isinstance(default, int) else default})"

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_long_words=False, break_on_hyphens=False)


class PlainParser(argparse.ArgumentParser):
    """A parser whose errors are `UserError`s."""

    def error(self, message: str) -> NoReturn:
        """Raise it."""
        raise UserError(error_sentence(message, self))


def page_width() -> int:
    """Columns of a help page."""
    return max(40, min(WIDEST, shutil.get_terminal_size((80, 24)).columns))


def wrapped(text: str, indent: str = "") -> str:
    """A paragraph at the page's width."""
    return textwrap.fill(
        text,
        page_width(),
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def parser_of(command: Command, make: Callable[..., Any] = PlainParser) -> Any:
    """The command's parser: its own options first, then the settings that it uses, in their groups.

    It parses commands without settings; for the others it makes the help page and completions.

    Args:
        command: The command.
        make: The class of parser, or a function that makes one of the same arguments.
    """
    parser = make(
        prog=f"multitask {command.name}",
        usage=f"multitask {command.name} {command.usage}".rstrip(),
        description=wrapped(command.about),
        epilog=_examples(command.examples),
        formatter_class=HelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    command.add_options(parser)
    if command.settings:
        parser.add_argument("--config", metavar="FILE", help="A YAML file of these options, or the name of a preset.")
        parser.add_argument("--print-config", action="store_true", help="Print all settings as such a file, and stop.")
    parser.add_argument("-h", "--help", action="help", help="Show this page and stop.")
    for title, names in GROUPS.items():
        add_settings(parser, title, [name for name in names if name in command.settings])
    return parser


def own_options(command: Command, arguments: Iterable[str]) -> Any:
    """The values of a command that takes no settings of training; `--batch_tokens` is understood too, as everywhere.

    Raises:
        UserError: For an option or value that cannot be.
        SystemExit: After `--help`.
    """
    words = (a.partition("=") if a.startswith("--") else (a, "", "") for a in arguments)
    spelled = [(o.replace("_", "-") if o.startswith("--") else o) + equals + value for o, equals, value in words]
    return parser_of(command).parse_args(spelled)


def add_settings(parser: Any, title: str, names: Iterable[str]) -> None:
    """Add a group of settings to a parser that is for `--help` and completion."""
    options, names = setting_options(), list(names)
    if not names:
        return
    group = parser.add_argument_group(title)
    if "trainer" in names:
        _add(group, STEPS.spelling, STEPS.text)
    for name in names:
        _add(group, *options[name])


def _add(group: Any, spelling: str, text: str) -> None:
    option, _, word = spelling.partition(" ")
    text = text.replace("%", "%%")
    if not word:
        group.add_argument(option, action="store_true", help=text)
    elif word.startswith("["):
        group.add_argument(option, nargs="?", metavar=word.strip("[]"), help=text)
    elif "|" in word and word == word.lower():
        group.add_argument(option, choices=word.split("|"), help=text)
    else:
        group.add_argument(option, metavar=word, help=text)


def _examples(lines: Iterable[str]) -> str | None:
    """The lines as a shell takes them, however narrow the page is."""
    shown = []
    for line in lines:
        parts = textwrap.wrap(line, page_width() - 8, break_long_words=False, break_on_hyphens=False)
        shown.append("  " + " \\\n      ".join(parts))
    return "\n".join(["examples:", *shown]) if shown else None


def asks_for_help(arguments: Iterable[str]) -> bool:
    """Whether `-h` or `--help` is among the arguments."""
    return any(argument in ("-h", "--help") for argument in arguments)
