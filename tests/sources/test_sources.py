"""Sources and readers: every format gives the rows that stand in it, or an error that names the place."""

from __future__ import annotations

import bz2
import csv
import datetime
import decimal
import functools
import gzip
import io
import json
import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitask.errors import UserError
from multitask.examples.choose_source import resolve_source
from multitask.metrics.naming import resolve_metrics
from multitask.sources import hugging_face
from multitask.sources.generated import sample
from multitask.sources.hugging_face import hub
from multitask.sources.in_memory import dataset, rows
from multitask.sources.local_files import files
from multitask.sources.readers import read_rows
from multitask.sources.sample_rows import sample_rows
from multitask.task import Example, Task

TABLE = [{"text": 'He said "hi"', "label": 1}, {"text": "NA", "label": 0}]


NAME_THEM = "; name each anew: multitask.files(…, columns=[…])."


def toy(name="toy", **fields):
    task = {"formatter": lambda row: Example(row["text"], "a"), "labels": ("a", "b"), "output": "labels"}
    return Task(name=name, metrics=resolve_metrics(["accuracy"]), **(task | fields))


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def error_of(function, *args):
    with pytest.raises(UserError) as caught:
        function(*args)
    return str(caught.value)


def reading(path, content):
    """The message for a bad file, with the folder cut off."""
    return error_of(read_rows, write(path, content)).replace(f"{path.parent}/", "")


# ---------------------------------------------------------------------------------------------------------- formats


def parquet(rows_):
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows_), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,label\n"He said ""hi""",1\nNA,0\n'),
        ("a.CSV", 'text,label\r\n"He said ""hi""",1\r\nNA,0'),
        ("a.tsv", 'text\tlabel\nHe said "hi"\t1\nNA\t0\n'),
        ("a.jsonl", "\n".join(map(json.dumps, TABLE)) + "\n\n"),
        ("a.json", json.dumps(TABLE, indent=1)),
        ("b.json", json.dumps({"version": 1, "data": TABLE})),
        ("c.json", "\n".join(map(json.dumps, TABLE))),
        ("a.parquet", parquet(TABLE)),
    ],
)
def test_every_format_gives_the_same_rows(tmp_path, name, content):
    read = read_rows(write(tmp_path / name, content))
    assert list(read) == TABLE
    assert [read[i] for i in range(len(read))] == TABLE
    assert read[-1:] == TABLE[-1:]
    assert read.columns == ("text", "label")


def test_text_files_give_a_row_for_each_line(tmp_path):
    assert list(read_rows(write(tmp_path / "a.txt", "one\n\ntwo\u2028three\r\n"))) == [
        {"text": "one"},
        {"text": ""},
        {"text": "two\u2028three"},
    ]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.txt"])
def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path, name):
    lines = {"csv": "text\nx\n", "tsv": "text\nx\n", "jsonl": '{"text": "x"}', "json": '[{"text": "x"}]', "txt": "x"}
    content = b"\xef\xbb\xbf" + lines[name.split(".")[1]].encode()
    assert list(read_rows(write(tmp_path / name, content))) == [{"text": "x"}]


def test_a_line_of_json_may_hold_a_line_separator_character(tmp_path):
    content = json.dumps({"text": "a\u2028b\x85c"}, ensure_ascii=False) + "\n"
    assert read_rows(write(tmp_path / "a.jsonl", content))[0]["text"] == "a\u2028b\x85c"


def test_quotes_are_text_in_tsv(tmp_path):
    read = read_rows(write(tmp_path / "a.tsv", 'text\tlabel\n"open quote\t1\n""\t0\n'))
    assert [row["text"] for row in read] == ['"open quote', '""']


def test_a_quoted_csv_field_may_hold_newlines_and_the_row_is_named_by_its_first_line(tmp_path):
    read = read_rows(write(tmp_path / "a.csv", 'text,label\n"one\ntwo",1\nthree,0\n'))
    assert [row["text"] for row in read] == ["one\ntwo", "three"]
    assert [read.where(i)[-6:] for i in range(2)] == ["line 2", "line 4"]


