"""The files of a starter project: one task on a few rows, its test, its settings, a package that brings it."""

from __future__ import annotations

from collections.abc import Mapping

TRAIN = (
    ("My card was charged twice for the same order", "billing"),
    ("The app stops as soon as I open it", "technical"),
    ("Please send me last month's invoice once more", "billing"),
)
VALIDATION = (
    ("I cannot log in since the update", "technical"),
    ("Why is there a fee on my account?", "billing"),
    ("The page stays white after I click on pay", "technical"),
)

FILES: Mapping[str, str] = {
    "{package}.py": '''"""A task for multitask: support tickets to the queue that answers them.

    row      {{"body": "My card was charged twice", "queue": "billing"}}
    example  "{task}: My card was charged twice"  →  "billing"
"""

from multitask import Example, register_task


@register_task(prefix="{task}: ", labels=("billing", "technical"), metrics=["accuracy", "f1_macro"])
def {task}(row):
    """Which queue a support ticket belongs to."""
    return Example(row["body"], row["queue"])
''',
    "tests/test_{task}.py": '''"""What the task makes of rows, and how its answers are scored."""

from multitask import check_task
from {package} import {task}

ROWS = [
    {{"body": "My card was charged twice", "queue": "billing"}},
    {{"body": "The app stops when I open it", "queue": "technical"}},
    {{"body": "Please send me last month's invoice", "queue": "billing"}},
]


def test_a_row_becomes_a_prefixed_text_and_its_label():
    example = check_task({task}, ROWS).examples[0]
    assert (example.inputs, example.target) == ("{task}: My card was charged twice", "billing")


def test_answers_are_scored():
    assert check_task({task}, ROWS, ["billing", "technical", "technical"]).scores["accuracy"] == 2 / 3
''',
    "config.yaml": """# multitask train --config config.yaml --include {package}.py
tasks: {task}
data: data
model: tiny        # from random weights, to see that all works; then google-t5/t5-small or another
batch_size: 8
trainer:
  max_steps: 30
""",
    "pyproject.toml": """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{project}"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["multitask-t5"]

[project.optional-dependencies]
dev = ["pytest>=8"]

# With this, `pip install .` makes the task known to every multitask command: no --include is needed.
[project.entry-points."multitask.tasks"]
{package} = "{package}"

[tool.setuptools]
py-modules = ["{package}"]

[tool.pytest.ini_options]
pythonpath = ["."]
""",
    "README.md": """# {project}

One task for [multitask](https://pypi.org/project/multitask-t5/): support tickets to the queue that answers them.

    python -m pytest                                                   # what the task makes of rows
    multitask tasks check --include {package}.py --tasks {task} --data data --show 3
    multitask train --config config.yaml --include {package}.py --out runs/first
    echo "I was charged for a phone I sent back" | multitask predict runs/first --task {task} --include {package}.py

- `{package}.py`: the task, a function from a row to two strings. Rows are what your files hold, column by column.
- `data/{task}/`: `train` and `validation` as jsonl; csv, tsv, json, parquet and txt are read too. Put yours there.
- `config.yaml`: settings of a run; `multitask train --help` lists all.
- `pyproject.toml`: `pip install -e .` makes the task known by its entry point, without `--include`.

With a second task of yours in `data/`, whether they help each other:

    multitask interference --tasks {task},OTHER --include {package}.py --data data
""",
    ".gitignore": """runs/
__pycache__/
*.egg-info/
""",
}
"""{path: text}, with {package}, {task} and {project} to be filled in; braces of Python are doubled."""


def starter_files(project: str, package: str, task: str) -> dict[str, str]:
    """{path: text} of a project.

    Args:
        project: Its name on the registry.
        package: Of its Python file.
        task: Its task.
    """
    import json

    names = {"project": project, "package": package, "task": task}
    made = {path.format(**names): text.format(**names) for path, text in FILES.items()}
    for split, rows in (("train", TRAIN), ("validation", VALIDATION)):
        lines = [json.dumps({"body": body, "queue": queue}) + "\n" for body, queue in rows]
        made[f"data/{task}/{split}.jsonl"] = "".join(lines)
    return made
