"""Notices of a run while it goes on, and the warnings that are kept."""

from __future__ import annotations

from multitask.terminal.output import say


class Notices:
    """Lines on standard output, and the warnings among them, which run.json keeps.

    Args:
        quiet: Print nothing; warnings are kept in any case.
    """

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.warnings: list[str] = []

    def say(self, line: str) -> None:
        """Print a line."""
        if not self.quiet:
            say(line)

    def warn(self, line: str) -> None:
        """Print a warning, and keep it for run.json."""
        self.warnings.append(line)
        self.say(f"WARNING: {line}")