def test_rows_without_lines_are_named_by_position(tmp_path):
    assert read_rows(write(tmp_path / "a.parquet", parquet(TABLE))).where(1) == f"{tmp_path}/a.parquet, row 1"


@given(
    table=st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n")), min_size=2, max_size=2), min_size=1
    )
)
def test_csv_gives_back_what_the_csv_module_wrote(tmp_path_factory, table):
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([["first", "second"], *table])
    path = write(tmp_path_factory.mktemp("csv") / "a.csv", out.getvalue())
    assert [list(row.values()) for row in read_rows(path)] == table


@pytest.mark.parametrize("ending", ["csv", "tsv"])
@pytest.mark.parametrize("others", [[], ["1"], ["0.5"], ["N/A"], [""]])
def test_a_cell_stays_as_it_is_written_whatever_its_column_holds(tmp_path, ending, others):
    cells = ["0", "-1", "1.00", "1.50", "1e-05", "007", "-0", "+1", "1 ", "1_000", "٣", "1e5", "1.5e999", "1" * 30]
    cells += ["NA", "N/A", "null", "nan", "inf", "True", "", *others]
    separator = "," if ending == "csv" else "\t"
    lines = "".join(f"{cell}{separator}x\n" for cell in cells)
    read = read_rows(write(tmp_path / f"a.{ending}", f"value{separator}other\n" + lines))
    assert all(isinstance(row["value"], str) for row in read)
    assert [str(row["value"]) for row in read] == cells


def test_long_fields_are_read_and_the_limit_of_the_csv_module_is_put_back(tmp_path):
    before = csv.field_size_limit()
    assert len(read_rows(write(tmp_path / "a.csv", "text,label\n" + "x" * 200_000 + ",1\n"))[0]["text"]) == 200_000
    assert csv.field_size_limit() == before


# ----------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "'a.csv' is empty; its first line must name the columns."),
        ("a.csv", "text,label\n", "'a.csv' has no rows; remove the file or fill it."),
        ("a.txt", "", "'a.txt' has no rows; remove the file or fill it."),
        ("a.jsonl", "\n", "'a.jsonl' has no rows; remove the file or fill it."),
        ("a.json", "[]", "'a.json' has no rows; remove the file or fill it."),
        (
            "a.csv",
            "1,0.5\n2,3\n",
            "a.csv, line 1: the first line must name the columns. Got 1, 0.5. Of a file without a header, name them: "
            "multitask.files(…, header=False, columns=[…]).",
        ),
        ("a.csv", "text,\nx,1\n", "a.csv, line 1: column 2 of the header has no name" + NAME_THEM),
        ("a.csv", "text,text\nx,1\n", "a.csv, line 1: column 'text' is in the header twice" + NAME_THEM),
        (
            "a.csv",
            "text,label\nx,1\ny,2,3\n",
            "a.csv, line 3: expected 2 fields (text, label), found 3; put a field that holds a comma in quotes.",
        ),
        (
            "a.tsv",
            "text\tlabel\n\nx\n",
            "a.tsv, line 3: expected 2 fields (text, label), found 1; a .tsv file has no quoting, so no field can hold "
            "a tab or a newline; use .csv or .jsonl for such text.",
        ),
        (
            "a.csv",
            'text,label\nx,1\n"y,2\nz,3\n',
            "a.csv, line 3: a quote is opened here and never closed.",
        ),
        (
            "a.csv",
            'text,label\n"x" y,1\n',
            "a.csv, line 2: ',' expected after '\"'; a quote inside a quoted field is written twice.",
        ),
        (
            "a.jsonl",
            '{"a": 1}\n{"a": }\n',
            "a.jsonl, line 2: not JSON: Expecting value at column 7.",
        ),
        ("a.jsonl", '{"a": 1}\n[1]\n', "a.jsonl, line 2: expected a JSON object, found a list."),
        (
            "a.json",
            '[\n{"a": 1},\n]',
            "a.json, line 2: not JSON: Illegal trailing comma before end of array at column 9.",
        ),
        ("a.json", '[{"a": 1}, 3]', "a.json, row 1: expected a JSON object, found a number."),
        (
            "a.json",
            '{"a": 1}',
            'a.json: expected a list of objects or {"data": [objects]}, found an object.',
        ),
        (
            "a.tsv",
            b"text\tlabel\ncaf\xe9\t1\n",
            "a.tsv, line 2: byte 0xe9 at offset 14 is not UTF-8; save the file as UTF-8, or say what it is: "
            'multitask.files(…, encoding="cp1252").',
        ),
        (
            "a.csv",
            "text\nx\n".encode("utf-16"),
            "a.csv, line 1: byte 0xff at offset 0 is not UTF-8; save the file as UTF-8, or say what it is: "
            'multitask.files(…, encoding="utf-16").',
        ),
        (
            "a.txt",
            b"one\ntw\0o\n",
            "a.txt, line 2: a NUL character, which no text file has; save the file as UTF-8 text.",
        ),
        (
            "a.doc",
            "x",
            "'a.doc' has no known ending; rows can be read from .csv, .tsv, .json, .jsonl, .parquet, .txt, each also "
            'compressed (.gz, .bz2, .xz, .zst). multitask.files(…, format="csv") reads a file of any name.',
        ),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path, name, content, message):
    import sys

    if "trailing comma" in message and sys.version_info < (3, 13):
        message = "a.json, line 3: not JSON: Expecting value at column 1."  # json's own words before Python 3.13
    assert reading(tmp_path / name, content) == message


