"""Cells of csv and tsv files: as they are written, and numbers where the formatter uses them so."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitask.errors import UserError
from multitask.examples.loading import load_examples, load_task
from multitask.metrics.naming import resolve_metrics
from multitask.sources.cells import AmbiguousCellError, FileCell, as_cell, two_readings
from multitask.sources.local_files import files
from multitask.task import Example, Task

LABELS = ("neg", "pos")


def task_of(formatter, **fields):
    labels = {"labels": LABELS, "output": "labels"} if "labels" not in fields else {}
    return Task(
        name="toy", formatter=formatter, prefix="toy: ", metrics=resolve_metrics(["accuracy"]), **labels, **fields
    )


def table(folder, name, *lines):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def targets(folder, formatter, split="train", **fields):
    return [e.target for e in load_examples(task_of(formatter, **fields), files(folder), split)]


# ---------------------------------------------------------------------------------------------------- one cell


@pytest.mark.parametrize("text", ["1", "1.00", "007", "1e3", " 1", "-0.5", "+2", ".5", "5."])
def test_a_number_is_text_that_equals_it(text):
    cell = as_cell(text)
    assert isinstance(cell, FileCell)
    assert (str(cell), f"{cell}", "" + cell, cell + "x") == (text, text, text, text + "x")
    assert type(str(cell)) is str
    assert cell == text
    assert cell == float(text)
    assert float(text) == cell
    assert cell != float(text) + 1
    assert float(cell) == float(text)
    assert pickle.loads(pickle.dumps(cell)) == text


@pytest.mark.parametrize("text", ["", " ", "N/A", "NA", "nan", "inf", "1e999", "True", "1,5", "1_000", "٣", "1x", "-"])
def test_what_is_no_number_is_plain_text(text):
    assert type(as_cell(text)) is str


@given(st.text() | st.integers().map(str) | st.floats().map(str))
def test_a_cell_is_always_its_text(text):
    cell = as_cell(text)
    assert str(cell) == text == cell
    assert hash(cell) == hash(text)
    assert {text: 1}[cell] == 1


@given(st.integers(-(10**20), 10**20) | st.floats(-1e9, 1e9), st.integers(-99, 99) | st.floats(-99, 99))
def test_a_cell_computes_as_its_number_does(number, other):
    cell = as_cell(str(number))
    assert (cell == other, cell < other, cell <= other, cell > other, cell >= other) == (
        number == other,
        number < other,
        number <= other,
        number > other,
        number >= other,
    )
    assert (cell + other, other + cell, cell - other, other - cell, cell * other) == (
        number + other,
        other + number,
        number - other,
        other - number,
        number * other,
    )
    assert (round(cell), abs(cell), -cell, math.floor(cell)) == (
        round(number),
        abs(number),
        -number,
        math.floor(float(str(number))),
    )
    if other:
        assert (cell / other, cell // other, cell % other) == (number / other, number // other, number % other)


def test_a_whole_number_is_a_position_and_no_other_is():
    assert LABELS[as_cell("1")] == "pos"
    with pytest.raises(TypeError):
        LABELS[as_cell("1.0")]


def test_a_number_is_formatted_as_one():
    assert (f"{as_cell('2.345'):.1f}", f"{as_cell('7'):d}") == ("2.3", "7")


# ------------------------------------------------------------------------------------------------- what a task makes


def test_targets_are_those_of_the_file(tmp_path):
    table(tmp_path / "d", "train.csv", "text,price", "a,1.00", "b,2.10", "c,007", "d,1e3")
    assert targets(tmp_path / "d", lambda row: Example(row["text"], str(row["price"])), labels=()) == (
        ["1.00", "2.10", "007", "1e3"]
    )
    assert targets(tmp_path / "d", lambda row: Example(row["text"], row["price"]), labels=())[0] == "1.00"


READINGS = {
    "equal": lambda row: LABELS[row["label"] == 1],
    "written": lambda row: LABELS[row["label"] == "1"],
    "larger": lambda row: LABELS[row["label"] > 0],
    "position": lambda row: LABELS[row["label"]],
    "names": lambda row: {"0": "neg", "1": "pos"}[row["label"]],
    "numbers": lambda row: {0: "neg", 1: "pos"}[row["label"]],
    "int": lambda row: LABELS[int(row["label"])],
    "among": lambda row: "pos" if row["label"] in (1, 2) else "neg",
    "plus": lambda row: {1: "neg", 2: "pos"}[row["label"] + 1],
    "names or": lambda row: {"0": "neg", "1": "pos"}.get(row["label"], "?"),
    "numbers or": lambda row: {0: "neg", 1: "pos"}.get(row["label"], "?"),
    "among names": lambda row: "pos" if row["label"] in {"1", "2"} else "neg",
    "among numbers": lambda row: "pos" if row["label"] in {1, 2} else "neg",
    "names of a copy": lambda row: {0: "neg", 1: "pos"}[copy.deepcopy(row)["label"]],
}


@pytest.mark.parametrize("way", READINGS)
@pytest.mark.parametrize("odd", [None, "N/A", "NA", "1.5", ""])
def test_one_odd_row_changes_no_other(tmp_path, way, odd):
    def formatter(row):
        if row["label"] in ("N/A", "NA", "1.5", ""):
            return []
        return Example(row["text"], READINGS[way](row))

    lines = ["a,0", "b,1", *([f"c,{odd}"] if odd is not None else []), "d,1"]
    table(tmp_path / "d", "train.csv", "text,label", *lines)
    table(tmp_path / "d", "validation.tsv", "text\tlabel", "a\t0", "b\t1")
    assert targets(tmp_path / "d", formatter) == ["neg", "pos", "pos"]
    assert targets(tmp_path / "d", formatter, "validation") == ["neg", "pos"]


AMBIGUOUS = {
    "hash": lambda row: LABELS[hash(row["label"]) == 1],
    "truth": lambda row: "pos" if row["label"] else "neg",
    "two cells": lambda row: LABELS[row["label"] < row["other"]],
    "two texts": lambda row: LABELS[len(str(row["label"] + row["other"])) > 2],
    "width": lambda row: LABELS[f"{row['label']:03}" < "1"],
}


@pytest.mark.parametrize("way", AMBIGUOUS)
def test_what_is_one_thing_as_text_and_another_as_a_number_is_refused_by_name(tmp_path, way):
    table(tmp_path / "d", "train.csv", "text,label,other", "a,x,1", "b,9,10" if way == "two cells" else "b,1,10")
    if way == "truth":
        table(tmp_path / "d", "train.csv", "text,label,other", "a,x,1", "b,0,10")

    def formatter(row):
        return Example(row["text"], "neg" if row["label"] == "x" else AMBIGUOUS[way](row))

    with pytest.raises(UserError) as caught:
        targets(tmp_path / "d", formatter)
    assert str(caught.value).startswith(f"task 'toy': {tmp_path}/d/train.csv, line 3, column 'label': the formatter")
    assert "int(row['label'])" in str(caught.value)
    skipped = load_examples(task_of(formatter), files(tmp_path / "d"), "train", on_bad_row="skip")
    assert [b.line for b in skipped.bad_rows] == [3]


def test_each_of_several_cells_is_what_it_is_looked_up_and_found_as(tmp_path):
    def formatter(row):
        first, second = {0: "a", 1: "b"}, {"0": "a", "1": "b"}
        return Example(row["text"], first[row["x"]] + second.get(row["y"], "?") + first.get(row["z"], "?"))

    table(tmp_path / "d", "train.csv", "text,x,y,z", "a,0,1,1", "b,1,0,7")
    assert targets(tmp_path / "d", formatter, labels=()) == ["abb", "ba?"]
    table(tmp_path / "d", "train.csv", "text,x,y,z", "a,0,1,1", "b,2,0,7")
    with pytest.raises(UserError, match=r"line 3: KeyError: '2'"):
        targets(tmp_path / "d", formatter, labels=())


@pytest.mark.parametrize("way", ["hash", "truth", "two texts", "width"])
def test_with_the_number_said_it_is_not_ambiguous(tmp_path, way):
    table(tmp_path / "d", "train.csv", "text,label,other", "a,0,1", "b,1,10")

    def formatter(row):
        number = int(row["label"])
        return Example(row["text"], AMBIGUOUS[way]({"label": number, "other": int(row["other"])}))

    assert set(targets(tmp_path / "d", formatter)) <= set(LABELS)


def test_a_text_that_happens_to_be_a_number_is_a_text(tmp_path):
    """Looked up, split, stripped: what only a text can do says that it is one, in the row of "42" as in the others."""
    table(tmp_path / "d", "train.tsv", "text\tlabel", "1984\t1", "42\t0", "a book\t1")

    def formatter(row):
        if row["text"] in {"skip", "this"} or not row["text"]:
            return []
        return Example(" ".join(row["text"].strip().split()), LABELS[row["label"]])

    made = load_examples(task_of(formatter), files(tmp_path / "d"), "train")
    assert [e.inputs for e in made] == ["toy: 1984", "toy: 42", "toy: a book"]


def test_an_example_holds_plain_strings(tmp_path):
    table(tmp_path / "d", "train.csv", "text,label,id", "42,1,7")
    task = task_of(
        lambda row: Example(
            row["text"], row["label"], id=row["id"], context=row["text"], group=row["id"], references=(row["label"],)
        ),
        labels=(),
    )
    (made,) = load_examples(task, files(tmp_path / "d"), "train")
    assert [type(v) for v in (made.inputs, made.target, made.id, made.context, made.group, *made.references)] == (
        [str] * 6
    )
    assert (made.inputs, made.target, made.id) == ("toy: 42", "1", "7")


def test_only_the_truth_of_nought_is_ambiguous(tmp_path):
    def formatter(row):
        return Example(row["text"], LABELS[int(row["label"])]) if row["label"] else []

    table(tmp_path / "d", "train.csv", "text,label", "a,1", "b,", "c,1")
    assert targets(tmp_path / "d", formatter) == ["pos", "pos"]
    table(tmp_path / "d", "train.csv", "text,label", "a,1", "b,", "c,0")
    with pytest.raises(UserError, match=r'line 4, column \'label\': .* and == "" to ask for an empty cell\.$'):
        targets(tmp_path / "d", formatter)


def test_nought_that_is_written_where_it_is_true_is_a_text(tmp_path):
    """`row["x"] or …` and `if row["x"]` then ask whether the cell is empty."""
    table(tmp_path / "d", "train.csv", "text,more", "a,", "b,5", "c,0", "0,0.0")

    def formatter(row):
        return Example(row["text"] or "nothing", row["text"] + (f" {row['more']}" if row["more"] else ""))

    assert targets(tmp_path / "d", formatter, labels=()) == ["a", "b 5", "c 0", "0 0.0"]


def test_csv_and_tsv_and_jsonl_of_texts_make_the_same_examples(tmp_path):
    for name, content in {
        "train.csv": "text,label\n1.50,1\nx,0\n",
        "train.tsv": "text\tlabel\n1.50\t1\nx\t0\n",
        "train.jsonl": '{"text": "1.50", "label": 1}\n{"text": "x", "label": 0}\n',
    }.items():
        folder = tmp_path / name[6:]
        folder.mkdir()
        (folder / name).write_text(content)
    made = [
        load_examples(task_of(lambda row: Example(row["text"], LABELS[row["label"]])), files(tmp_path / end), "train")
        for end in ("csv", "tsv", "jsonl")
    ]
    assert made[0].fingerprint == made[1].fingerprint == made[2].fingerprint


def test_the_second_reading_is_only_made_where_it_matters():
    read = []

    def make(row):
        read.append(type(row["label"]))
        return row["label"] == 1

    assert two_readings(make, {"label": as_cell("1")}) is True
    assert read == [FileCell]
    assert two_readings(lambda row: row["label"] in {1}, {"label": as_cell("1")}) is True
    with pytest.raises(AmbiguousCellError):
        two_readings(lambda row: not row["label"], {"label": as_cell("0")})
    with pytest.raises(ZeroDivisionError):
        two_readings(lambda row: {1: 2}.get(row["label"]) or 1 / 0, {"label": as_cell("3")})


def test_held_out_rows_of_a_csv_file_are_typed_as_those_that_train(tmp_path):
    table(tmp_path / "d", "train.csv", "text,label", *(f"text {i},{i % 2}.0" for i in range(40)), "last,N/A")
    data = load_task(
        task_of(lambda row: Example(row["text"], "pos" if row["label"] == 1 else "neg")), files(tmp_path / "d"), seed=0
    )
    for part in (data.train, data.validation):
        assert {e.target for e in part if int(e.id.partition(":")[2]) % 2 and "last" not in e.inputs} <= {"pos"}
