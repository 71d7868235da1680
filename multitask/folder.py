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
mix.json               planned and realised shares: examples, input and target tokens, epochs
predictions/TASK.parquet   id, inputs, prediction, target, references, score, log_likelihood, …
deployed.json          with --select per-task: what the one model that is kept scores
examples/              with --log-examples: step, task and id of every example that was trained on
model/                 Hugging Face format, prefixes and decoding settings in its config
checkpoints/           what --resume goes on from
events/                the loggers' files
report.html            one page of it all, made of the others (not in a study, whose own page there is)
skipped_rows.jsonl     with --on-bad-row skip, if there are any: task, split, file, row, line and reason of each bad row
.lock  .owner          of the process that is at work here; see `multitask.ownership`

Files are written under another name first, brought to the disk and then renamed: a crash leaves the old file or the
new one, and maybe a leftover `.NAME.xxxxxxxx`, which the next run in the folder deletes. To the logs lines are added.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import math
import os
import re
import shlex
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multitask.errors import UserError, shown
from multitask.ownership import LOCK as LOCK
from multitask.ownership import OWNER, check_lock, check_owner
from multitask.ownership import locked as locked
from multitask.shape import check_shape

if TYPE_CHECKING:
    import pandas as pd

PARTS = (
    *("config.yaml", "run.json", "metrics.json", "baselines.json", "mix.json", "deployed.json"),
    "standard_errors.json",
    *("skipped_rows.jsonl", "report.html"),
    *("predictions", "model", "checkpoints", "events", "examples"),
)
"""What a run folder may hold; `--overwrite` deletes these and nothing else."""
_LEFTOVER = re.compile(r"\..+\.[a-z0-9_]{8}(\.\w+)?|\.writable")
ORPHANS = 5.0
"""Seconds within which the workers of a process that was killed notice it and let its locks go."""
_ASKING = threading.Lock()
SEAL = "sha256"
"""The key under which a JSON file says what the rest of it hashes to."""


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder that takes `path`'s place if the block ends without an error.

    It is on the disk before it has its name: otherwise a power cut could leave the name with nothing in it.

    Raises:
        UserError: If the folder was this process's to write to, and is another's now.
    """
    check_owner(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Whatever name a file may have, its first one is not too long: 255 bytes for most systems.
    stem = os.fsdecode(os.fsencode(path.name)[:200])
    handle, name = tempfile.mkstemp(prefix=f".{stem}.", suffix=path.suffix[:12], dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _make_ready(temporary)
        check_owner(path)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_files(folder: Path, last: str) -> Iterator[Path]:
    """A temporary folder whose files take their places in `folder` if the block ends without an error.

    For writers that want a folder. Each file is `atomic`; the one named `last` says that the others are there.
    """
    check_owner(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as name:
        yield Path(name)
        made = sorted(Path(name).iterdir(), key=lambda path: (path.name == last, path.name))
        for path in made:
            _make_ready(path)
        check_owner(folder)
        for path in made:
            os.replace(path, folder / path.name)


def _make_ready(path: Path) -> None:
    """Before a file takes its name: on the disk, and for whom the umask lets, not for its owner alone (mkstemp)."""
    os.chmod(path, 0o666 & ~_umask())
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    with _ASKING:  # between the two calls the process has no mask, and another thread would take that for its own
        mask = os.umask(0)
        os.umask(mask)
    return mask


def delete_path(path: Path) -> None:
    """A file, a link or a whole folder, if it is there."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def clear_leftovers(folder: Path) -> None:
    """Delete what writers that were killed left under first names; nobody else may be writing there."""
    for found in (folder, *(folder / name for name in ("checkpoints", "predictions", "examples", "events/csv"))):
        for path in found.iterdir() if found.is_dir() else ():
            if _LEFTOVER.fullmatch(path.name):
                delete_path(path)


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
        hint: What it holds, as in `multitask.shape`; anything, if it is left out.

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


def read_run(folder: Path) -> dict[str, Any]:
    """run.json; see `read_json`."""
    record: dict[str, Any] = read_json(folder / "run.json", dict[str, Any])
    return record


def _seal(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=True).encode()).hexdigest()


def digests(folder: Path, parts: Iterable[str]) -> dict[str, str]:
    """{path in the folder: SHA-256} of the files named in `parts`, and of those in the folders named there."""
    found = {}
    for part in parts:
        path = folder / part
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and not _LEFTOVER.fullmatch(file.name):
                found[file.relative_to(folder).as_posix()] = digest_of(file)
    return found


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hex; read again only if its size or time is another."""
    stat = path.stat()
    return _digest(str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino)


@functools.lru_cache(maxsize=1024)
def _digest(path: str, *_: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def resume_command(run: Path, include: Iterable[str] = ()) -> str:
    """The command that continues a run, as it can be typed; its other settings stand in its folder.

    >>> resume_command(Path("runs/my run"), ["my_tasks.py"])
    "multitask train --resume 'runs/my run' --include my_tasks.py"
    """
    files = "".join(f" --include {shlex.quote(file)}" for file in include)  # what a folder names is not run by itself
    return f"multitask train --resume {shlex.quote(str(run))}{files}"


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


def _forbidden(folder: Path) -> str:
    if hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY:
        return os.strerror(errno.EROFS)
    return os.strerror(errno.EACCES)


def check_links(out: Path) -> None:
    """Refuse a folder that is to be written to if a link in it leads out: it may have been put there by a stranger.

    Raises:
        UserError: Names the link.
    """
    inside = out.resolve()
    for folder, folders, files in os.walk(out):  # which does not follow links
        for name in (*folders, *files):
            path = Path(folder) / name
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                raise UserError(f"{path} is a link that leads out of {out}, so writing there would change other files.")


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
    check_owner(out)
    try:
        for name in delete:
            delete_path(out / name)
        out.mkdir(parents=True, exist_ok=True)
        clear_leftovers(out)
        with atomic(out / ".writable") as probe:
            probe.write_text("")
        (out / ".writable").unlink()
    except OSError as error:
        raise UserError(f"--out {out} cannot be written: {error.strerror or error}.") from error


def safe_name(text: str) -> str:
    """Part of a folder's name: letters, digits, hyphens and underscores, 80 at most, in 160 bytes of UTF-8.

    >>> safe_name("span=2,sst2")
    'span-2-sst2'
    """
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in text)[:80]
    return name.encode()[:160].decode(errors="ignore")
