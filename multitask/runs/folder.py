"""The run folder: what is in it, and writing it so that a crash leaves no half file.

RUN/
config.yaml            all settings, defaults filled in: `multitask train --config RUN/config.yaml` repeats the run
                       (with the same --include, if it had one); paths under the user's home begin with ~
run.json               what was found and made: versions, settings, each task's fields and the digest of its code, data
                       fingerprints, the plan, times, notes, warnings, status, and the SHA-256 of the others but
                       checkpoints and events; its own says if it is as written
metrics.json           {task: {metric: value}}
baselines.json         the same for answers without a model
standard_errors.json   {task: {metric: standard error over examples}}
conflict.safetensors   with `conflict_every`: what each task's part of a step did to the others; see `conflict_file`
mix.json               planned and realised shares: examples, input and target tokens, epochs
predictions/TASK.parquet   id, inputs, prediction, target, references, score, log_likelihood, …
deployed.json          with --select per-task: what the one model that is kept scores
examples/              with --log-examples: step, task and id of every example that was trained on
model/                 Hugging Face format, prefixes and decoding settings in its config
checkpoints/           what --resume goes on from
events/                the loggers' files
report.html            one page of it all, made of the others (not in a study, whose own page there is)
skipped_rows.jsonl     with --on-bad-row skip, if there are any: task, split, file, row, line and reason of each bad row
.lock  .owner          of the process that is at work here; see `multitask.storage.locking`

Files are written under another name first, brought to the disk and then renamed: a crash leaves the old file or the
new one, and maybe a leftover `.NAME.xxxxxxxx`, which the next run in the folder deletes. To the logs lines are added.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multitask.errors import UserError
from multitask.storage.atomic import _LEFTOVER
from multitask.storage.checksums import digest_of
from multitask.storage.folders import _forbidden, check_links, make_folder
from multitask.storage.json_files import read_json
from multitask.storage.locking import LOCK, OWNER, check_lock
from multitask.storage.schema import check_shape
from multitask.terminal.escaping import shown

if TYPE_CHECKING:
    import pandas as pd

PARTS = (
    *("config.yaml", "run.json", "metrics.json", "baselines.json", "mix.json", "deployed.json"),
    *("standard_errors.json", "conflict.safetensors"),
    *("skipped_rows.jsonl", "report.html"),
    *("predictions", "model", "checkpoints", "events", "examples"),
)
"""What a run folder may hold; `--overwrite` deletes these and nothing else."""
ORPHANS = 5.0
"""Seconds within which the workers of a process that was killed notice it and let its locks go."""


def read_run(folder: Path) -> dict[str, Any]:
    """run.json; see `read_json`."""
    record: dict[str, Any] = read_json(folder / "run.json", dict[str, Any])
    return record


def is_finished(folder: Path, parts: Iterable[str]) -> bool:
    """Whether the folder holds a finished run, of which `parts` are what it wrote.

    Args:
        folder: The run folder.
        parts: Files or folders in it; those that are gone are passed over. Of runs of before their hashes were recorded
            they are believed.

    Raises:
        UserError: If one of them, or run.json, is not as it was written.
    """
    if not (folder / "run.json").is_file():
        return False
    record = read_run(folder)
    if record.get("status") != "finished":
        return False
    said = record.get("files", {})
    check_shape(said, dict[str, str], folder / "run.json")
    for name in parts:
        for file, digest in said.items():
            path = folder / file
            if (file == name or file.startswith(f"{name}/")) and path.is_file() and digest_of(path) != digest:
                raise UserError(
                    f"{path} is damaged: it is not what the run wrote. Restore it, or train the run again with "
                    f"--overwrite; if you changed it yourself, remove its line from {folder / 'run.json'}."
                )
    return True


def read_predictions(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """A file of predictions/.

    Args:
        path: The file.
        columns: {a column that must be there: the kinds of its values}, as numpy says them: "O" text and lists, "f"
            numbers with a fraction, "i" whole ones.

    Raises:
        UserError: If it is missing, damaged or lacks a column.
    """
    import pandas as pd

    if not path.is_file():
        raise UserError(f"{path} is not there: the run has no predictions of task '{path.stem}'.")
    try:
        frame = pd.read_parquet(path)
    except Exception as error:  # Arrow raises nearly anything of a damaged file
        reason = shown(str(error).partition("\n")[0].rstrip(".") or type(error).__name__)
        raise UserError(f"{path} cannot be read as parquet: {reason}.") from error
    for name, kinds in columns.items():
        if name not in frame or frame[name].dtype.kind not in kinds:
            raise UserError(f"{path} is not as it was written: its column '{name}' is {_state(frame, name)}.")
    return frame


def _state(frame: pd.DataFrame, name: str) -> str:
    return f"of type {frame[name].dtype}" if name in frame else "missing"


def check_folder(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse what `open_folder` would refuse, without touching anything.

    Raises:
        UserError: If there is a run already, or nothing to resume, or no permission.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; give a folder for the run.")
    if out.is_symlink() and not out.exists():
        raise UserError(f"--out {out} is a link that leads nowhere; give a folder for the run.")
    check_lock(out)
    there = sorted(p.name for p in out.iterdir()) if out.is_dir() else []
    there = [name for name in there if name not in (LOCK, OWNER) and not _LEFTOVER.fullmatch(name)]
    if resume:
        if "config.yaml" not in there:
            raise UserError(f"--resume: there is no run in {out} to continue; leave --resume out to begin one.")
        check_links(out)
    elif there and set(there) <= set(PARTS):
        if not overwrite:
            raise UserError(
                f"there is a run in {out} already: --resume continues it, --overwrite replaces it, "
                "or give another --out (in Python resume=True, overwrite=True or out=…)."
            )
    elif there:  # not a run's folder: never deleted from
        raise UserError(f"--out {out} holds other files ({', '.join(there[:3])}, …); give an empty or new folder.")
    nearest = next(p for p in (out.absolute(), *out.absolute().parents) if p.exists())
    if not nearest.is_dir():
        raise UserError(f"--out {out} cannot be written: {nearest} is not a folder.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"--out {out} cannot be written: {_forbidden(nearest)}.")


def open_folder(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Make the folder ready to write a run to; an old run is deleted if `overwrite` says so.

    Raises:
        UserError: As `check_folder`, or if writing fails.
    """
    check_folder(out, resume=resume, overwrite=overwrite)
    make_folder(out, delete=PARTS if overwrite else ())
