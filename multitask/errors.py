"""The one exception class for what a user can mend at the prompt."""


class UserError(Exception):
    """A mistake that its maker can mend: printed as one line, without a traceback, exit code 2.

    The sentence says what was asked, what is true, and what to do. Wrong *values* given to a Python function are
    `ValueError`s as everywhere; this class is for what arrives from outside: flags, files, rows, folders.
    """
