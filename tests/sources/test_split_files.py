"""A task's folder: what is there and looks like rows is read, or named in an error; the rest is nobody's business."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import socket
from pathlib import Path

import pytest

from multitask.errors import UserError
from multitask.examples.choose_source import resolve_source
from multitask.examples.loading import load_task
from multitask.metrics.naming import resolve_metrics
from multitask.sources.in_memory import rows
from multitask.sources.local_files import files
from multitask.sources.readers import read_rows
from multitask.sources.split_files import like_validation
from multitask.storage import compression
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


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def error_of(function, *args):
    with pytest.raises(UserError) as caught:
        function(*args)
    return str(caught.value)


def refusal(folder):
    with pytest.raises(UserError) as caught:
        load_task(toy(), files(folder), seed=0)
    assert len(str(caught.value)) < 500
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "validation.zip",
            "validation.csv.lz4",
            "train.jsonl.br",
            "more.parquet.zip",
            "test.tar.gz",
            "part-0.parquet",
        ),
        *("validation.xlsx.gz", "train (1).csv.xz"),
        *("train_1.csv", "train (1).csv", "train copy.csv", "validation.1.csv", "validation2.tsv"),
        *("validation.xlsx", "validation.arrow", "validation", "Validation", "validation.csv ", "dev.ndjson"),
        *("validation.csv~", "validation.csv.bak", "validation.csv.part", "more.csv.crdownload"),
    ],
)
def test_a_file_that_looks_like_rows_and_is_not_read_is_named(folder, name):
    (folder / name).write_text(ROWS)
    assert f"'{folder}' holds '{name}', which is not read: " in refusal(folder)


def test_a_folder_that_cannot_be_a_split_is_named(folder):
    (folder / "validation.csv").mkdir()
    assert "holds 'validation.csv', which is not read: it is a folder" in refusal(folder)


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
    for name in ("test.csv.lz4", "validation.csv.zip", "validation.xlsx"):
        (folder / name).write_text("x")
    assert refusal(folder) == (
        f"'{folder}' holds 'test.csv.lz4', which is not read: it is packed in a way that is not read (those that are: "
        ".gz, .bz2, .xz, .zst); unpack it (nor are validation.csv.zip, validation.xlsx). If no rows are meant, move it "
        "or give it a name that begins with '_'."
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


# ---------------------------------------------------------------------------------------------- compressed, in parts


def packed(ending, text):
    import pyarrow as pa

    content = text.encode()
    if ending == ".zst":
        return pa.Codec("zstd").compress(content).to_pybytes()
    return {".gz": gzip, ".bz2": bz2, ".xz": lzma}[ending].compress(content)


ENDINGS = (".gz", ".bz2", ".xz", ".zst")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_compressed_file_is_the_file_that_is_in_it(tmp_path, ending):
    (tmp_path / "train.csv").write_text(ROWS)
    plain = load_task(toy(), files(tmp_path), seed=0)
    (tmp_path / "train.csv").unlink()
    (tmp_path / f"train.csv{ending.upper()}").write_bytes(packed(ending, ROWS))
    data = load_task(toy(), files(tmp_path), seed=0)
    assert data.train.fingerprint == plain.train.fingerprint
    rows_of = files(tmp_path).rows("train")
    assert rows_of.where(3) == f"{tmp_path}/train.csv{ending.upper()}, line 5"
    assert rows_of.fingerprint == read_rows(write(tmp_path / "other.csv", ROWS)).fingerprint


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_compressed_file_of_several_streams_is_read_to_its_end(tmp_path, ending):
    path = tmp_path / f"a.csv{ending}"
    path.write_bytes(packed(ending, ROWS) + packed(ending, "more,a\n"))
    assert len(read_rows(path)) == 21


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_compressed_file_that_is_cut_off_or_damaged_is_named(tmp_path, ending):
    content, path = packed(ending, ROWS * 50), tmp_path / f"a.csv{ending}"
    for cut in (content[: len(content) // 2], content[:-3], content[:3]):
        path.write_bytes(cut)
        assert error_of(read_rows, path).startswith(f"'{path}' is cut off: it ends before the end of what was ")
    second = packed(ending, "more,a\n")
    for bad in (b"x" * 40, content + b"garbage", content + second[:4] + b"?" * (len(second) - 4)):
        path.write_bytes(bad)
        assert error_of(read_rows, path).startswith(f"'{path}' is not a readable {ending[1:]} file: ")
    path.write_bytes(b"")
    assert error_of(read_rows, path) == f"'{path}' is empty; its first line must name the columns."


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_unpacks_to_more_than_is_read_is_refused_before_it_fills_the_memory(tmp_path, ending, monkeypatch):
    monkeypatch.setattr(compression, "UNPACKED_BYTES", 10_000)
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(packed(ending, "a" * 5_000_000))
    limit = max(10_000, 100 * path.stat().st_size)
    assert error_of(read_rows, path) == (
        f"'{path}' has {path.stat().st_size:,} bytes and unpacks to more than {limit:,}, the most that is read of such "
        "a file (100 times its size, or 10,000); unpack it if that is meant."
    )


def test_an_xz_file_cannot_ask_for_all_memory(tmp_path):
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 2**29}]
    write(tmp_path / "a.txt.xz", lzma.compress(b"a", filters=filters))
    assert "is not a readable xz file: Memory usage limit exceeded" in error_of(read_rows, tmp_path / "a.txt.xz")


def part(i, n=1):
    return "text,label\n" + "".join(f"part {i} row {j},{'ab'[j % 2]}\n" for j in range(n))


@pytest.mark.parametrize(
    "names",
    [
        [f"train-{i:05}-of-00012.csv" for i in range(12)],
        [f"train-{i:05}-of-00012-0123456789abcdef.csv.gz" for i in range(12)],
        [f"train_{i}_of_12.csv" for i in range(1, 13)],
        [f"train-{i}.csv" for i in range(12)],
        [f"train.{i}.csv" for i in range(1, 13)],
        [f"train/part-{i}.csv" for i in range(12)],
        [f"train/{i}-of-12.csv.xz" for i in range(12)],
        [f"train/news-{i}.csv" for i in range(2001, 2013)],
    ],
)
def test_parts_are_read_in_the_order_of_their_numbers(tmp_path, names):
    for i, name in enumerate(names):
        ending = Path(name).suffix
        write(tmp_path / "toy" / name, packed(ending, part(i)) if ending in ENDINGS else part(i))
    write(tmp_path / "toy/train/_SUCCESS" if "/" in names[0] else tmp_path / "toy/_SUCCESS", "")
    source = files(tmp_path / "toy")
    assert source.splits() == ("train",)
    found = source.rows("train")
    assert [row["text"] for row in found] == [f"part {i} row 0" for i in range(12)]
    assert found.where(11) == f"{tmp_path}/toy/{names[-1]}, line 2"
    assert found.origin == f"{tmp_path}/toy/{names[0]} … {Path(names[-1]).name} (12 files)"
    whole = rows({"train": list(found)})
    assert load_task(toy(), source, seed=0).train.fingerprint == load_task(toy(), whole, seed=0).train.fingerprint


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train-00000-of-00003.csv", "train-00002-of-00003.csv"], "split 'train' lacks part 1 of 3 (there is train-0"),
        (["validation-00000-of-00009.csv"], "split 'validation' lacks parts 1, 2, 3, 4, 5 and 3 more of 9 (there is"),
        (["x_1_of_3.csv"], "split 'x' lacks parts 2, 3 of 3 (there is x_1_of_3.csv); put every part there."),
        (["validation-1.csv", "validation-3.csv"], "split 'validation' lacks part 2 (there is validation-1.csv)"),
        (["validation-2.csv", "validation-3.csv"], "split 'validation' lacks part 1 (there is validation-2.csv)"),
        (["test-0-of-2.csv", "test-1-of-3.csv"], "parts of split 'test' of two divisions, test-0-of-2.csv and test-1-"),
        (["test-0-of-2.csv", "test-0-of-2.tsv"], "has part 0 of split 'test' twice, test-0-of-2.csv and test-0-of-2"),
        (["test-0-of-1.csv", "test-1-of-1.csv"], "split 'test' has a part 1 of 1; correct the name."),
        (["train-1.csv", "train-2.csv"], "has two files for split 'train': train.csv and train-1.csv; remove one."),
        (["train/a.csv"], "has two files for split 'train': train and train.csv; remove one."),
        (["validation/part-0.csv", "validation/part-2.csv"], "validation': split 'part' lacks part 1 (there is part-0"),
        (["validation/a.csv", "validation/b.xlsx"], "is the folder of a split and holds 'b.xlsx', which ends in none"),
        (["validation/a.csv", "validation/more/b.csv"], "is the folder of a split and holds 'more', which is a folder"),
        (["validation/README.md"], "is the folder of a split and has no files of rows; fill it, or remove it."),
    ],
)
def test_what_is_missing_or_there_twice_is_named(folder, names, message):
    for name in names:
        write(folder / name, ROWS)
    assert message in refusal(folder)


def test_parts_must_have_the_same_columns_unless_they_are_objects(folder):
    write(folder / "validation-0.csv", ROWS)
    write(folder / "validation-1.csv", "text,class\na,b\n")
    assert refusal(folder) == (
        f"the parts of a split must have the same columns: {folder}/validation-0.csv has text, label, "
        f"{folder}/validation-1.csv has text, class."
    )
    for i, line in enumerate(('{"text": "x", "label": "a"}', '{"text": "y", "label": "b", "more": 1}')):
        (folder / f"validation-{i}.csv").unlink()
        write(folder / f"validation-{i}.jsonl", line)
    assert len(load_task(toy(), files(folder), seed=0).validation) == 2


def test_a_bad_row_of_a_part_is_named_by_its_own_file(folder):
    write(folder / "validation-0.csv", ROWS)
    write(folder / "validation-1.csv", "text,label\nx,a\ny,c\n")
    assert f"cannot format {folder}/validation-1.csv, line 3: " in refusal(folder)
    data = load_task(toy(), files(folder), seed=0, on_bad_row="skip")
    (bad,) = data.validation.bad_rows
    assert (bad.where, bad.row) == (f"{folder}/validation-1.csv, line 3", 21)
    assert bad.listed("toy")["file"] == f"{folder}/validation-1.csv"


def test_parts_must_hold_the_same_kind_of_values(folder):
    import pyarrow as pa
    import pyarrow.parquet as pq

    def parts(*columns):
        for i, labels in enumerate(columns):
            pq.write_table(pa.table({"text": ["a"] * len(labels), "label": labels}), folder / f"validation-{i}.parquet")

    parts(pa.array([None]), pa.array(["1"]).dictionary_encode(), pa.array([1]))
    assert refusal(folder) == (
        f"the parts of a split must hold the same kind of values: column 'label' is text in "
        f"{folder}/validation-1.parquet and numbers in {folder}/validation-2.parquet."
    )
    parts(pa.array([1, None]), pa.array([0.5]), pa.array([2], pa.int8()))
    assert len(files(folder).rows("validation")) == 4
