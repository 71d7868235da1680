"""What may stand as the source of a task, and what is refused in one line that says how it becomes one."""

from __future__ import annotations

from pathlib import Path

import pytest

from multitask.cli import main
from multitask.errors import UserError
from multitask.examples import load_examples
from multitask.metrics import resolve_metrics
from multitask.sources import PythonSource, files, rows
from multitask.task import TASKS, Example, Task, register_task

ROWS = [{"text": "x", "label": "a"}]


def pair(row):
    return Example(row["text"], row["label"])


def data(split):
    return ROWS


@pytest.mark.parametrize(
    ("source", "end"),
    [
        (ROWS, 'Got list; write source=multitask.rows({"train": the list}).'),
        ((), 'Got tuple; write source=multitask.rows({"train": the list}).'),
        ({"train": ROWS}, "Got dict; write source=multitask.rows({split: rows})."),
        (data, "Got function; write source=multitask.rows(function)."),
        ("data/x", "Got str; write source=multitask.files(folder), or multitask.hub(id, revision=…)."),
        (7, "Got int; make one with multitask.rows, multitask.files, multitask.dataset or multitask.hub."),
        (
            PythonSource,
            "Got the class PythonSource; make one with multitask.rows, multitask.files, multitask.dataset or "
            "multitask.hub.",
        ),
    ],
)
def test_what_is_no_source_is_refused_when_the_task_is_made(source, end):
    with pytest.raises(UserError) as caught:
        register_task(name="no_source", prefix="no source: ", source=source)(pair)
    assert str(caught.value) == f"task 'no_source': source must be a source of rows. {end}"
    assert "no_source" not in TASKS.registered()
    with pytest.raises(UserError):
        Task("toy", pair, metrics=resolve_metrics(["accuracy"])).replace(source=source)


def test_a_dataset_is_told_how_it_becomes_a_source():
    import datasets

    for one in (datasets.Dataset.from_list(ROWS), datasets.DatasetDict(train=datasets.Dataset.from_list(ROWS))):
        with pytest.raises(UserError, match=r"write source=multitask\.dataset\(it\)\.$"):
            Task("toy", pair, metrics=resolve_metrics(["accuracy"]), source=one)


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
        "@register_task(prefix='mine: ', source=[{'text': 'x', 'label': 'a'}])\n"
        "def mine(row):\n    return Example(row['text'], row['label'])\n"
    )
    assert main(["tasks", "check", "--include", str(tmp_path / "mine.py"), "--tasks", "mine"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "task 'mine': source must be a source of rows. Got list; write source=multitask.rows(" in error
