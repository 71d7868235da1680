"""Checks of `--resume` before it continues: the settings, what is there, and whether the data are still the same."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from multitask.config import DEFAULT_STEPS, OPERATIONAL, OPERATIONAL_TRAINER, TrainConfig
from multitask.errors import UserError
from multitask.mixing.plan import FORMAT
from multitask.runs.address import shown_settings
from multitask.runs.definitions import DEFINITION, FORMATTER, PLACES, changes, check_settings_file, said
from multitask.runs.folder import PARTS, is_finished, read_run
from multitask.storage.paths import tilde
from multitask.storage.yaml_files import read_yaml

Say = Callable[[str], None]


def keep_warmup(out: Path, config: TrainConfig) -> TrainConfig:
    """The settings with the warm-up of the run in `out`: by default it follows from the number of steps, once."""
    stored = read_yaml(out / "config.yaml", hint=get_type_hints(TrainConfig))
    steps = stored.get("warmup_steps") if isinstance(stored, dict) else None
    return dataclasses.replace(config, warmup_steps=steps) if isinstance(steps, int) else config


def check_settings(out: Path, config: TrainConfig, say: Say) -> bool:
    """Refuse to continue the run in `out` with other settings than its own, unless they change nothing.

    Data and files of tasks may lie elsewhere now, on another machine for one; see `check_same`.

    Returns:
        Whether more steps are asked for than the run was begun with.

    Raises:
        UserError: Names the setting and both values.
    """
    record: dict[str, Any] = {}
    with contextlib.suppress(UserError):  # it is not there yet, or damaged, which is said where it is needed
        record = read_run(out)
    check_settings_file(out, record, say)
    path = out / "config.yaml"
    stored, now = tilde(read_yaml(path, hint=get_type_hints(TrainConfig))), shown_settings(config)
    if not isinstance(stored, dict):
        raise UserError(f"--resume: {path} holds no settings.")
    for values in (stored, now):
        trainer = values.get("trainer") or {}
        values["trainer"] = {k: v for k, v in trainer.items() if k not in OPERATIONAL_TRAINER}
    longer = _check_steps(out, stored, now, record)
    for name in sorted(now.keys() - OPERATIONAL):
        if stored.get(name) == now[name]:
            continue
        if name in PLACES:
            say(
                f"the run in {out} was begun with {name} = {stored.get(name)!r}, and goes on with {now[name]!r}: rows "
                "and tasks are compared by their content."
            )
        else:
            raise UserError(
                f"--resume: the run in {out} has {name} = {stored.get(name)!r}, asked for is {now[name]!r}; "
                "a run is continued with its own settings."
            )
    return longer


def _check_steps(out: Path, stored: dict[str, Any], now: dict[str, Any], record: Mapping[str, Any]) -> bool:
    """Whether more steps are asked for; then they are made equal in `stored`.

    Raises:
        UserError: For fewer, and for more where a longer run would have been another one from its first step.
    """
    before, asked = (values["trainer"].get("max_steps", DEFAULT_STEPS) for values in (stored, now))
    if not (isinstance(before, int) and isinstance(asked, int)) or before == asked:
        return False
    if asked < before:
        raise UserError(
            f"--resume: the run in {out} has {before:,} steps, asked for are {asked:,}: what was trained is not taken "
            "back. Train a run of its own, with another --out."
        )
    reason = needs_total(stored)
    made = record.get("steps")
    if reason is None and stored.get("patience") and record.get("status") == "finished" and made != before:
        reason = f"--patience ended it after {made:,} steps, as it would have ended the longer run"
    if reason is not None:
        raise UserError(
            f"--resume: the run in {out} cannot go on from {before:,} to {asked:,} steps: {reason}. Train a run of "
            f"{asked:,} steps of its own, with another --out."
        )
    stored["trainer"]["max_steps"] = asked
    return True


def needs_total(settings: Mapping[str, Any]) -> str | None:
    """Why the first steps of a run depend on how many there are, as a part of a sentence; None if they do not.

    Only then is a run that goes on the same as one that was that long from its beginning.

    >>> needs_total({"schedule": "constant"}), needs_total({"schedule": "linear"})
    (None, 'its learning rate falls over all steps (--schedule linear), and does so in another way in a longer run')
    """
    if settings.get("schedule") in ("linear", "cosine"):
        how = settings["schedule"]
        return f"its learning rate falls over all steps (--schedule {how}), and does so in another way in a longer run"
    over_all = {
        "rate_schedule": "its rates are given at fractions of all steps (rate_schedule)",
        "temperature_end": "its temperature moves over all steps (--temperature-end)",
    }
    for name, reason in over_all.items():
        if settings.get(name):
            return f"{reason}, so the longer run has other rates from the beginning"
    if settings.get("mixing") == "unimax":
        return "its rates follow from the examples of all steps (--mixing unimax), so the longer run has other rates"
    return None


def is_whole(out: Path, say: Say) -> bool:
    """Whether the run in `out` is finished and all its files are as they were written; what is not is said."""
    try:
        return is_finished(out, PARTS)
    except UserError as error:
        say(f"WARNING: {error}")
        return False


class Stored(NamedTuple):
    """A checkpoint that a run goes on from."""

    path: Path
    step: int
    """Steps that were made."""
    logged: Mapping[str, Any]
    """What the loggers had; see `checkpoints.logged_by`."""


def check_continuable(out: Path) -> None:
    """Refuse to train a finished run for longer if its last state is gone: its weights alone are not enough.

    Raises:
        UserError: If there is no checkpoint.
    """
    from multitask.training.checkpoints import checkpoints_in

    if not checkpoints_in(out / "checkpoints"):
        raise UserError(
            f"--resume: the run in {out} is finished and has no checkpoint, which holds the optimizer's state beside "
            "the weights, so it cannot go on. Train a run of its own, with another --out."
        )


def stored_state(out: Path, say: Say) -> Stored | None:
    """The newest whole checkpoint; None if the run was stopped before its first one.

    Only what is needed before training stays in memory: Lightning reads the rest when it begins.

    Raises:
        UserError: If there are checkpoints and all are damaged.
    """
    from multitask.training.checkpoints import LOGGED, newest_whole, state_of

    path = newest_whole(out / "checkpoints", say)
    if path is None:
        say(f"the run in {out} has no checkpoint yet: it begins again")
        return None
    state = state_of(path)
    return Stored(path, int(state["global_step"]), state.get(LOGGED, {}))


def check_same(out: Path, now: Mapping[str, Any], say: Say) -> None:
    """Refuse to go on on other data, for the examples of a step would be others; say which packages are others.

    Args:
        out: The run folder.
        now: What run.json would say of a run that begins now.
        say: Told of what may change the last bits.

    Raises:
        UserError: Names the task and what of it changed.
    """
    before = read_run(out)
    made = before["plan"].get("format")
    if made != FORMAT:
        raise UserError(
            f"--resume: the run in {out} has a mixing plan of format {made}, of multitask "
            f"{before['versions'].get('multitask')}; this version makes format {FORMAT}, with other examples in a step "
            "and another weight of a task's loss. Continue it with the version that began it, or begin anew with "
            "--overwrite."
        )
    for name, task in now["tasks"].items():
        its = before["tasks"].get(name, {})
        found = changes(its.get(DEFINITION), task[DEFINITION], out / "run.json")
        other = [change for change in found if change.part != FORMATTER]
        if other:
            raise UserError(
                f"--resume: task '{name}' changed since the run in {out} began: {said(other)}; a run is continued with "
                "its own tasks. Restore it, or begin again with --overwrite."
            )
        for part in ("version", "train", "validation", "selection"):
            if its.get(part) != task[part]:
                what = "version" if part == "version" else f"{part} rows"
                raise UserError(
                    f"--resume: the {what} of task '{name}' changed since the run in {out} began; "
                    f"{'the code of its formatter did, too; ' if found else ''}a run is continued on its own data."
                )
        if found:
            say(
                f"WARNING: the code of the formatter of task '{name}' changed since the run in {out} began; it makes "
                "the same examples of the rows, so the run goes on."
            )
    if before["plan_fingerprint"] != now["plan_fingerprint"]:
        raise UserError(f"--resume: the run in {out} has another plan: it is of another version of multitask.")
    if before["vocabulary"] != now["vocabulary"]:
        raise UserError(
            f"--resume: the vocabulary in {out / 'model'} is not the one that the run began with; restore it, or begin "
            "again with --overwrite."
        )
    for package, version in before["versions"].items():
        other = now["versions"].get(package)
        if other != version:
            say(
                f"WARNING: the run began with {package} {version} and goes on with {other}: the result may differ from "
                "that of a run that was not stopped."
            )
