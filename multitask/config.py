"""The settings of a training run: one flat dataclass that the command line, YAML files and Python share.

The text under each field is the command line's help.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from multitask.field_docs import explain_fields
from multitask.short_repr import short_repr
from multitask.storage.folders import safe_name
from multitask.storage.paths import expanded

OptimizerName = Literal["adafactor", "adamw", "adamw-scaled"]
ADAPTER_LR = 1e-3
"""The peak rate of adapters where none is given. Their optimizer is adamw: the others scale a step by the size of its
matrix, and half of an adapter's matrices begin at 0."""
LEARNING_RATES: dict[OptimizerName, float] = {"adafactor": 1e-3, "adamw": 1e-4, "adamw-scaled": 1e-2}
"""The peak rate of each optimizer where none is given."""


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
    shuffle_targets: list[str] = field(default_factory=list)
    """Give the training examples of these tasks each other's targets: the same texts, lengths and steps with nothing to
    learn, a study's noise control. They are not scored."""

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
    peft: Literal["lora"] | None = None
    """`lora`: train low-rank adapters beside the matrices of all layers, and keep the model itself as it is (the extra
    `peft`)."""
    adapters: Literal["shared", "task"] = "shared"
    """With `--peft`: one adapter for all tasks, which is merged into the model at the end, or one a task."""
    lora_rank: int = 8
    """With `--peft`: the rank of the adapters' matrices; their scaling is 2."""
    merge: Literal["average", "arithmetic", "ties"] | None = None
    """Train nothing: merge the models of `--merge-runs`, which began at this `--model`: their average, task arithmetic,
    or TIES. How much is merged is chosen on held-out rows."""
    merge_runs: list[str] = field(default_factory=list)
    """With `--merge`: the folders of finished runs."""
    merge_scale: float | None = None
    """With `--merge`: how much is merged (1 is the average itself, or the sum), instead of choosing it."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: less memory, a third more time."""

    # ---- training ----
    loss: Literal["task", "token", "example"] = "task"
    """`task`: sum over tasks of token mean × the task's examples in the step / batch size. `token`: one mean over all
    tokens, as T5. `example`: mean of examples."""
    loss_weights: dict[str, float] = field(default_factory=dict)
    """A factor on a task's loss, {task: factor}; 1 by default."""
    balance: Literal["sum", "uw", "famo", "imtl", "pcgrad", "gradvac", "cagrad", "upgrad", "mgda", "fairgrad"] = "sum"
    """How the tasks' losses become one update: `sum`, plainly; by weights from the losses alone (`uw`, `famo`); or by
    weights from each task's gradient (`imtl`, `pcgrad`, `gradvac`, `cagrad`, `upgrad`, `mgda`, `fairgrad`), which keep
    a gradient a task in memory and need the extra `balance`."""
    balance_scale: Literal["sum", "own"] = "sum"
    """With `--balance`: `sum` gives the update the norm of the plain sum (from losses alone: weights of mean 1), so
    that one learning rate fits all methods; `own` leaves it as the method has it."""
    optimizer: OptimizerName | None = None
    """How weights are updated; by default adafactor for a pretrained model and adamw-scaled from scratch (and for
    adapters adamw)."""
    lr: float | None = None
    """Peak learning rate; by default 1e-3 for adafactor, 1e-2 for adamw-scaled, 1e-4 for adamw, 1e-3 for adapters."""
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
    execution: Literal["auto", "flat", "grouped", "packed"] = "auto"
    """How a step is computed, which changes rounding and dropout's masks, nothing else. `flat`: on its tokens without
    padding, the fastest on a CPU. `grouped`: by the model's own code, padded in groups of similar length. `packed`: by
    the model's own code in rows of one length that hold several examples, compiled on a GPU. `auto`: flat in fp32 on a
    CPU for a model that it is exact for, on a GPU what is measured to be the fastest, else grouped."""
    precision: str = "auto"
    """`fp32`, or `bf16`: autocast with fp32 weights. `auto`: bf16 on a CUDA device that computes in it, else fp32. fp16
    overflows in T5 and is refused."""
    tf32: bool = False
    """On a CUDA device: let matrix products of fp32 round their factors to TF32 (ten bits), which is faster."""
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
    eval_precision: Literal["fp32", "bf16"] = "fp32"
    """In which numbers evaluation computes, during training too, and `multitask eval` and `predict` after it: bf16 is
    faster on a GPU, and may decide a tie otherwise."""
    batch_tokens: int = 4096
    """Padded input tokens of an evaluation batch."""
    checkpoint_every: int = 500
    """Steps between checkpoints that `--resume` can go on from."""
    log_every: int = 50
    """Steps between lines of the log."""
    gradients_every: int = 0
    """Steps between measurements of each task's own part of the gradient, a pass over the step for each task; 0 for
    none. A study takes ten of a run."""
    conflict_every: int = 0
    """Steps between probes of what each task's part of a step does to the others' held-out losses: gradient cosines,
    look-ahead and realised attribution, in conflict.safetensors and as curves in the run's page; 0 for none. At 1 the
    attributions add up over the whole training. A study probes its joint arm as often as a tenth of its time allows."""
    log_examples: bool = False
    """Write examples/: the step, task and id of every example that was trained on."""
    loggers: list[str] = field(default_factory=list)
    """Besides CSV: tensorboard, wandb, mlflow, trackio."""
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
    {
        *(
            "out",
            "workers",
            "log_every",
            "gradients_every",
            "conflict_every",
            "checkpoint_every",
            "loggers",
            "log_examples",
        ),
        *("on_bad_row", "on_nonfinite"),
    }
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


PATHS = ("data", "model", "vocab", "out")
"""Settings that may be the path of a file or folder; so may each entry of `include`."""


def expand_paths(config: TrainConfig) -> TrainConfig:
    """The settings with every path that begins with `~/` written out."""
    paths: dict[str, Any] = {n: expanded(v) for n in PATHS if isinstance(v := getattr(config, n), str)}
    return dataclasses.replace(config, **paths, include=[expanded(file) for file in config.include])


def selection_size(config: TrainConfig) -> int:
    """Training rows a task that are taken out for choices made during training: which checkpoint, and when to stop.

    0 if nothing is chosen. Both must be made on the same rows, and neither on the reported split.
    """
    merges = config.merge in ("arithmetic", "ties") and config.merge_scale is None
    chosen = config.select != "last" or config.patience or config.hold_selection or config.evaluate_on == "selection"
    chosen = chosen or merges
    return config.selection_rows if chosen else 0


def data_seed(config: TrainConfig) -> int:
    """The seed of the choice of held-out rows."""
    return config.seed if config.data_seed is None else config.data_seed


def task_words(config: TrainConfig) -> list[str]:
    """The words of `--tasks`, one by one."""
    words = config.tasks.split(",") if isinstance(config.tasks, str) else config.tasks
    return [word.strip() for word in words if word.strip()]


def task_names(config: TrainConfig) -> list[str]:
    """The names in `--tasks`, without rates."""
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
