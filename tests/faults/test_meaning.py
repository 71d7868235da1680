"""Data that could be read as other than it says, without a word: a cell by its neighbours, a file passed over."""

from __future__ import annotations

import csv
import io
import itertools
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from multitask.errors import UserError
from multitask.examples.loading import load_examples, load_task
from multitask.metrics.naming import resolve_metrics
from multitask.sources.local_files import files
from multitask.task import Example, Task

QUICK = settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))

CELLS = st.one_of(
    st.integers(-(10**12), 10**12).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(str),
    st.decimals(-999, 999, places=2).map(str),
    st.sampled_from(["007", "1e3", "-0", "+1", ".5", "5.", " 1", "N/A", "NA", "nan", "null", "True", "", "1_000", "٣"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=8),
)


def task_of(formatter):
    return Task(name="toy", formatter=formatter, prefix="toy: ", metrics=resolve_metrics(["exact_match"]))


FORMATTERS = {
    "as it is": lambda row: Example(row["id"], row["value"]),
    "str": lambda row: Example(row["id"], str(row["value"])),
    "f-string": lambda row: Example(f"{row['id']}: {row['value']}", "x"),
    "equal": lambda row: Example(row["id"], "one" if row["value"] == 1 else "other"),
}


def made(folder, formatter, cells):
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([["id", "value"], *([f"n{i}", cell] for i, cell in enumerate(cells))])
    (folder / "train.csv").write_text(out.getvalue(), encoding="utf-8", newline="")
    return [(e.inputs, e.target) for e in load_examples(task_of(formatter), files(folder), "train")]


@pytest.mark.parametrize("way", FORMATTERS)
@QUICK
@given(cells=st.lists(CELLS, min_size=1, max_size=6), odd=CELLS)
def test_no_row_of_a_table_changes_another(tmp_path, way, cells, odd):
    alone = list(itertools.chain(*(made(tmp_path, FORMATTERS[way], [cell]) for cell in cells)))
    together = made(tmp_path, FORMATTERS[way], [*cells, odd])
    assert [t for _, t in together[: len(cells)]] == [t for _, t in alone]
    if way in ("as it is", "str"):
        assert [t for _, t in together] == [*cells, odd]
    if way == "f-string":
        assert [i for i, _ in together] == [f"toy: n{i}: {cell}" for i, cell in enumerate([*cells, odd])]


NAMES = st.builds(
    lambda split, more, ending, after: split + more + ending + after,
    st.sampled_from(["validation", "Validation", "dev", "val", "validate", "train", "test", "data", "part"]),
    st.sampled_from(["", "-00000-of-00002", "_1", " (1)", "_matched", " copy", "s"]),
    st.sampled_from([".csv", ".CSV", ".jsonl", ".parquet", ".xlsx", ".md", ".arrow", ""]),
    st.sampled_from(["", ".gz", ".zip", ".bak", "~", ".sha256", ".part"]),
)
MEANT = re.compile(r"(validation|validate|dev|val|train(?=.))(-00000-of-00002|_1| \(1\))?|part(-0|_1).*")
ROWS = "text,label\n" + "".join(f"text {i},a\n" for i in range(30))


@QUICK
@given(name=NAMES, kind=st.sampled_from(["file", "folder", "broken link"]))
def test_whatever_lies_beside_the_training_rows_is_read_or_named_or_nobodys(tmp_path_factory, name, kind):
    folder = tmp_path_factory.mktemp("beside")
    (folder / "train.csv").write_text(ROWS)
    other = folder / name
    if other.exists():
        return
    if kind == "file":
        other.write_text(ROWS)
    elif kind == "folder":
        other.mkdir()
    else:
        other.symlink_to(folder / "gone")
    task = task_of(lambda row: Example(row["text"], row["label"]))
    try:
        data = load_task(task, files(folder), seed=0)
    except UserError as error:
        assert name in str(error) or other.suffix in (".jsonl", ".parquet")  # rows of another format: by their reader
        return
    if not data.validation.held_out:
        assert name in ("validation.csv", "validation.CSV")
        return
    # Held out: then nothing that is there was meant as a validation split, or as a part of the training rows.
    stem, _, ending = name.partition(".")
    assert ending.endswith(("md", "sha256", "bak")) or name.endswith("~") or not MEANT.fullmatch(stem.casefold())
