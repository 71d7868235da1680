"""The generated sample: always the same, balanced, learnable in principle, not by the majority."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from multitask.errors import UserError
from multitask.sources.sample_rows import SAMPLED, sample_rows
from multitask.sources.table import rows_fingerprint

COLUMNS = {
    "span": {"textID", "text", "selected_text", "sentiment"},
    "sst2": {"sentence", "label"},
    "tweet_sentiment": {"textID", "text", "selected_text", "sentiment"},
    "trec": {"text", "coarse_label"},
    "emotion": {"text", "label"},
    "stsb": {"sentence1", "sentence2", "label"},
    "denoise": {"text"},
}
GOLDEN = {
    "span": "b48e66153f2da205",
    "sst2": "8ac1f61e93e998f4",
    "tweet_sentiment": "b48e66153f2da205",
    "trec": "593113b6867c7375",
    "emotion": "9dbd106a6a199bb2",
    "stsb": "9d8a76d0e82ce52c",
    "denoise": "6b0400b70d91c86e",
}


def whole(name):
    return sample_rows(name, "train") + sample_rows(name, "validation")


def jaccard(a, b):
    a, b = set(a.lower().split()), set(b.lower().split())
    return len(a & b) / len(a | b)


@pytest.mark.parametrize("name", SAMPLED)
def test_samples_have_the_columns_and_sizes_of_their_task(name):
    assert (len(sample_rows(name, "train")), len(sample_rows(name, "validation"))) == (2000, 400)
    assert all(set(row) == COLUMNS[name] for row in whole(name))


@pytest.mark.parametrize("name", SAMPLED)
def test_no_text_is_in_a_sample_twice(name):
    texts = [next(iter(row.values())) for row in whole(name)]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("name", SAMPLED)
def test_texts_are_clean(name):
    for row in whole(name):
        for value in row.values():
            if isinstance(value, str):
                assert value == " ".join(value.split())
                assert "?." not in value
                assert "? and" not in value


@pytest.mark.parametrize("name", SAMPLED)
def test_samples_never_change(name):
    assert rows_fingerprint(whole(name))[:16] == GOLDEN[name]


def test_samples_do_not_hang_on_hash_randomisation():
    home = "from multitask.sources.sample_rows import sample_rows as s"
    code = f"{home}; print(s('span', 'train')[7], s('trec', 'validation')[7])"
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def test_callers_cannot_change_the_sample():
    sample_rows("sst2", "train")[0]["sentence"] = "changed"
    assert sample_rows("sst2", "train")[0]["sentence"] != "changed"


@pytest.mark.parametrize("split", ["train", "validation"])
def test_classes_are_balanced_as_documented(split):
    n = len(sample_rows("sst2", split))
    assert Counter(row["label"] for row in sample_rows("sst2", split)) == {0: n // 2, 1: n // 2}
    assert Counter(row["sentiment"] for row in sample_rows("span", split)) == {
        "neutral": n * 4 // 10,
        "positive": n * 3 // 10,
        "negative": n * 3 // 10,
    }
    for name, column in (("trec", "coarse_label"), ("emotion", "label"), ("stsb", "label")):
        counts = Counter(row[column] for row in sample_rows(name, split))
        assert set(counts) == set(range(6))
        assert max(counts.values()) - min(counts.values()) <= 1


def test_spans_are_whole_words_of_their_text_and_neutral_ones_all_of_it():
    for row in whole("span"):
        assert row["text"].count(row["selected_text"]) == 1
        start = row["text"].index(row["selected_text"])
        end = start + len(row["selected_text"])
        if row["sentiment"] == "neutral":
            assert row["selected_text"] == row["text"]
        else:
            assert row["text"][start - 1] == " "
            assert len(row["selected_text"].split()) < len(row["text"].split())
            assert row["text"][end : end + 1] in ("", " ")


def test_returning_the_whole_text_is_no_solution_of_the_span_task():
    rows = sample_rows("span", "validation")
    mean = sum(jaccard(row["text"], row["selected_text"]) for row in rows) / len(rows)
    assert 0.45 < mean < 0.6


def test_sentiment_tasks_share_their_rows_and_their_words():
    assert sample_rows("tweet_sentiment", "train") == sample_rows("span", "train")
    phrases = {word for row in whole("span") if row["sentiment"] != "neutral" for word in row["selected_text"].split()}
    reviews = {word for row in whole("sst2") for word in row["sentence"].split()}
    assert len(phrases & reviews) > 80


def test_nearly_all_validation_words_were_seen_in_training():
    for name, column in (("span", "text"), ("sst2", "sentence")):
        seen = {word.strip(".!?,") for row in sample_rows(name, "train") for word in row[column].split()}
        new = {word.strip(".!?,") for row in sample_rows(name, "validation") for word in row[column].split()} - seen
        assert len(new) <= 1


def test_a_fifth_of_the_reviews_is_turned_so_that_single_words_do_not_decide():
    turned = [row for row in whole("sst2") if {"not", "never", "n't"} & set(row["sentence"].split())]
    assert 0.15 < len(turned) / len(whole("sst2")) < 0.27


def test_stsb_labels_count_the_shared_parts():
    def parts(sentence):
        words = sentence.rstrip(" .").split()
        return words[1], words[2], words[4], tuple(words[5:7]), tuple(words[7:])

    for row in whole("stsb"):
        shared = sum(a == b for a, b in zip(parts(row["sentence1"]), parts(row["sentence2"]), strict=True))
        assert row["label"] == float(shared)


def test_an_unknown_sample_is_refused():
    with pytest.raises(UserError) as caught:
        sample_rows("rte", "train")
    assert str(caught.value) == (
        "there is no generated sample for task 'rte'; there is one for "
        "span, sst2, tweet_sentiment, trec, emotion, stsb, denoise."
    )
    with pytest.raises(UserError) as caught:
        sample_rows("sst2", "test")
    assert str(caught.value) == "generated sample 'sst2' has no split 'test': its splits are train, validation."
