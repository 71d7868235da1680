"""multitask cache: what was tokenised and is kept."""

from __future__ import annotations

from typing import Any

from multitask.cli.commands import Command, own_options
from multitask.cli.common import add_format
from multitask.errors import UserError


def _add_age(parser: Any) -> None:
    parser.add_argument(
        "--older-than", type=float, metavar="DAYS", default=0.0, help="Only what was not used for so many days."
    )


COMMAND = Command(
    "cache",
    "List what was tokenised and is kept for the next run; `multitask cache clear` deletes it.",
    "[options]",
    add_format,
)
CLEAR = Command(
    "cache clear",
    "Delete what is kept; it is made again when it is needed.",
    "[--older-than DAYS]",
    _add_age,
    examples=("multitask cache clear --older-than 30",),
)


def run(arguments: list[str]) -> int:
    """Run `multitask cache`; gives the exit code."""
    if arguments and arguments[0] == "clear":
        options = own_options(CLEAR, arguments[1:])
        if not options.older_than >= 0:
            raise UserError(f"--older-than must be 0 days or more. Got {options.older_than:g}.")
        from multitask.cli.cache_list import print_cleared

        print_cleared(options.older_than)
        return 0
    options = own_options(COMMAND, arguments)
    from multitask.cli.cache_list import print_cache

    print_cache(as_json=options.format == "json")
    return 0