def test_a_whole_surrogate_pair_is_a_character(tmp_path):
    assert read_rows(write(tmp_path / "a.jsonl", '{"text": "\\ud83d\\ude00"}'))[0]["text"] == "😀"


def test_a_broken_parquet_file_is_named(tmp_path):
    assert reading(tmp_path / "a.parquet", "PAR1").startswith(
        f"'{tmp_path}/a.parquet' is not".replace(f"{tmp_path}/", "")
    )


# ------------------------------------------------------------------------------------------------------ fingerprints


def test_fingerprints_follow_the_content_and_nothing_else(tmp_path):
    one = read_rows(write(tmp_path / "one/a.csv", "text\nx\n"))
    again = read_rows(write(tmp_path / "two/b.csv", "text\nx\n"))
    other = read_rows(write(tmp_path / "two/c.csv", "text\ny\n"))
    assert one.fingerprint == again.fingerprint != other.fingerprint
    first = rows({"train": [{"a": 1, "b": "é"}]}).rows("train").fingerprint
    assert first == rows({"train": [{"b": "é", "a": 1}]}).rows("train").fingerprint
    assert first == "86fe296db8927e9cb5d8818cc9f99ec24ab069f3b9860878fa5ecc673da84b59"  # golden: in run addresses


# ----------------------------------------------------------------------------------------------------------- sources


def test_nothing_is_read_before_rows_are_asked_for(tmp_path):
    files(tmp_path / "not there")
    rows(lambda split: 1 / 0)
    hub("no/such", revision="main")


def test_files_are_the_splits_of_their_folder(tmp_path):
    for name in ("train.csv", "validation.jsonl", "notes.md", "_draft.csv", ".hidden.csv"):
        write(tmp_path / name, "text\nx\n")
    assert files(tmp_path).splits() == ("train", "validation")
    assert list(files(tmp_path).rows("train")) == [{"text": "x"}]


