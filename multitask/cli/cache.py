"""multitask cache: what was tokenised and is kept."""

from __future__ import annotations

from multitask.cli.common import with_hyphens
from multitask.errors import UserError


def run(arguments: list[str]) -> int:
    """Run `multitask cache`; gives the exit code."""
    from multitask.flags import plain_parser

    if arguments and arguments[0] == "clear":
        parser = plain_parser("cache clear", "Delete what is kept; it is made again when it is needed.")
        parser.add_argument(
            "--older-than", type=float, metavar="DAYS", default=0.0, help="only what was not used for so many days"
        )
        options = parser.parse_args(with_hyphens(arguments[1:]))
        if not options.older_than >= 0:
            raise UserError(f"--older-than must be 0 days or more. Got {options.older_than:g}.")
        from multitask.cache_list import print_cleared

        print_cleared(options.older_than)
        return 0
    parser = plain_parser(
        "cache", "List what was tokenised and is kept for the next run; `multitask cache clear` deletes it."
    )
    parser.add_argument("--format", choices=("table", "json"), default="table", help="how to print it")
    options = parser.parse_args(with_hyphens(arguments))
    from multitask.cache_list import print_cache

    print_cache(as_json=options.format == "json")
    return 0
