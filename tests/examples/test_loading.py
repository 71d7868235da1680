"""Rows become examples: ids, what is left out, what is held out, and the errors of formatters."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitask.errors import UserError
from multitask.examples.held_out import words_of
from multitask.examples.loading import load_examples, load_task, split_examples
from multitask.metrics.naming import resolve_metrics
from multitask.sources.generated import sample
from multitask.sources.in_memory import rows
from multitask.sources.local_files import files
from multitask.task import UNLABELLED, Example, Task
from multitask.testing import check_task


def pair(row):
    return Example(row["text"], row["label"])


def toy(formatter=pair, **fields):
    given_fields = {"prefix": "toy: ", "labels": ("a", "b"), "output": "labels", "name": "toy"} | fields
    return Task(formatter=formatter, metrics=resolve_metrics(["accuracy"]), **given_fields)


def table(n, start=0):
    return [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(start, start + n)]


def error_of(function, *args, **settings):
    with pytest.raises(UserError) as caught:
        function(*args, **settings)
    return str(caught.value)


def ids(examples):
    return [example.id for example in examples]


# --------------------------------------------------------------------------------------------------------- examples


def test_examples_have_the_prefix_and_the_row_as_id():
    made = load_examples(toy(), rows({"train": table(2)}), "train")
    assert [(e.id, e.inputs, e.target) for e in made] == [
        ("train:0", "toy: text 0", "a"),
        ("train:1", "toy: text 1", "b"),
    ]
    assert (made.task, made.split, made.source, made.generated, made.skipped) == (
        "toy",
        "train",
        "rows given in Python, split train",
        False,
        {},
    )


def test_several_examples_of_a_row_are_numbered_and_none_are_none():
    def several(row):
        return [Example(f"{row['text']} {j}", row["label"]) for j in range(row["n"])]

    source = rows({"train": [row | {"n": n} for row, n in zip(table(3), (0, 1, 2), strict=True)]})
    assert ids(load_examples(toy(several), source, "train")) == ["train:1", "train:2.0", "train:2.1"]


def test_an_id_of_the_formatter_is_kept_and_a_second_one_refused():
    task = toy(lambda row: Example(row["text"], row["label"], id=row["label"]))
    assert ids(load_examples(task, rows({"train": table(2)}), "train")) == ["a", "b"]
    assert error_of(load_examples, task, rows({"train": table(3)}), "train") == (
        "task 'toy' gives the id 'a' twice, at rows given in Python, split train, row 0 and rows given in Python, "
        "split train, row 2; runs are paired by id, so give each example its own, or none."
    )


@pytest.mark.parametrize("split", ["train", "validation"])
def test_empty_inputs_are_left_out_of_every_split_and_counted(split):
    source = rows({split: [{"text": text, "label": "a"} for text in ("x", " ", "")]})
    made = load_examples(toy(), source, split)
    assert ids(made) == [f"{split}:0"]
    assert made.skipped == {"empty input": 2}


def test_an_empty_text_to_cut_a_span_from_is_an_empty_input():
    task = toy(lambda row: Example(f"positive text: {row['text']}", "a", context=row["text"]))
    made = load_examples(task, rows({"train": [{"text": ""}, {"text": "x"}]}), "train")
    assert (ids(made), made.skipped) == (["train:1"], {"empty input": 1})


def test_rows_without_a_label_are_left_out_but_can_be_predicted():
    unlabelled = [*table(1), {"text": "x", "label": UNLABELLED}]
    source = rows({"train": unlabelled, "validation": unlabelled, "test": unlabelled})
    assert load_examples(toy(), source, "train").skipped == {"no label": 1}
    assert load_examples(toy(), source, "validation").skipped == {"no label": 1}
    assert ids(load_examples(toy(), source, "test")) == ["test:0", "test:1"]


def test_limit_stops_reading():
    def endless(split):
        yield from table(3)

    made = load_examples(toy(), rows(endless), "train", limit=2)
    assert ids(made) == ["train:0", "train:1"]
    bad = rows({"train": [*table(2), {}]})
    assert len(load_examples(toy(), bad, "train", limit=2)) == 2
    with pytest.raises(ValueError, match="limit must be 1 or more"):
        load_examples(toy(), bad, "train", limit=0)


def test_fingerprints_do_not_hang_on_the_format_of_the_file(tmp_path):
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv/train.csv").write_text("text,label\nx,a\n")
    (tmp_path / "jsonl").mkdir()
    (tmp_path / "jsonl/train.jsonl").write_text('{"label": "a", "text": "x", "more": 1}\n')
    one, two = (load_examples(toy(), files(tmp_path / kind), "train") for kind in ("csv", "jsonl"))
    assert one.fingerprint == two.fingerprint
    assert one.source != two.source


@pytest.mark.parametrize(
    "change",
    [{"id": "x"}, {"inputs": "y"}, {"target": "b"}, {"references": ("a", "b")}, {"context": "text"}, {"group": "g"}],
)
def test_fingerprints_see_everything_that_is_scored(change):
    def changed(row):
        return Example(**({"inputs": "text", "target": "a", "references": ("a",)} | change))

    source = rows({"train": [{}]})
    plain = load_examples(toy(lambda row: Example("text", "a")), source, "train").fingerprint
    assert load_examples(toy(changed), source, "train").fingerprint != plain


# ----------------------------------------------------------------------------------------------------------- errors


def test_a_missing_column_is_named_with_the_ones_there_are(tmp_path):
    (tmp_path / "train.tsv").write_text("sentence\tlabel\nx\ta\n")
    assert error_of(load_examples, toy(), files(tmp_path), "train") == (
        f"task 'toy': {tmp_path}/train.tsv, line 2 has no column 'text', it has sentence, label; "
        "rename it there, or say --columns.toy.text ITS_NAME_THERE."
    )
    renamed = toy(columns={"text": "sentence"})
    assert load_examples(renamed, files(tmp_path), "train")[0].inputs == "toy: x"


def test_a_key_error_of_the_formatter_is_not_taken_for_a_missing_column():
    task = toy(lambda row: Example(row["text"], {"yes": "a"}[row["label"]]))
    message = error_of(load_examples, task, rows({"train": table(1)}), "train")
    assert message.startswith("task 'toy' cannot format rows given in Python, split train, row 0: KeyError: 'a' (")
    assert "test_loading.py:" in message


def test_an_error_of_the_formatter_names_task_row_and_cause():
    def strict(row):
        raise ValueError("label 7 is not 0 or 1.")

    with pytest.raises(UserError, match=r"row 0: ValueError: label 7 is not 0 or 1\. \(.*test_loading\.py") as caught:
        load_examples(toy(strict), rows({"train": table(1)}), "train")
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_target_outside_the_labels_is_named_with_its_row():
    source = rows({"train": [*table(1), {"text": "x", "label": "c"}]})
    assert error_of(load_examples, toy(), source, "train") == (
        "task 'toy' cannot format rows given in Python, split train, row 1: ValueError: target 'c' is not one of the "
        "labels of task 'toy': ['a', 'b']."
    )


@pytest.mark.parametrize("given_rows", [[], [{"text": "", "label": "a"}]])
def test_a_task_without_training_examples_is_refused(given_rows):
    message = error_of(load_task, toy(), rows({"train": given_rows, "validation": table(1)}), seed=0)
    skipped = " (1 skipped: empty input)" if given_rows else ""
    assert message == f"Task 'toy' has 0 training examples{skipped}; a mixture needs one or more."


def test_a_task_without_validation_examples_is_refused():
    message = error_of(load_task, toy(), rows({"train": table(1), "validation": []}), seed=0)
    assert message == "Task 'toy' has 0 validation examples; a score needs one or more."


def test_a_single_row_cannot_be_both_trained_on_and_held_out():
    message = error_of(load_task, toy(), rows({"train": table(1)}), seed=0)
    assert message == (
        "task 'toy' has no validation split, and nothing can be held out for it: its 1 training example is the only "
        "one."
    )


def test_a_validation_split_under_another_name_is_not_overlooked():
    assert error_of(load_task, toy(), rows({"train": table(9), "dev": table(2)}), seed=0) == (
        "task 'toy': rows given in Python has a split 'dev' and none named 'validation'; rename it."
    )


def test_a_source_without_training_rows_is_refused():
    message = error_of(load_task, toy(), rows({"validation": table(2)}), seed=0)
    assert message == "rows given in Python has no split 'train': its splits are validation."


def test_wrong_settings_are_value_errors():
    source = rows({"train": table(9)})
    with pytest.raises(ValueError, match="holdout must be between 0 and 1"):
        load_task(toy(), source, seed=0, holdout=1.0)
    with pytest.raises(ValueError, match="selection must be 0 or more"):
        load_task(toy(), source, seed=0, selection=-1)


# ------------------------------------------------------------------------------------------------------- taking out


def test_with_a_validation_split_nothing_is_held_out():
    data = load_task(toy(), rows({"train": table(20), "validation": table(5, 20)}), seed=0)
    assert (len(data.train), len(data.validation), data.selection, data.notes) == (20, 5, None, [])


def test_without_a_validation_split_a_part_is_held_out_and_said_so():
    data = load_task(toy(), rows({"train": table(300)}), seed=3)
    assert len(data.train) + len(data.validation) == 300
    assert 15 <= len(data.validation) <= 50
    assert not set(ids(data.train)) & set(ids(data.validation))
    assert data.validation.split == "validation"
    assert data.notes == [
        f"toy: no validation split in rows given in Python; {len(data.validation)} of 300 training examples of rows "
        "given in Python, split train are held out for it (seed 3; those of one input stay together), and train no "
        "more."
    ]


def test_at_most_a_thousand_examples_are_held_out():
    assert len(load_task(toy(), rows({"train": table(12_000)}), seed=0).validation) == 1000


@given(n=st.integers(2, 60), seed=st.integers(0, 5), holdout=st.floats(0.01, 0.5))
def test_holding_out_always_leaves_something_on_both_sides(n, seed, holdout):
    data = load_task(toy(), rows({"train": table(n)}), seed=seed, holdout=holdout)
    assert len(data.train) > 0 < len(data.validation)
    assert sorted(ids(data.train) + ids(data.validation)) == sorted(f"train:{i}" for i in range(n))


@given(seed=st.integers(0, 50), more=st.integers(1, 300))
def test_a_row_stays_on_its_side_when_rows_are_added(seed, more):
    few, many = (load_task(toy(), rows({"train": table(n)}), seed=seed) for n in (200, 200 + more))
    assert set(ids(few.train)) <= set(ids(many.train))
    assert set(ids(few.validation)) <= set(ids(many.validation))


def test_another_seed_holds_out_other_rows_and_tasks_on_one_folder_the_same():
    source = rows({"train": table(500)})
    held = {seed: ids(load_task(toy(), source, seed=seed).validation) for seed in (0, 1)}
    assert held[0] != held[1]
    assert ids(load_task(toy(name="other"), source, seed=0).validation) != held[0]
    assert ids(load_task(toy(name="other", folder="toy"), source, seed=0).validation) == held[0]
    assert held[0][:4] == ["train:22", "train:31", "train:45", "train:47"]  # golden: a change would unpair old runs


@pytest.mark.parametrize("with_validation", [True, False])
def test_selection_is_disjoint_from_training_and_from_what_is_reported(with_validation):
    splits = {"train": table(300)} | ({"validation": table(30, 300)} if with_validation else {})
    data = load_task(toy(), rows(splits), seed=0, selection=40)
    parts = [set(ids(part)) for part in (data.train, data.validation, data.selection)]
    assert len(data.selection) == 40
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert len(data.train) + 40 + (0 if with_validation else len(data.validation)) == 300
    assert data.notes[-1] == "toy: 40 of 300 training examples are for choosing checkpoints."
    # what is held out does not hang on how many are selected
    assert ids(data.validation) == ids(load_task(toy(), rows(splits), seed=0).validation)


def test_too_large_a_selection_is_refused():
    source = rows({"train": table(30), "validation": table(3)})
    assert error_of(load_task, toy(), source, seed=0, selection=30) == (
        "task 'toy' has 30 training examples, so 30 cannot be taken out for selection; ask for fewer."
    )


def test_groups_and_the_examples_of_a_row_stay_together():
    def grouped(row):
        return [Example(f"{row['text']} {j}", row["label"], group=row["text"][:-1]) for j in range(2)]

    data = load_task(toy(grouped), rows({"train": table(400)}), seed=0, selection=30)
    sides = [{e.group for e in part} for part in (data.train, data.validation, data.selection)]
    assert sum(map(len, sides)) == len(set.union(*sides))
    assert len(data.selection) >= 30


def sms(n, seed):
    """Messages of which a part is sent again and again, some in other letters."""
    rng = random.Random(seed)
    texts = [f"message {i}" for i in range(n)]
    often = ["Sorry, I'll call later", "sorry i'll call LATER...", "ok", "Ok!", ":)", ":("]
    return [{"text": rng.choice(often if rng.random() < 0.1 else texts), "label": rng.choice("ab")} for _ in range(n)]


def words(part):
    return {" ".join(words_of(e.inputs.removeprefix("toy: "))) or e.inputs for e in part}


@given(n=st.integers(30, 400), seed=st.integers(0, 9), holdout=st.floats(0.02, 0.5), selection=st.integers(0, 8))
def test_no_input_stands_on_two_sides(n, seed, holdout, selection):
    source = rows({"train": sms(n, seed)})
    data = load_task(toy(), source, seed=seed, holdout=holdout, selection=selection)
    parts = [part for part in (data.train, data.validation, data.selection) if part is not None]
    sides = [words(part) for part in parts]
    assert sum(map(len, sides)) == len(set.union(*sides))
    assert sorted(i for part in parts for i in ids(part)) == sorted(f"train:{i}" for i in range(n))
    assert all(map(len, parts))
    again = load_task(toy(), source, seed=seed, holdout=holdout, selection=selection)
    assert [ids(part) for part in (again.train, again.validation)] == [ids(part) for part in parts[:2]]


@pytest.mark.parametrize("seed", range(4))
def test_what_is_held_out_is_as_much_as_was_asked_for_whatever_is_sent_again(seed):
    many = sms(3000, seed)
    held = len(load_task(toy(), rows({"train": many}), seed=seed, selection=100).validation)
    assert abs(held - 300) < 60  # as without duplicates: the share of hashes, sd 16
    assert len(load_task(toy(), rows({"train": many}), seed=seed, selection=100).selection) == 100
    # Half of all rows are one text: it is not held out, nor do its hashes count for others.
    half = [*many[:500], *({"text": "Out of office", "label": "a"} for _ in range(500))]
    data = load_task(toy(), rows({"train": half}), seed=seed)
    assert "out of office" not in words(data.validation)
    assert 60 < len(data.validation) < 140


def test_one_group_of_half_the_rows_is_not_held_out_for_a_tenth():
    def grouped(row):
        return Example(row["text"], row["label"], group="all" if int(row["text"][5:]) < 200 else None)

    for seed in range(10):
        data = load_task(toy(grouped), rows({"train": table(400)}), seed=seed)
        assert len(data.validation) == 40, seed


def test_rows_are_kept_together_through_others():
    """By a text, the group, and that again: a chain is one group."""

    def chained(row):
        return [Example(row["text"], "a", group=row["group"]), Example(row["more"], "a", group=row["group"])]

    table_ = [{"text": f"t{i}", "more": f"t{i + 1}" if i % 5 else f"m{i}", "group": f"g{i}"} for i in range(300)]
    data = load_task(toy(chained), rows({"train": table_}), seed=0)
    sides = [{(int(e.id.partition(":")[2].partition(".")[0]) + 4) // 5 for e in part} for part in data[1:3]]
    assert not sides[0] & sides[1]
    assert len(data.validation) >= 30


def test_rows_of_one_input_alone_cannot_be_held_out():
    same = [{"text": text, "label": "a"} for text in ("Good!", "good", "GOOD")]
    assert error_of(load_task, toy(), rows({"train": same}), seed=0) == (
        "task 'toy' has no validation split, and nothing can be held out for it: its 3 training examples are all of "
        "one input or one group."
    )


def test_held_out_parts_say_that_they_are(tmp_path):
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, table(40))))
    data = load_task(toy(), files(tmp_path), seed=7, selection=5)
    assert data.validation.held_out == (
        f"{len(data.validation)} of 40 training examples of {tmp_path}/train.jsonl are held out for it (seed 7; those "
        "of one input stay together), and train no more."
    )
    assert data.selection.held_out == "5 of 40 training examples are for choosing checkpoints."
    assert data.train.held_out == ""


def test_held_out_rows_are_formatted_for_evaluation():
    def true_only(row, split):  # as WSC: trains on true examples only, is scored on all
        return [] if split == "train" and row["label"] == "b" else Example(row["text"], row["label"])

    data = load_task(toy(true_only), rows({"train": table(400)}), seed=0, selection=50)
    assert {e.target for e in data.train} == {"a"}
    assert {e.target for e in data.validation} == {"a", "b"} == {e.target for e in data.selection}


def test_notes_tell_what_was_skipped_and_what_is_generated():
    source = rows(
        {"train": [*table(3), {"text": "", "label": "a"}], "validation": [*table(2), {"text": " ", "label": "a"}]}
    )
    assert load_task(toy(), source, seed=0).notes == [
        "toy: 1 training example skipped (empty input).",
        "toy: 1 validation example skipped (empty input).",
    ]
    task = toy(lambda row: Example(row["sentence"], "ab"[row["label"]]))
    data = load_task(task, sample("sst2"), seed=0)
    assert data.train.generated
    assert data.notes == []


@given(count=st.integers(1, 49), seed=st.integers(0, 9))
def test_split_examples_takes_exactly_as_many_as_asked(count, seed):
    whole = load_examples(toy(), rows({"train": table(50)}), "train")
    rest, taken = split_examples(whole, count, seed=seed)
    assert len(taken) == count
    assert sorted(ids(rest) + ids(taken)) == sorted(ids(whole))
    if count > 1:  # a smaller part is a part of a larger one
        assert set(ids(split_examples(whole, count - 1, seed=seed)[1])) < set(ids(taken))


def test_split_examples_refuses_all_or_nothing():
    whole = load_examples(toy(), rows({"train": table(5)}), "train")
    for count in (0, 5):
        with pytest.raises(ValueError, match=f"count must be from 1 to 4. Got {count}"):
            split_examples(whole, count, seed=0)


# ------------------------------------------------------------------------------------------------------- check_task


def test_check_task_gives_examples_and_scores_of_an_unregistered_task():
    task = toy(postprocess=lambda prediction, example: prediction.strip().lower())
    check = check_task(task, table(4), [" A", "b", "b", "b"])
    assert check.examples[1].inputs == "toy: text 1"
    assert check.scores == {"accuracy": 0.75}
    assert check_task(task, table(4)).scores == {}


def test_check_task_wants_one_prediction_an_example():
    with pytest.raises(ValueError, match="needs one prediction per example, but got 1 predictions for 4"):
        check_task(toy(), table(4), ["a"])
    with pytest.raises(ValueError, match="but got a single string for 4"):
        check_task(toy(), table(4), "abab")
