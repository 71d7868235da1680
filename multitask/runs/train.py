"""One training run, from settings to a run folder."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.evaluation.scores import Share
from multitask.mixing.prepare import load_plugins, select_tasks
from multitask.model.adapters import SHARED, add_adapters
from multitask.registry import did_you_mean
from multitask.runs.announcement import announce_run
from multitask.runs.definitions import definition
from multitask.runs.display import RunDisplay
from multitask.runs.endings import explained_endings, say_how_to_resume
from multitask.runs.example_log import ExampleLog
from multitask.runs.finished import load_includes, run_config
from multitask.runs.fitness import check_fits
from multitask.runs.fitting import fit, take_as_trained
from multitask.runs.merging import check_merge, merge_runs
from multitask.runs.notices import Notices
from multitask.runs.progress_file import ProgressWriter
from multitask.runs.resuming import check_same
from multitask.runs.run import Run
from multitask.runs.run_data import RunData, load_run_data
from multitask.runs.run_record import known_facts, write_run, write_run_page
from multitask.runs.scoring import RunScores, evaluate_run, shares_evaluation
from multitask.runs.settings import RunSettings, prepare_settings
from multitask.runs.start import Start, find_start, open_run_folder
from multitask.runs.trainer import make_trainer, wants_progress
from multitask.runs.watching import choose_watched_rows
from multitask.runs.writing import task_settings
from multitask.storage.folders import resume_command
from multitask.storage.paths import expanded
from multitask.storage.system_errors import system_error, told
from multitask.terminal.counting import duration
from multitask.terminal.escaping import visible
from multitask.terminal.quiet import quietly
from multitask.tokenization.disk_cache import Cache
from multitask.training.distributed import gathered
from multitask.training.initial_model import make_initial_model
from multitask.training.precision import tf32, without_cudnn_attention
from multitask.training.processes import STARTER, end_with, is_first_process, join
from multitask.training.rng_states import one_training, seeded_generators


def train(config: TrainConfig | None = None, *, quiet: bool = False, **settings: Any) -> Run:
    """Train one model on a mixture of tasks and evaluate each; gives the run.

    The same as `multitask train` with the same settings, which `help(multitask.TrainConfig)` explains one by one:

        run = multitask.train(tasks="span,sst2", data="data/", model="google-t5/t5-small", out="runs/first",
                              trainer={"max_steps": 2000})
        run.metrics              # a DataFrame: task, metric, score, se, baseline
        run.predictions("span")  # a DataFrame: id, inputs, prediction, target, score, log_likelihood, …
        run.predict("span", ["positive text: so happy with it"])

    What it writes is described in `multitask.runs.folder`; a run that exists in `out` is refused unless `resume` or
    `overwrite` is true. `train(resume="runs/first")` continues the run in that folder with its own settings; with
    `trainer={"max_steps": …}` for longer than it was. torch's global random generator is left as it was.

    Args:
        config: All settings at once; by default `TrainConfig()`.
        quiet: Print nothing but progress.
        settings: Single settings by name, which win over `config`.

    Raises:
        UserError: For whatever a user can fix, before training starts.
        StoppedError: If it was interrupted; `train(resume="runs/first")` continues it, and the same call with
            `resume=True` does.

    A process trains one model at a time: a call while another thread is in one is a `UserError`.
    """
    known = [f.name for f in dataclasses.fields(TrainConfig)]
    for name in settings:
        if name == "steps":
            raise UserError("unknown setting 'steps': the number of steps is trainer={'max_steps': N}.")
        if name not in known:
            raise UserError(f"unknown setting '{name}': {did_you_mean(name, known)}")
    if not isinstance(settings.get("resume", False), bool):
        config, settings = _continued(settings.pop("resume"), config, settings)
    config = dataclasses.replace(config or TrainConfig(), **settings)
    return train_run(config, quiet=quiet)


def _continued(
    run: str | Path, config: TrainConfig | None, settings: dict[str, Any]
) -> tuple[TrainConfig, dict[str, Any]]:
    """The settings of the run in a folder, and those that are given beside it."""
    for name, given in {"config": config, "out": settings.get("out")}.items():
        if given is not None:
            raise UserError(f"resume={str(run)!r} names a run, whose settings and folder are known: leave {name} out.")
    folder = Path(expanded(str(run)))
    stored = run_config(folder)
    load_includes(folder, stored, settings.get("include", ()))
    own = {**settings, "trainer": {**stored.trainer, **settings.get("trainer", {})}, "out": str(folder), "resume": True}
    return stored, own


def train_run(
    config: TrainConfig, *, quiet: bool = False, prepared: RunData | None = None, callbacks: Sequence[Any] = ()
) -> Run:
    """Train, evaluate and write a run folder.

    Args:
        config: All settings.
        quiet: Print nothing but progress.
        prepared: Data that is loaded and tokenised already; must be what `config` would give. A study has it, whose
            runs get no page of their own.
        callbacks: More of Lightning's.

    Raises:
        UserError, StoppedError: As `train`.
    """
    began = time.monotonic()
    settings = prepare_settings(config)
    with quietly(), one_training(f"the run in {settings.out}"), contextlib.ExitStack() as stack:
        first_process = is_first_process()
        if first_process:
            os.environ[STARTER] = str(os.getpid())
            stack.callback(os.environ.pop, STARTER, None)  # not for what this process starts later
        else:  # the first one may be gone by now: importing takes seconds
            end_with(int(os.environ.get(STARTER) or os.getppid()))
        notices = Notices(quiet=quiet or not first_process)
        try:
            start = find_start(settings, stack, notices, first_process=first_process)
            if not start.is_done:
                _train(start, stack, notices, prepared, callbacks, lambda: time.monotonic() - began)
            elif first_process and not (settings.out / "report.html").is_file():
                write_run_page(settings.out, notices.say)  # it was killed after its record and before its page
            return Run(settings.out)
        except Exception as error:
            found = system_error(error)
            if found is None:
                raise
            raise UserError(f"{told(found, settings.out)}.{_say_what_is_whole(settings)}") from error


def _train(
    start: Start,
    stack: contextlib.ExitStack,
    notices: Notices,
    prepared: RunData | None,
    callbacks: Sequence[Any],
    elapsed: Callable[[], float],
) -> None:
    """The stages of a run in order, each with what those before it found."""
    config = start.config
    check_merge(config)
    load_plugins(config.include)
    tasks = select_tasks(config.tasks, config.columns)[1]
    # Now: a formatter may change a state when it is called.
    definitions = {name: definition(task) for name, task in tasks.items()}
    file = ProgressWriter(start.out, enabled=start.first_process)
    display = RunDisplay(shown=start.first_process and wants_progress(start), file=file)
    log = ExampleLog(start.out / "examples")
    trainer = make_trainer(start, list(tasks), [*callbacks, file.callback()], display.events, log.write)
    cache = Cache(say=notices.say)
    data = prepared or load_run_data(config, cache, notices, vocabulary=start.out / "model" if start.stored else None)
    facts = known_facts(start, data, definitions)
    if start.stored:
        check_same(start.out, facts, notices.say)
    watched = choose_watched_rows(config, data.mix)
    with seeded_generators(config.seed):
        model = make_initial_model(config, data.tokenizer, notices.warn)
        check_fits(model, data.tokenizer, config.model)
        model.config.task_specific_params = {name: task_settings(task) for name, task in data.mix.tasks.items()}
        if config.peft:
            names = list(data.mix.tasks) if config.adapters == "task" else [SHARED]
            add_adapters(model, names, rank=config.lora_rank, seed=config.seed)
        # Only now, when nothing is wrong with the new run, may an old one be deleted.
        open_run_folder(start, data, facts, stack)
        announce_run(model, start, data, watched, notices)
        if config.merge:
            merged = merge_runs(model, config, data, cache, notices)
            facts = {
                **facts,
                "merged": {"scale": merged.scale, "points": {f"{s:g}": p for s, p in merged.points.items()}},
            }
        with display.show(), tf32(config.tf32), without_cudnn_attention():
            if config.merge:
                fitted = take_as_trained(model, start, data, log, notices)
            else:
                fitted = fit(model, start, data, watched, trainer, log=log, display=display, notices=notices)
            shared = shares_evaluation(trainer)
            if not start.first_process and not shared:
                return
            share = Share(trainer.global_rank, trainer.world_size, gathered) if shared else None
            explained = explained_endings(start, trainer, data.mix.steps) if shared else contextlib.nullcontext()
            with explained:
                scores = _evaluate(fitted.module, start, data, trainer, cache, notices, share)
            if not start.first_process:
                return
            display.finish()
    seconds = write_run(start, data, fitted, scores, facts, notices, elapsed)
    file.end()
    _log_results(start.out, trainer, fitted.steps, notices)
    if prepared is None:
        write_run_page(start.out, notices.say)
    notices.say(f"run folder: {start.out}  ({duration(seconds)})")
    join(trainer)


def _log_results(out: Path, trainer: Any, step: int, notices: Notices) -> None:
    """Give the loggers that have tables the scores and the mixture; the run is whole without it."""
    from multitask.training.loggers import log_results

    if not any(type(logger).__name__ != "RunCsvLogger" for logger in trainer.loggers):
        return
    run = Run(out)
    try:
        log_results(trainer.loggers, run.metrics, run.mix, step)
    except Exception as error:  # a server that is gone by now
        words = " ".join(str(error).split()) or type(error).__name__
        names = ", ".join(type(logger).__name__ for logger in trainer.loggers)
        notices.warn(f"the scores and tables were not logged to all of {names}: {words[:200]}")


def _evaluate(
    module: Any,
    start: Start,
    data: RunData,
    trainer: Any,
    cache: Cache,
    notices: Notices,
    share: Share | None,
) -> RunScores:
    """Evaluate the model; if that is interrupted, say that training is done."""
    try:
        return evaluate_run(module, start, data, trainer.strategy.root_device, cache, notices, share)
    except KeyboardInterrupt:
        if not notices.quiet and (then := say_how_to_resume(start)):
            print(visible(f"training is done, evaluation is not. {then}"), file=sys.stderr)
        raise


def _say_what_is_whole(settings: RunSettings) -> str:
    """Say that a run that a full disk or the like ended can be continued."""
    if not os.path.isfile(settings.out / "config.yaml"):
        return ""
    command = resume_command(settings.out, settings.config.include)
    return f" What was written to {settings.out} before is whole; {command} goes on from it."
