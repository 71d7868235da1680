"""`multitask interference --dry-run`: the runs of a study, how many are finished, and what the others will cost."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

from multitask.interference.design.arms import label
from multitask.interference.design.folder import check_same, read_study
from multitask.interference.design.runs import StudyRun
from multitask.interference.execution.estimate import Speed
from multitask.interference.execution.runs import resolve_settings
from multitask.interference.learning_rates import trial_runs
from multitask.interference.request import StudyRequest
from multitask.interference.setup import StudySetup, find_missing, needed_runs, prepare_setup, study_values
from multitask.interference.tables.planned import PlannedArm, planned_table
from multitask.interference.vocabulary import train_study_vocabulary
from multitask.tables.terminal import show_tables
from multitask.terminal.counting import duration
from multitask.terminal.output import say
from multitask.training.rng_states import one_training


def print_dry_run(request: StudyRequest, out: Path, *, quiet: bool = False, overwrite: bool = False) -> None:
    """Print the runs, how many are there already, and what the others will cost; nothing is written.

    Args:
        request: From `prepare_request`.
        out: The study's folder.
        quiet: Print the tables alone.
        overwrite: Whether the study would begin anew.

    Raises:
        UserError: For whatever would stop the study.
    """
    from multitask.interference.execution.estimate import seconds_of

    with one_training(f"the study in {out}"):
        stored = read_study(out) if out.is_dir() and not overwrite else None
        setup = prepare_setup(request, out, stored, quiet=quiet)
        if stored:
            check_same(out, stored, study_values(setup))
        speed = _measure_speed(setup, quiet=quiet)
        runs = needed_runs(setup)
        missing = find_missing(setup, runs).runs
        trials = trial_runs(setup) if request.config.lr_grid and not (stored and stored["lr"]) else []
        rows = {t: len(d.validation) for t, d in setup.mix.data.items()}
        train, evaluate = seconds_of([*missing, *trials], speed, rows, request.jobs)
    steps = int(setup.base.trainer["max_steps"])
    show_tables(planned_table(_planned_arms(setup, runs, missing), steps))
    if trials:
        say(f"{len(trials)} trials of the learning rate ({len(request.config.lr_grid)} a kind of arm) come first.")
    examples = sum(float(run.arm.budget) * steps for run in (*missing, *trials))
    say(
        f"{len(runs)} models, {len(runs) - len(missing)} finished; {len(missing) + len(trials)} to train on "
        f"{examples:,.0f} examples.",
        f"estimate: training {duration(train)}, evaluation {duration(evaluate)}, with {request.jobs} at a time and "
        f"{setup.threads} thread{'s'[: setup.threads != 1]} each (a few steps and rows of the untrained joint model "
        "were timed on this machine). Nothing was written.",
    )


def _measure_speed(setup: StudySetup, *, quiet: bool) -> Speed:
    """Time a few steps and rows, with a vocabulary that is thrown away where the study has none yet."""
    from multitask.interference.execution.estimate import measure
    from multitask.tokenization.vocabulary import mixture_tokenizer, older_vocabulary

    with tempfile.TemporaryDirectory() as temporary:
        vocab = setup.vocab
        if vocab is not None and not setup.has_vocabulary:
            vocab = Path(temporary) / "vocab"
            train_study_vocabulary(setup, vocab)
        base = dataclasses.replace(setup.base, vocab=str(vocab) if vocab else setup.base.vocab)
        tokenizer = mixture_tokenizer(resolve_settings(base), setup.mix)
        older = older_vocabulary(tokenizer, setup.mix.data, setup.vocabulary) if setup.vocab else None
        if older:
            say(f"WARNING: {older}")
        if not quiet:
            say("timing a few steps and decoded rows …")
        return measure(base, setup.mix, tokenizer, setup.threads)


def _planned_arms(setup: StudySetup, runs: Sequence[StudyRun], missing: Sequence[StudyRun]) -> list[PlannedArm]:
    design = setup.request.design
    arms = []
    for arm in design.needed():
        of_arm = [run for run in runs if run.arm == arm]
        name = label(arm, design.family(arm)) + (" (twin)" if arm.twin else "")
        finished = sum(run not in missing for run in of_arm)
        arms.append(PlannedArm(name, tuple(arm.tasks), float(arm.budget), len(of_arm), finished))
    return arms
