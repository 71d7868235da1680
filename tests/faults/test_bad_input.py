"""Bad files and bad formatters: a named error or the right result, never a traceback, a hang or something in between.

A few hundred inputs in CI. The long form counts what it tried, more than `LONG`, and prints it:

    python -m pytest tests/faults/test_bad_input.py -m slow -s
"""

from __future__ import annotations

import json
import runpy
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from multitask.errors import UserError
from multitask.examples.loading import load_examples
from multitask.metrics.naming import resolve_metrics
from multitask.sources.in_memory import rows
from multitask.sources.local_files import files
from multitask.sources.readers import read_rows
from multitask.task import UNLABELLED, Example, Task

bad = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("bad_files.py"))))
oracle = bad.oracle

LONG = 10_000
SHORT_EACH, LONG_EACH = 40, 800
"""Inputs of each check: there are fifteen."""


def task_of(formatter=lambda row: Example(row["text"], row["label"])):
    return Task(
        name="fuzz",
        formatter=formatter,
        prefix="fuzz: ",
        labels=("a", "b"),
        output="labels",
        metrics=resolve_metrics(["accuracy"]),
    )


# ---------------------------------------------------------------------------------------------------- what is checked


def encodable(*texts):
    try:
        return all(isinstance(t, str) and t.encode() is not None for t in texts)
    except UnicodeEncodeError:
        return False


def check_reader(folder, ending, content):
    return oracle.check_file(folder / f"train{ending}", content)


def check_examples(folder, ending, content):
    """From bytes to examples: exactly those of the rows that are good, and the first bad one is named."""
    path = folder / f"train{ending}"
    if oracle.check_file(path, content) == "refused":
        with pytest.raises(UserError) as caught:
            load_examples(task_of(), files(folder), "train", on_bad_row="skip")
        oracle.check_message(caught.value, str(path))
        return "refused"
    there = oracle.oracle(ending, content)
    good, wrong = {}, []
    for i, (line, row) in enumerate(there):
        text, label = row.get("text"), row.get("label")
        if encodable(text, label) and label in ("a", "b", UNLABELLED):
            if text.strip() and label != UNLABELLED:
                good[i] = (f"fuzz: {text}", label, f"train:{i}")
        else:
            numbered = ending not in (".json", ".parquet") and not (ending == ".json" and line != i)
            wrong.append(f"line {line}" if numbered else None)
    if wrong:
        with pytest.raises(UserError) as caught:
            load_examples(task_of(), files(folder), "train")
        oracle.check_message(caught.value, "task 'fuzz'", f"{path}, ", wrong[0] or "")
    if len(wrong) == len(there):
        with pytest.raises(UserError) as caught:
            load_examples(task_of(), files(folder), "train", on_bad_row="skip")
        oracle.check_message(caught.value, "task 'fuzz'", "split 'train' is bad")
        return "refused"
    made = load_examples(task_of(), files(folder), "train", on_bad_row="skip")
    assert [(e.inputs, e.target, e.id) for e in made] == list(good.values())
    assert len(made.bad_rows) == len(wrong) == made.skipped.get("bad row", 0)
    assert len(made) + sum(made.skipped.values()) == len(there)
    return "rows left out" if wrong else "read"


class Odd:
    """A value of the user's own that does not even print."""

    def __repr__(self):
        raise RuntimeError("no")


JUNK = st.one_of(
    bad.VALUES,
    st.sampled_from([None, Odd(), Odd, b"x", {1, 2}, range(3), iter(()), object()]),
    st.builds(list, st.lists(st.one_of(st.none(), bad.TEXTS))),
)
EXAMPLES = st.one_of(
    JUNK,
    st.builds(lambda *a: a, JUNK, JUNK),
    st.builds(lambda **fields: ("example", fields), inputs=JUNK, target=st.one_of(st.just("a"), JUNK), id=JUNK),
    st.builds(
        lambda **fields: ("example", fields),
        inputs=bad.TEXTS,
        target=st.just("a"),
        references=JUNK,
        context=st.one_of(st.none(), JUNK),
        group=st.one_of(st.none(), JUNK),
    ),
    st.builds(
        lambda t, e: ("raise", t, e), bad.TEXTS, st.sampled_from([ValueError, KeyError, RecursionError, OSError])
    ),
    st.sampled_from([("raise", "x" * 10**6, ValueError), ("raise", Odd(), ValueError), ("endless", 0)]),
)


def check_formatter(folder, ending, made):
    """A formatter that makes `made` of one row and an example of the others."""

    def formatter(row):
        if row["n"] != 1:
            return Example(f"text {row['n']}", "a")
        if isinstance(made, tuple) and made and made[0] == "raise":
            raise made[2](made[1])
        if isinstance(made, tuple) and made and made[0] == "endless":
            return formatter(row)
        if isinstance(made, tuple) and made and made[0] == "example":
            return Example(**made[1])
        return made

    source = rows({"train": [{"n": n} for n in range(3)]})
    found = load_examples(task_of(formatter), source, "train", on_bad_row="skip")
    assert {"train:0", "train:2"} <= {e.id for e in found}
    for e in found:
        e.inputs.encode()
        assert e.target == "a"
        assert all(isinstance(r, str) for r in e.references)
    if not found.bad_rows:
        return "read"
    assert [b.row for b in found.bad_rows] == [1]
    with pytest.raises(UserError) as caught:
        load_examples(task_of(formatter), source, "train")
    oracle.check_message(caught.value, "task 'fuzz'", "row 1")
    return "rows left out"


