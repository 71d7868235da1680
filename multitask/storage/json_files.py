"""Strict JSON files that say whether they are as they were written."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multitask.errors import UserError
from multitask.storage.schema import check_shape
from multitask.terminal.escaping import shown

if TYPE_CHECKING:
    pass
from multitask.storage.atomic import atomic

SEAL = "sha256"
"""The key under which a JSON file says what the rest of it hashes to."""


def write_json(path: Path, value: Any, *, sealed: bool = False) -> None:
    """Write plain JSON; what is not a number (NaN, infinity) is written as null, which every reader understands.

    Args:
        path: The file.
        value: Plain values; with `sealed` a dict.
        sealed: Add what the rest hashes to, so that `read_json` can tell a file that was changed or damaged.
    """
    value = finite(value)
    if sealed:
        value[SEAL] = _seal(value)
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, hint: Any = Any) -> Any:
    """Read a file of the run folder.

    Args:
        path: The file.
        hint: What it holds, as in `multitask.storage.schema`; anything, if it is left out.

    Raises:
        UserError: If it is missing, not JSON, not what `hint` says, or sealed and not as it was written.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        kind = "study" if path.name == "interference.json" else "run"
        raise UserError(f"{path} is not there: is {path.parent} the folder of a finished {kind}?") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read as JSON: {shown(error)}") from error
    if isinstance(value, dict) and SEAL in value and value.pop(SEAL) != _seal(value):
        raise UserError(
            f"{path} is damaged: it is not what was written. Restore it, or make it again; if you changed it yourself, "
            f'remove its "{SEAL}".'
        )
    check_shape(value, hint, path)
    return value


def _seal(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=True).encode()).hexdigest()


def finite(value: Any) -> Any:
    """Plain JSON values: NaN and infinity become None, tuples lists, keys strings.

    >>> finite({"rouge": (1.0, float("nan"))})
    {'rouge': [1.0, None]}
    """
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
