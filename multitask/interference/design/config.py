"""A study's settings and its folder, and the training settings of each of its cells.

STUDY/
study.yaml           all settings; a study is continued, or grows by a task or a seed, with the same command
cells.json           the models that the study needs: name, tasks, examples a step, seed, folder
facts.json           what was found in the data: overlap between tasks, what is generated, held out or skipped
vocab/               from scratch: one vocabulary for all cells, trained on the text of all tasks
cells/NAME/          the run folder of each model; without its weights, unless --keep-models
trials/NAME/         with --lr-grid: the runs that the learning rates were chosen by
interference.json    everything that was found; the tables, figures and the report are made of it alone
interference.csv     a row an effect
report.html          one file for people
figures/             PNG and SVG
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from multitask.config import OPERATIONAL, TrainConfig, flag, folder_name, located
from multitask.config_checks import check_config
from multitask.errors import UserError
from multitask.interference.design.arms import ARMS, Arm, Design, label, parse_seeds
from multitask.mixing.schedule import exact
from multitask.registry import did_you_mean
from multitask.storage.atomic import atomic
from multitask.storage.folders import check_links, make_folder
from multitask.storage.locking import check_lock
from multitask.storage.paths import tilde
from multitask.storage.yaml_files import dump_yaml, read_yaml

FORMAT = 2
"""Of study.yaml, raised with what its cells are trained on (2: plans of format 2)."""
STEPS = 500
"""Optimizer steps of a cell when `--trainer.max_steps` is not given."""
PER_STEP = 16.0
"""Examples of each task in a step when `--per-step` is not given."""
PARTS = (
    *("study.yaml", "cells.json", "facts.json", "vocab", "cells", "trials"),
    *("interference.json", "interference.csv", "report.html", "figures"),
)
"""What a study's folder may hold; `--overwrite` deletes these and nothing else."""


@dataclass
class StudyConfig:
    """What `multitask interference` asks for, besides the settings of training."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """What all cells share."""
    arms: list[str] = field(default_factory=lambda: list(ARMS))
    """Which models to train: single, joint, pair, without."""
    seeds: str = "5"
    """How many seeds, or which, with commas."""
    match: list[str] = field(default_factory=lambda: ["examples"])
    """The budget that is matched: `examples` (equal exposure), `steps` (equal compute), or both, with a comma."""
    null: list[str] = field(default_factory=list)
    """Tasks that get a null control; `all` for each."""
    lr_grid: list[float] = field(default_factory=list)
    """Learning rates to choose from for each kind of arm, on held-out training rows, before the seeds run."""
    margin: float = 0.5
    """Points within which two scores count as equal (or one standard deviation over seeds, whichever is larger)."""
    resamples: int = 10_000
    """Of the bootstrap."""
    groups: int = 3
    """Suggest a grouping of the tasks into at most so many models."""
    jobs: int | None = None
    """Models that are trained side by side; by default one a core on a CPU, from scratch, else one."""
    threads: int | None = None
    """Threads of each; by default the cores are shared equally."""
    keep_models: bool = False
    """Keep each cell's weights, which the tables do not need."""


def study_folder(config: StudyConfig) -> str:
    """Where a study goes without `--out`: runs/interference-TASKS-MODEL."""
    return f"runs/interference-{folder_name(config.train)}"


def parse_numbers(text: str | Sequence[float], option: str) -> list[float]:
    """Numbers with commas.

    Raises:
        UserError: If one is no number above 0.

    >>> parse_numbers("0.003,0.01", "--lr-grid")
    [0.003, 0.01]
    """
    parts = text.split(",") if isinstance(text, str) else list(text)
    try:
        values = [float(p) for p in parts]
    except ValueError as error:
        raise UserError(f"{option} is one or more numbers, with commas. Got {text!r}.") from error
    if any(not 0 < v < float("inf") for v in values) or len(set(values)) < len(values):
        raise UserError(f"{option} must be different numbers above 0. Got {text}.")
    return values


