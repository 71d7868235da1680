"""A study from its settings to its tables: find what is missing, train it, and write what was found."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from multitask.errors import UserError
from multitask.examples.choose_source import data_setting
from multitask.interference.data_warnings import find_data_facts
from multitask.interference.design.command import study_command
from multitask.interference.design.folder import check_same, check_study_folder, open_study, write_study
from multitask.interference.design.runs import StudyRun
from multitask.interference.execution.partial import Partial
from multitask.interference.execution.runs import resolve_settings
from multitask.interference.learning_rates import choose_learning_rates
from multitask.interference.request import StudyRequest
from multitask.interference.results.alike import merge_alike
from multitask.interference.results.assemble import make_record
from multitask.interference.results.inputs import StudyInputs
from multitask.interference.setup import StudySetup, find_missing, needed_runs, prepare_setup, study_values
from multitask.interference.study import Study, write_study_files
from multitask.interference.train import delete_kept_models, train_missing, write_plan
from multitask.interference.vocabulary import train_study_vocabulary
from multitask.runs.folder import ORPHANS
from multitask.runs.reader import RunReader
from multitask.storage.json_files import read_json, write_json
from multitask.storage.locking import locked
from multitask.storage.paths import tilde
from multitask.storage.system_errors import system_error, told
from multitask.terminal.counting import counting
from multitask.terminal.output import say
from multitask.training.rng_states import one_training


class Conducted(NamedTuple):
    """A finished study."""

    study: Study
    printed: list[str]
    """Warnings that were printed before the training."""


def conduct_study(request: StudyRequest, out: Path, *, quiet: bool = False, overwrite: bool = False) -> Conducted:
    """Train what is missing and write what was found.

    Args:
        request: From `prepare_request`.
        out: The study's folder.
        quiet: Print nothing but progress.
        overwrite: Begin anew.

    Raises:
        UserError: For what a user can fix, a full disk too.
    """
    with alone_in(out, overwrite=overwrite):
        return _conduct(request, out, quiet=quiet, overwrite=overwrite)


@contextlib.contextmanager
def alone_in(out: Path, *, overwrite: bool) -> Iterator[None]:
    """The study's folder for this process alone; what the system refuses is told as an error of the user's.

    Raises:
        UserError: If another process is in it, it is no study's, or the disk is full.
    """
    try:
        check_study_folder(out, overwrite=overwrite)  # before a lock is put in it
        with one_training(f"the study in {out}"), locked(out, "study", wait=ORPHANS):
            yield
    except Exception as error:
        found = system_error(error)
        if found is None:
            raise
        raise UserError(
            f"{told(found, out)}. What was written to {out} before is whole; the same command goes on."
        ) from error


class Opened(NamedTuple):
    """A study whose folder, data, vocabulary and learning rates are there."""

    setup: StudySetup
    facts: dict[str, Any]
    """What facts.json will say."""


def open_setup(request: StudyRequest, out: Path, *, quiet: bool, overwrite: bool) -> Opened:
    """Open a study's folder and settle all that its runs share; study.yaml is written.

    Raises:
        UserError: If the folder holds another study, or for what is wrong with the data.
    """
    stored = open_study(out, overwrite=overwrite)
    setup = prepare_setup(request, out, stored, quiet=quiet)
    if stored:
        check_same(out, stored, study_values(setup))
    if setup.vocab is not None and not setup.has_vocabulary:
        if not quiet:
            say("training one vocabulary for all cells …")
        train_study_vocabulary(setup, setup.vocab)
    facts, setup = _find_facts(setup, stored, quiet=quiet)
    return Opened(setup, facts)


def _conduct(request: StudyRequest, out: Path, *, quiet: bool, overwrite: bool) -> Conducted:
    setup, facts = open_setup(request, out, quiet=quiet, overwrite=overwrite)
    runs = needed_runs(setup)
    missing, changed = find_missing(setup, runs)
    facts["warnings"] += [
        f"the code of the formatter of task '{task}' changed since models of this study were trained; it makes "
        "the same examples of the rows."
        for task in dict.fromkeys(changed)
    ]
    facts["warnings"] = merge_alike(facts["warnings"])
    write_json(out / "facts.json", facts, sealed=True)
    write_plan(setup, runs)
    printed = [] if quiet else list(facts["warnings"])
    if not quiet:
        say(*(f"WARNING: {line}" for line in printed))
        engine = {"local": f"{request.jobs} at a time, "}.get(request.config.engine, f"on {request.config.engine}, ")
        say(
            f"{len(runs)} models, {len(runs) - len(missing)} of them finished; {engine}{setup.threads} "
            f"thread{'s'[: setup.threads != 1]} each, in {out}"
        )
    partial = Partial(request.design, request.tasks)
    for run in runs:
        if run not in missing:
            partial.add(run.arm, run.seed, run.folder)
    # Merged models are made of the single ones, and the suggested groups follow from the pairs: they come after them.
    for part in ([run for run in missing if not run.config.merge], [run for run in missing if run.config.merge]):
        train_missing(setup, part, done=len(runs) - len(part), partial=partial)
    delete_kept_models(setup, runs)
    setup, runs = _train_groups(setup, runs, facts, quiet=quiet)
    with counting("intervals of task", len(request.tasks)) as counter:
        record = make_record(study_inputs(setup, runs, facts), counter.advance)
    return Conducted(write_study_files(out, record), printed)


def _train_groups(
    setup: StudySetup, runs: list[StudyRun], facts: dict[str, Any], *, quiet: bool
) -> tuple[StudySetup, list[StudyRun]]:
    """Train the suggested grouping, if that is a treatment, as far as its groups are no arms of the study already."""
    design = setup.request.design
    if not any(t.kind == "groups" for t in design.treatments):
        return setup, runs
    advice = make_record(study_inputs(setup, runs, facts))["advice"]
    if advice is None:
        facts["notes"] = [*facts.get("notes", []), "The treatment groups was left out: no grouping could be suggested."]
        return setup, runs
    grouping = tuple(tuple(group["tasks"]) for group in advice["groups"])
    left = [t for t in design.tasks if not any(t in group for group in grouping)]
    grouped = dataclasses.replace(design, grouping=(*grouping, *((t,) for t in left)))
    setup = dataclasses.replace(setup, request=dataclasses.replace(setup.request, design=grouped))
    runs = needed_runs(setup)
    missing = find_missing(setup, runs).runs
    if not quiet:
        named = " | ".join(" + ".join(group) for group in grouping)
        say(f"the suggested grouping: {named}; {len(missing)} more models")
    write_plan(setup, runs)
    train_missing(setup, missing, done=len(runs) - len(missing))
    return setup, runs


def _find_facts(setup: StudySetup, stored: dict[str, Any] | None, *, quiet: bool) -> tuple[dict[str, Any], StudySetup]:
    """The facts about the data with the trials, and the study with its learning rates; study.yaml is written.

    A rate that was chosen stays, whatever tasks or seeds are added later.
    """
    out, has_grid = setup.out, bool(setup.request.config.lr_grid)
    frozen = bool(stored and stored["lr_grid"] and set(setup.lr) <= set(stored["lr"]))
    write_study(out, study_values(setup, lr=None if frozen or not has_grid else {}))
    facts = find_data_facts(setup)
    if not has_grid:
        return facts, setup
    if frozen and (out / "facts.json").is_file():
        facts["trials"] = list(read_json(out / "facts.json").get("trials", []))
    else:
        lr, facts["trials"] = choose_learning_rates(setup, quiet=quiet)
        setup = dataclasses.replace(setup, lr=lr)
    write_study(out, study_values(setup))
    return facts, setup


def study_inputs(setup: StudySetup, runs: Sequence[StudyRun], facts: dict[str, Any]) -> StudyInputs:
    """Gather what the record is made of: the setup's design, and finished runs of all that it needs."""
    request, mix = setup.request, setup.mix
    sources = sorted({d.train.source for d in mix.data.values()})
    config = resolve_settings(setup.base)
    all_generated = len(mix.generated) == len(request.tasks)
    setting = {
        "steps": int(config.trainer["max_steps"]),
        "model": config.model,
        "parameters": int(RunReader(runs[0].folder).record["parameters"]),
        "data": "generated sample" if all_generated else data_setting(config.data) or "; ".join(sources),
        "loss": config.loss,
        "optimizer": config.optimizer,
        "lr": setup.lr,
        "lr_grid": request.config.lr_grid,
        "select": config.select,
        "command": study_command(request.config, request.design),
    }
    return StudyInputs(
        request.design,
        request.tasks,
        {(run.arm, run.seed): RunReader(run.folder) for run in runs},
        tilde(setting),
        facts,
        margin=request.config.margin,
        intervals=request.config.intervals,
        resamples=request.config.resamples,
        groups=request.config.groups,
    )