def test_an_unknown_split_is_answered_with_those_there_are(tmp_path):
    write(tmp_path / "train.csv", "text\nx\n")
    assert error_of(files(tmp_path).rows, "dev") == (
        f"{tmp_path} has no split 'dev': its splits are train "
        "(files are named dev.EXT with EXT one of .csv, .tsv, .json, .jsonl, .parquet, .txt)."
    )
    assert error_of(rows({"a": []}).rows, "b") == "rows given in Python has no split 'b': its splits are a."


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.csv", 'text;label\n"a; b";1\n', {"delimiter": ";"}),
        ("a.csv", "a; b,1\n", {"header": False, "columns": ["text", "label"]}),
        ("a.csv", "TEXT,LABEL\na; b,1\n", {"columns": ["text", "label"]}),
        ("a.tsv", "a; b|1\n", {"header": False, "columns": ["text", "label"], "delimiter": "|"}),
        ("a.txt", "a; b|1\n", {"header": False, "columns": ["text", "label"], "delimiter": "|"}),
        ("a.data", "text,label\na; b,1\n", {"format": "csv"}),
        ("a.csv", "text,label\na; b,1\n".encode("utf-16"), {"encoding": "utf-16"}),
    ],
)
def test_files_of_another_form_are_read_with_its_name(tmp_path, name, content, options):
    source = files(write(tmp_path / name, content), **options)
    assert source.splits() == ("train",)
    assert [(row["text"], row["label"]) for row in source.rows("train")] == [("a; b", "1")]
    assert source.description == f"{tmp_path}/{name}"


def test_an_encoding_is_used_and_its_errors_have_their_line(tmp_path):
    source = files(write(tmp_path / "a.csv", "text\ncafé\n".encode("latin-1")), encoding="latin-1")
    assert list(source.rows("train")) == [{"text": "café"}]
    assert error_of(files(write(tmp_path / "a.csv", b"text\nx\x81\n"), encoding="cp1252").rows, "train") == (
        f"{tmp_path}/a.csv, line 2: byte 0x81 at offset 6 is not cp1252; say another encoding, or save the file as "
        "UTF-8."
    )
    marked = files(write(tmp_path / "a.csv", b"\xef\xbb\xbftext\nx\n"), encoding="latin-1")
    assert "it begins with the mark of UTF-8, and encoding='latin-1' was said" in error_of(marked.rows, "train")
    assert list(files(write(tmp_path / "a.txt", "é".encode("utf-16-be")), encoding="utf-16-be").rows("train")) == [
        {"text": "é"}
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"encoding": "latin-33"},
            "files(encoding='latin-33'): Python knows no text encoding of that name; it knows utf",
        ),
        ({"encoding": "zip"}, "files(encoding='zip'): Python knows no text encoding of that name"),
        ({"delimiter": ";;"}, "files(delimiter=';;'): it is one character, as in delimiter=';'."),
        ({"header": False}, "files(header=False) needs the names of the columns, as in columns=['text', 'label']."),
        ({"delimiter": 5}, "files(delimiter=5): it is one character, as in delimiter=';'."),
        ({"header": None}, "files(header=None): it is True or False, whether the first line names columns."),
        ({"columns": "text"}, "files(columns='text'): give a list of names, as in columns=['text']."),
        ({"columns": ["a", "a"]}, "files(columns=['a', 'a']): a name stands there twice."),
        ({"columns": ["a", ""]}, "files(columns=['a', '']): they are names, and no name is empty."),
        ({"format": "xlsx"}, "files(format='xlsx'): known: csv, json, jsonl, parquet, tsv, txt."),
    ],
)
def test_options_that_no_file_can_be_read_by_are_refused_at_once(options, message):
    assert error_of(functools.partial(files, **options), "a.csv").startswith(message)


def test_options_that_mean_nothing_for_a_file_are_refused(tmp_path):
    def refused(name, content="x", **options):
        return error_of(files(write(tmp_path / name, content), **options).rows, "train")

    assert refused("a.jsonl", delimiter=";") == (
        f"'{tmp_path}/a.jsonl': delimiter of multitask.files(…) is for csv, tsv and txt files alone; leave it out."
    )
    assert "encoding of multitask.files(…) is for files of text alone" in refused("a.parquet", encoding="latin-1")
    assert refused("a.csv", "text,label\nx,1\n", columns=["text"]) == (
        f"{tmp_path}/a.csv, line 1: columns=['text'] are 1 names, and the header has 2 (text, label); name each, and "
        "say header=False if there is none."
    )
    assert "expected 1 fields (text), found 2" in refused("a.csv", "x,1\n", columns=["text"], header=False)
    assert "say the delimiter=… between its fields" in refused("a.txt", columns=["a", "b"])


