"""The settings of a study: what is asked for, and what cannot work."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from multitask.config import TrainConfig, expand_paths, flag, folder_name
from multitask.config_checks import check_config
from multitask.errors import UserError
from multitask.interference.design.arms import ARMS, Design, parse_seeds
from multitask.interference.design.treatments import parse_sweeps, parse_treatments
from multitask.mixing.schedule import exact
from multitask.registry import did_you_mean

STEPS = 500
"""Optimizer steps of a run when `--trainer.max_steps` is not given."""
CONTROLS = ("noise",)
ENGINES = ("local", "slurm", "ray")
INTERVALS = ("moderated", "separate")
METHODS = ("joined", "branches", "early", "merged", "refit", "attribution", "look-ahead", "cosine")
"""Ways of estimating the pair matrix; see `interference.estimation`."""
OF_WEIGHTS = ("joined", "branches", "merged", "refit")
"""Those that go on from the weights of a model that was trained."""
PER_STEP = 16.0
"""Examples of each task in a step when `--per-step` is not given."""


@dataclass
class StudyConfig:
    """The settings of `multitask interference`, besides those of training."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """What all runs share."""
    arms: list[str] = field(default_factory=lambda: list(ARMS))
    """Which models to train: single, joint, pair, without."""
    seeds: str = "5"
    """How many seeds, or which, with commas."""
    match: list[str] = field(default_factory=lambda: ["examples"])
    """The budget that is matched: `examples` (equal exposure), `steps` (equal compute), or both, with a comma."""
    null: list[str] = field(default_factory=list)
    """Tasks that get a null control; `all` for each."""
    control: list[str] = field(default_factory=list)
    """`noise`: train each task with all others once more, whose targets are shuffled; what any company does."""
    treatments: list[str] = field(default_factory=list)
    """Ways of training all tasks together to compare with the joint arm: names, or `NAME: setting=value …`."""
    simple_treatments: bool = True
    """With `treatments`: also the simple ones that critics found to match them (static weights, temperature mixing,
    more dropout, weight decay)."""
    rates_sweep: list[str] = field(default_factory=list)
    """Train the joint arm with this task at other rates: `TASK`, or `TASK=0.25/0.5/2` with the factors."""
    lr_grid: list[float] = field(default_factory=list)
    """Learning rates to choose from for each kind of arm, on held-out training rows, before the seeds run."""
    margin: float = 1.0
    """Points within which two scores count as equal; fixed beforehand, and never widened by noise."""
    intervals: str = "moderated"
    """Seed variances: `moderated` over the arms of the table, or `separate` for each effect."""
    resamples: int = 10_000
    """Of the bootstrap."""
    groups: int = 3
    """Suggest a grouping of the tasks into at most so many models."""
    jobs: int | None = None
    """Models that are trained side by side; by default one a core on a CPU, from scratch, else one."""
    threads: int | None = None
    """Threads of each; by default the cores are shared equally."""
    keep_models: bool = False
    """Keep each run's weights, which the tables do not need."""
    engine: str = "local"
    """What trains the models: `local` processes, a `slurm` array, or a `ray` cluster. The numbers are the same."""
    per_gpu: int | None = None
    """Models that share a GPU; by default one."""
    retries: int = 1
    """How often a model that crashed is tried again."""
    ray_address: str | None = None
    """With `engine` ray: of a cluster; by default RAY_ADDRESS, or one that is started on this machine."""
    slurm_options: str = ""
    """With `engine` slurm: more options of sbatch, in one text."""
    submit: bool = False
    """With `engine` slurm: send the script to sbatch instead of only writing it."""
    estimate: str | None = None
    """Estimate the pair matrix by this method instead of training every pair; one of `METHODS`."""
    confirm: int = 0
    """With `estimate`: train so many pairs, those that matter most, and correct the others by them."""
    plan_only: bool = False
    """Write cells.json, and train nothing."""


def merges_scaled(treatments: Sequence[str]) -> bool:
    """Whether a merge is among these treatments whose scale is chosen on rows that no model may have trained on."""
    return any(t.strip() in ("merge", "merge-arithmetic", "merge-ties") for t in treatments)


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


