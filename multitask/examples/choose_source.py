"""Which source `--data` means for a task."""

from __future__ import annotations

import os
from pathlib import Path

from multitask.errors import UserError
from multitask.sources.generated import sample, sampled_name
from multitask.sources.hugging_face import HubSource
from multitask.sources.local_files import files
from multitask.sources.protocol import Source
from multitask.sources.readers import READERS
from multitask.sources.sample_rows import SAMPLED
from multitask.sources.split_files import like_folder
from multitask.storage.paths import expanded
from multitask.task import Task
from multitask.terminal.escaping import shown


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


def data_setting(data: str | None) -> str | None:
    """`--data`, or what the environment says in its place."""
    where = data or os.environ.get("MULTITASK_DATA") or None
    return where and expanded(where)
