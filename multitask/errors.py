"""The one exception class for what a user can fix at the prompt, and how foreign text is quoted in it."""

from __future__ import annotations

from multitask.terminal.escaping import printable


class UserError(Exception):
    """A mistake that its maker can fix: printed as one line, without a traceback, exit code 2.

    The sentence says what was asked, what is true, and what to do. Wrong *values* given to a Python function are
    `ValueError`s as everywhere; this class is for what arrives from outside: flags, files, rows, folders. Whatever
    stands in those, the message is printable: see `printable`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))

    def _render_traceback_(self) -> list[str]:
        """Show the sentence alone in a notebook, without the frames of this program that found the mistake."""
        return [f"{type(self).__name__}: {self}"]
