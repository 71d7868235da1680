"""The folder of a study: what is in it, and whether it can be continued.

STUDY/
study.yaml           all settings; a study is continued, or grows by a task or a seed, with the same command
cells.json           the models that the study needs, each with all that `multitask cell STUDY N` trains it by
facts.json           what was found in the data: overlap between tasks, what is generated, held out or skipped
vocab/               from scratch: one vocabulary for all runs, trained on the text of all tasks
cells/NAME/          the run folder of each model; without its weights, unless --keep-models
trials/NAME/         with --lr-grid: the runs that the learning rates were chosen by
logs/                what models said that failed, or were tried again; with --engine slurm each job's own
slurm.sh             with --engine slurm: the array of jobs
interference.json    everything that was found; the tables, figures and the report are made of it alone
interference.csv     a row an effect
report.html          one file for people
figures/             PNG and SVG
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from multitask.config import OPERATIONAL
from multitask.errors import UserError
from multitask.interference.design.arms import Design
from multitask.interference.design.config import StudyConfig
from multitask.storage.atomic import atomic
from multitask.storage.folders import check_links, make_folder
from multitask.storage.locking import check_lock
from multitask.storage.paths import tilde
from multitask.storage.yaml_files import dump_yaml, read_yaml

FORMAT = 2
"""Of study.yaml, raised with what its runs are trained on (2: plans of format 2)."""


PARTS = (
    *("estimate", "estimate.json", "estimate.csv"),
    *("study.yaml", "cells.json", "facts.json", "vocab", "cells", "trials", "logs", "slurm.sh"),
    *("interference.json", "interference.csv", "report.html", "figures"),
)
"""What a study's folder may hold; `--overwrite` deletes these and nothing else."""


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
        "control": list(config.control),
        "treatments": list(config.treatments),
        "simple_treatments": config.simple_treatments,
        "rates_sweep": list(config.rates_sweep),
        "lr": lr,
        "lr_grid": config.lr_grid,
        "margin": config.margin,
        "intervals": config.intervals,
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

    Tasks, seeds, arms and matches may be added (or left out), and margins chosen anew: they change no run.

    Raises:
        UserError: Names the setting, and both values.
    """

    def differ(name: str, before: Any, asked: Any) -> UserError:
        return UserError(
            f"the study in {out} has {name} = {before!r}, asked for is {asked!r}; all cells of a table need one "
            f"setting: give another --out, or --overwrite to begin anew."
        )

    plain = StudyConfig().train
    for name, asked in now["train"].items():
        before = stored["train"].get(name, getattr(plain, name))  # an earlier version had not all of them
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
        for family in now["lr"].keys() & stored["lr"].keys():
            if now["lr"][family] != stored["lr"][family]:
                raise differ("lr", stored["lr"][family], now["lr"][family])


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
