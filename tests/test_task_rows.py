"""What the built-in tasks do with odd rows: labels of all kinds, empty texts, several answers, pronouns."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitask.examples.loading import load_task
from multitask.sources.in_memory import rows
from multitask.task import UNLABELLED, Example
from multitask.tasks._format import judge_referent, label_name, rounded, same_referent
from multitask.tasks.span import plain
from multitask.tasks.squad import pad_punctuation
from multitask.tasks.wnli import find_referent
from multitask.tasks.wsc import mark_pronoun

MAKE = runpy.run_path(str(Path(__file__).parent / "golden" / "make.py"))
TASKS = MAKE["builtin_tasks"]()


# -------------------------------------------------------------------------------------------------------------- labels

ORDERS = {
    "sst2": "negative positive",
    "tweet_sentiment": "negative neutral positive",
    "cola": "unacceptable acceptable",
    "mrpc": "not_equivalent equivalent",
    "qqp": "not_duplicate duplicate",
    "mnli": "entailment neutral contradiction",
    "qnli": "entailment not_entailment",
    "rte": "entailment not_entailment",
    "boolq": "False True",
    "cb": "entailment contradiction neutral",
    "copa": "choice1 choice2",
    "multirc": "False True",
    "wic": "False True",
    "trec": "abbreviation entity description human location number",
    "emotion": "sadness joy love anger fear surprise",
}


def test_the_labels_stand_in_the_order_of_their_numbers():
    assert {name: " ".join(t.labels) for name, t in TASKS.items() if t.labels} == ORDERS


@pytest.mark.parametrize("name", sorted(ORDERS))
def test_a_label_may_be_an_int_a_string_a_float_or_a_name(name):
    row, _ = MAKE["documented"](TASKS[name])
    column = {"trec": "coarse_label", "tweet_sentiment": "sentiment"}.get(name, "label")
    for k, label in enumerate(TASKS[name].labels):
        for value in (k, str(k), float(k), label):
            assert TASKS[name]({**row, column: value}).target == label
    assert TASKS[name]({**row, column: True}).target == TASKS[name].labels[1]
    for unknown in (-1, "-1", None, "", float("nan")):
        assert TASKS[name]({**row, column: unknown}).target == UNLABELLED


def test_a_label_out_of_range_names_the_label_and_the_range():
    with pytest.raises(ValueError) as error:
        TASKS["sst2"]({"sentence": "fine .", "label": 2})
    assert str(error.value) == ("label 2 in column 'label' must be 0 to 1 (negative, positive), or -1 for unknown.")


@pytest.mark.parametrize("value", [-2, 1.5, "yes", "nan", "inf", [1], float("inf")])
def test_a_label_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match=r"must be 0 to 1 \(a, b\), or -1 for unknown\.$"):
        label_name({"label": value}, "label", ("a", "b"))


def test_a_missing_column_is_not_an_unknown_label():
    with pytest.raises(KeyError, match="label"):
        TASKS["sst2"]({"sentence": "fine ."})


@given(st.floats(0, 5))
def test_a_similarity_becomes_one_of_26_strings_within_a_tenth(y):
    string = rounded({"label": y}, "label", 0, 5, 0.2)
    assert string in {f"{k / 5:.1f}" for k in range(26)}
    assert abs(float(string) - y) <= 0.1 + 1e-9


@pytest.mark.parametrize(("y", "string"), [(0.1, "0.0"), (0.3, "0.4"), (0.5, "0.4"), (1.5, "1.6"), (4.9, "4.8")])
def test_half_way_is_rounded_to_even(y, string):
    assert rounded({"label": y}, "label", 0, 5, 0.2) == string


@pytest.mark.parametrize("value", [5.1, -0.5, "much", float("inf")])
def test_a_number_out_of_range_is_refused(value):
    with pytest.raises(ValueError) as error:
        rounded({"label": value}, "label", 0, 5, 0.2)
    assert str(error.value) == f"number {value!r} in column 'label' must be from 0 to 5, or -1 for unknown."


def test_an_unknown_number_is_unlabelled():
    row = {"sentence1": "a", "sentence2": "b"}
    assert [TASKS["stsb"]({**row, "label": v}).target for v in (-1.0, None, "")] == [UNLABELLED] * 3


# ------------------------------------------------------------------------------------------------------ task by task


@given(st.text(), st.data())
def test_a_span_can_be_cut_from_the_row_by_the_offsets_of_the_input(tweet, data):
    start = data.draw(st.integers(0, len(tweet)))
    selected = tweet[start : data.draw(st.integers(start, len(tweet)))]
    example = TASKS["span"]({"text": tweet, "selected_text": selected, "sentiment": "neutral"})
    assert example.context == tweet
    if tweet.strip():
        assert example.inputs.endswith("text: " + plain(tweet))
        assert len(plain(tweet)) == len(tweet)
        assert example.target in example.inputs
        assert example.references == (selected,)


def test_a_tweets_backticks_become_apostrophes_but_are_scored_as_they_are():
    row = {"textID": "b2", "text": "I`m  sad :(", "selected_text": "I`m  sad", "sentiment": "negative"}
    assert TASKS["span"](row) == Example(
        "span sentiment: negative text: I'm  sad :(",
        "I'm  sad",
        id="b2",
        references=("I`m  sad",),
        context="I`m  sad :(",
    )


def test_an_empty_tweet_becomes_an_empty_input():
    row = {"textID": "c3", "text": "", "selected_text": None, "sentiment": "neutral"}
    assert TASKS["span"](row).inputs == TASKS["span"].prefix


def test_the_sentiment_task_reads_the_rows_of_span_and_those_of_the_hub():
    task = TASKS["tweet_sentiment"]
    assert task.folder == "span"
    assert task({"text": " hi ", "selected_text": "hi", "sentiment": "neutral"}).target == "neutral"
    assert task({"id": "d4", "text": "hi", "label": 0, "label_text": "negative"}).target == "negative"


@given(st.text())
def test_padding_punctuation_changes_spaces_only(passage):
    squeeze = re.compile(r"[ \t\n\r\f\v]")
    assert squeeze.sub("", pad_punctuation(passage)).strip() == squeeze.sub("", passage).strip()
    assert pad_punctuation(pad_punctuation(passage)) == pad_punctuation(passage)


def test_squad_keeps_every_answer_once_and_a_row_without_one_is_unlabelled():
    row = {"question": "Where?", "context": "In the U.S.", "answers": {"text": ["U.S.", "the U.S.", "U.S."]}}
    assert TASKS["squad"](row).target == "U . S ."
    assert TASKS["squad"](row).references == ("U . S .", "the U . S .")
    assert TASKS["squad"]({**row, "answers": {"text": []}}).target == UNLABELLED


def test_multirc_groups_the_answers_of_one_question():
    task = TASKS["multirc"]
    row = {"paragraph": "P", "question": "Q", "answer": "A", "label": 0}
    one, two = task(row), task({**row, "answer": "B"})
    other, third = task({**row, "question": "R"}), task({**row, "paragraph": "O"})
    assert one.group == two.group
    assert len({one.group, other.group, third.group}) == 3
    assert task({**row, "idx": {"paragraph": 1, "question": 2, "answer": 3}}).group == "1.2"


def test_record_gives_an_example_per_answer_in_training_and_one_in_evaluation():
    row = {"passage": "P.\n@highlight\nR\n@highlight\nS", "query": "@placeholder", "entities": ["a", "b"]}
    row["answers"] = ["b", "a", "b"]
    task = TASKS["record"]
    assert [e.target for e in task.examples(row, "train")] == ["b", "a"]
    assert [e.references for e in task.examples(row, "validation")] == [("b", "a")]
    assert task(row).inputs == "record query: @placeholder entities: a, b passage: P. R. S"
    assert [e.target for e in task.examples({**row, "answers": []}, "train")] == [UNLABELLED]


WSC_ROW = {"text": "Mitchell asked Tom if he could lend some money.", "span2_text": "he", "span2_index": 4}


def test_wsc_trains_on_true_rows_only_and_is_scored_on_all():
    task = TASKS["wsc"]
    true, false = {**WSC_ROW, "span1_text": "Tom", "label": 1}, {**WSC_ROW, "span1_text": "Mitchell", "label": 0}
    assert [e.target for e in task.examples(true, "train")] == ["Tom"]
    assert task.examples(false, "train") == []
    assert task(true).inputs == "wsc: Mitchell asked Tom if *he* could lend some money."
    assert (task(true).target, task(false).target) == ("Tom", "not Mitchell")


@pytest.mark.parametrize(
    ("prediction", "right_if_true", "right_if_false"),
    [
        ("Tom", True, False),
        ("the tom", True, False),
        ("Mitchell", False, True),
        ("", False, False),
        ("the", False, False),
        ("a this", False, False),
    ],
)
def test_wsc_counts_another_noun_as_right_where_the_row_is_false(prediction, right_if_true, right_if_false):
    true, false = Example("…", "Tom"), Example("…", "not Tom")
    assert (judge_referent(prediction, true) == true.target) == right_if_true
    assert (judge_referent(prediction, false) == false.target) == right_if_false


def test_every_target_is_judged_to_be_itself():
    for target in ("Tom", "not Tom", "the window sill", "not Bob's hat"):
        assert judge_referent(target, Example("…", target)) == target


def test_same_referent_is_symmetric_and_knows_possessives():
    assert same_referent("Bob's old hat", "the hat of Bob's") is same_referent("the hat of Bob's", "Bob's old hat")
    assert not same_referent("Bob", "Bob's hat")
    assert same_referent("A large window", "window")


@pytest.mark.parametrize(
    ("sentence", "pronoun", "index", "marked"),
    [
        ("He saw it , then it fell .", "it", 4, "He saw it , then *it* fell ."),
        ("He saw it , then it fell .", "it", 1, "He saw *it* , then it fell ."),
        ("They might want to use it , but not now", "it", 4, "They might want to use *it* , but not now"),
        ('"Good for him," he said.', "him", 2, '"Good for *him* ," he said.'),
        ("It fell.", "It", 0, "*It* fell."),
        ("If we had it, we would eat it , all", "it,", 3, "If we had *it,* we would eat it , all"),
    ],
)
def test_the_pronoun_is_marked_where_the_row_says_or_next_to_it(sentence, pronoun, index, marked):
    assert mark_pronoun(sentence, pronoun, index) == marked


def test_a_pronoun_that_is_not_there_is_an_error():
    with pytest.raises(ValueError) as error:
        mark_pronoun("Bob fell.", "she", 0)
    assert str(error.value) == "pronoun 'she' does not stand in the sentence 'Bob fell.'."


# The four sentences of T5's own test of `wnli_simple`, and two with several pronouns.
@pytest.mark.parametrize(
    ("premise", "hypothesis", "found"),
    [
        ("Lily spoke to Donna breaking her silence.", "Lily spoke to Donna breaking Donna's silence.", (5, "Donna")),
        ("The fish ate the worm. It was tasty.", "The worm was tasty.", (5, "The worm")),
        (
            "Edward dropped adhesive tape onto his window sill, and when he pulled the tape off, some of the glue was "
            "stuck on it.",
            "Some of the glue was stuck on the window sill.",
            (22, "the window sill"),
        ),
        (
            "Al stole Bob's wallet and car, and then he was driving it really fast to get away.",
            "He was driving the car really fast to get away.",
            (11, "the car"),
        ),
        ("Ann follows Eve in everything. She copies her.", "Ann copies her.", (5, "Ann")),
        ("The dogs barked.", "The cats slept.", (-1, "")),
    ],
)
def test_wnli_finds_the_pronoun_and_its_noun(premise, hypothesis, found):
    assert find_referent(premise, hypothesis) == found


def test_a_wnli_row_of_which_no_pronoun_fits_is_left_out_and_counted():
    fits = {"sentence1": "The fish ate the worm. It was tasty.", "sentence2": "The worm was tasty.", "label": 1}
    row = {"sentence1": "The dogs barked.", "sentence2": "The cats slept.", "label": 1}
    assert TASKS["wnli"].examples(row, "train") == TASKS["wnli"].examples(row) == []
    data = load_task(TASKS["wnli"], rows({"train": [fits, row, row], "validation": [row, fits]}), seed=0)
    assert [e.target for e in data.validation] == ["The worm"]
    assert data.notes == [
        "wnli: the task makes no example of 2 training rows.",
        "wnli: the task makes no example of 1 validation row.",
    ]