def test_files_are_named_one_by_one_by_split_or_by_a_pattern(tmp_path, monkeypatch):
    for i in range(12):
        write(tmp_path / f"part-{i}.txt", f"{i}\n")
    write(tmp_path / "dev/a.txt", "dev\n")
    monkeypatch.chdir(tmp_path)
    assert [r["text"] for r in files("part-*.txt").rows("train")] == [str(i) for i in range(12)]
    assert [r["text"] for r in files(["part-3.txt", tmp_path / "part-1.txt"]).rows("train")] == ["3", "1"]
    source = files({"train": "part-?.txt", "validation": "dev", "test": ["part-10.txt", "part-11.txt"]})
    assert [len(source.rows(split)) for split in source.splits()] == [10, 1, 2]
    assert source.description == "part-?.txt, dev, part-10.txt and 1 more"
    assert error_of(files(["part-1.txt", "part-1.txt"]).rows, "train") == (
        "split 'train' names the file 'part-1.txt' twice; leave one out."
    )
    (tmp_path / "part-5.txt").unlink()
    assert "split 'part' lacks part 5 (there is part-0.txt); put every part there." in error_of(
        files("part-*.txt").rows, "train"
    )
    assert error_of(files("none-*.txt").rows, "train") == (
        f"no file is named like 'none-*.txt' (in {tmp_path}); correct the pattern."
    )
    assert error_of(files("none.csv").rows, "train") == (
        f"there is no file or folder 'none.csv' in {tmp_path}; correct the path."
    )
    assert error_of(files("nyu-mll/glue").splits) == (
        f"there is no folder 'nyu-mll/glue' in {tmp_path}; make it, with train.EXT in it, or correct the path; a data "
        "set of the Hub is written multitask.hub('nyu-mll/glue', revision=…)."
    )
    assert error_of(files, {"train": []}).startswith("files(…): split 'train' needs a path or a list of paths. Got []")
    assert error_of(files, {}) == "files(…) was given no path."


def test_a_path_may_begin_in_the_users_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "a.jsonl", '{"text": "x"}')
    for path in ("~/a.jsonl", {"train": [Path("~") / "a.jsonl"]}, "~/*.jsonl"):
        assert files(path).rows("train")[0] == {"text": "x"}


def test_what_is_no_file_of_this_machine_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.csv")
    os.symlink("gone.csv", "link.csv")
    assert error_of(files, "") == "the path of a file or folder is empty; name one ('.' is the folder you are in)."
    assert error_of(files, ["https://example.org/a.csv"]).startswith("'https://example.org/a.csv' is an address; files")
    assert error_of(files("pipe.csv").rows, "train") == (
        "'pipe.csv' is no regular file, so its rows cannot be read twice; write them to a file."
    )
    assert error_of(files("link.csv").rows, "train") == (
        f"'link.csv' in {tmp_path} is a link to 'gone.csv', where nothing is; mend it."
    )


@pytest.mark.parametrize(
    ("content", "kind", "fix"),
    [
        (gzip.compress(b"text\na\n", mtime=0), "gz", "let its name end in .gz"),
        (bz2.compress(b"text\na\n"), "bz2", "let its name end in .bz2"),
        (parquet(TABLE), "parquet", "let its name end in .parquet"),
        (b"PK\x03\x04", "zip", "unpack it, or compress what is in it with gzip"),
    ],
)
def test_a_file_with_the_ending_of_another_kind_is_named(tmp_path, content, kind, fix):
    for form in ({}, {"encoding": "latin-1"}):
        assert error_of(files(write(tmp_path / "a.csv", content), **form).rows, "train") == (
            f"'{tmp_path}/a.csv' is no text, but a {kind} file by its first bytes; {fix}."
        )


