"""Paths in files that are shown to others: `~/data` for the user's home, whose name is nobody's business.

A path that begins with `~/` is understood wherever a setting is one, so that a written setting can be used again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def tilde(value: Any) -> Any:
    """Plain data with `~` in place of the user's home at the beginning of each path, also inside a sentence.

    Lists and dictionaries are gone through; what is no text stays as it is.
    """
    if isinstance(value, dict):
        return {k: tilde(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [tilde(v) for v in value]
    home = os.path.expanduser("~")
    if not isinstance(value, str) or len(Path(home).parts) < 2:  # a user without a home, or one whose home is /
        return value
    return "~" if value == home else value.replace(home + os.sep, "~" + os.sep)


def expanded(path: str) -> str:
    """The path that a setting means: what begins with `~/` is under the user's home."""
    return os.path.expanduser(path) if path == "~" or path.startswith(("~/", "~" + os.sep)) else path
