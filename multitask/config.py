"""The settings of a training run: one flat dataclass that the command line, YAML files and Python share.

The text under each field is the command line's help.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import operator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from multitask.errors import UserError, shown
from multitask.field_docs import explain_fields
from multitask.folder import safe_name
from multitask.home import expanded
from multitask.registry import did_you_mean
from multitask.shape import problem_of
from multitask.short_repr import short_repr
from multitask.yaml_files import load_yaml


@explain_fields
@dataclass
class TrainConfig:
    """Train one model on a mixture of tasks."""

    # ---- tasks and data ----
    tasks: str | list[str] = "span,sst2"
    """Tasks and mixtures, separated by commas; `span=2,sst2=1` sets the rates."""
    data: str | None = None
    """`DIR` with DIR/TASK/SPLIT.{csv,tsv,json,jsonl,parquet,txt}, `hub` (each task's own source) or `sample` (the
    generated one, the default for tasks that have it). The environment's MULTITASK_DATA stands in for it."""
    include: list[str] = field(default_factory=list)
    """Python files that register tasks, mixtures or metrics of your own."""
    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    """Renamed columns, {task: {name in the task: name in the file}}."""
    holdout: float = 0.1
    """Share of the training rows that is held out for a task without a validation split (1,000 rows at most)."""
    on_bad_row: Literal["error", "skip"] = "error"
    """What is done about a row of which a task can make no example (a label that is none of its, a column that is
    missing, a formatter that fails): `error` stops, `skip` leaves it out, says so and lists it in the run folder. A
    malformed file is an error in any case."""

    # ---- mixture ----
    mixing: Literal["proportional", "equal", "temperature", "unimax"] | None = None
    """How rates follow from the number of examples; proportional if nothing else is said. Rates in `--tasks` are
    explicit ones."""
    temperature: float | None = None
    """With `--mixing temperature`: rates are proportional to size^(1/temperature)."""
    temperature_end: float | None = None
    """With `--mixing temperature`: move the temperature in a straight line to this one by the last step."""
    cap: int | None = None
    """Count no task as larger than this many examples (T5's K)."""
    scale: dict[str, float] = field(default_factory=dict)
    """Multiply a task's size before the cap, {task: factor}."""
    max_epochs: float | None = None
    """With `--mixing unimax`: no task is repeated more often than this, 4 by default (Chung et al. 2023)."""
    rate_schedule: dict[float, dict[str, float]] = field(default_factory=dict)
    """Rates over training, {fraction of the steps: {task: rate}}, in straight lines between; a config file's matter."""
    batch_size: int = 64
    """Examples of one optimizer step, over all tasks, processes and accumulated batches."""
    per_step: float | dict[str, float] | None = None
    """Examples of each task in a step, one number for all or {task: b}, instead of batch size and rates; one task's
    examples then do not depend on its company."""
    rate_base: float | None = None
    """With `--per-step`: the reference batch size, which a task's examples in a step are divided by to give the weight
    of its loss; by default their sum. A study gives one number to all its runs, so that a task's loss is the same in
    any company."""
    twin: str | None = None
    """Train this task alone, as two disjoint halves of its rows that are mixed like two tasks: a study's null control,
    a company without any effect."""

    # ---- model ----
    model: str = "tiny"
    """`tiny`, `mini`, `small` (from random weights), a folder, or a Hub id such as google-t5/t5-small."""
    revision: str | None = None
    """Commit or tag of a model from the Hub."""
    vocab: str | None = None
    """From scratch: a folder with `spiece.model`; by default a vocabulary is trained on the mixture's text."""
    vocab_size: int | None = None
    """Pieces of a vocabulary that is trained here; by default what fits the model's size."""
    dropout: float | None = None
    """Dropout rate; by default 0.1, or what the pretrained model has."""
    gated: bool = False
    """From scratch: v1.1's gated GELU instead of ReLU."""
    copy_head: bool = True
    """From scratch: begin with an attention head that copies from the input, which random weights learn late."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, a third more time."""

    # ---- training ----
    loss: Literal["task", "token", "example"] = "task"
    """`task`: sum over tasks of token mean × the task's examples in the step / batch size. `token`: one mean over all
    tokens, as T5. `example`: mean of examples."""
    loss_weights: dict[str, float] = field(default_factory=dict)
    """A factor on a task's loss, {task: factor}; 1 by default."""
    optimizer: Literal["adafactor", "adamw", "adamw-scaled"] | None = None
    """How weights are updated; by default adafactor for a pretrained model and adamw-scaled from scratch."""
    lr: float | None = None
    """Peak learning rate; by default 1e-3 for adafactor, 1e-2 for adamw-scaled, 1e-4 for adamw."""
    weight_decay: float = 0.0
    """Decoupled weight decay."""
    schedule: Literal["constant", "linear", "cosine", "inverse_sqrt"] | None = None
    """How the learning rate goes on after warm-up; by default constant for a pretrained model, linear from scratch."""
    warmup_steps: int | None = None
    """Steps in which the learning rate rises from 0; by default a twentieth of all, 500 at most."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 for no clipping."""
    on_nonfinite: Literal["stop", "skip"] = "stop"
    """What a step does whose loss or gradient is infinite or NaN. `stop`: end the run before anything is updated, with
    a checkpoint of the state before it. `skip`: leave the update out and count the step (weights and the optimiser's
    averages stay, schedule and plan go on); ten in a row end the run."""
    ema: float = 0.0
    """Use an exponential moving average of the weights with this decay, e.g. 0.998; 0 for none."""
    execution: Literal["auto", "flat", "grouped"] = "auto"
    """How a step is computed, which changes rounding and dropout's masks, nothing else. `flat`: on its tokens without
    padding, the fastest on a CPU. `grouped`: by the model's own code, padded in groups of similar length. `auto`: flat
    in fp32 on a CPU for a model that it is exact for, else grouped."""
    precision: str = "fp32"
    """`fp32`, or `bf16`: autocast with fp32 weights. fp16 overflows in T5 and is refused."""
    seed: int = 0
    """Seed of the weights, the order of examples and dropout."""
    data_seed: int | None = None
    """Seed of the choice of rows that are held out; by default `seed`. Runs that are compared must share it."""
    trainer: dict[str, Any] = field(default_factory=dict)
    """Any option of Lightning's Trainer: --trainer.max_steps 4000, --trainer.devices 2, …"""

    # ---- evaluation and the run folder ----
    eval_every: int = 0
    """Evaluate every so many steps, for curves and checkpoint choice; 0 only at the end."""
    eval_limit: int = 500
    """Rows a task that evaluation during training looks at; the final evaluation looks at all."""
    select: str = "last"
    """Which checkpoint is kept: `last`, `mean` (best mean over tasks), a task's name, or `per-task` (each task is
    scored at its own best; the model that is kept is the best by mean). The choice is made on training rows that are
    held out for it, never on the reported split."""
    patience: int = 0
    """Stop after so many evaluations without a better `select` score; 0 never."""
    selection_rows: int = 500
    """Training rows a task that are held out for `select`."""
    hold_selection: bool = False
    """Hold those rows out even if nothing is chosen on them, as in a study that tunes its learning rate."""
    validation_rows: int | None = None
    """Rows a task that scores are reported on, by default all of its validation split; a choice by `data_seed`."""
    evaluate_on: Literal["validation", "selection"] = "validation"
    """Which rows the final scores are of: the reported split, or those held out for choices."""
    labels_by: Literal["rank", "generate", "both"] = "rank"
    """Score a label task's labels, or let the model write and count foreign strings as wrong. `both` scores them,
    and keeps in the predictions what the model writes and what length-normalised scores choose."""
    batch_tokens: int = 4096
    """Padded input tokens of an evaluation batch."""
    checkpoint_every: int = 500
    """Steps between checkpoints that `--resume` can go on from."""
    log_every: int = 50
    """Steps between lines of the log."""
    log_examples: bool = False
    """Write examples/: the step, task and id of every example that was trained on."""
    loggers: list[str] = field(default_factory=list)
    """Besides CSV: tensorboard, wandb, mlflow."""
    callbacks: list[str] = field(default_factory=list)
    """Lightning callbacks by name, with their defaults, e.g. LearningRateMonitor."""
    workers: int = 0
    """Processes that make batches; 0 makes them in the training process."""
    out: str | None = None
    """The run folder; by default runs/TASKS-MODEL-seedN."""
    resume: bool = False
    """Continue the run in this folder with its own settings, or that in `out`, from its last checkpoint; with more
    steps than it had, for longer."""
    overwrite: bool = False
    """Replace the run in --out."""

    def __repr__(self) -> str:
        usual = vars(TrainConfig())
        return short_repr(self, **{name: value for name, value in vars(self).items() if value != usual[name]})