def test_two_files_for_one_split_are_refused(tmp_path):
    for name in ("train.csv", "train.tsv"):
        write(tmp_path / name, "text\nx\n")
    assert error_of(files(tmp_path).splits) == (
        f"'{tmp_path}' has two files for split 'train': train.csv and train.tsv; remove one."
    )


def test_a_missing_folder_is_named(tmp_path):
    assert error_of(files(tmp_path / "x").splits) == (
        f"there is no folder '{tmp_path}/x'; make it, with train.EXT in it, or correct the path."
    )


def two_rows(split):
    return ({"text": split, "n": n} for n in range(2))


def test_a_function_gives_the_rows_of_each_split():
    source = rows(two_rows)
    assert source.splits() == ("train", "validation")
    assert [row["text"] for row in source.rows("validation")] == ["validation"] * 2
    assert list(source.rows("train")) == list(source.rows("train"))
    assert source.description == "function two_rows in test_sources.py"
    once = rows(lambda: two_rows("train"))
    assert once.splits() == ("train",)
    assert len(once.rows("train")) == 2
    assert rows(functools.partial(two_rows, split="train")).splits() == ("train",)
    with pytest.raises(
        UserError, match=r"is called with the name of a split, or with nothing, and takes \(a, b\); give"
    ):
        rows(lambda a, b: [])


