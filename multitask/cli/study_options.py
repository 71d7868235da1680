"""The options of `multitask interference` that training does not have; nothing heavy is imported for `--help`."""

from __future__ import annotations

import dataclasses
from typing import Any

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.interference.design.arms import ARMS
from multitask.interference.design.config import ENGINES, INTERVALS, METHODS, StudyConfig, parse_numbers

FORMATS = ("table", "markdown", "csv", "json", "latex", "html")
SELECTIONS = ("last", "per-task", "mean")


def add_study_options(parser: Any) -> None:
    """Add them to a parser of training settings."""
    plain = StudyConfig()
    add = parser.add_argument
    add("study", nargs="?", metavar="STUDY", default=None, help="With --status: the study's folder.")
    add("--status", action="store_true", help="Print which models of STUDY are finished, running or failed, and stop.")
    add(
        "--arms",
        metavar="NAMES",
        default=",".join(plain.arms),
        help=f"Which models to train, of {', '.join(ARMS)}, with commas.",
    )
    add("--seeds", metavar="N|LIST", default=plain.seeds, help="How many seeds, or which, with commas.")
    add(
        "--match",
        metavar="examples|steps",
        default=",".join(plain.match),
        help="The budget that is matched: examples (equal exposure), steps (equal compute) or both, with a comma.",
    )
    add(
        "--null",
        nargs="?",
        metavar="TASKS",
        const="all",
        default="",
        help="Null control: train each task (or those named) with a disjoint copy of itself, and count false alarms.",
    )
    add(
        "--control",
        metavar="noise",
        default="",
        help="Noise control: train each task once more with all others, whose targets are shuffled.",
    )
    add(
        "--treatments",
        metavar="NAMES",
        default="",
        help="Ways of training all tasks together, compared with the joint arm: names with commas (uw, famo, pcgrad, "
        "cagrad, upgrad, …, lora, lora-task, merge, groups, weights, temperature, equal, dropout, decay), or your own, "
        '"NAME: setting=value setting=value".',
    )
    add(
        "--simple_treatments",
        metavar="true|false",
        type=bool,
        default=plain.simple_treatments,
        help="With --treatments: also train the simple ways that match them in the literature: static weights, "
        "temperature mixing, more dropout, weight decay. (default: true)",
    )
    add(
        "--rates_sweep",
        metavar="TASKS",
        default="",
        help="Train the joint arm with these tasks at other rates (TASK, or TASK=0.25/0.5/2), to tell weak "
        "interference, which the best rate removes, from strong.",
    )
    add(
        "--lr_grid",
        metavar="RATES",
        default="",
        help="Learning rates, with commas, to choose from for each kind of arm beforehand.",
    )
    add("--selection", default=None, choices=SELECTIONS, help="Which checkpoint is scored; the same as --select.")
    add(
        "--margin",
        metavar="POINTS",
        type=float,
        default=plain.margin,
        help="Points within which two scores count as equal, fixed beforehand.",
    )
    add(
        "--intervals",
        choices=INTERVALS,
        default=plain.intervals,
        help="Seed variances: moderated over the table's arms, or separate for each effect.",
    )
    add("--resamples", metavar="N", type=int, default=plain.resamples, help="Resamples of the bootstrap.")
    add(
        "--groups",
        metavar="N",
        type=int,
        default=plain.groups,
        help="Suggest a grouping of the tasks into at most so many models.",
    )
    add(
        "--jobs",
        metavar="N",
        type=int,
        default=None,
        help="Models trained side by side; from scratch on a CPU one a core.",
    )
    add(
        "--threads",
        metavar="N",
        type=int,
        default=None,
        help="Threads of each; by default the cores are shared equally.",
    )
    add(
        "--engine",
        choices=ENGINES,
        default=plain.engine,
        help="What trains the models: processes of this machine, an array of SLURM jobs, or a Ray cluster (extra ray).",
    )
    add("--per_gpu", metavar="N", type=int, default=None, help="Models that share a GPU. (default: 1)")
    add(
        "--retries", metavar="N", type=int, default=plain.retries, help="How often a model that crashed is tried again."
    )
    add(
        "--ray_address",
        metavar="ADDRESS",
        default=None,
        help="With --engine ray: of a cluster; by default RAY_ADDRESS, or one that is started on this machine.",
    )
    add(
        "--slurm_options",
        metavar="TEXT",
        default="",
        help='With --engine slurm: more options of sbatch, as in --slurm-options="--partition gpu --gpus 1".',
    )
    add("--submit", action="store_true", help="With --engine slurm: send the script, and the tables after it.")
    add("--plan_only", action="store_true", help="Write the cells for multitask cell, and train nothing.")
    add("--keep_models", action="store_true", help="Keep each model's weights, which the tables do not need.")
    add("--dry_run", action="store_true", help="Print the cells and an estimate of their cost, and train nothing.")
    add(
        "--runs",
        metavar="FOLDERS",
        default="",
        help="Tabulate these finished runs ('runs/*') instead of training; tasks are theirs.",
    )
    add(
        "--estimate",
        nargs="?",
        metavar="METHOD",
        const=METHODS[0],
        default=None,
        help=f"Estimate the pair matrix at a cost of about 1.5 joint runs instead of training every pair, and print it "
        f"marked as estimated, without verdicts: {', '.join(METHODS)}. (default method: {METHODS[0]})",
    )
    add(
        "--confirm",
        metavar="K",
        type=int,
        default=plain.confirm,
        help="With --estimate: train K pairs in full, those that matter most, and correct the others by them.",
    )
    add("--verbose", action="store_true", help="Print every table before the answer.")
    add("--format", choices=FORMATS, default="table", help="How to print it; table is the answer.")


def study_config(train: TrainConfig, own: dict[str, Any]) -> StudyConfig:
    """A study's settings from the parsed options.

    Raises:
        UserError: For a value that cannot be.
    """
    selection = own.pop("selection")
    if selection is not None:
        if train.select not in ("last", selection):
            raise UserError(f"--selection {selection} and --select {train.select} say two things: give one of them.")
        train = dataclasses.replace(train, select=selection)
    lists: dict[str, Any] = {
        name: [part for part in (own.pop(name) or "").split(",") if part]
        for name in ("arms", "match", "null", "control", "treatments", "rates_sweep")
    }
    grid = own.pop("lr_grid")
    return StudyConfig(train=train, lr_grid=parse_numbers(grid, "--lr-grid") if grid else [], **lists, **own)