DEFAULT_STEPS = 1300
"""Optimizer steps when `--trainer.max_steps` is not given."""


OPERATIONAL = frozenset(
    {"out", "workers", "log_every", "checkpoint_every", "loggers", "log_examples", "on_bad_row", "on_nonfinite"}
)
"""Settings that do not touch what a run that ends well has computed: a resumed run may change them.

Rows that are left out do, and are part of the data's fingerprint: under the other value of `on_bad_row` the same rows
are an error, or there are none. What `on_nonfinite stop` finishes has no step that `skip` would leave out."""

OPERATIONAL_TRAINER = frozenset({"accelerator", "devices", "num_nodes", "strategy", "enable_progress_bar"})
"""Those of `trainer` that a resumed run may change: the examples of every step stay the same."""


def flag(name: str) -> str:
    """A setting as the command line says it.

    >>> flag("per_step")
    '--per-step'
    """
    return "--" + name.replace("_", "-")


FINITE = ("per_step", "weight_decay")
"""Settings of which an infinite value is not refused by their range; none is ever not a number."""


def check_config(config: TrainConfig) -> None:
    """Refuse values that cannot work, before anything is loaded.

    Raises:
        UserError: One sentence a mistake.
    """
    for name, low in (
        ("batch_size", 1),
        ("batch_tokens", 1),
        ("checkpoint_every", 1),
        ("log_every", 1),
        ("eval_limit", 1),
        ("eval_every", 0),
        ("patience", 0),
        ("workers", 0),
        ("selection_rows", 1),
        ("seed", 0),
        ("data_seed", 0),
        ("validation_rows", 1),
        ("weight_decay", 0),
        ("warmup_steps", 0),
    ):
        value = getattr(config, name)
        if value is not None and value < low:
            raise UserError(f"{flag(name)} must be at least {low}. Got {value}.")
    for name in ("lr", "temperature", "temperature_end", "max_epochs", "cap", "vocab_size"):
        value = getattr(config, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UserError(f"{flag(name)} must be above 0. Got {value}.")
    if not 0 < config.holdout < 1:
        raise UserError(f"--holdout is a share between 0 and 1. Got {config.holdout}.")
    if not 0 <= config.ema < 1:
        raise UserError(f"--ema is a decay from 0 to below 1, e.g. 0.998. Got {config.ema}.")
    if config.dropout is not None and not 0 <= config.dropout < 1:
        raise UserError(f"--dropout must be from 0 to below 1. Got {config.dropout}.")
    if config.clip < 0:
        raise UserError(f"--clip must be 0 (none) or above. Got {config.clip}.")
    if config.per_step is not None:
        given = {"mixing": config.mixing, "temperature": config.temperature, "cap": config.cap, "scale": config.scale}
        for name, value in {**given, "rate_schedule": config.rate_schedule}.items():
            if value:
                raise UserError(
                    f"--per-step fixes the examples of each task, so {flag(name)} would do nothing: give one."
                )
    if config.rate_base is not None:
        if config.per_step is None:
            raise UserError("--rate-base is what --per-step is divided by: give --per-step too.")
        if not (math.isfinite(config.rate_base) and config.rate_base > 0):
            raise UserError(f"--rate-base must be above 0. Got {config.rate_base}.")
    if config.twin is not None and config.per_step is None:
        raise UserError("--twin gives each half of a task the same examples per step: say how many with --per-step.")
    if config.rate_schedule and (config.mixing or config.temperature or config.cap or config.scale):
        raise UserError("rate_schedule gives the rates, so mixing, temperature, cap and scale would do nothing.")
    for at, rates in config.rate_schedule.items():
        if not _is_number(at) or not isinstance(rates, dict):
            raise UserError(
                "rate_schedule gives rates at fractions of the steps, as in {0: {sst2: 1, span: 3}, 1: {sst2: 1, "
                f"span: 1}}}}. Got {shown(repr(at), 60)}: {shown(repr(rates), 60)}."
            )
    if config.temperature_end is not None and config.temperature is None:
        raise UserError("--temperature-end needs the temperature to start from: give --temperature too.")
    for task, weight in config.loss_weights.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise UserError(f"--loss-weights.{task} must be 0 or above. Got {weight}.")
    if config.patience and not config.eval_every:
        raise UserError("--patience counts evaluations during training: give --eval-every STEPS too.")
    if config.select != "last" and not config.eval_every:
        raise UserError(f"--select {config.select} chooses among evaluations during training: give --eval-every STEPS.")
    if config.resume and config.overwrite:
        raise UserError("--resume continues the run in --out and --overwrite replaces it: give one of them.")
    for logger in config.loggers:
        if logger not in LOGGERS:
            raise UserError(f"unknown logger '{logger}': {did_you_mean(logger, list(LOGGERS))}")
    for name, value in [(n, getattr(config, n)) for n in PATHS] + [("include", file) for file in config.include]:
        if value is not None and not _is_name(value):
            raise UserError(f"{flag(name)} {shown(repr(value))} is no path in UTF-8, which all that is written needs.")
    for name, value in vars(config).items():
        given = {f".{key}": one for key, one in value.items()} if isinstance(value, dict) else {"": value}
        for key, one in given.items():
            if isinstance(one, float) and (math.isnan(one) or (math.isinf(one) and name in FINITE)):
                raise UserError(f"{flag(name)}{key} must be a number that is finite. Got {one}.")
    check_trainer(config.trainer)


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and math.isfinite(float(value))  # `no: {…}` is false to YAML, and not 0
    except (TypeError, ValueError):
        return False


def _is_name(path: str) -> bool:
    try:
        return b"\0" not in path.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8 come as halves of surrogate pairs
        return False


LOGGERS = ("csv", "tensorboard", "wandb", "mlflow")

_OURS = {
    "logger": "--loggers",
    "callbacks": "--callbacks",
    "use_distributed_sampler": "the plan, which already gives each process its own part of a step",
    "reload_dataloaders_every_n_epochs": "nothing: a plan has no epochs to reload at",
    "max_epochs": "--trainer.max_steps: a mixture has no epoch of its own",
    "min_epochs": "--trainer.min_steps",
    "val_check_interval": "--eval-every",
    "check_val_every_n_epoch": "--eval-every",
    "limit_train_batches": "--trainer.max_steps: a mixture has no epoch to cut short",
    "overfit_batches": "--trainer.max_steps: a mixture has no epoch to cut short",
    "fast_dev_run": "--trainer.max_steps 1: it would leave no checkpoint and no log",
    "barebones": "nothing: it would leave no checkpoint, log or progress",
}
"""Trainer options that have another name here, and which."""


def check_trainer(options: dict[str, Any]) -> None:
    """Refuse `--trainer.*` options that Lightning does not have, or that would undo what this project promises."""
    for name, value in options.items():
        if name == "precision" and "16" in str(value) and "bf" not in str(value):
            check_precision(str(value))
        if name in _OURS:
            raise UserError(f"--trainer.{name} is set by {_OURS[name]}.")
    steps = options.get("max_steps", DEFAULT_STEPS)
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise UserError(f"--steps (the Trainer's max_steps) is a number of optimizer steps, 1 or more. Got {steps!r}.")
    accumulate = options.get("accumulate_grad_batches", 1)
    if not isinstance(accumulate, int) or accumulate < 1:
        raise UserError(f"--trainer.accumulate_grad_batches must be a whole number, 1 or more. Got {accumulate!r}.")


def check_trainer_names(options: dict[str, Any]) -> None:
    """Refuse unknown Trainer options, and values that are of another kind: Lightning finds some of those in training.

    Apart from `check_trainer` because it imports Lightning, which takes seconds.
    """
    from pytorch_lightning import Trainer

    known = [n for n in inspect.signature(Trainer.__init__).parameters if n != "self"]
    hints = get_type_hints(Trainer.__init__)
    for name, value in options.items():
        if name not in known:
            raise UserError(f"unknown option --trainer.{name}: {did_you_mean(name, known)}")
        # What a file or a command line can say, without Lightning's classes.
        plain = [one for one in get_args(hints[name]) if get_origin(one) or one in (str, int, float, bool, type(None))]
        problem = problem_of(value, functools.reduce(operator.or_, plain) if plain else hints[name])
        if problem is not None:
            raise UserError(f"--trainer.{name} {problem}.")


def check_precision(value: str) -> None:
    """Refuse fp16 under any of its names, and what is no precision at all."""
    if value in ("fp16", "16", "16-mixed", "16-true"):
        raise UserError(
            f"precision {value} is refused: T5's activations overflow in fp16 and the loss becomes NaN. "
            "Use --precision bf16 or fp32."
        )
    if value not in ("fp32", "bf16"):
        raise UserError(f"--precision is fp32 or bf16. Got {value}.")


def parse_options(options: dict[str, Any]) -> dict[str, Any]:
    """`--trainer.*` values as YAML reads them: the command line gives strings."""
    import yaml

    def read(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: read(v) for k, v in value.items()}
        try:
            return load_yaml(value) if isinstance(value, str) else value
        except yaml.YAMLError:  # text that only looks like YAML, as in --trainer.profiler "[x"
            return value

    return {name: read(value) for name, value in options.items()}


PATHS = ("data", "model", "vocab", "out")
"""Settings that may be the path of a file or folder; so may each entry of `include`."""


def located(config: TrainConfig) -> TrainConfig:
    """The settings with every path that begins with `~/` written out."""
    paths: dict[str, Any] = {n: expanded(v) for n in PATHS if isinstance(v := getattr(config, n), str)}
    return dataclasses.replace(config, **paths, include=[expanded(file) for file in config.include])


def selection_size(config: TrainConfig) -> int:
    """Training rows a task that are taken out for choices made during training: which checkpoint, and when to stop.

    0 if nothing is chosen. Both must be made on the same rows, and neither on the reported split.
    """
    chosen = config.select != "last" or config.patience or config.hold_selection or config.evaluate_on == "selection"
    return config.selection_rows if chosen else 0


def data_seed(config: TrainConfig) -> int:
    """The seed of the choice of held-out rows."""
    return config.seed if config.data_seed is None else config.data_seed


def resolved(config: TrainConfig, *, from_scratch: bool) -> TrainConfig:
    """The config with every default that depends on the model filled in: what `config.yaml` in the run folder says."""
    optimizer = config.optimizer or ("adamw-scaled" if from_scratch else "adafactor")
    lr = config.lr or {"adafactor": 1e-3, "adamw-scaled": 1e-2, "adamw": 1e-4}[optimizer]
    trainer = {"max_steps": DEFAULT_STEPS, **parse_options(config.trainer)}
    check_trainer(trainer)
    steps = int(trainer["max_steps"])
    return dataclasses.replace(
        config,
        optimizer=optimizer,
        lr=lr,
        schedule=config.schedule or ("linear" if from_scratch else "constant"),
        warmup_steps=config.warmup_steps if config.warmup_steps is not None else min(500, steps // 20),
        dropout=0.1 if config.dropout is None and from_scratch else config.dropout,
        trainer=trainer,
    )


def task_words(config: TrainConfig) -> list[str]:
    """What `--tasks` says, one by one."""
    words = config.tasks.split(",") if isinstance(config.tasks, str) else config.tasks
    return [word.strip() for word in words if word.strip()]


def task_names(config: TrainConfig) -> list[str]:
    """The same without rates."""
    return [word.partition("=")[0] for word in task_words(config)]


def tasks_option(config: TrainConfig) -> str:
    """The tasks as one text, as `--tasks` takes them."""
    return config.tasks if isinstance(config.tasks, str) else ",".join(config.tasks)


def folder_name(config: TrainConfig) -> str:
    """Tasks and model, as a part of a folder's name."""
    return safe_name(f"{tasks_option(config)}-{Path(config.model).name}")


def default_folder(config: TrainConfig) -> str:
    """Where a run goes without `--out`: runs/TASKS-MODEL-seedN."""
    return f"runs/{folder_name(config)}-seed{config.seed}"
