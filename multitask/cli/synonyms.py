"""Words that users bring from other tools, and what they are called here: one table of options, one of commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_EPOCHS = (
    "--steps N says how long to train, for a mixture has no epoch of its own: E epochs of R rows are E × R / 64 steps "
    "at --batch-size 64, and multitask mix shows how many epochs of each task that is"
)
_PRECISION = "--precision bf16 or fp32 says in which numbers to compute"

OPTIONS: Mapping[str, str] = {
    **dict.fromkeys(("epochs", "epoch", "num_epochs", "num_train_epochs", "n_epochs"), _EPOCHS),
    **dict.fromkeys(
        ("max_steps", "num_steps", "train_steps", "iterations", "num_train_steps"), "--steps N is the number of steps"
    ),
    **dict.fromkeys(("learning_rate", "learningrate"), "--lr RATE is the learning rate"),
    **dict.fromkeys(
        ("batch", "bs", "train_batch_size", "per_device_train_batch_size"),
        "--batch-size N is the number of examples in a step",
    ),
    **dict.fromkeys(
        ("eval_batch_size", "per_device_eval_batch_size"), "--batch-tokens N is the size of an evaluation batch"
    ),
    **dict.fromkeys(("output", "output_dir", "save_dir", "run_dir", "dir"), "--out DIR is the run folder"),
    **dict.fromkeys(
        ("gpus", "gpu", "num_gpus", "n_gpu", "n_gpus", "devices"), "--trainer.devices N says on how many devices"
    ),
    **dict.fromkeys(("cpu", "device", "accelerator", "cuda", "no_cuda"), "--trainer.accelerator cpu or gpu says where"),
    **dict.fromkeys(("strategy", "ddp"), "--trainer.strategy ddp trains in several processes"),
    "num_nodes": "--trainer.num_nodes N says on how many machines",
    **dict.fromkeys(
        ("accumulate_grad_batches", "gradient_accumulation_steps", "grad_accum"),
        "--trainer.accumulate_grad_batches N splits a step",
    ),
    **dict.fromkeys(("fp16", "bf16", "half", "amp", "mixed_precision"), _PRECISION),
    **dict.fromkeys(
        ("eval_steps", "eval_interval", "evaluation_strategy", "val_check_interval"),
        "--eval-every STEPS evaluates during training",
    ),
    **dict.fromkeys(("save_steps", "save_every", "save_interval"), "--checkpoint-every STEPS writes checkpoints"),
    **dict.fromkeys(("logging_steps", "log_steps", "log_interval"), "--log-every STEPS writes lines of the log"),
    **dict.fromkeys(("task", "tasks_list", "task_list", "task_name", "datasets"), "--tasks NAMES names the tasks"),
    **dict.fromkeys(
        ("data_dir", "dataset", "dataset_dir", "data_path", "train_file"), "--data DIR holds DIR/TASK/SPLIT.EXT"
    ),
    **dict.fromkeys(
        ("model_name", "model_name_or_path", "pretrained", "checkpoint", "base_model"), "--model NAME is the model"
    ),
    **dict.fromkeys(
        ("resume_from_checkpoint", "resume_from", "continue"), "--resume RUN continues the run in that folder"
    ),
    **dict.fromkeys(("overwrite_output_dir", "force"), "--overwrite replaces the run in --out"),
    **dict.fromkeys(("optim", "optimiser"), "--optimizer adafactor, adamw or adamw-scaled is the optimizer"),
    **dict.fromkeys(("lr_scheduler", "lr_scheduler_type", "scheduler"), "--schedule is that of the learning rate"),
    **dict.fromkeys(("warmup", "num_warmup_steps"), "--warmup-steps N is the length of the warm-up"),
    **dict.fromkeys(("max_grad_norm", "grad_clip", "gradient_clip_val"), "--clip NORM is the largest gradient norm"),
    **dict.fromkeys(("num_workers", "dataloader_num_workers"), "--workers N says how many processes make batches"),
    **dict.fromkeys(("early_stopping", "early_stopping_patience"), "--patience N stops early"),
    **dict.fromkeys(
        ("plugin", "import", "plugins", "module"), "--include FILE runs a Python file that registers tasks"
    ),
    **dict.fromkeys(("num_seeds", "n_seeds"), "--seeds N says how many seeds a study has"),
    "random_seed": "--seed N is the seed",
}
"""{an option without its hyphens, `-` as `_`: its name here}. A hint is given where its first option exists."""

COMMANDS: Mapping[str, str] = {
    **dict.fromkeys(("run", "fit", "finetune", "fine-tune", "training", "resume"), "multitask train"),
    **dict.fromkeys(("evaluate", "evaluation", "test", "score", "validate"), "multitask eval RUN"),
    **dict.fromkeys(("infer", "inference", "generate", "answer"), "multitask predict RUN --task NAME"),
    **dict.fromkeys(("list", "ls", "task", "datasets"), "multitask tasks"),
    **dict.fromkeys(("show", "describe", "info"), "multitask tasks NAME"),
    **dict.fromkeys(("check", "lint"), "multitask tasks check --tasks NAMES"),
    **dict.fromkeys(("study", "interfere", "transfer", "measure", "compare"), "multitask interference"),
    **dict.fromkeys(("mixture", "plan", "mixing", "rates"), "multitask mix"),
    **dict.fromkeys(("results", "tables", "view"), "multitask report RUN_OR_STUDY"),
    **dict.fromkeys(("complete", "completions", "autocomplete"), "multitask completion bash"),
    **dict.fromkeys(("metric", "scores"), "multitask metrics"),
    "version": "multitask --version",
}
"""{a command that there is not: the one that is meant}."""


def meant_option(name: str, known: Sequence[str]) -> str | None:
    """The name that an unknown option has here, as a part of a sentence; None if that is unknown too.

    Args:
        name: Without its hyphens.
        known: The options that the command has, with hyphens.

    >>> meant_option("learning-rate", ["--lr"]), meant_option("learning-rate", ["--seed"])
    ('--lr RATE is the learning rate', None)
    """
    hint = OPTIONS.get(name.replace("-", "_").lower())
    if hint is None:
        return None
    option = hint.split()[0]
    named = option.startswith("--")
    return hint if not named or option.partition(".")[0] in known else None
