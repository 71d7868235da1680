"""Label metrics against scikit-learn, and what an invalid prediction costs."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from multitask.metrics.classification import codes, never_invalid
from multitask.metrics.metric import METRICS
from multitask.metrics.naming import resolve_metrics
from multitask.metrics.outputs import Outputs

TWO = ("negative", "positive")
THREE = ("entailment", "contradiction", "neutral")


def pairs(labels: tuple[str, ...], *, foreign: bool = False, min_size: int = 1):
    predicted = st.sampled_from((*labels, "zzz") if foreign else labels)
    return st.lists(st.tuples(predicted, st.sampled_from(labels)), min_size=min_size, max_size=30).map(
        lambda rows: Outputs([p for p, _ in rows], [t for _, t in rows], labels=labels)
    )


def sk_f1(targets, predictions, **options) -> float:
    return float(f1_score(targets, predictions, zero_division=0, **options))


@given(pairs(THREE, foreign=True))
def test_accuracy_is_sklearns(outputs):
    assert METRICS.get("accuracy").compute(outputs) == pytest.approx(
        accuracy_score(outputs.targets, outputs.predictions), abs=1e-12
    )


@given(pairs(TWO))
def test_f1_is_sklearns_with_the_second_label_positive(outputs):
    expected = sk_f1(outputs.targets, outputs.predictions, pos_label="positive")
    assert METRICS.get("f1").compute(outputs) == pytest.approx(expected, abs=1e-12)


@given(pairs(TWO, foreign=True))
def test_f1_is_t5s_f1_score_with_invalid(outputs):
    # t5/evaluation/metrics.py: "For any prediction != 0 or 1, set it to the opposite of what the target is"
    targets = np.array([TWO.index(t) for t in outputs.targets])
    predictions = np.array([TWO.index(p) if p in TWO else -1 for p in outputs.predictions])
    mask = np.logical_and(predictions != 0, predictions != 1)
    predictions[mask] = 1 - targets[mask]
    assert METRICS.get("f1").compute(outputs) == pytest.approx(sk_f1(targets, predictions), abs=1e-12)


def test_f1_of_the_other_order_of_labels_is_another_number():
    f1 = METRICS.get("f1")
    predictions, targets = ["a", "a", "b"], ["a", "b", "b"]
    assert f1(predictions, targets, labels=("a", "b")) == pytest.approx(2 / 3)
    assert f1(["a", "a", "a"], targets, labels=("a", "b")) == 0.0
    assert f1(["a", "a", "a"], targets, labels=("b", "a")) == 0.5


def test_f1_without_any_positive_is_zero_as_in_sklearn():
    assert METRICS.get("f1")(["negative"], ["negative"], labels=TWO) == 0.0


@given(pairs(THREE, foreign=True))
def test_f1_macro_is_sklearns_over_the_labels_that_occur(outputs):
    there = [label for label in THREE if label in {*outputs.targets, *outputs.predictions}]
    expected = sk_f1(outputs.targets, outputs.predictions, labels=there, average="macro")
    assert METRICS.get("f1_macro").compute(outputs) == pytest.approx(expected, abs=1e-12)


@given(pairs(THREE))
def test_f1_macro_and_mcc_need_no_labels_where_the_outputs_show_them(outputs):
    bare = Outputs(outputs.predictions, outputs.targets)
    expected = sk_f1(outputs.targets, outputs.predictions, average="macro")
    assert METRICS.get("f1_macro").compute(bare) == pytest.approx(expected, abs=1e-12)
    assert METRICS.get("mcc").compute(bare) == pytest.approx(METRICS.get("mcc").compute(outputs), abs=1e-12)


def test_f1_macro_gives_a_rare_label_the_weight_of_a_common_one():
    predictions = ["neutral"] * 9 + ["neutral"]
    targets = ["neutral"] * 9 + ["entailment"]
    assert METRICS.get("f1_macro")(predictions, targets, labels=THREE) == pytest.approx((18 / 19 + 0) / 2)


@given(st.one_of(pairs(TWO, min_size=2), pairs(THREE, min_size=2)))
def test_mcc_is_sklearns(outputs):
    values = {*outputs.targets, *outputs.predictions}
    expected = matthews_corrcoef(outputs.targets, outputs.predictions) if len(values) > 1 else 0.0  # warns for one
    assert METRICS.get("mcc").compute(outputs) == pytest.approx(expected, abs=1e-12)


def test_mcc_of_constant_predictions_is_zero():
    assert METRICS.get("mcc")(["positive"] * 3, ["positive", "negative", "positive"], labels=TWO) == 0.0


@pytest.mark.parametrize("name", ["accuracy", "f1", "mcc"])
@given(outputs=pairs(TWO, foreign=True), at=st.integers(0, 29))
def test_an_invalid_prediction_is_never_better_than_any_label(name, outputs, at):
    metric, at = METRICS.get(name), at % len(outputs)
    scores = {}
    for said in (*TWO, "zzz", ""):
        predictions = [*outputs.predictions[:at], said, *outputs.predictions[at + 1 :]]
        scores[said] = metric(predictions, outputs.targets, labels=TWO)
    assert scores["zzz"] == scores[""] <= min(scores[label] for label in TWO) + 1e-12


@given(pairs(THREE, foreign=True), st.integers(0, 29))
def test_an_invalid_prediction_is_never_better_than_the_right_label(outputs, at):
    at %= len(outputs)
    for name in ("accuracy", "f1_macro"):
        right = [*outputs.predictions[:at], outputs.targets[at], *outputs.predictions[at + 1 :]]
        invalid = [*outputs.predictions[:at], "zzz", *outputs.predictions[at + 1 :]]
        score = METRICS.get(name)
        assert score(invalid, outputs.targets, labels=THREE) <= score(right, outputs.targets, labels=THREE) + 1e-12


def test_sklearns_third_class_would_reward_an_invalid_prediction():
    # why `mcc_sums` departs from T5's code
    targets, wrong, invalid = [1, 1, 0, 0], [0, 0, 1, 1], [-1, 0, 1, 1]
    assert matthews_corrcoef(targets, invalid) > matthews_corrcoef(targets, wrong)
    ours = METRICS.get("mcc")
    text = ["negative", "positive"]
    assert ours(["zzz", *(text[i] for i in wrong[1:])], [text[i] for i in targets], labels=TWO) == -1.0


def test_an_invalid_prediction_becomes_the_label_after_its_target():
    targets, predictions, labels = codes(Outputs(["zzz", "zzz", "neutral"], THREE, labels=THREE), "mcc")
    assert never_invalid(targets, predictions, labels).tolist() == [1, 2, 2]
    assert never_invalid(np.array([2]), np.array([-1]), 3).tolist() == [0]


def multirc(rows) -> Outputs:
    return Outputs([p for p, _, _ in rows], [t for _, t, _ in rows], groups=[g for _, _, g in rows])


def test_multirc_em_is_the_share_of_questions_with_all_answers_right():
    outputs = multirc(
        [("True", "True", "q1"), ("False", "True", "q2"), ("False", "False", "q1"), ("True", "True", "q2")]
    )
    assert METRICS.get("multirc_em").compute(outputs) == 0.5
    assert METRICS.get("multirc_em").scores(outputs).tolist() == [1.0, 0.0, 1.0, 1.0]


@given(
    st.lists(st.tuples(st.sampled_from(["True", "False", "x"]), st.sampled_from(["True", "False"])), min_size=1),
    st.sampled_from([("True", "False"), ("False", "True"), ()]),
)
def test_multirc_f1_counts_true_as_positive_whatever_the_order_of_labels(rows, labels):
    targets = [t == "True" for _, t in rows]
    predictions = [(p == "True") if p != "x" else not t for (p, _), t in zip(rows, targets, strict=True)]
    value = METRICS.get("multirc_f1")([p for p, _ in rows], [t for _, t in rows], labels=labels)
    assert value == pytest.approx(sk_f1(targets, predictions), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "columns", "message"),
    [
        (
            "f1",
            {"labels": THREE},
            "f1 needs a task with two labels, the second of which is the positive one. Got 3 labels; "
            "f1_macro takes any number.",
        ),
        ("mcc", {"labels": TWO}, "mcc needs targets among the labels ['negative', 'positive']. Got 'neutral'."),
        (
            "f1_macro",
            {"labels": TWO},
            "f1_macro needs targets among the labels ['negative', 'positive']. Got 'neutral'.",
        ),
        ("multirc_f1", {}, "multirc_f1 needs targets 'True' or 'False'. Got 'neutral'."),
        ("multirc_em", {}, "multirc_em needs a group for every example: give Example(..., group=QUESTION)."),
        (
            "multirc_em",
            {"groups": [None]},
            "multirc_em needs a group for every example: give Example(..., group=QUESTION).",
        ),
    ],
)
def test_what_cannot_be_scored_is_said(name, columns, message):
    with pytest.raises(ValueError) as error:
        METRICS.get(name)(["neutral"], ["neutral"], **columns)
    assert str(error.value) == message


def test_f1_of_a_label_is_scikit_learns_for_any_class():
    labels = ("a", "b", "c")
    targets, predictions = list("aabbccab"), list("abbbcaxb")
    for label in labels:
        (metric,) = resolve_metrics([f"f1/{label}"])
        expected = f1_score([t == label for t in targets], [p == label for p in predictions])
        assert metric(predictions, targets, labels=labels) == pytest.approx(expected)
        assert pickle.loads(pickle.dumps(metric))(predictions, targets, labels=labels) == pytest.approx(expected)
    assert metric.misfit(Outputs(targets, targets, labels=labels)) is None
    assert resolve_metrics(["f1/d"])[0].misfit(Outputs(targets, targets, labels=labels)).reason == (
        "'d' is none of the task's labels: a, b, c"
    )