def test_rows_from_python_must_be_mappings():
    assert error_of(rows({"train": ["text"]}).rows, "train") == (
        "rows given in Python, split train, row 0: a row must be a mapping from column names to values. Got str."
    )
    assert "gives None for split 'train'; return rows" in error_of(rows(lambda split: None).rows, "train")
    with pytest.raises(ValueError, match=r"rows\(\.\.\.\) takes rows, \{split: rows\} or a function\. Got int"):
        rows(7)
    with pytest.raises(ValueError, match="splits must be a list of names"):
        rows(two_rows, splits="train")


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (lambda: {"train": []}, " gives dict and no rows; return those of the split that it is called with, or give"),
        (lambda: "a.csv", " gives str and no rows; to read a file, return multitask.files(path).rows('train')."),
        (lambda: 5, " gives int and no rows; return a list of dicts, or yield them."),
        (lambda: [{None: "a"}], ", row 0: the column None is named by no string; give columns names that are text."),
        (
            lambda: [{"text": "a"}, {"text": "b", "more": {1}}],
            ", row 1, column 'more': rows are made of text, numbers, lists and mappings. Got set.",
        ),
        (lambda: ({"n": 1 // (2 - n)} for n in range(9)), "cannot be had after 2 rows: ZeroDivisionError: integer div"),
    ],
)
def test_rows_of_a_function_that_cannot_be_used_are_named(load, message):
    assert message in error_of(rows(load).rows, "train")


def test_a_function_that_does_not_know_a_split_is_told_how_to_say_so():
    def load(split):
        return {"train": TABLE}[split]

    assert error_of(rows(load).rows, "validation").endswith(
        "If there is no such split, say so: multitask.rows(load, splits=['train'])"
    )


def test_a_parameter_with_a_default_is_the_split_if_its_name_or_its_default_says_so():
    def limited(limit=3):
        return [{"n": n} for n in range(limit)]

    assert rows(limited).splits() == ("train",)
    assert len(rows(limited).rows("train")) == 3
    assert (
        rows(lambda split=None: TABLE).splits() == rows(lambda part="train": TABLE).splits() == ("train", "validation")
    )


def test_a_generator_may_fill_one_row_again_and_again():
    def reused():
        row = {}
        for n in range(3):
            row["n"] = n
            yield row

    assert [row["n"] for row in rows(reused).rows("train")] == [0, 1, 2]


def test_a_dataset_gives_plain_values_whatever_its_format_is():
    import datasets

    data = datasets.Dataset.from_list(TABLE)
    for kind in ("numpy", "pandas", "arrow"):
        for source in (dataset(data.with_format(kind)), rows({"train": data.with_format(kind)})):
            assert list(source.rows("train")) == TABLE
    assert dataset(data.with_format("numpy", columns=["text"])).rows("train").columns == ("text",)


def test_columns_that_no_task_reads_may_hold_anything_that_a_dataset_holds():
    import datasets

    image = pytest.importorskip("PIL.Image")

    def made(price, colour):
        picture = io.BytesIO()
        image.new("RGB", (2, 2), (colour, 0, 0)).save(picture, "png")
        columns = {"price": [price], "took": [datetime.timedelta(1)], "image": [{"bytes": picture.getvalue()}]}
        table = datasets.Dataset.from_dict({"text": ["a"], **columns})
        return dataset(table.cast_column("image", datasets.Image())).rows("train").fingerprint

    prints = [made(decimal.Decimal(price), colour) for price, colour in (("1.5", 0), ("1.50", 0), ("1.5", 9))]
    assert len({*prints, made(decimal.Decimal("1.5"), 0)}) == len({*prints})
    assert prints[0] != prints[2]


def test_a_frame_and_an_arrow_table_are_rows():
    import pandas as pd
    import pyarrow as pa

    frame = pd.DataFrame({"text": ["a", None], "label": [1, 0], "score": [0.5, float("nan")]})
    found = rows(frame).rows("train")
    assert list(found) == [{"text": "a", "label": 1, "score": 0.5}, {"text": None, "label": 0, "score": None}]
    assert type(found[0]["label"]) is int
    assert list(rows({"train": frame, "validation": frame[:1]}).rows("validation")) == [found[0]]
    assert list(rows(lambda split: frame).rows("train")) == list(found)
    assert list(rows(pa.Table.from_pylist(TABLE)).rows("train")) == TABLE
    twice = pd.DataFrame([["a", "b"]], columns=["text", "text"])
    for table in (twice, pa.table([["a"], ["b"]], names=["text", "text"])):
        assert "has the column 'text' twice; rename one" in error_of(rows(table).rows, "train")
    assert "the column 0 is named by no string" in error_of(rows(pd.DataFrame([["a"]])).rows, "train")


def test_a_dataset_or_a_dict_of_them_is_a_source():
    import datasets

    data = datasets.Dataset.from_list(TABLE)
    assert dataset(data).splits() == ("train",)
    source = dataset(datasets.DatasetDict(train=data, validation=data.select([0])))
    assert list(source.rows("validation")) == TABLE[:1]
    assert source.rows("train").columns == ("text", "label")
    assert source.rows("train").fingerprint == rows({"train": TABLE}).rows("train").fingerprint
    with pytest.raises(ValueError, match=r"takes a Dataset or a dict of them\. Got list"):
        dataset(TABLE)


sample_of_sst2 = functools.partial(sample_rows, "sst2")  # of an importable function; a test module is none


def test_sources_pickle(tmp_path):
    write(tmp_path / "train.csv", "text\nx\n")
    for source in (
        files(tmp_path),
        rows(sample_of_sst2),
        rows({"train": TABLE}),
        sample("sst2"),
    ):
        again = pickle.loads(pickle.dumps(source))
        assert list(again.rows("train")) == list(source.rows("train"))
        assert again.description == source.description
    assert pickle.loads(pickle.dumps(hub("a/b", revision="main"))) == hub("a/b", revision="main")


# -------------------------------------------------------------------------------------------------------------- hub


@pytest.fixture
def fake_hub(monkeypatch):
    import datasets

    calls = []

    def load_dataset(path, name=None, *, revision):
        calls.append((path, name, revision))
        if path == "no/network":
            raise ConnectionError("Couldn't reach 'no/network' on the Hub\nmore")
        made = datasets.Dataset.from_list(TABLE)
        return datasets.DatasetDict(train=made, validation_matched=made, validation_mismatched=made)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    hugging_face._load_hub.cache_clear()
    yield calls
    hugging_face._load_hub.cache_clear()


def test_a_hub_source_renames_splits_and_loads_once(fake_hub):
    source = hub("nyu-mll/glue", "mnli", revision="abc", splits={"validation": "validation_matched"})
    assert fake_hub == []
    assert "validation" in source.splits()
    assert list(source.rows("validation")) == TABLE
    assert fake_hub == [("nyu-mll/glue", "mnli", "abc")]
    assert source.rows("validation").where(1) == "nyu-mll/glue (mnli) at abc, split validation, row 1"
    assert "has no split 'test'" in error_of(source.rows, "test")


def test_hub_fingerprints_follow_revision_and_split(fake_hub):
    one = hub("a/b", revision="r1").rows("train").fingerprint
    assert one == hub("a/b", revision="r1").rows("train").fingerprint
    assert one != hub("a/b", revision="r2").rows("train").fingerprint
    assert one != hub("a/b", revision="r1").rows("validation_matched").fingerprint


def test_a_hub_that_cannot_be_reached_is_answered_with_the_way_out(fake_hub):
    assert error_of(hub("no/network", "x", revision="main").rows, "train") == (
        "cannot load 'no/network' (x) at revision main from the Hugging Face Hub (ConnectionError: Couldn't reach "
        "'no/network' on the Hub); put its files in DIR/TASK/SPLIT.EXT and use --data DIR."
    )


# ---------------------------------------------------------------------------------------------------- resolve_source


def test_without_data_a_task_uses_its_own_local_rows_and_else_the_sample():
    own = rows({"train": TABLE})
    assert resolve_source(toy("sst2", source=own), None) is own
    assert resolve_source(toy("sst2", source=hub("a/b", revision="main")), None) == sample("sst2")
    assert resolve_source(toy("mine", folder="span"), None) == sample("span")


def test_without_data_and_sample_the_options_are_named():
    layout = "DIR/toy/train.EXT (EXT: csv, tsv, json, jsonl, parquet, txt)"
    assert error_of(resolve_source, toy(), None) == f"task 'toy' has no rows yet; use --data DIR with {layout}."
    assert error_of(resolve_source, toy(source=hub("a/b", revision="main")), None) == (
        f"task 'toy' has no rows yet; use --data DIR with {layout}, or --data hub to download a/b at main."
    )
    assert error_of(resolve_source, toy(), "hub") == (
        f"task 'toy' has no source of its own; use --data DIR with {layout}."
    )
    assert error_of(resolve_source, toy(), "sample") == (
        "task 'toy' has no generated sample; these tasks have one: "
        "span, sst2, tweet_sentiment, trec, emotion, stsb, denoise."
    )


def test_hub_and_sample_can_be_asked_for_by_name():
    theirs = hub("a/b", revision="main")
    assert resolve_source(toy("sst2", source=theirs), "hub") is theirs
    assert resolve_source(toy("sst2", source=theirs), "sample").generated


def test_a_directory_holds_a_folder_for_each_task(tmp_path):
    write(tmp_path / "span/train.csv", "text\nx\n")
    write(tmp_path / "rte/train.csv", "text\nx\n")
    assert resolve_source(toy("mine", folder="span"), str(tmp_path)) == files(tmp_path / "span")
    own = rows({"train": TABLE})
    assert resolve_source(toy("mine", source=own), str(tmp_path)) is own
    assert error_of(resolve_source, toy("sst2"), str(tmp_path)) == (  # never the sample instead
        f"task 'sst2' needs the folder '{tmp_path}/sst2', which is not there; '{tmp_path}' has the folders rte, span."
    )
    assert error_of(resolve_source, toy("sst2", source=own), f"{tmp_path}/none") == (
        f"--data: there is no directory '{tmp_path}/none'; make it with DIR/sst2/train.EXT "
        "(EXT: csv, tsv, json, jsonl, parquet, txt), or correct the path."
    )