def checked(config: StudyConfig) -> StudyConfig:
    """The settings with a study's defaults, or the first that cannot work.

    Raises:
        UserError: One sentence.
    """
    train = located(config.train)
    for name in ("mixing", "temperature", "temperature_end", "cap", "scale", "max_epochs", "rate_schedule"):
        if getattr(train, name):
            raise UserError(
                f"{flag(name)} makes rates, and a study fixes how many examples of each task a step has, whatever its "
                f"company: give --per-step instead."
            )
    if train.batch_size != TrainConfig.batch_size:
        raise UserError("--batch-size is a step's over all tasks; a study fixes each task's own: give --per-step.")
    for name in ("twin", "rate_base"):
        if getattr(train, name) is not None:
            raise UserError(f"{flag(name)} is set by the study for its cells.")
    if train.labels_by == "generate":
        raise UserError("--labels-by generate: a study scores labels by ranking and as written, always both.")
    if train.evaluate_on == "selection" and (config.lr_grid or train.select != "last"):
        raise UserError(
            "--evaluate-on selection reports scores on the held-out training rows, so nothing may be chosen on them: "
            "leave out --lr-grid and --selection."
        )
    if train.patience:
        raise UserError("--patience would give each arm its own number of steps, and the arms of a study are matched.")
    if not config.margin >= 0:
        raise UserError(f"--margin must be 0 or above. Got {config.margin}.")
    if config.resamples < 200:
        raise UserError(f"--resamples must be at least 200 for a 95 % interval. Got {config.resamples}.")
    for name in ("groups", "jobs", "threads"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise UserError(f"{flag(name)} must be at least 1. Got {value}.")
    if config.lr_grid and train.lr is not None:
        raise UserError("--lr-grid chooses the learning rate, so --lr would do nothing: give one of them.")
    if len(config.lr_grid) == 1:
        raise UserError("--lr-grid has one learning rate, so there is nothing to choose: give --lr.")
    data_seed = train.seed if train.data_seed is None else train.data_seed
    train = dataclasses.replace(
        train,
        per_step=PER_STEP if train.per_step is None else train.per_step,
        trainer={"max_steps": STEPS, **train.trainer},
        labels_by="both",
        data_seed=data_seed,
        hold_selection=train.hold_selection or bool(config.lr_grid),
    )
    check_config(train)
    return dataclasses.replace(config, train=train)


def design_of(config: StudyConfig, tasks: Sequence[str]) -> Design:
    """The design that the settings ask for, over these tasks.

    Raises:
        UserError: If the settings do not fit the tasks.
    """
    per_step = config.train.per_step
    assert per_step is not None
    given = per_step if isinstance(per_step, dict) else dict.fromkeys(tasks, per_step)
    for task in given:
        if task not in tasks:
            raise UserError(f"--per-step.{task}: {did_you_mean(task, list(tasks))}")
    for task in tasks:
        if not given.get(task, 0) > 0:
            raise UserError(
                f"--per-step must give task '{task}' some examples in a step. Got {given.get(task, 'none')}."
            )
    null = list(tasks) if config.null == ["all"] else config.null
    return Design(
        tuple(tasks),
        {t: exact(given[t]) for t in tasks},
        arms=tuple(config.arms),
        match=tuple(config.match),
        seeds=parse_seeds(config.seeds, config.train.seed),
        null=tuple(null),
    )


# ---- the folder ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """One model of the study."""

    arm: Arm
    family: str
    """single, joint, pair, without or null."""
    seed: int
    config: TrainConfig
    """All that trains it."""
    folder: Path

    @property
    def name(self) -> str:
        """For people."""
        return f"{label(self.arm, self.family)} seed {self.seed}"


def cell_config(
    base: TrainConfig,
    design: Design,
    arm: Arm,
    seed: int,
    *,
    rate_base: Fraction,
    lr: float | None,
    vocab: Path | None,
    **changes: Any,
) -> TrainConfig:
    """The settings that train one cell: `multitask train` with them gives the same model."""
    of_arm: dict[str, Any] = {
        name: {t: v for t, v in getattr(base, name).items() if t in arm.tasks} for name in ("columns", "loss_weights")
    }
    return dataclasses.replace(
        base,
        tasks=list(arm.tasks),
        per_step={t: float(b) for t, b in design.per_step_of(arm).items()},
        rate_base=float(rate_base),
        twin=arm.tasks[0] if arm.twin else None,
        seed=seed,
        lr=lr,
        vocab=str(vocab) if vocab else base.vocab,
        resume=False,
        overwrite=False,
        **of_arm,
        **changes,
    )


def study_dict(
    config: StudyConfig, design: Design, rate_base: Fraction, lr: dict[str, float], vocabulary: Sequence[str]
) -> dict[str, Any]:
    """study.yaml; `vocabulary` names the tasks that vocab/ was trained on."""
    from multitask.runs.address import shown_settings  # it imports torch, and --help wants to answer at once

    train = shown_settings(config.train)
    for name in ("tasks", "per_step", "rate_base", "seed", "out", "lr"):
        train.pop(name)
    return {
        "format": FORMAT,
        "tasks": list(design.tasks),
        "per_step": {t: float(b) for t, b in design.per_step.items()},
        "rate_base": str(rate_base),
        "arms": list(design.arms),
        "match": list(design.match),
        "seeds": list(design.seeds),
        "null": list(design.null),
        "lr": lr,
        "lr_grid": config.lr_grid,
        "margin": config.margin,
        "resamples": config.resamples,
        "groups": config.groups,
        "threads": config.threads,
        "vocabulary": list(vocabulary),
        "train": train,
    }


def read_study(out: Path) -> dict[str, Any] | None:
    """study.yaml, if there is one.

    Raises:
        UserError: If it cannot be read, or is of another format.
    """
    path = out / "study.yaml"
    if not path.is_file():
        return None
    stored = read_yaml(path)
    found = stored.get("format") if isinstance(stored, dict) else None
    if found == 1:
        from multitask.mixing.plan import FORMAT as PLAN_FORMAT

        raise UserError(
            f"{path} has format 1: its cells were trained by plans of format 1, whose steps held other examples, and "
            f"this version makes plans of format {PLAN_FORMAT}. Read its tables with `multitask report`; to train, "
            "give another --out, or --overwrite to begin anew."
        )
    if found != FORMAT:
        raise UserError(f"{path} is no study of this version: give another --out, or --overwrite to begin anew.")
    same: dict[str, Any] = tilde(stored)
    return same


def write_study(out: Path, values: dict[str, Any]) -> None:
    """Write study.yaml."""
    with atomic(out / "study.yaml") as temporary:
        temporary.write_text(dump_yaml(values), encoding="utf-8")


CONTINUED = OPERATIONAL | {"include", "data", "columns", "loss_weights"}
"""Training settings that a study may be continued with other values of; data is compared by its content, and what is
said of each task for the tasks in common."""


def check_same(out: Path, stored: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to continue a study with other settings: one table needs one setting.

    Tasks, seeds, arms and matches may be added (or left out), and margins chosen anew: they change no cell.

    Raises:
        UserError: Names the setting, and both values.
    """

    def differ(name: str, before: Any, asked: Any) -> UserError:
        return UserError(
            f"the study in {out} has {name} = {before!r}, asked for is {asked!r}; all cells of a table need one "
            f"setting: give another --out, or --overwrite to begin anew."
        )

    for name, asked in now["train"].items():
        before = stored["train"].get(name)
        if name not in CONTINUED and before != asked:
            raise differ(name, before, asked)
    for name in ("columns", "loss_weights"):
        for task in set(stored["tasks"]) & set(now["tasks"]):
            before, asked = (side["train"].get(name, {}).get(task) for side in (stored, now))
            if before != asked:
                raise differ(f"{name}.{task}", before, asked)
    for task, asked in now["per_step"].items():
        before = stored["per_step"].get(task, asked)
        if before != asked:
            raise differ(f"per_step.{task}", before, asked)
    if stored["threads"] is not None and stored["threads"] != now["threads"]:
        raise differ("threads", stored["threads"], now["threads"])
    if stored["lr_grid"] != now["lr_grid"]:
        raise differ("lr_grid", stored["lr_grid"], now["lr_grid"])
    if not now["lr_grid"] and now["lr"] and stored["lr"]:
        asked_lr, had = next(iter(now["lr"].values())), next(iter(stored["lr"].values()))
        if asked_lr != had:
            raise differ("lr", had, asked_lr)


def check_study_folder(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds something else, without touching anything.

    Raises:
        UserError: Names what it holds.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; a study needs a folder.")
    check_lock(out)
    there = sorted(p.name for p in out.iterdir() if not p.name.startswith(".")) if out.is_dir() else []
    foreign = [name for name in there if name not in PARTS]
    if foreign or (there and "study.yaml" not in there and not overwrite):
        shown = ", ".join((foreign or there)[:3])
        raise UserError(f"--out {out} holds other files ({shown}, …); give an empty or new folder, or a study's.")
    if not overwrite:
        check_links(out)


def open_study(out: Path, *, overwrite: bool) -> dict[str, Any] | None:
    """Make the folder ready; gives what study.yaml says if the study is there already.

    Raises:
        UserError: If the folder holds something else, or cannot be written.
    """
    check_study_folder(out, overwrite=overwrite)
    make_folder(out, delete=PARTS if overwrite else ())
    return read_study(out)
