"""Values that are no text: a bad row where a formatter would write them out, and else as they are."""

from __future__ import annotations

import datetime
import io
import json

import pytest

from multitask.errors import UserError
from multitask.examples.loading import load_examples
from multitask.metrics.naming import resolve_metrics
from multitask.sources.in_memory import dataset, rows
from multitask.sources.local_files import files
from multitask.sources.raw_values import guarded
from multitask.task import TASKS, Example, Task

VALUES = {
    "bytes": b"the cat",
    "a list": ["the", "cat"],
    "a mapping": {"text": "the cat"},
    "a date or time": datetime.date(2020, 1, 2),
    "a length of time": datetime.timedelta(1),
}
WAYS = {
    "f-string": lambda value: f"say {value}",
    "str": str,
    "format": "{}".format,
    "join": lambda value: " ".join(map(str, ["say", value])),
    "as it is": lambda value: value,
}


def task_of(way, **fields):
    return Task(
        name="toy",
        formatter=lambda row: Example(WAYS[way](row["text"]), "a"),
        prefix="toy: ",
        metrics=resolve_metrics(["exact_match"]),
        **fields,
    )


def parquet(path, items):
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(items), buffer)
    path.write_bytes(buffer.getvalue())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", VALUES)
def test_in_a_text_column_it_is_a_bad_row(tmp_path, kind, way):
    parquet(tmp_path / "train.parquet", [{"n": 1, "text": VALUES[kind]}])
    with pytest.raises(UserError) as caught:
        load_examples(task_of(way), files(tmp_path), "train")
    message = str(caught.value)
    assert f"{tmp_path}/train.parquet, row 0" in message
    assert "column 'text'" in message
    assert way == "as it is" or f"holds {kind}, which is no text" in message


def test_from_other_sources_too():
    import datasets

    items = [{"text": "fine", "more": ["a"]}, {"text": ["the", "cat"], "more": ["a"]}]
    source = rows({"train": items})
    bad = load_examples(task_of("f-string"), source, "train", on_bad_row="skip")
    assert [e.inputs for e in bad] == ["toy: say fine"]
    assert [b.row for b in bad.bad_rows] == [1]
    with pytest.raises(UserError, match="split train, row 0: column 'text' holds a list, which is no text"):
        load_examples(task_of("str"), dataset(datasets.Dataset.from_list(items[1:])), "train")


@pytest.mark.parametrize("inner", [{"answers": {"text": ["x"]}}, {"answers": {"text": b"x"}}])
def test_values_within_values_too(inner):
    task = Task(
        name="toy",
        formatter=lambda row: Example(f"{row['answers']['text']}", "a"),
        metrics=resolve_metrics(["exact_match"]),
    )
    with pytest.raises(UserError, match="column 'answers' holds "):
        load_examples(task, rows({"train": [inner]}), "train")


def test_a_renamed_column_is_named_as_in_the_file():
    with pytest.raises(UserError, match="column 'body' holds bytes"):
        load_examples(task_of("str", columns={"text": "body"}), rows({"train": [{"body": b"x"}]}), "train")


def test_a_number_where_text_is_needed_names_its_column():
    with pytest.raises(UserError) as caught:
        load_examples(task_of("as it is"), rows({"train": [{"n": 1, "text": 7}]}), "train")
    assert "row 0: TypeError: an Example is made of two strings. Got inputs of type int" in str(caught.value)
    assert "It stands in column 'text'." in str(caught.value)


def test_what_a_formatter_takes_out_of_such_a_value_is_its_own():
    value = guarded({"text": ["x", "y"], "at": datetime.datetime(2020, 1, 2, 3)}, "c")
    assert value == {"text": ["x", "y"], "at": datetime.datetime(2020, 1, 2, 3)}
    assert (", ".join(value["text"]), json.dumps(value["text"]), repr(value["text"])) == (
        "x, y",
        '["x", "y"]',
        "['x', 'y']",
    )
    assert (f"{value['at']:%Y}", value["at"].isoformat()) == ("2020", "2020-01-02T03:00:00")
    assert guarded(b"abc", "c").decode() == "abc"
    assert guarded((1, None), "c") == (1, None)
    assert guarded(datetime.time(1, 2, 3, 4, fold=1), "c").fold == 1


@pytest.mark.parametrize("way", ["f-string", "str", "format", "join"])
def test_a_missing_value_is_not_written_out_as_none(tmp_path, way):
    (tmp_path / "train.jsonl").write_text('{"text": "None of it", "more": null}\n{"text": null, "more": null}\n')
    made = load_examples(task_of(way), files(tmp_path), "train", on_bad_row="skip")
    assert ["None of it" in e.inputs for e in made] == [True]
    with pytest.raises(UserError, match="line 2: column 'text' holds null, which is no text"):
        load_examples(task_of(way), files(tmp_path), "train")