def check_python_rows(folder, ending, given_rows):
    """Rows that a function gives: any mappings at all."""
    try:
        found = rows({"train": given_rows}).rows("train")
    except UserError as error:
        oracle.check_message(error, "rows given in Python, split train")
        return "refused"
    assert list(found) == given_rows or any(v != v for row in given_rows for v in row.values())
    try:
        load_examples(task_of(), rows({"train": given_rows}), "train", on_bad_row="skip")
    except UserError as error:
        oracle.check_message(error, "task 'fuzz'")
        return "refused"
    return "read"


PYTHON_ROWS = st.lists(
    st.one_of(
        st.dictionaries(st.one_of(bad.TEXTS, st.none(), st.integers()), JUNK, max_size=3),
        st.builds(lambda text, label: {"text": text, "label": label}, JUNK, bad.LABELS),
        JUNK,
    ),
    max_size=3,
)

CHECKS = {
    **{f"files{ending}": (check_reader, ending, bad.bad_files(ending)) for ending in oracle.ENDINGS},
    **{f"examples{ending}": (check_examples, ending, bad.bad_files(ending)) for ending in oracle.ENDINGS},
    "formatters": (check_formatter, "", EXAMPLES),
    "rows of a function": (check_python_rows, "", PYTHON_ROWS),
    "any bytes": (
        check_reader,
        ".parquet",
        st.one_of(st.binary(max_size=64), st.binary(max_size=64).map(b"PAR1".__add__)),
    ),
}


def tried(name, folder, count) -> Counter[str]:
    """How a check's inputs ended, {outcome: how many}; it fails if one of them ends otherwise."""
    check, ending, strategy = CHECKS[name]
    outcomes: Counter[str] = Counter()

    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def one(made):
        outcomes[check(folder, ending, made)] += 1

    one()
    return outcomes


@pytest.mark.parametrize("name", CHECKS)
def test_bad_input_is_named_or_read_right(tmp_path, name):
    assert sum(tried(name, tmp_path, SHORT_EACH).values()) >= SHORT_EACH // 2


@pytest.mark.slow
def test_ten_thousand_bad_inputs(tmp_path, capsys, request):
    if "slow" not in request.config.option.markexpr:
        pytest.skip("some minutes: run with -m slow")
    total: Counter[str] = Counter()
    lines = []
    for name in CHECKS:
        folder = tmp_path / name
        folder.mkdir()
        began = time.perf_counter()
        outcomes = tried(name, folder, LONG_EACH)
        seconds = time.perf_counter() - began
        total += outcomes
        lines.append(f"{name:22} {sum(outcomes.values()):6,}  {dict(outcomes)}  {seconds:.0f} s")
    with capsys.disabled():
        print("\n" + "\n".join(lines), f"all: {total.total():,} {dict(total)}", sep="\n")
    assert total.total() >= LONG


# ------------------------------------------------------------------------------------------------- what is very large

MEGABYTES = 10


@pytest.mark.parametrize("ending", oracle.ENDINGS)
def test_a_line_of_ten_megabytes_is_read(tmp_path, ending):
    text = "word " * (MEGABYTES * 200_000)
    path = tmp_path / f"train{ending}"
    path.write_bytes(bad.valid_file(ending, [{"text": text, "label": "a"}, {"text": "short", "label": "b"}]))
    began = time.process_time()
    made = list(read_rows(path))
    assert time.process_time() - began < oracle.SECONDS
    assert [row["text"] for row in made] == [text, "short"]


@pytest.mark.parametrize("ending", [e for e in oracle.ENDINGS if e not in (".parquet", ".txt")])
@pytest.mark.parametrize("unit", ["x", "x,", "x\t", '"', "[", '{"a":', "1", "1,", "\\", "\x1b", "א"])
def test_ten_megabytes_of_nonsense_are_refused_in_a_short_line(tmp_path, ending, unit):
    path = tmp_path / f"train{ending}"
    path.write_text(unit * (MEGABYTES * 1_000_000 // len(unit.encode())), encoding="utf-8")
    began = time.process_time()
    with pytest.raises(UserError) as caught:
        list(read_rows(path))
    assert time.process_time() - began < oracle.SECONDS
    oracle.check_message(caught.value, str(path))


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_a_header_of_ten_megabytes_takes_no_time_of_its_square(tmp_path, ending):
    separator = "," if ending == ".csv" else "\t"
    path = tmp_path / f"train{ending}"
    path.write_text(separator.join(f"column{i}" for i in range(700_000)) + "\nx\n", encoding="utf-8")
    began = time.process_time()
    with pytest.raises(UserError) as caught:
        read_rows(path)
    assert time.process_time() - began < oracle.SECONDS
    oracle.check_message(caught.value, f"{path}, line 2: expected 700000 fields (column0, ", "found 1")


def test_a_text_of_ten_megabytes_stays_out_of_the_message(tmp_path):
    row = {"text": "x" * 10**7, "label": "y" * 10**7, "z" * 10**6: 1}
    (tmp_path / "train.jsonl").write_text(json.dumps(row), encoding="utf-8")
    for formatter in (
        lambda row: Example(row["text"], row["label"]),
        lambda row: Example(row["text"], row["label"][:4], references=row["text"]),
        lambda row: Example(row["body"], "a"),
        lambda row: {}[row["text"]],
    ):
        with pytest.raises(UserError) as caught:
            load_examples(task_of(formatter), files(tmp_path), "train")
        oracle.check_message(caught.value, "task 'fuzz'", f"{tmp_path}/train.jsonl, line 1")
