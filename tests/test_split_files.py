"""A task's folder: what is there and looks like rows is read, or named in an error; the rest is nobody's business."""

from __future__ import annotations

import os
import socket

import pytest

from multitask.errors import UserError
from multitask.examples import load_task
from multitask.metrics import resolve_metrics
from multitask.sources import files, resolve_source, rows
from multitask.split_files import like_validation
from multitask.task import Example, Task

ROWS = "text,label\n" + "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(20))


def toy(**fields):
    return Task(
        name="toy",
        formatter=lambda row: Example(row["text"], row["label"]),
        labels=("a", "b"),
        output="labels",
        metrics=resolve_metrics(["accuracy"]),
        **fields,
    )


@pytest.fixture
def folder(tmp_path):
    """With train.csv in it."""
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/train.csv").write_text(ROWS)
    return tmp_path / "toy"


def refusal(folder):
    with pytest.raises(UserError) as caught:
        load_task(toy(), files(folder), seed=0)
    assert len(str(caught.value)) < 500
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "validation.csv.gz",
            "validation.csv.GZ",
            "validation.zip",
            "train.jsonl.zst",
            "more.parquet.xz",
            "test.tar.gz",
        ),
        *("train-00000-of-00002.parquet", "validation-00000-of-00001.csv", "x_1_of_3.csv", "part-00000.parquet"),
        *("train_1.csv", "train (1).csv", "train copy.csv", "validation.1.csv", "validation2.tsv"),
        *("validation.xlsx", "validation.arrow", "validation", "Validation", "validation.csv ", "dev.ndjson"),
        *("validation.csv~", "validation.csv.bak", "validation.csv.part", "more.csv.crdownload"),
    ],
)
def test_a_file_that_looks_like_rows_and_is_not_read_is_named(folder, name):
    (folder / name).write_text(ROWS)
    assert f"'{folder}' holds '{name}', which is not read: " in refusal(folder)


@pytest.mark.parametrize("name", ["validation", "Dev", "validation.csv", "test"])
def test_a_folder_named_as_a_split_is_named(folder, name):
    (folder / name).mkdir()
    assert f"holds '{name}', which is not read: it is a folder" in refusal(folder)


@pytest.mark.parametrize("inner", ["train-00000-of-00001.parquet", "validation.csv", "validation.csv.gz"])
def test_a_folder_of_splits_is_named(folder, inner):
    (folder / "data").mkdir()
    (folder / "data" / inner).write_text(ROWS)
    assert "holds 'data', which is not read: it is a folder" in refusal(folder)


@pytest.mark.parametrize("name", ["validation.csv", "validation", "test.parquet", "validation.jsonl.gz"])
def test_a_link_to_nothing_is_named(folder, name):
    (folder / name).symlink_to(folder / "gone")
    assert f"holds '{name}', which is not read: it is a link to nothing" in refusal(folder)


def test_a_link_to_itself_and_what_is_no_regular_file_are_named(folder):
    (folder / "validation.csv").symlink_to(folder / "validation.csv")
    assert "it is a link to nothing" in refusal(folder)
    (folder / "validation.csv").unlink()
    os.mkfifo(folder / "validation.csv")
    assert "holds 'validation.csv', which is not read: it is no regular file" in refusal(folder)
    (folder / "validation.csv").unlink()
    here = os.getcwd()
    os.chdir(folder)  # a socket's path may have 100 characters
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("validation.csv")
    finally:
        os.chdir(here)
    assert "it is no regular file" in refusal(folder)


@pytest.mark.parametrize(
    "name", ["dev.csv", "val.csv", "valid.csv", "validate.csv", "Validation.csv", "VALIDATION.csv", "validaton.csv"]
)
def test_a_validation_split_of_another_name_is_not_overlooked(folder, name):
    (folder / name).write_text(ROWS)
    assert refusal(folder) == (
        f"task 'toy': {folder} has a split '{name[:-4]}' ({name}) and none named 'validation'; "
        "rename it, or let its name begin with '_' if it is not meant."
    )
    (folder / name).rename(folder / f"_{name}")
    assert "no validation split" in load_task(toy(), files(folder), seed=0).notes[0]


