"""Training the runs of a study that are missing."""

from __future__ import annotations

import functools
import shlex
import shutil
import sys
from collections.abc import Sequence

from multitask.errors import UserError
from multitask.interference.design.command import study_command
from multitask.interference.design.runs import StudyRun
from multitask.interference.execution.cells import log_of, read_cells, write_cells
from multitask.interference.execution.partial import Partial
from multitask.interference.execution.pool import PoolSettings, train_runs
from multitask.interference.execution.slurm import ranges, submit, write_script
from multitask.interference.setup import StudySetup, count_evaluated_rows


def delete_kept_models(setup: StudySetup, runs: Sequence[StudyRun]) -> None:
    """Delete the weights that were kept for merging."""
    for run in runs:
        if run.keep_model and not setup.request.config.keep_models:
            shutil.rmtree(run.folder / "model", ignore_errors=True)


class HandedOver(UserError):
    """The models are for others to train: there is no study yet. Says what was written, and what to do."""


def write_plan(setup: StudySetup, runs: Sequence[StudyRun]) -> None:
    """Write cells.json: by it any process can train a model of the study."""
    evaluated = functools.partial(count_evaluated_rows, mix=setup.mix)
    write_cells(setup.out, runs, evaluated, keep=setup.request.config.keep_models)


def train_missing(setup: StudySetup, missing: Sequence[StudyRun], *, done: int, partial: Partial | None = None) -> None:
    """Train runs of a study, which are in cells.json, by the engine that was asked for.

    Args:
        setup: The study.
        missing: Those to train.
        done: Runs that were there already, for the progress.
        partial: Differences so far, which are shown while they grow.

    Raises:
        HandedOver: If others train them.
        UserError, StudyRunError, KeyboardInterrupt: As `execution.pool.train_runs`.
    """
    config = setup.request.config
    if not missing:
        return
    if config.plan_only or config.engine == "slurm":
        _hand_over(setup, missing)
    for run in missing:
        run.folder.parent.mkdir(parents=True, exist_ok=True)
    settings = PoolSettings(
        lambda run: log_of(setup.out, run.folder),
        setup.request.slots,
        setup.threads,
        config.retries,
        config.keep_models,
    )
    evaluated = functools.partial(count_evaluated_rows, mix=setup.mix)
    if config.engine == "local":
        train_runs(missing, setup.base, settings, evaluated=evaluated, done=done, partial=partial)
        return
    from multitask.interference.execution.on_ray import train_on_ray
    from multitask.interference.execution.slots import visible_gpus

    has_gpu = bool(visible_gpus(str(setup.base.trainer.get("accelerator", "auto"))))
    train_on_ray(
        missing,
        setup.base,
        settings,
        study=setup.out,
        address=config.ray_address,
        gpus=1 / (config.per_gpu or 1) if has_gpu or config.per_gpu else 0,
        evaluated=evaluated,
        done=done,
        partial=partial,
    )


def _hand_over(setup: StudySetup, missing: Sequence[StudyRun]) -> None:
    """Say how others train the models, or send them to a cluster.

    Raises:
        HandedOver: Always.
    """
    config, out = setup.request.config, setup.out
    folders = {run.folder for run in missing}
    numbers = [cell.number for cell in read_cells(out) if cell.folder in folders]
    many = f"{len(numbers)} model{'s'[: len(numbers) != 1]} to train"
    files = "".join(f" --include {shlex.quote(file)}" for file in config.train.include)
    if config.plan_only:
        raise HandedOver(
            f"{many}, in {out / 'cells.json'}: `multitask cell {shlex.quote(str(out))} N{files}` trains one, N being "
            f"{ranges(numbers)}; then the same command without --plan-only goes on."
        )
    script = write_script(
        out,
        numbers,
        threads=setup.threads,
        at_once=config.jobs,
        options=config.slurm_options,
        retries=config.retries,
        include=config.train.include,
    )
    status = f"multitask interference {shlex.quote(str(out))} --status"
    if not config.submit:
        raise HandedOver(
            f"{many}: sbatch {shlex.quote(str(script))} trains them, `{status}` says how far they are, and the same "
            "command goes on when they are finished."
        )
    _, *words = shlex.split(study_command(config, setup.request.design))
    then = [sys.executable, "-m", "multitask.cli", *words, "--out", str(out), "--engine", "slurm", "--submit"]
    then += ["--retries", str(config.retries), *(["--jobs", str(config.jobs)] if config.jobs else [])]
    then += ["--keep-models"] if config.keep_models else []
    then += [f"--slurm-options={config.slurm_options}"] if config.slurm_options else []
    array = submit(script, then)
    raise HandedOver(f"{many}: sent as job {array}, and the tables after them; `{status}` says how far they are.")
