"""Text metrics against the scripts and packages whose numbers papers report, written out or called here."""

from __future__ import annotations

import itertools
import re
import string
from collections import Counter

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from multitask.metrics.metric import METRICS
from multitask.metrics.outputs import Outputs
from multitask.metrics.text import _rouge_scorer

WORDS = st.sampled_from(
    ["the", "a", "an", "cat", "cats", "sat,", "on.", "mat!", "'tis", "Über", "42", "running", "ran"]
)
TEXT = st.lists(WORDS, max_size=8).map(" ".join)
ROWS = st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=3)), min_size=1, max_size=6)


def outputs_of(rows) -> Outputs:
    return Outputs([p for p, _ in rows], [gold[0] for _, gold in rows], references=[tuple(gold) for _, gold in rows])


# --- the official SQuAD v1.1 evaluation script (Rajpurkar et al. 2016), its functions rewritten
def squad_normalize(s: str) -> str:
    without = "".join(ch for ch in s.lower() if ch not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", without).split())


def squad_f1(prediction: str, answer: str) -> float:
    p, a = squad_normalize(prediction).split(), squad_normalize(answer).split()
    same = sum((Counter(p) & Counter(a)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(p), same / len(a)
    return 2 * precision * recall / (precision + recall)


@given(ROWS)
def test_exact_match_is_squads_over_all_references(rows):
    expected = [max(squad_normalize(p) == squad_normalize(a) for a in gold) for p, gold in rows]
    assert METRICS.get("exact_match").scores(outputs_of(rows)).tolist() == [float(x) for x in expected]


@given(ROWS)
def test_token_f1_is_squads_over_all_references_but_for_two_empty_answers(rows):
    for (prediction, gold), value in zip(rows, METRICS.get("token_f1").scores(outputs_of(rows)), strict=True):
        if any(not squad_normalize(t) for t in (prediction, *gold)):
            if not squad_normalize(prediction):
                assert value == float(any(not squad_normalize(a) for a in gold))  # as SQuAD v2.0
        else:
            assert value == pytest.approx(max(squad_f1(prediction, a) for a in gold), abs=1e-12)


@pytest.mark.parametrize(
    ("prediction", "answer", "em", "f1"),
    [
        ("The Cat!", "cat", 1.0, 1.0),
        ("cat sat", "cat", 0.0, 2 / 3),
        ("theatre", "the theatre", 1.0, 1.0),  # an article inside a word stays
        ("red red", "red", 0.0, 2 / 3),  # words count as often as they stand there
        ("well-known", "wellknown", 1.0, 1.0),
        ("the", "", 1.0, 1.0),
        ("dog", "", 0.0, 0.0),
    ],
)
def test_squad_golden_values(prediction, answer, em, f1):
    assert METRICS.get("exact_match")([prediction], [answer]) == em
    assert METRICS.get("token_f1")([prediction], [answer]) == pytest.approx(f1)


def kaggle_jaccard(str1: str, str2: str) -> float:
    """The code on the competition's evaluation page."""
    a = set(str1.lower().split())
    b = set(str2.lower().split())
    c = a.intersection(b)
    return float(len(c)) / (len(a) + len(b) - len(c))


@given(ROWS)
def test_jaccard_is_kaggles_over_all_references(rows):
    for (prediction, gold), value in zip(rows, METRICS.get("jaccard").scores(outputs_of(rows)), strict=True):
        expected = [kaggle_jaccard(prediction, a) if prediction or a else 1.0 for a in gold]
        assert value == max(expected)


@pytest.mark.parametrize(
    ("prediction", "answer", "value"),
    [("so happy", "happy", 0.5), ("Happy  happy", "happy", 1.0), ("", "", 1.0), (" ", "", 1.0), ("", "a", 0.0)],
)
def test_jaccard_golden_values(prediction, answer, value):
    assert METRICS.get("jaccard")([prediction], [answer]) == value


def test_the_references_count_and_the_target_only_without_them():
    # span: the training target is in the model's alphabet, the reference as it stands in the row
    columns = {"references": [("I`m sad",)]}
    for name in ("jaccard", "sequence_accuracy"):
        assert METRICS.get(name)(["I`m sad"], ["I'm sad"], **columns) == 1.0
    assert METRICS.get("jaccard")(["I'm sad"], ["I'm sad"], **columns) == pytest.approx(1 / 3)
    assert METRICS.get("accuracy")(["I'm sad"], ["I'm sad"], **columns) == 1.0  # labels have no references


def test_sequence_accuracy_forgives_nothing():
    assert METRICS.get("sequence_accuracy")(["a b", "A b", "a  b", "a b "], ["a b"] * 4) == 0.25


KINDS = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_l": "rougeL", "rouge_lsum": "rougeLsum"}


@pytest.mark.parametrize("name", KINDS)
@given(rows=ROWS)
@settings(max_examples=40)
def test_rouge_is_rouge_scores_with_stemmer_and_the_best_reference(name, rows):
    scorer = rouge_scorer.RougeScorer([KINDS[name]], use_stemmer=True)
    expected = [scorer.score_multi(gold, p)[KINDS[name]].fmeasure for p, gold in rows]
    assert METRICS.get(name).scores(outputs_of(rows)) == pytest.approx(expected, abs=1e-12)
    assert METRICS.get(name).compute(outputs_of(rows)) == pytest.approx(np.mean(expected), abs=1e-12)


@pytest.mark.parametrize("name", ["rouge_1", "rouge_2", "rouge_l", "rouge_lsum"])
def test_rouge_as_t5_computes_it_has_no_stemmer(name):
    predictions = ["police killed the gunmen", "he runs . it falls over"]
    targets = ["police kill the gunmen", "it falls over . he ran"]
    scorer = rouge_scorer.RougeScorer([KINDS[name]])
    lines = [[t.replace(" . ", " .\n") if name == "rouge_lsum" else t for t in part] for part in (targets, predictions)]
    expected = [scorer.score(*pair)[KINDS[name]].fmeasure for pair in zip(*lines, strict=True)]
    assert METRICS.get(f"{name}_unstemmed").scores(Outputs(predictions, targets)) == pytest.approx(expected)
    assert METRICS.get(name)(predictions, targets) > np.mean(expected)


def test_bleu_intl_is_t5s_tokenisation():
    predictions, targets = ["er kostet 3€, sagt die Frau – heute"], ["er kostet 3 €, sagt die Frau – gestern"]
    expected = sacrebleu.corpus_bleu(
        predictions, [targets], smooth_method="exp", smooth_value=0.0, tokenize="intl", use_effective_order=False
    ).score
    assert METRICS.get("bleu_intl")(predictions, targets) == pytest.approx(expected)
    assert METRICS.get("bleu")(predictions, targets) != pytest.approx(expected)


@pytest.mark.parametrize("name", ["exact_match", "token_f1", "jaccard", "sequence_accuracy"])
def test_no_answer_is_right_where_there_is_none_and_nowhere_else(name):
    assert METRICS.get(name).scores(Outputs(["", "red", ""], ["", "", "red"])).tolist() == [1.0, 0.0, 0.0]


def test_rouge_golden_values():
    prediction, target = ["police killed the gunmen"], ["police kill the gunman"]  # Lin 2004's example, changed
    assert METRICS.get("rouge_1")(prediction, target) == pytest.approx(3 / 4)  # killed ~ kill by the stemmer
    assert METRICS.get("rouge_2")(prediction, target) == pytest.approx(2 / 3)
    assert METRICS.get("rouge_l")(["the gunman kill police"], target) == pytest.approx(2 / 4)


def test_rouge_lsum_goes_by_sentences_that_end_at_a_line_break_or_at_a_lone_full_stop():
    swapped, target = "b b b b . a a a a", "a a a a . b b b b"
    for prediction in (swapped, swapped.replace(" . ", "\n")):
        assert METRICS.get("rouge_lsum")([prediction], [target]) == pytest.approx(1.0)
        assert METRICS.get("rouge_l")([prediction], [target]) == pytest.approx(0.5)


TRANSLATION = st.lists(
    st.sampled_from(["der", "ein", "Hund", "Hunde", "läuft,", "schnell", ".", "im", "Park", "3,5"]),
    min_size=5,
    max_size=9,
)
CORPUS = st.lists(st.tuples(TRANSLATION.map(" ".join), TRANSLATION.map(" ".join)), min_size=1, max_size=5)


@pytest.mark.parametrize(("name", "reference"), [("bleu", sacrebleu.corpus_bleu), ("chrf", sacrebleu.corpus_chrf)])
@given(rows=CORPUS)
@settings(max_examples=25, deadline=None)
def test_translation_metrics_are_sacrebleus(name, reference, rows):
    predictions, targets = [p for p, _ in rows], [t for _, t in rows]
    value = METRICS.get(name)(predictions, targets)
    assert value == pytest.approx(reference(predictions, [targets]).score, abs=1e-9)
    assert METRICS.get(name)(targets, targets) == pytest.approx(100.0)


@pytest.mark.parametrize(("name", "reference"), [("bleu", sacrebleu.corpus_bleu), ("chrf", sacrebleu.corpus_chrf)])
def test_translation_metrics_take_a_varying_number_of_references(name, reference):
    predictions = ["the dog runs in the park today", "it is raining cats and dogs"]
    gold = [("a dog runs in the park today", "the dog is running"), ("it rains cats and dogs",)]
    value = METRICS.get(name)(predictions, ["", ""], references=gold)
    streams = [["a dog runs in the park today", "it rains cats and dogs"], ["the dog is running", None]]
    assert value == pytest.approx(reference(predictions, streams).score)
    assert value > METRICS.get(name)(predictions, [g[-1] for g in gold])


@pytest.mark.parametrize("name", ["bleu", "bleu_intl", "chrf"])
def test_translation_metrics_by_counts_are_sacrebleus_on_each_resample(name):
    words = ["der", "ein", "Hund", "läuft,", "schnell", ".", "im", "Park", "3,5"]
    draw = np.random.default_rng(0)

    def text(longest):
        return " ".join(draw.choice(words, draw.integers(0, longest)))

    for longest in (7, 12):  # short ones: often no 4-gram in common, or nothing at all
        predictions = [text(longest) for _ in range(20)]
        gold = [(text(longest), *([text(longest)] if i % 3 else [])) for i in range(20)]
        outputs = Outputs(predictions, [g[0] for g in gold], references=gold)
        metric = METRICS.get(name)
        rows = draw.integers(0, 20, (40, 3 if longest == 7 else 20))
        counts = np.stack([np.bincount(r, minlength=20) for r in rows]).astype(float)
        expected = [metric.compute(outputs.take(r)) for r in rows]
        assert len(set(expected)) > 1
        assert metric.resampler(outputs)(counts) == pytest.approx(expected, abs=1e-10)
        assert metric.resampler(outputs)(np.ones((1, 20)))[0] == pytest.approx(metric.compute(outputs), abs=1e-10)


def test_chrf_per_example_is_sacrebleus_sentence_chrf():
    predictions, targets = ["the dog", "a cat sat"], ["the dogs", "the cat sat"]
    expected = [sacrebleu.sentence_chrf(p, [t]).score for p, t in zip(predictions, targets, strict=True)]
    assert METRICS.get("chrf").scores(Outputs(predictions, targets)) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["rouge1", "rouge2", "rougeL", "rougeLsum"])
def test_words_that_are_stemmed_once_give_what_rouge_score_gives(kind):
    words = re.findall(
        r"\S+", "The running dogs' generalizations were happily relational, dying; skies 42 fairly Éclair"
    )
    texts = [" ".join(words[i:] + words[: i // 2]) for i in range(len(words))]
    library = rouge_scorer.RougeScorer([kind], use_stemmer=True)
    for one, other in itertools.pairwise(texts):
        assert _rouge_scorer(kind, True).score(one, other) == library.score(one, other)