@pytest.mark.parametrize(
    "split", ["dev_matched", "validation_mismatched", "val2017", "eval", "heldout", "held-out", "toy_val"]
)
def test_names_of_validation_splits_are_known(split):
    assert like_validation(["values", "test", split]) == split


@pytest.mark.parametrize(
    "split", ["values", "test", "evals", "device", "trainval", "labels", "validity_codes", "extra"]
)
def test_other_names_are_other_splits(split):
    assert like_validation([split]) is None


@pytest.mark.parametrize("name", ["validation.CSV", "validation.Jsonl"])
def test_an_ending_in_capitals_is_read(folder, name):
    (folder / name).write_text(ROWS if name.endswith("CSV") else '{"text": "x", "label": "a"}\n')
    data = load_task(toy(), files(folder), seed=0)
    assert len(data.train) == 20
    assert data.validation.source == f"{folder}/{name}"


@pytest.mark.parametrize("name", ["Train.csv", "train.CSV", "TRAIN.tsv"])
def test_two_files_of_one_name_in_other_letters_are_two_files_for_one_split(folder, name):
    (folder / name).write_text(ROWS)
    assert "has two files for split '" in refusal(folder)


def test_what_is_no_rows_is_no_error(folder):
    (folder / "validation.csv").write_text(ROWS)
    for name in (
        *("README.md", "LICENSE", ".DS_Store", "_old.csv.gz", ".train.csv.swp", "test.csv", "test_hard.tsv"),
        *("labels.txt", "dataset_info.json", "train.py", "train.csv.sha256", "train.csv.dvc", "validation.md"),
        *("train.csv~", "train.csv.bak", "source.zip", "Makefile", "validation_mismatched.csv", "trainer.xlsx"),
    ):
        (folder / name).write_text("x")
    (folder / "images").mkdir()
    (folder / "images" / "train.png").write_text("x")
    (folder / "original").mkdir()
    (folder / "original" / "train.csv").write_text("x")
    (folder / "NOTES").symlink_to(folder / "gone")
    data = load_task(toy(), files(folder), seed=0)
    assert (len(data.train), len(data.validation)) == (20, 20)


def test_all_that_is_not_read_is_listed(folder):
    for name in ("test.csv.gz", "validation.csv.gz", "validation.xlsx"):
        (folder / name).write_text("x")
    assert refusal(folder) == (
        f"'{folder}' holds 'test.csv.gz', which is not read: it is compressed; unpack it (nor are validation.csv.gz, "
        "validation.xlsx). If no rows are meant, move it or give it a name that begins with '_'."
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("what", ["toy/validation.csv", "toy"])
def test_what_may_not_be_read_is_named(folder, what):
    (folder / "validation.csv").write_text(ROWS)
    (folder.parent / what).chmod(0)
    try:
        assert "annot be " in refusal(folder)
    finally:
        (folder.parent / what).chmod(0o700)


def test_a_folder_that_cannot_be_listed_is_named(folder, monkeypatch):
    monkeypatch.setattr(
        type(folder), "iterdir", lambda self: (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
    )
    assert refusal(folder) == f"'{folder}' cannot be listed: Permission denied."


@pytest.mark.parametrize("name", ["toy", "Toy", "toy.csv", "toy.jsonl.gz", "TOY.parquet"])
def test_a_tasks_own_rows_do_not_take_the_place_of_what_data_holds_for_it(tmp_path, name):
    """`--data` falls back on the rows that a task brings, but not past a broken link or a folder in other letters."""
    own = toy(source=rows({"train": [{"text": "x", "label": "a"}]}))
    for other in ("toys", "toy.py", "toy.md", "my_toy.csv"):
        (tmp_path / other).write_text("x")
    assert resolve_source(own, str(tmp_path)) is own.source
    if name == "toy":
        (tmp_path / name).symlink_to(tmp_path / "gone")
    elif name == "Toy":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_text(ROWS)
    with pytest.raises(UserError) as caught:
        resolve_source(own, str(tmp_path))
    assert str(caught.value) == (
        f"task 'toy' needs the folder '{tmp_path}/toy', which is not there; '{tmp_path}' has '{name}', which is not "
        "read."
    )
