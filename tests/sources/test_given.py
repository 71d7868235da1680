"""What may stand as the source of a task, and what is refused in one line that says how it becomes one."""

from __future__ import annotations

import functools
import json
import re
import types
from pathlib import Path

import datasets
import pandas
import pytest

from multitask.cli import main
from multitask.errors import UserError
from multitask.examples.loading import load_examples
from multitask.metrics.naming import resolve_metrics
from multitask.sources.given import HOW
from multitask.sources.in_memory import PythonSource, rows
from multitask.sources.local_files import files
from multitask.task import TASKS, Example, Task, register_task

ROWS = [{"text": "x", "label": "a"}]


dataset_of = datasets.Dataset.from_list


def pair(row):
    return Example(row["text"], row["label"])


def data(split):
    return ROWS


class Loader:
    def __call__(self, split):
        return ROWS


def generated(split):
    yield from ROWS


def task_of(source, name="toy"):
    return Task(name, pair, metrics=resolve_metrics(["accuracy"]), source=source)


@pytest.mark.parametrize(
    ("source", "splits", "words"),
    [
        (ROWS, "train", "list of 1 row in test_given.py"),
        (tuple(ROWS * 1200), "train", "list of 1,200 rows in test_given.py"),
        ({"train": ROWS * 3}, "train", "list of 3 rows in test_given.py"),
        (
            {"train": ROWS * 9, "validation": ROWS, "test": generated},
            "train validation test",
            "rows in test_given.py",
        ),
        (data, "train validation", "function data in test_given.py"),
        (generated, "train validation", "function generated in test_given.py"),
        (Loader(), "train validation", "Loader object in test_given.py"),
        (functools.partial(data, "train"), "train", "function data in test_given.py"),
        (lambda: ROWS, "train", r"lambda in test_given\.py, line \d+"),
        (dataset_of(ROWS), "train", "datasets.Dataset of 1 row in test_given.py"),
        (
            datasets.DatasetDict(train=dataset_of(ROWS), validation=dataset_of(ROWS)),
            "train validation",
            "datasets.Dataset of 1 train and 1 validation rows in test_given.py",
        ),
        (pandas.DataFrame(ROWS), "train", "pandas.DataFrame of 1 row in test_given.py"),
        (
            {"train": pandas.DataFrame(ROWS), "validation": ROWS},
            "train validation",
            "rows in test_given.py",
        ),
    ],
)
def test_rows_as_people_have_them_are_a_source(source, splits, words):
    made = task_of(source).source
    assert made.splits() == tuple(splits.split())
    assert re.fullmatch(words if "lambda" in words else re.escape(words), made.description)
    for split in made.splits():
        assert load_examples(task_of(source), made, split)[0].inputs == "x"


def test_a_path_a_folder_and_a_pattern_are_a_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one/train.jsonl", "one/validation.jsonl", "part-1.jsonl", "part-2.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(ROWS[0]))
    for source, splits, count in (
        ("one", ("train", "validation"), 1),
        (Path("one"), ("train", "validation"), 1),
        ("part-1.jsonl", ("train",), 1),
        ("part-*.jsonl", ("train",), 2),
        (["part-1.jsonl", Path("part-2.jsonl")], ("train",), 2),
        ({"train": "part-*.jsonl", "validation": ["part-1.jsonl"]}, ("train", "validation"), 2),
    ):
        made = task_of(source).source
        assert made.splits() == splits
        assert len(load_examples(task_of(source), made, "train")) == count
    assert task_of("one").source.description == "one"


