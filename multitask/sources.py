"""Where raw rows come from: the Hub, files, a `datasets.Dataset`, a Python function, or the generated sample.

Words
    source   `Source`: names its splits and gives the rows of one; nothing is read or downloaded before it is asked
    split    "train", "validation", "test"; a source may map them to other names ("validation_matched")
    data     what `--data` says: a directory with DIR/TASK/SPLIT.EXT, `hub`, `sample`, or nothing

No source runs code that comes with a data set. What is generated says so (`generated`), and `resolve_source` never
puts a generated sample in the place of real data that was asked for.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from multitask.errors import UserError, shown
from multitask.file_sources import FileSource, PathSource, files
from multitask.python_sources import DatasetSource, PythonSource, dataset, rows
from multitask.readers import READERS
from multitask.registry import did_you_mean
from multitask.sample import SAMPLED, sample_rows
from multitask.short_repr import Plain, short_repr
from multitask.split_files import like_folder
from multitask.table import Row, Rows, check_split, rows_fingerprint

if TYPE_CHECKING:
    from multitask.task import Task


__all__ = [
    "DatasetSource",
    "FileSource",
    "HubSource",
    "PathSource",
    "PythonSource",
    "Row",
    "Rows",
    "SampleSource",
    "Source",
    "dataset",
    "files",
    "hub",
    "resolve_source",
    "rows",
    "sample",
    "sampled_name",
]


class Source(Protocol):
    """Where rows come from. Any object with these four members is one; it must pickle."""

    @property
    def description(self) -> str:
        """What stands in tables and run folders, e.g. "nyu-mll/glue (sst2)"."""

    @property
    def generated(self) -> bool:
        """True if the rows are made up, so that scores on them say nothing about the task."""

    def splits(self) -> tuple[str, ...]:
        """The names of the splits."""

    def rows(self, split: str) -> Rows:
        """The rows of a split; a `UserError` that names the splits there are if it is not one of them."""


# ------------------------------------------------------------------------------------------------------- the Hub


def hub(path: str, name: str | None = None, *, revision: str, splits: Mapping[str, str] | None = None) -> Source:
    """A data set of the Hugging Face Hub, loaded when its rows are asked for.

    Args:
        path: The data set's id, "nyu-mll/glue".
        name: Its configuration, "mnli".
        revision: A commit (40 hex digits), so that the rows stay what they are; or a branch or tag.
        splits: {split: the Hub's name for it}, e.g. {"validation": "validation_matched"}.

    >>> hub("nyu-mll/glue", "mnli", revision="main", splits={"validation": "validation_matched"}).description
    'nyu-mll/glue (mnli) at main'
    """
    return HubSource(path, name, revision, tuple((splits or {}).items()))


@dataclass(frozen=True)
class HubSource:
    """See `hub`."""

    path: str
    name: str | None
    revision: str
    renamed: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return short_repr(self, Plain(self.description))

    @property
    def description(self) -> str:
        """The data set's id, configuration and revision."""
        return self.path + (f" ({self.name})" if self.name else "") + f" at {self.revision}"

    @property
    def generated(self) -> bool:
        """False."""
        return False

    def splits(self) -> tuple[str, ...]:
        """The splits there are, under the names that this source gives them. Loads the data set."""
        theirs = set(_load_hub(self.path, self.name, self.revision))
        ours = {mine for mine, hubs in self.renamed if hubs in theirs}
        return tuple(sorted(ours | (theirs - {mine for mine, _ in self.renamed})))

    def rows(self, split: str) -> Rows:
        """The rows of a split, from the local cache if they were loaded before."""
        check_split(split, self.splits(), self.description)
        loaded = _load_hub(self.path, self.name, self.revision)[dict(self.renamed).get(split, split)]
        # What a branch meant on this day; the keys look like "hf://datasets/nyu-mll/glue@<commit>/sst2/train.parquet".
        commits = re.findall(r"@([0-9a-f]{40})/", " ".join(loaded.info.download_checksums or {}))
        at = self.revision if not commits or commits[0] == self.revision else f"{self.revision} = {commits[0]}"
        identity = [self.path, self.name, self.revision, split, loaded._fingerprint]
        return Rows(
            loaded,
            columns=loaded.column_names,
            fingerprint=hashlib.sha256(json.dumps(identity).encode()).hexdigest(),
            origin=f"{self.path}{f' ({self.name})' if self.name else ''} at {at}, split {split}",
        )


@functools.lru_cache(maxsize=32)  # memory-mapped: what is kept is a handle
def _load_hub(path: str, name: str | None, revision: str) -> Mapping[str, Any]:
    import datasets  # type: ignore[import-untyped]

    try:
        return cast(Mapping[str, Any], datasets.load_dataset(path, name, revision=revision))
    except Exception as error:  # no network, no such data set, a script, a changed layout: all mended the same way
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        what = f"'{path}'" + (f" ({name})" if name else "") + f" at revision {revision}"
        raise UserError(
            f"cannot load {what} from the Hugging Face Hub ({type(error).__name__}: {reason}); "
            f"put its files in DIR/TASK/SPLIT.EXT and use --data DIR."
        ) from error


# ------------------------------------------------------------------------------------------------------ the sample


def sample(name: str) -> Source:
    """Generated rows in the form of a task's data: enough to try everything without a network, and nothing more."""
    if name not in SAMPLED:
        raise UserError(f"there is no generated sample for task '{name}': {did_you_mean(name, list(SAMPLED))}")
    return SampleSource(name)


def sampled_name(*names: str) -> str | None:
    """The name of the generated sample for a task that is called one of these, or whose folder is; None without one."""
    return next((name for name in names if name in SAMPLED), None)


@dataclass(frozen=True)
class SampleSource:
    """See `sample`."""

    name: str

    def __repr__(self) -> str:
        return short_repr(self, Plain(self.description))

    @property
    def description(self) -> str:
        """Says that it is no real data."""
        return f"generated sample '{self.name}'"

    @property
    def generated(self) -> bool:
        """True."""
        return True

    def splits(self) -> tuple[str, ...]:
        """Train and validation."""
        return ("train", "validation")

    def rows(self, split: str) -> Rows:
        """The rows, always the same."""
        check_split(split, self.splits(), self.description)
        items = sample_rows(self.name, split)
        origin = f"{self.description}, split {split}"
        return Rows(items, columns=tuple(items[0]), fingerprint=rows_fingerprint(items), origin=origin)


# --------------------------------------------------------------------------------------------------- what is common


def resolve_source(task: Task, data: str | None) -> Source:
    """The source that `--data` means for a task.

    `None` is the task's own source if that needs no network, else the generated sample; `"hub"` the task's own
    source; `"sample"` the generated sample; anything else is a directory (write `./sample` for one of that name),
    in which the task's folder must be, unless the task brings its own rows.

    Raises:
        UserError: If there are no rows for the task there; real data is never replaced by a sample.
    """
    local = task.source if not isinstance(task.source, HubSource) else None
    made = sampled_name(task.name, task.folder)
    if data == "hub":
        if task.source is None:
            raise UserError(f"task '{task.name}' has no source of its own; use --data DIR with {_layout(task)}.")
        return task.source
    if data == "sample":
        if made is None:
            raise UserError(f"task '{task.name}' has no generated sample; these tasks have one: {', '.join(SAMPLED)}.")
        return sample(made)
    if data is None:
        if local is not None:
            return local
        if made is not None:
            return sample(made)
        own = "" if task.source is None else f", or --data hub to download {task.source.description}"
        raise UserError(f"task '{task.name}' has no rows yet; use --data DIR with {_layout(task)}{own}.")
    folder = Path(data) / task.folder
    if not os.path.isdir(data):
        raise UserError(f"--data: there is no directory '{data}'; make it with {_layout(task)}, or correct the path.")
    if os.path.isdir(folder):
        return files(folder)
    try:
        entries = sorted(Path(data).iterdir())
    except OSError as error:
        raise UserError(f"--data: '{data}' cannot be listed: {error.strerror or error}.") from error
    meant = like_folder(entries, task.folder)
    if meant is not None:  # not to be passed over for rows from elsewhere
        raise UserError(
            f"task '{task.name}' needs the folder '{folder}', which is not there; '{data}' has '{shown(meant, 60)}', "
            f"which is not read."
        )
    if local is not None:
        return local
    there = [p.name for p in entries if os.path.isdir(p) and not p.name.startswith(".")]
    raise UserError(
        f"task '{task.name}' needs the folder '{folder}', which is not there; "
        f"'{data}' has {'the folders ' + ', '.join(there) if there else 'no folders'}."
    )


def _layout(task: Task) -> str:
    return f"DIR/{task.folder}/train.EXT (EXT: {', '.join(ending[1:] for ending in READERS)})"
