"""The run folder: what is in it, and writing it so that a crash leaves no half file.

RUN/
config.yaml            all settings, defaults filled in: `multitask train --config RUN/config.yaml` repeats the run
run.json               what was found and made: versions, data fingerprints, the plan, times, notes, warnings, status
metrics.json           {task: {metric: value}}
baselines.json         the same for answers without a model
mix.json               planned and realised shares: examples, input and target tokens, epochs
predictions/TASK.parquet   id, inputs, prediction, target, references, score, log_likelihood, …
deployed.json          with --select per-task: what the one model that is kept scores
examples/              with --log-examples: step, task and id of every example that was trained on
model/                 Hugging Face format, prefixes and decoding settings in its config
checkpoints/           what --resume goes on from
events/                the loggers' files
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from multitask.errors import UserError

PARTS = (
    *("config.yaml", "run.json", "metrics.json", "baselines.json", "mix.json", "deployed.json"),
    *("predictions", "model", "checkpoints", "events", "examples"),
)
"""What a run folder may hold; `--overwrite` deletes these and nothing else."""


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder that takes `path`'s place if the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: Path, value: Any) -> None:
    """Write plain JSON; what is not a number (NaN, infinity) is written as null, which every reader understands."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(finite(value), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a file of the run folder.

    Raises:
        UserError: If it is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is not there: is {path.parent} the folder of a finished run?") from None
    except ValueError as error:
        raise UserError(f"{path} cannot be read as JSON: {error}") from error


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


def check_folder(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse what `open_folder` would refuse, without touching anything.

    Raises:
        UserError: If there is a run already, or nothing to resume, or no permission.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; give a folder for the run.")
    there = sorted(p.name for p in out.iterdir()) if out.is_dir() else []
    if resume:
        if "config.yaml" not in there:
            raise UserError(f"--resume: there is no run in {out} to continue; leave --resume out to begin one.")
    elif there and set(there) <= set(PARTS):
        if not overwrite:
            raise UserError(
                f"there is a run in {out} already: --resume continues it, --overwrite replaces it, "
                "or give another --out."
            )
    elif there:  # not a run's folder: never deleted from
        raise UserError(f"--out {out} holds other files ({', '.join(there[:3])}, …); give an empty or new folder.")
    nearest = next(p for p in (out.absolute(), *out.absolute().parents) if p.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        reason = "Permission denied" if nearest.is_dir() else f"{nearest} is not a folder"
        raise UserError(f"--out {out} cannot be written: {reason}.")


def open_folder(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Make the folder ready to write a run to; an old run is deleted if `overwrite` says so.

    Raises:
        UserError: As `check_folder`, or if writing fails.
    """
    check_folder(out, resume=resume, overwrite=overwrite)
    make_folder(out, delete=PARTS if overwrite else ())


def make_folder(out: Path, *, delete: Iterable[str] = ()) -> None:
    """Make a folder that can be written to, after deleting the parts named in it.

    Raises:
        UserError: If writing fails.
    """
    try:
        for name in delete:
            target = out / name
            shutil.rmtree(target) if target.is_dir() and not target.is_symlink() else target.unlink(missing_ok=True)
        out.mkdir(parents=True, exist_ok=True)
        with atomic(out / ".writable") as probe:
            probe.write_text("")
        (out / ".writable").unlink()
    except OSError as error:
        raise UserError(f"--out {out} cannot be written: {error.strerror or error}.") from error


def safe_name(text: str) -> str:
    """Part of a folder's name: letters, digits, hyphens and underscores, 80 at most.

    >>> safe_name("span=2,sst2")
    'span-2-sst2'
    """
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in text)[:80]
