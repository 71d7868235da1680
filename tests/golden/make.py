"""Writes examples.json: what every built-in task makes of the row in its docstring, in training and in evaluation.

    python tests/golden/make.py

Run it when a task is meant to make something else of a row, look at the difference, and raise the task's `version` if
old scores are no longer comparable.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import sys
from pathlib import Path

PATH = Path(__file__).with_name("examples.json")


def builtin_tasks():
    """The built-in tasks by name; a user's own and those of plug-ins are not among them."""
    import multitask.tasks
    from multitask.task import TASKS

    return {name: TASKS.get(name) for name in multitask.tasks.__all__}


def documented(task):
    """The row in the docstring of the task's module, and the example it is said to become as (input, target)."""
    doc = sys.modules[task.formatter.__module__].__doc__
    # Python 3.13 strips the indentation of docstrings, earlier ones do not.
    pattern = r"^ *row {6}(\{.*?\})\n *example  (\".*?\")\s+→\s+(\".*?\")$"
    row, inputs, target = re.search(pattern, doc, re.DOTALL | re.MULTILINE).groups()
    return ast.literal_eval(row), (ast.literal_eval(f"({inputs})"), ast.literal_eval(target))


def golden():
    """{task: {"row": …, "train": [example, …], "validation": [example, …]}}."""
    out = {}
    for name, task in builtin_tasks().items():
        row, _ = documented(task)
        made = {split: [dataclasses.asdict(e) for e in task.examples(row, split)] for split in ("train", "validation")}
        out[name] = {"row": row, **made}
    return json.loads(json.dumps(out))  # as a file has it: lists, not tuples


if __name__ == "__main__":
    PATH.write_text(json.dumps(golden(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
