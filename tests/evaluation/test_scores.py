"""Scores: every row once, unlabelled rows left out, each beside a baseline that needs no model."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitask.batching.grouping import batches_of
from multitask.decoding.decoder import Prediction
from multitask.evaluation.baselines import baseline_answers, first_sentence, score_baselines
from multitask.evaluation.scores import evaluate_task, mean_points, points_of, predictions_frame, score_task
from multitask.metrics.metric import Metric
from multitask.metrics.naming import resolve_metrics
from multitask.task import UNLABELLED, Example
from multitask.tokenization.tokenize import tokenize_task
from multitask.training.data_module import EvalRows

some_lengths = st.lists(st.integers(1, 50), min_size=1, max_size=40).map(np.array)


@given(some_lengths, st.integers(1, 200), st.integers(1, 4))
def test_every_row_is_evaluated_once_whatever_the_batches_and_processes(lengths, batch_tokens, world):
    rows = [
        row
        for rank in range(world)
        for batch in EvalRows(0, lengths, batch_tokens=batch_tokens, rank=rank, world=world)
        for row in batch.rows
    ]
    assert sorted(rows) == list(range(len(lengths)))


@given(some_lengths, st.integers(1, 200))
def test_no_batch_has_more_tokens_than_allowed_but_for_a_single_row(lengths, batch_tokens):
    for rows in batches_of(np.argsort(-lengths, kind="stable"), lengths, batch_tokens):
        assert len(rows) == 1 or lengths[rows].max() * len(rows) <= batch_tokens


@pytest.mark.parametrize("kind", ["labels", "span", "number", "text"])
def test_scores_do_not_depend_on_the_batch_size(t5, tokenizer, toy_task, kind):
    task = toy_task(kind)
    examples = [task(row) for row in task.source.rows("validation")]
    tokens = tokenize_task(tokenizer, task, examples)
    done: list[int] = []
    made = [
        evaluate_task(t5, tokenizer, task, examples, tokens, train=examples, batch_tokens=n, advance=done.append)
        for n in (1, 60, 100_000)
    ]
    assert sum(done) == 3 * len(examples)
    for one in made:
        assert list(one.frame["inputs"]) == [e.inputs for e in examples]
        assert list(one.frame["prediction"]) == list(made[0].frame["prediction"])
        assert one.metrics == pytest.approx(made[0].metrics, nan_ok=True)
        assert one.baseline == pytest.approx(made[0].baseline, nan_ok=True)
        assert one.log_likelihood == pytest.approx(made[0].log_likelihood, rel=1e-4)
    assert next(iter(made[0].numbers)) == task.primary.name


def said(texts, likelihood=-2.0, valid=True):
    return [Prediction(i, t, t, likelihood, 2, valid) for i, t in enumerate(texts)]


LABELLED = [Example("a", "no", id="v-0"), Example("b", "yes", id="v-1"), Example("c", "yes", id="v-2")]


def test_rows_without_a_label_are_left_out_of_the_metrics(toy_task):
    examples = [*LABELLED, Example("d", UNLABELLED, id="v-3")]
    scores = score_task(toy_task("labels"), examples, said(["no", "no", "yes", "yes"]), train=LABELLED)
    assert scores.metrics == {"accuracy": pytest.approx(2 / 3)}
    assert scores.baseline == {"accuracy": pytest.approx(2 / 3)}
    assert scores.frame["score"].tolist()[:3] == [1.0, 0.0, 1.0]
    assert math.isnan(scores.frame["score"][3])
    assert list(scores.frame["id"]) == ["v-0", "v-1", "v-2", "v-3"]


def test_the_likelihood_of_an_unknown_target_is_left_out(toy_task):
    examples = [*LABELLED, Example("d", UNLABELLED)]
    predictions = [*said(["no", "no", "yes"]), Prediction(3, "no", "no", -500.0, 2, True)]
    assert score_task(toy_task("labels"), examples, predictions).log_likelihood == -2.0


def test_a_split_without_labels_has_no_score_and_no_error(toy_task):
    examples = [Example("d", UNLABELLED, id="t-0")]
    scores = score_task(toy_task("labels"), examples, said(["yes"]), train=LABELLED)
    assert math.isnan(scores.metrics["accuracy"])
    assert scores.frame["prediction"].tolist() == ["yes"]
    assert math.isnan(scores.frame["score"][0])


def test_an_empty_split_has_no_score(toy_task):
    scores = score_task(toy_task("labels"), [], [], train=LABELLED)
    assert all(math.isnan(v) for v in scores.numbers.values())
    assert len(scores.frame) == 0


def test_predictions_are_sorted_by_row(toy_task):
    shuffled = [said(["no", "no", "yes"])[i] for i in (2, 0, 1)]
    assert score_task(toy_task("labels"), LABELLED, shuffled).frame["id"].tolist() == ["v-0", "v-1", "v-2"]


def test_invalid_outputs_are_counted(toy_task):
    predictions = [*said(["no"]), Prediction(1, "blue", "blue", -1.0, 2, False)]
    assert score_task(toy_task("labels"), LABELLED, predictions).invalid_rate == 0.5


def test_a_corpus_metric_has_no_score_per_example(toy_task):
    task = toy_task("number")
    examples = [Example("a", "1.0"), Example("b", "2.0"), Example("c", "4.0")]
    frame = predictions_frame(task, examples, said(["1.0", "2.0", "3.0"]))
    assert frame["score"].isna().all()


# ------------------------------------------------------------------------------------------------------------ baselines


def test_the_baseline_of_labels_is_the_commonest_in_training(toy_task):
    train = [*LABELLED, *[Example("x", UNLABELLED)] * 9]
    assert baseline_answers(toy_task("labels"), train, LABELLED) == {"always 'yes'": ["yes"] * 3}


def test_the_baseline_of_a_span_is_the_whole_text(toy_task):
    examples = [Example("s: a b", "a", context="a b"), Example("s: c", "c", context="c")]
    assert baseline_answers(toy_task("span"), [], examples) == {"the whole text": ["a b", "c"]}


def test_the_baselines_of_a_number_are_mean_and_median(toy_task):
    train = [Example("a", "1.0"), Example("b", "4.0")]
    assert baseline_answers(toy_task("number"), train, train) == {"always 2.5": ["2.5", "2.5"]}
    train.append(Example("c", "4.0"))
    assert list(baseline_answers(toy_task("number"), train, train)) == ["always 3", "always 4"]
    task = toy_task("number", metrics=resolve_metrics(["mse"]))
    assert [b.name for b in score_baselines(task, train, train[1:])] == ["always 4", "always 3"]


def test_there_is_no_baseline_of_labels_without_training_rows(toy_task):
    assert baseline_answers(toy_task("labels"), [], LABELLED) == {}
    assert score_task(toy_task("labels"), LABELLED, said(["no"] * 3)).baseline == {}


REWRITES = [
    Example("plain: hypothesis: It rains. premise: It pours.", "hypothesis: It rains. premise: It pours", id="v-0"),
    Example("plain: Dr. Who came. He left.", "Dr. Who came.", id="v-1"),
    Example("plain: nothing", UNLABELLED, id="v-2"),
]


def rewriter(toy_task, **fields):
    metrics = resolve_metrics(["bleu", "exact_match", "perplexity"])
    return toy_task("text", prefix="plain: ", **{"metrics": metrics, **fields})


def test_the_baselines_of_text_are_a_copy_the_first_sentence_and_the_commonest_target(toy_task):
    train = [Example("plain: x", "yes, and more of it than fits in forty characters"), Example("plain: y", "no")]
    answers = baseline_answers(rewriter(toy_task), [*train, train[0]], REWRITES[:2])
    assert answers == {
        "copy of the input": ["hypothesis: It rains. premise: It pours.", "Dr. Who came. He left."],
        "first sentence": ["hypothesis: It rains.", "Dr. Who came."],
        "always 'yes, and more of it…n forty characters'": [train[0].target] * 2,
    }
    assert list(baseline_answers(rewriter(toy_task), train, REWRITES[2:])) == ["copy of the input"]
    assert "no answer" in baseline_answers(rewriter(toy_task), [Example("a", "")] * 2, REWRITES)


def test_the_best_baseline_by_the_primary_metric_stands_in_tables_and_the_others_beside_it(toy_task):
    scores = score_task(rewriter(toy_task), REWRITES, said(["x y z", "u v w", "t"]))
    assert scores.baseline_name == "copy of the input"
    assert scores.baseline["bleu"] > scores.other_baselines["first sentence"]["bleu"] > 0
    assert set(scores.baseline) == {"bleu", "exact_match"}
    by_match = rewriter(toy_task, metrics=resolve_metrics(["exact_match", "bleu"]))
    assert score_task(by_match, REWRITES, said(["x", "u", "t"])).baseline_name == "copy of the input"
    at_one = score_task(by_match, REWRITES[1:], [Prediction(0, "x", "x", -1.0, 2, True)])
    assert (at_one.baseline_name, at_one.baseline["exact_match"]) == ("first sentence", 1.0)


def test_a_score_below_the_best_baseline_is_said(toy_task):
    task = rewriter(toy_task)
    (line,) = score_task(task, REWRITES, said(["x y z", "u v w", "t"])).below_baseline
    start = r"task 'toy_text': bleu 0\.000 is below the \d+\.\d{3} of answers without a model "
    assert re.fullmatch(start + r"\(copy of the input\): it was not learned\.", line)
    assert score_task(task, REWRITES, said([e.target for e in REWRITES])).below_baseline == ()
    assert score_task(toy_task("labels"), LABELLED, said(["yes"] * 3), train=LABELLED).below_baseline == ()
    error = toy_task("number", metrics=resolve_metrics(["mse"]))
    (line,) = score_task(error, (n := [Example("a", "1"), Example("b", "2")]), said(["9", "9"]), train=n).below_baseline
    assert "mse 56.500 is above the 0.250 of answers without a model (always 1.5)" in line


def test_the_first_sentence_of_a_text_without_an_end_is_found_at_once():
    for text in ("." * 50_000, "A. " * 30_000, "\n" + " " * 50_000 + "x", "a.b" * 20_000 + "."):
        assert first_sentence(text) == text.strip()  # quadratic ways took minutes


def test_of_much_text_a_part_is_scored_and_says_so(toy_task, monkeypatch):
    monkeypatch.setattr("multitask.evaluation.baselines.WORK", 90)
    task = rewriter(toy_task, metrics=resolve_metrics(["bleu", "rouge_lsum"]))
    found = score_baselines(task, [], [*REWRITES, *REWRITES, *REWRITES])
    assert [b.name for b in found] == ["copy of the input (of 3 examples)", "first sentence (of 3 examples)"]
    monkeypatch.setattr("multitask.evaluation.baselines.WORK", 5)
    assert score_baselines(task, [], REWRITES) == ()  # each is too long
    assert score_baselines(rewriter(toy_task), [], REWRITES)[0].name == "copy of the input"


def test_baselines_are_scored_once_and_a_users_metric_or_postprocess_cannot_fail_a_run(toy_task):
    calls = []

    def counted(outputs):
        calls.append(len(outputs))
        if outputs.predictions[0].startswith("hypothesis: It rains. premise"):
            raise KeyError("no such answer")
        return 0.5

    task = rewriter(toy_task, metrics=(Metric("counted", counted),))
    for _ in range(3):
        found = score_baselines(task, [], REWRITES)
    assert calls == [2, 2]
    assert (found[0].name, found[0].metrics["counted"]) == ("first sentence", 0.5)
    assert math.isnan(found[1].metrics["counted"])
    upper = rewriter(toy_task, postprocess=lambda answer, example: answer.upper())
    assert baseline_answers(upper, [], REWRITES[1:2])["first sentence"] == ["DR. WHO CAME."]
    broken = rewriter(toy_task, postprocess=lambda answer, example: {}[answer])
    assert baseline_answers(broken, [], REWRITES) == {}


# --------------------------------------------------------------------------------------------------------------- points


def test_points_are_oriented_so_that_more_is_better(toy_task):
    lower = next(m for name in ("perplexity", "mse", "mae") for m in _known(name))
    task = toy_task("text", metrics=(lower,))
    assert lower.higher_is_better is False
    assert points_of(task, 3.0) == -3.0 * lower.scale
    assert points_of(toy_task("labels"), 0.25) == 25.0


def _known(name):
    try:
        return resolve_metrics([name])
    except Exception:  # not every name exists in every version
        return ()


def test_the_mean_is_over_tasks_not_over_rows(toy_task):
    tasks = {"a": toy_task("labels", name="a"), "b": toy_task("labels", name="b")}
    scores = {
        "a": score_task(tasks["a"], LABELLED, said(["no", "yes", "yes"])),
        "b": score_task(tasks["b"], LABELLED[:1], said(["yes"])),
    }
    assert mean_points(scores, tasks) == 50.0
    assert math.isnan(mean_points({}, {}))