def check_study_config(config: StudyConfig) -> StudyConfig:
    """The settings with a study's defaults, or the first that cannot work.

    Raises:
        UserError: One sentence.
    """
    train = expand_paths(config.train)
    for name in ("mixing", "temperature", "temperature_end", "cap", "scale", "max_epochs", "rate_schedule"):
        if getattr(train, name):
            raise UserError(
                f"{flag(name)} makes rates, and a study fixes how many examples of each task a step has, whatever its "
                f"company: give --per-step instead."
            )
    if train.batch_size != TrainConfig.batch_size:
        raise UserError("--batch-size is a step's over all tasks; a study fixes each task's own: give --per-step.")
    for name in ("twin", "rate_base", "merge"):
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
    for name in config.control:
        if name not in CONTROLS:
            raise UserError(f"--control {name}: {did_you_mean(name, list(CONTROLS))}")
    if config.intervals not in INTERVALS:
        raise UserError(f"--intervals {config.intervals}: {did_you_mean(config.intervals, list(INTERVALS))}")
    _check_estimate(config)
    if config.resamples < 200:
        raise UserError(f"--resamples must be at least 200 for a 95 % interval. Got {config.resamples}.")
    _check_engine(config)
    for name in ("groups", "jobs", "threads", "per_gpu"):
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
        hold_selection=train.hold_selection or bool(config.lr_grid) or merges_scaled(config.treatments),
    )
    check_config(train)
    return dataclasses.replace(config, train=train)


def _check_engine(config: StudyConfig) -> None:
    if config.engine not in ENGINES:
        raise UserError(f"--engine {config.engine}: {did_you_mean(config.engine, list(ENGINES))}")
    own: dict[str, tuple[Any, str]] = {
        "ray_address": (config.ray_address, "ray"),
        "slurm_options": (config.slurm_options, "slurm"),
        "submit": (config.submit, "slurm"),
    }
    for name, (value, engine) in own.items():
        if value and config.engine != engine:
            raise UserError(f"{flag(name)} is of --engine {engine}; the engine here is {config.engine}.")
    if config.retries < 0:
        raise UserError(f"--retries must be 0 or more. Got {config.retries}.")


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
    treatments = parse_treatments(config.treatments, list(tasks), simple=config.simple_treatments, train=config.train)
    return Design(
        tuple(tasks),
        {t: exact(given[t]) for t in tasks},
        arms=tuple(config.arms),
        match=tuple(config.match),
        seeds=parse_seeds(config.seeds, config.train.seed),
        null=tuple(null),
        noise="noise" in config.control,
        treatments=tuple(treatments),
        sweeps=tuple(parse_sweeps(config.rates_sweep, list(tasks))),
    )


def _check_estimate(config: StudyConfig) -> None:
    """Refuse an estimate that cannot be had."""
    if config.estimate is None:
        if config.confirm:
            raise UserError("--confirm trains the pairs that an estimate finds to matter: give --estimate too.")
        return
    if config.estimate not in METHODS:
        raise UserError(f"--estimate {config.estimate}: {did_you_mean(config.estimate, list(METHODS))}")
    if config.confirm < 0:
        raise UserError(f"--confirm must be 0 (none) or above. Got {config.confirm}.")
    if config.match != ["examples"]:
        raise UserError("--estimate tells the pairs at equal exposure: leave --match out.")
    others: dict[str, Any] = {"--null": config.null, "--control": config.control, "--treatments": config.treatments}
    others |= {"--rates-sweep": config.rates_sweep, "--plan-only": config.plan_only}
    for name, value in others.items():
        if value:
            raise UserError(
                f"{name} is for a measured study, and --estimate trains a part of one: leave one of them out."
            )
    if config.train.peft and config.train.adapters == "task" and config.estimate in OF_WEIGHTS:
        raise UserError(
            f"--estimate {config.estimate} goes on from one model's weights, and --adapters task gives each task some "
            "of its own: leave --adapters out, or --estimate early."
        )
    if config.engine != "local":
        raise UserError(f"--estimate trains in stages on this machine: leave --engine {config.engine} out.")


def parse_settings(settings: dict[str, Any]) -> StudyConfig:
    """A study's settings from names of both kinds, as `multitask.measure_interference(…)` takes them.

    Raises:
        UserError: For a name that is neither.
    """
    own = {f.name for f in dataclasses.fields(StudyConfig)} - {"train"}
    training = {f.name for f in dataclasses.fields(TrainConfig)}
    for name in settings:
        if name not in own | training:
            raise UserError(f"unknown setting '{name}': {did_you_mean(name, sorted(own | training))}")
    study: dict[str, Any] = {n: v for n, v in settings.items() if n in own and v is not None}
    if study.get("lr_grid"):
        study["lr_grid"] = parse_numbers(study["lr_grid"], "--lr-grid")
    for name in ("arms", "match", "null", "control", "treatments", "rates_sweep"):
        if isinstance(study.get(name), str):
            study[name] = [part for part in study[name].split(",") if part]
    if study.get("null") is True:
        study["null"] = ["all"]
    if isinstance(study.get("seeds"), (list, tuple)):
        study["seeds"] = ",".join(map(str, study["seeds"])) + ("," if len(study["seeds"]) == 1 else "")
    if "seeds" in study:
        study["seeds"] = str(study["seeds"])
    train = TrainConfig(**{n: v for n, v in settings.items() if n in training})
    return StudyConfig(train=train, **study)