def test_a_formatter_may_say_itself_what_a_missing_value_is():
    for way in (
        lambda row: "None" if row["text"] is None else row["text"],
        lambda row: row["text"] or "None",
        lambda row: {None: "None"}.get(row["text"]),
    ):
        task = Task(
            name="toy",
            formatter=lambda row, way=way: Example("x", way(row)),
            metrics=resolve_metrics(["exact_match"]),
        )
        assert [e.target for e in load_examples(task, rows({"train": [{"text": None}]}), "train")] == ["None"]
    labelled = task_of("str", labels=("None", "a"), output="labels")
    assert len(load_examples(labelled, rows({"train": [{"text": None}]}), "train")) == 1


def test_pandas_times_are_no_text_either():
    import pandas as pd

    with pytest.raises(TypeError, match="a date or time"):
        str(guarded(pd.Timestamp("2020-01-02"), "c"))
    assert guarded(pd.NaT, "c") is pd.NaT


PIECES = {
    "bytes cut": (b"the cat sat", lambda value: f"{value[:7]}"),
    "bytes stripped": (b" the cat ", lambda value: str(value.strip())),
    "bytes in words": (b"the cat", lambda value: " ".join(map(str, value.split()))),
    "list cut": (["the", "cat"], lambda value: f"{value[:1]}"),
    "list twice": (["the", "cat"], lambda value: str(value * 2)),
}


@pytest.mark.parametrize("piece", PIECES)
def test_a_piece_of_it_is_no_text_either(piece):
    value, way = PIECES[piece]
    task = Task(
        name="toy", formatter=lambda row: Example(way(row["text"]), "a"), metrics=resolve_metrics(["exact_match"])
    )
    with pytest.raises(UserError, match=r"row 0: column 'text' holds (a list|bytes), which is no text"):
        load_examples(task, rows({"train": [{"text": value}]}), "train")


def test_arrays_and_containers_of_other_classes_are_no_text_either():
    import collections

    import datasets
    import numpy as np
    import pandas as pd

    point = collections.namedtuple("point", "x y")
    for value in (np.array(["the", "cat"]), collections.OrderedDict(a=1), np.bytes_(b"cat"), point(1, 2), pd.NaT):
        with pytest.raises(UserError, match=r"row 0: column 'text' holds .*, which is no text"):
            load_examples(task_of("f-string"), rows({"train": [{"text": value}]}), "train")
    table = datasets.Dataset.from_dict({"text": [["the", "cat"]]}).with_format("numpy")
    with pytest.raises(UserError, match="column 'text' holds a list, which is no text"):
        load_examples(task_of("str"), dataset(table), "train")
    for value in (np.str_("cat"), np.int64(3), np.float32(0.5), True):
        (made,) = load_examples(task_of("str"), rows({"train": [{"text": value}]}), "train")
        assert made.inputs == f"toy: {value}"


def test_nan_is_not_written_out_either_unless_the_formatter_says_so_itself():
    table = rows({"train": [{"text": "banana", "more": float("nan")}, {"text": float("nan"), "more": 1.5}]})
    made = load_examples(task_of("str"), table, "train", on_bad_row="skip")
    assert [e.inputs for e in made] == ["toy: banana"]
    assert made.bad_rows[0].reason.startswith("column 'text' holds NaN, which is no text")
    own = Task(
        name="toy",
        formatter=lambda row: [] if str(row["text"]) == "nan" else Example(f"nan {row['text']}", "a"),
        metrics=resolve_metrics(["exact_match"]),
    )
    assert len(load_examples(own, table, "train")) == 1


@pytest.mark.parametrize(
    ("name", "row", "column"),
    [
        ("sst2", {"sentence": b"fine", "label": 1}, "sentence"),
        ("span", {"text": ["a"], "selected_text": "a", "sentiment": "neutral"}, "text"),
        ("mnli", {"premise": {"a": "b"}, "hypothesis": "c", "label": 1}, "premise"),
        ("aeslc", {"email_body": "a", "subject_line": datetime.date(2020, 1, 2)}, "subject_line"),
        ("denoise", {"text": ["a", "b"]}, "text"),
        ("cola", {"sentence": True, "label": 1}, "sentence"),
    ],
)
def test_the_built_in_tasks_refuse_it_called_by_hand_too(name, row, column):
    with pytest.raises(TypeError, match=f"column '{column}' holds"):
        TASKS.get(name).examples(row)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("record", {"passage": "p", "query": "q", "entities": "abc", "answers": ["a"]}),
        ("record", {"passage": "p", "query": "q", "entities": ["abc"], "answers": "abc"}),
        ("squad", {"question": "q", "context": "c", "answers": {"text": "abc"}}),
    ],
)
def test_a_text_in_the_place_of_a_list_is_not_taken_apart_into_letters(name, row):
    with pytest.raises(ValueError, match=r"must hold a list of texts\. Got 'abc'\."):
        TASKS.get(name).examples(row)
