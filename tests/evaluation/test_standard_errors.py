"""The standard error of a score agrees with the formula of a mean and with a bootstrap, and is the same every time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from multitask.evaluation.standard_errors import mean_error, scored, standard_error
from multitask.metrics.metric import METRICS, Metric
from multitask.metrics.outputs import Outputs


def outputs_for(name, n=400, groups=False):
    rng = np.random.default_rng(3)
    likelihood = {"log_likelihood": -rng.exponential(4.0, n), "target_tokens": rng.integers(1, 9, n)}
    grouped = {"groups": [f"q{i // 4}" for i in range(n)]} if groups else {}
    if name in ("pearson", "spearman", "mse"):
        gold = rng.normal(2.5, 1.0, n)
        said = gold + rng.normal(0.0, 1.0, n)
        return Outputs([f"{v:.2f}" for v in said], [f"{v:.2f}" for v in gold], **likelihood)
    labels = ("False", "True")
    gold = rng.integers(0, 2, n)
    said = np.where(rng.random(n) < 0.75, gold, 1 - gold)
    if name in ("accuracy", "f1", "f1_macro", "mcc", "multirc_f1", "multirc_em"):
        return Outputs([labels[i] for i in said], [labels[i] for i in gold], labels=labels, **grouped, **likelihood)
    words = [f"word{i}" for i in range(30)]
    texts = [[words[i] for i in rng.integers(0, 30, 8)] for _ in range(n)]
    answers = [[w if rng.random() < 0.7 else "other" for w in text] for text in texts]
    return Outputs([" ".join(a) for a in answers], [" ".join(t) for t in texts], **likelihood)


def bootstrap(metric, outputs, resamples=1500):
    rng = np.random.default_rng(0)
    keys = list(dict.fromkeys(outputs.groups)) if len(outputs.groups) else list(range(len(outputs)))
    of = np.array([keys.index(g) for g in outputs.groups]) if len(outputs.groups) else np.arange(len(outputs))
    counts = np.stack(
        [np.bincount(rng.integers(0, len(keys), len(keys)), minlength=len(keys)) for _ in range(resamples)]
    )
    return float(np.std(metric.resampler(outputs)(counts[:, of].astype(float)), ddof=1))


NAMES = (
    *("accuracy", "f1", "f1_macro", "mcc", "multirc_f1", "multirc_em", "pearson", "spearman", "mse"),
    *("jaccard", "rouge_l", "bleu", "chrf", "perplexity"),
)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_what_a_bootstrap_finds(name):
    slow = name in ("spearman", "rouge_l", "bleu", "chrf")
    metric, outputs = METRICS.get(name), outputs_for(name, 200 if slow else 400, groups=name.startswith("multirc"))
    found = standard_error(metric, outputs)
    assert scored(metric, outputs) == (metric.compute(outputs), found)  # to the last bit, and every time
    assert found == pytest.approx(bootstrap(metric, outputs, 500 if slow else 1500), rel=0.2)


def test_of_a_mean_it_is_sd_over_root_n():
    outputs = outputs_for("jaccard")
    metric = METRICS.get("jaccard")
    assert standard_error(metric, outputs) == pytest.approx(mean_error(metric.scores(outputs)), rel=1e-12)
    assert standard_error(METRICS.get("accuracy"), Outputs(["a"] * 9, ["a"] * 9)) == 0.0


def test_examples_of_a_group_are_drawn_together():
    one = Outputs(["a", "b"] * 50, ["a", "a"] * 50)
    copies = Outputs(["a", "b"] * 100, ["a", "a"] * 100, groups=[f"{i % 100}" for i in range(200)])
    accuracy = METRICS.get("accuracy")
    assert standard_error(accuracy, copies) == pytest.approx(standard_error(accuracy, one))


def test_what_cannot_be_known_is_not_a_number():
    assert math.isnan(standard_error(METRICS.get("accuracy"), Outputs(["a"], ["a"])))
    assert math.isnan(standard_error(METRICS.get("accuracy"), Outputs([], [])))
    assert math.isnan(standard_error(METRICS.get("pearson"), Outputs(["1", "1", "1"], ["1", "2", "3"])))
    own = Metric("longest", lambda o: float(max(map(len, o.predictions))))
    assert math.isnan(standard_error(own, Outputs(["a", "bb"], ["a", "b"])))
    assert mean_error(np.array([1.0])) != mean_error(np.array([1.0]))


def test_of_a_users_own_metric_with_a_per_example_column_it_is_known():
    own = Metric("right", METRICS.get("accuracy").function, per_example=METRICS.get("accuracy").per_example)
    outputs = outputs_for("accuracy")
    assert standard_error(own, outputs) == pytest.approx(standard_error(METRICS.get("accuracy"), outputs))