@pytest.mark.parametrize(
    ("source", "end"),
    [
        (7, f"source must be rows or a source of rows. Got int; {HOW}."),
        (PythonSource, f"source must be rows or a source of rows. Got the class PythonSource; {HOW}."),
        (
            ["a text", "another"],
            "source: row 0 is 'a text', and a row is a dict from column names to values, as in {'text': 'so good', "
            "'label': 1}.",
        ),
        (
            {"text": ["so good"], "label": [1]},
            "source: row 0 of 'text' is 'so good', and a row is a dict from column names to values, as in {'text': 'so "
            "good', 'label': 1}. A dict of columns becomes rows by pandas.DataFrame(it).",
        ),
        (types.SimpleNamespace(to_dicts=list), "source: a types.SimpleNamespace becomes rows by it.to_dicts()."),
        ({}, "source: a dict is {split: rows}, and this one is empty."),
        ({1: ROWS}, "source: a dict is {split: rows}, and 1 is no split's name."),
        ({"train": 7}, "source: a dict is {split: rows}, and 'train' holds int."),
        (
            {"train": ROWS, "validation": "dev.csv"},
            "source: a dict holds paths for each split or rows for each, and this has a path for validation alone; "
            "multitask.files(path).rows('train') are the rows of a file.",
        ),
        (
            iter(ROWS),
            "source: a list_iterator can be read once only; give the function that makes it, without calling it, or "
            "list(it).",
        ),
        (
            generated("train"),
            "source: a generator can be read once only; give the function that makes it, without calling it, or "
            "list(it).",
        ),
        (
            dataset_of(ROWS).to_iterable_dataset(),
            "source: an IterableDataset has no rows to count and to find again; load it without streaming=True, or "
            "give list(it.take(10_000)) as the rows.",
        ),
        (
            {"train": dataset_of(ROWS), "validation": dataset_of(ROWS).to_iterable_dataset()},
            "source: an IterableDataset has no rows to count and to find again; load it without streaming=True, or "
            "give list(it.take(10_000)) as the rows.",
        ),
        (
            lambda a, b: ROWS,
            "is called with the name of a split, or with nothing, and takes (a, b); give the rest with "
            "functools.partial.",
        ),
    ],
)
def test_what_is_no_source_is_refused_when_the_task_is_made(source, end):
    with pytest.raises(UserError) as caught:
        register_task(name="no_source", prefix="no source: ", source=source)(pair)
    assert str(caught.value).startswith("task 'no_source': source")
    assert str(caught.value).endswith(end)
    assert "no_source" not in TASKS.registered()
    with pytest.raises(UserError):
        Task("toy", pair, metrics=resolve_metrics(["accuracy"])).replace(source=source)


def test_sources_and_objects_like_them_are_taken():
    class Mine:
        description, generated = "mine", False

        def splits(self):
            return ("train",)

        def rows(self, split):
            return rows({"train": ROWS}).rows(split) if split == "train" else ROWS

    for source in (None, rows({"train": ROWS}), rows(data), files(Path("nowhere")), Mine()):
        task = Task("toy", pair, metrics=resolve_metrics(["accuracy"]), source=source)
        assert task.source is source
    assert len(load_examples(task, task.source, "train")) == 1
    with pytest.raises(UserError, match=r"^task 'toy': its source gives a list for split 'test' and not multitask\."):
        load_examples(task, task.source, "test")


def test_it_is_one_line_at_the_command_line(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(
        "from multitask import Example, register_task\n\n\n"
        "@register_task(prefix='mine: ', source=['x', 'a'])\n"
        "def mine(row):\n    return Example(row['text'], row['label'])\n"
    )
    assert main(["tasks", "check", "--include", str(tmp_path / "mine.py"), "--tasks", "mine"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "task 'mine': source: row 0 is 'x', and a row is a dict" in error


def test_a_few_rows_at_hand_are_had_of_what_holds_them_and_nothing_is_used_up():
    many = [{"text": f"text {i}", "label": "a"} for i in range(50)]
    arrow = pandas.DataFrame(many).convert_dtypes(dtype_backend="pyarrow")
    for held in (many, tuple(many), pandas.DataFrame(many), arrow, dataset_of(many), dataset_of(many).data.table):
        assert [*rows({"train": held, "validation": ROWS}).at_hand(3)] == many[:3]
    assert [*rows(ROWS).at_hand(3)] == ROWS
    once = rows({"train": iter(ROWS)})
    assert [s.at_hand(3) for s in (once, rows({}), rows(data), rows({"train": data}))] == [None] * 4
    assert [*once.rows("train")] == ROWS
