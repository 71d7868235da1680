"""Bad rows: an error that names them, or left out on request, and then counted, listed and part of the fingerprint."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitask.cli import main
from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.examples.loading import load_examples, load_task
from multitask.interference.data_warnings import find_data_facts
from multitask.interference.design.config import StudyConfig
from multitask.interference.request import prepare_request
from multitask.interference.setup import make_run, prepare_setup
from multitask.metrics.naming import resolve_metrics
from multitask.mixing.prepare import prepare_mixture
from multitask.runs.inference import evaluate
from multitask.runs.train import train
from multitask.sources.in_memory import rows
from multitask.sources.local_files import files
from multitask.task import TASKS, Example, Task, add_task


def pair(row):
    return Example(row["text"], row["label"])


def toy(formatter=pair, **fields):
    given_fields = {"prefix": "toy: ", "labels": ("a", "b"), "output": "labels", "name": "toy"} | fields
    return Task(formatter=formatter, metrics=resolve_metrics(["accuracy"]), **given_fields)


def table(n, start=0):
    return [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(start, start + n)]


BAD = {"text": "x", "label": "c"}
REASON = "ValueError: target 'c' is not one of the labels of task 'toy': ['a', 'b']."


def skipping(given_rows, formatter=pair, split="train", **fields):
    return load_examples(toy(formatter, **fields), rows({split: given_rows}), split, on_bad_row="skip")


def error_of(function, *args, **settings):
    with pytest.raises(UserError) as caught:
        function(*args, **settings)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------- what is a bad row


class UnprintableError(Exception):
    def __str__(self):
        raise RuntimeError("no words")


NO_EXAMPLE = "TypeError: the formatter of task 'toy' must return an Example or a list of them. Got "
NO_STRINGS = "TypeError: an Example is made of two strings. Got inputs of type int and target of type str."


def no_text(what, half):
    return f"its {what} holds half of a surrogate pair ({half}), which no tokenizer takes."


def raises(error):
    def formatter(row):
        raise error

    return formatter


@pytest.mark.parametrize(
    ("formatter", "reason"),
    [
        (raises(ValueError("no\nlabel\x1b[2J")), r"ValueError: no label\x1b[2J"),
        (raises(UnprintableError()), "UnprintableError: a UnprintableError"),
        (raises(StopIteration()), "StopIteration: "),
        (raises(ValueError("x" * 10**7)), f"ValueError: {'x' * 120}…{'x' * 119}"),
        (lambda row: None, NO_EXAMPLE + "NoneType."),
        (lambda row: "text", NO_EXAMPLE + "str."),
        (lambda row: [None], "TypeError: the formatter of task 'toy' must return Examples. Got a list with NoneType."),
        (lambda row: Example(7, "a"), NO_STRINGS),
        (lambda row: Example("x", "a", references="ab"), "TypeError: references must be a tuple of strings. Got 'ab'."),
        (lambda row: Example("x", "a", references=(1,)), "TypeError: references must be a tuple of strings. Got (1,)."),
        (lambda row: Example("x", "a", context=7), "TypeError: context must be a string or None. Got int."),
        (lambda row: Example("x", "a", group=7), "TypeError: group must be a string or None. Got int."),
        (lambda row: Example("x", "a", id=7.5), "TypeError: id must be a string. Got float."),
        (lambda row: Example("x", "c"), REASON),
        (lambda row: Example(row["body"], "a"), "there is no column 'body'"),
        (lambda row: Example("\ud83d", "a"), no_text("input", r"\ud83d")),
        (lambda row: Example("x", "a", context="\udc00"), no_text("context", r"\udc00")),
        (lambda row: Example("x", "a", id="\udc00"), no_text("answers, group or id", r"\udc00")),
    ],
)
def test_what_a_formatter_may_not_do_is_an_error_or_left_out(formatter, reason):
    def sometimes(row):
        return formatter(row) if row["label"] == "c" else pair(row)

    made = skipping([BAD, *table(2)], sometimes)
    assert [e.id for e in made] == ["train:1", "train:2"]  # ids are those of the file, whatever is left out
    (bad,) = made.bad_rows
    assert bad.reason.partition(" (/")[0] == reason.partition(" (/")[0]
    message = error_of(load_examples, toy(sometimes), rows({"train": [BAD, *table(2)]}), "train")
    assert message.startswith("task 'toy'")
    assert "rows given in Python, split train, row 0" in message
    assert len(message) < 600


def test_the_column_of_a_text_that_is_none_is_named(tmp_path):
    (tmp_path / "train.jsonl").write_text(
        json.dumps(table(1)[0]) + '\n{"text": "x \\ud83d", "label": "a"}\n', encoding="utf-8"
    )
    assert error_of(load_examples, toy(), files(tmp_path), "train") == (
        f"task 'toy': {tmp_path}/train.jsonl, line 2, column 'text': its input holds half of a surrogate pair "
        r"(\ud83d), which no tokenizer takes."
    )


def test_a_column_that_no_text_is_made_of_may_hold_anything(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"text": "x", "label": "a", "more": "\\ud83d"}\n', encoding="utf-8")
    assert len(load_examples(toy(), files(tmp_path), "train")) == 1


def test_a_malformed_file_is_an_error_even_where_bad_rows_are_skipped(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"text": "x", "label": "a"}\n{"text": \n', encoding="utf-8")
    message = error_of(load_examples, toy(), files(tmp_path), "train", on_bad_row="skip")
    assert message == f"{tmp_path}/train.jsonl, line 2: not JSON: Expecting value at column 10."


def test_a_missing_value_is_no_text():
    span = runpy.run_path(str(Path(__file__).parents[1] / "golden" / "make.py"))["builtin_tasks"]()["span"]
    row = {"text": "so happy", "selected_text": "happy", "sentiment": "positive"}
    nan = float("nan")
    assert span({**row, "text": nan}).inputs == span.prefix
    assert span({**row, "selected_text": nan}).target == ""
    for missing in (None, nan, " "):
        with pytest.raises(ValueError, match=r"column 'sentiment' has no value\."):
            span({**row, "sentiment": missing})


# ------------------------------------------------------------------------------------------------------- leaving out


def test_rows_that_are_left_out_are_counted_and_keep_their_place():
    made = skipping([*table(3), BAD, {"text": "y"}, {"text": " ", "label": "a"}])
    assert made.skipped == {"empty input": 1, "bad row": 2}
    assert [(b.row, b.line, b.where, b.reason) for b in made.bad_rows] == [
        (3, None, "rows given in Python, split train, row 3", REASON),
        (4, None, "rows given in Python, split train, row 4", "there is no column 'label'"),
    ]
    assert made.total_rows == 6


def test_without_bad_rows_skipping_changes_nothing():
    source = rows({"train": table(40), "validation": table(5, 40)})
    one, other = (load_task(toy(), source, seed=0, on_bad_row=how) for how in ("error", "skip"))
    assert one.train == other.train
    assert one.notes == other.notes == []
    assert one.train.fingerprint == other.train.fingerprint
    assert one.train.fingerprint == (  # golden: what it was before rows could be left out
        "8aa3f6a2740adcc213f052c284124c53f0d674e056b0ea7ace05e37830d2e98f"
    )


@pytest.mark.parametrize(
    "change",
    [
        [*table(3), BAD],  # another place
        [BAD | {"text": "z"}, *table(3)],  # another content
        [*table(1, 99), *table(3)],  # mended
        table(3),
    ],
)
def test_the_fingerprint_knows_which_rows_were_left_out(change):
    def identified(row):  # ids of its own, so that the examples themselves are the same
        return Example(row["text"], row["label"], id=row["text"])

    before, after = (skipping(r, identified) for r in ([BAD, *table(3)], change))
    assert before.fingerprint != after.fingerprint
    assert before.fingerprint == skipping([BAD, *table(3)], identified).fingerprint


@given(bad=st.sets(st.integers(0, 29), max_size=29), split=st.sampled_from(["train", "validation"]))
def test_what_is_left_is_what_there_would_be_without_the_bad_rows(bad, split):
    whole = table(30)
    spoilt = [BAD if i in bad else row for i, row in enumerate(whole)]
    made = skipping(spoilt, split=split)
    assert list(made) == [e for i, e in enumerate(skipping(whole, split=split)) if i not in bad]
    assert [b.row for b in made.bad_rows] == sorted(bad)
    assert made.skipped.get("bad row", 0) == len(bad)


def test_a_split_of_bad_rows_alone_is_an_error():
    assert error_of(skipping, [BAD] * 3) == (
        "task 'toy': each of the 3 rows of split 'train' is bad, so none is left to use. The first, rows given in "
        f"Python, split train, row 0: {REASON}"
    )
    source = rows({"train": table(5), "validation": [BAD]})
    assert error_of(load_task, toy(), source, seed=0, on_bad_row="skip").startswith(
        "task 'toy': each of the 1 rows of split 'validation' is bad"
    )


def test_bad_and_empty_rows_together_may_leave_nothing():
    source = rows({"train": [BAD, {"text": "", "label": "a"}], "validation": table(1)})
    assert error_of(load_task, toy(), source, seed=0, on_bad_row="skip") == (
        "Task 'toy' has 0 training examples (1 skipped: empty input) (1 skipped: bad row); a mixture needs one or more."
    )


def test_the_notes_say_what_is_missing_from_a_score():
    source = rows({"train": [*table(299), BAD], "validation": [*table(49), BAD]})
    assert load_task(toy(), source, seed=0, on_bad_row="skip").notes == [
        "toy: 1 of 300 train rows (0.33 %) are bad and left out. The first, rows given in Python, split train, row "
        f"299: {REASON}",
        "WARNING: more than 1 % of the rows of a split are left out. toy: 1 of 50 validation rows (2 %) are bad and "
        f"left out, so scores are on the other 49. The first, rows given in Python, split validation, row 49: {REASON}",
    ]
    notes = load_task(toy(), rows({"train": [*table(299), BAD]}), seed=0, on_bad_row="skip").notes
    assert "bad and left out, so scores are on part of the other 299. The first" in notes[-1]


def test_a_row_that_is_bad_as_one_of_training_and_scoring_is_left_out_of_both():
    def picky(row, split):
        if row["text"] == f"text {5 if split == 'train' else 6}":
            raise ValueError("no")
        return pair(row)

    data = load_task(toy(picky), rows({"train": table(40)}), seed=0, on_bad_row="skip")
    assert {b.row for b in data.train.bad_rows} == {5, 6}
    ids = [e.id for e in (*data.train, *data.validation)]
    assert sorted(ids) == sorted(f"train:{i}" for i in range(40) if i not in (5, 6))


# -------------------------------------------------------------------------------------------------------- whole runs


@pytest.fixture
def spoilt():
    """A registered task with one bad row in each split."""
    source = rows({"train": [*table(60), BAD], "validation": [*table(8, 60), BAD]})
    yield add_task(toy(source=source, name="spoilt", prefix="spoilt: "))
    TASKS.discard("spoilt")


def test_a_run_lists_what_it_left_out(spoilt, out, capsys):
    settings = {"tasks": "spoilt", "vocab_size": 40, "batch_size": 8, "on_bad_row": "skip", "out": str(out)}
    options = {"max_steps": 2, "enable_progress_bar": False, "accelerator": "cpu"}
    train(**settings, trainer=options)
    lines = (out / "skipped_rows.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "task": "spoilt",
            "split": split,
            "file": f"rows given in Python, split {split}",
            "row": row,
            "line": None,
            "reason": REASON.replace("'toy'", "'spoilt'"),
        }
        for split, row in (("train", 60), ("validation", 8))
    ]
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert record["tasks"]["spoilt"]["skipped"] == {"train": {"bad row": 1}, "validation": {"bad row": 1}}
    assert any("1 of 9 validation rows (11 %) are bad and left out" in note for note in record["notes"])
    printed = capsys.readouterr().out
    assert printed.index("validation rows (11 %) are bad") < printed.index("Scores on the validation split")
    scores = evaluate(out)
    assert len(scores["spoilt"].frame) == 8
    assert "multitask: WARNING: more than 1 %" in capsys.readouterr().err
    assert "is not one of the labels" in error_of(evaluate, out, on_bad_row="error")


def test_the_same_settings_do_not_skip_by_default(spoilt):
    assert error_of(prepare_mixture, TrainConfig(tasks="spoilt", trainer={"max_steps": 1})).startswith(
        "task 'spoilt' cannot format rows given in Python, split train, row 60: ValueError"
    )


def test_the_check_and_the_plan_skip_too(spoilt, capsys):
    assert main(["mix", "--tasks", "spoilt", "--on-bad-row", "skip", "--vocab-size", "40"]) == 0
    assert "spoilt: 1 of 61 train rows (1.6 %) are bad and left out." in capsys.readouterr().out
    command = ["tasks", "check", "--tasks", "spoilt", "--on-bad-row=skip", "--vocab-size", "40"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "spoilt: 1 bad validation row left out; the first, rows given in Python, split validation, row 8:" in printed
    assert main([*command, "--format", "json"]) == 0
    splits = json.loads(capsys.readouterr().out)["tasks"]["spoilt"]["splits"]
    assert splits["train"]["bad_rows"][0]["row"] == 60
    assert main(["mix", "--tasks", "spoilt"]) == 2
    assert "cannot format" in capsys.readouterr().err


def test_a_study_says_it_above_its_tables(spoilt, tmp_path):
    settings = TrainConfig(tasks="spoilt,spoilt_too", on_bad_row="skip", trainer={"max_steps": 2})
    add_task(toy(source=rows({"train": [*table(399), BAD], "validation": table(9)}), name="spoilt_too", prefix="too: "))
    try:
        request = prepare_request(StudyConfig(train=settings))
        setup = prepare_setup(request, tmp_path, None, quiet=True)
        facts = find_data_facts(setup)
        run = make_run(setup, request.design.needed()[0], 0)
    finally:
        TASKS.discard("spoilt_too")
    assert next(w for w in facts["warnings"] if "left out" in w).startswith("more than 1 % of the rows of a split")
    assert [n.partition(" are")[0] for n in facts["notes"]] == ["spoilt_too: 1 of 400 train rows (0.25 %)"]
    assert run.config.on_bad_row == "skip"
