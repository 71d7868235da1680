"""The commands, with what `multitask --help` says of each."""

from __future__ import annotations

COMMANDS = {
    "train": "train one model on a mixture of tasks and evaluate each",
    "eval": "evaluate a finished run again, or on other data",
    "predict": "predictions for lines of text or JSON rows",
    "tasks": "list the tasks, describe one, or check data for training (tasks check)",
    "metrics": "list the metrics, or describe one: direction, range, what it counts",
    "mix": "show the planned mixture without training",
    "interference": "train matched runs and tell which tasks help and hurt each other",
    "cell": "train one model of a study, for a scheduler",
    "watch": "how far a run or a study is, from its folder alone",
    "report": "the tables of a run or a study again, in any format",
    "export": "a finished run as a folder to take home: model, model card and predict.py",
    "push": "a finished run to the Hugging Face Hub as a model, or a study as a data set",
    "init": "begin a project of your own: one task, its test, its settings",
    "doctor": "what this machine is, and whether it computes what it should",
    "cache": "what was tokenised and is kept for the next run; cache clear deletes it",
    "completion": "the script by which a shell completes what is typed: bash, zsh or fish",
}
"""Each is a module of this package with a function `run(arguments)` that gives the exit code."""
