"""Where a run begins: in a new folder, or from a checkpoint of the run that is there."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from multitask.config import TrainConfig
from multitask.runs.folder import ORPHANS, check_folder, open_folder
from multitask.runs.notices import Notices
from multitask.runs.resuming import (
    Stored,
    check_continuable,
    check_settings,
    is_whole,
    keep_warmup,
    needs_total,
    stored_state,
)
from multitask.runs.run_data import RunData
from multitask.runs.settings import RunSettings
from multitask.runs.writing import save_tokenizer, write_config, write_skipped_rows
from multitask.storage.json_files import write_json
from multitask.storage.locking import locked
from multitask.storage.paths import tilde


class Start(NamedTuple):
    """Where a run begins."""

    config: TrainConfig
    out: Path
    """The run folder."""
    first_process: bool
    """The one that writes; the others of a training on several devices only compute."""
    stored: Stored | None = None
    """The checkpoint that a resumed run goes on from."""
    longer: bool = False
    """Whether a resumed run has more steps than before."""
    is_done: bool = False
    """Whether there is nothing left to do."""


def find_start(settings: RunSettings, stack: contextlib.ExitStack, notices: Notices, *, first_process: bool) -> Start:
    """Look into the run folder; a run that is resumed is locked from here on, until `stack` is closed.

    Raises:
        UserError: If the folder holds something else, or a run that does not fit the settings.
    """
    config, out = settings.config, settings.out
    if first_process:
        check_folder(out, resume=config.resume, overwrite=config.overwrite)
    if not config.resume:
        return Start(config, out, first_process)
    if first_process:
        stack.enter_context(locked(out, "run", wait=ORPHANS))
    if not settings.own_warmup:
        config = keep_warmup(out, config)
    longer = check_settings(out, config, notices.say)
    if is_whole(out, notices.say):
        if not longer:
            more = "" if needs_total(vars(config)) else "; --steps N continues it for longer"
            notices.say(f"the run in {out} is finished: there is nothing to continue{more}")
            return Start(config, out, first_process, is_done=True)
        check_continuable(out)
    return Start(config, out, first_process, stored_state(out, notices.say), longer)


def open_run_folder(start: Start, data: RunData, facts: Mapping[str, Any], stack: contextlib.ExitStack) -> None:
    """Lock the folder of a new run and write what is known before training; an old run is deleted only now.

    Args:
        start: Where the run begins; nothing is done in all processes but the first.
        data: Its tokenizer and the rows that were skipped are written.
        facts: For run.json.
        stack: Holds the lock until the run ends.
    """
    config, out = start.config, start.out
    if not start.first_process:
        return
    if not config.resume:
        stack.enter_context(locked(out, "run", wait=ORPHANS))
    restarts = start.stored is None
    open_folder(out, resume=config.resume, overwrite=config.overwrite or (config.resume and restarts))
    write_skipped_rows(out / "skipped_rows.jsonl", data.mix.skipped_rows)
    if restarts:
        save_tokenizer(data.tokenizer, out / "model")
    if restarts or start.longer:  # from here on it is the longer run, unfinished
        write_config(out / "config.yaml", config)
        write_json(out / "run.json", tilde({"status": "begun", **facts}), sealed=True)
