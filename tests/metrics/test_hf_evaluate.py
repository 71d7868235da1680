"""Metrics of `evaluate` in the place of ours and ours in the place of theirs, without a network."""

from __future__ import annotations

import math
import pickle

import datasets
import evaluate
import numpy as np
import pytest
from sklearn.metrics import f1_score

from multitask.errors import UserError
from multitask.metrics.hf_evaluate import split_spec
from multitask.metrics.metric import METRICS
from multitask.metrics.naming import from_evaluate, resolve_metrics
from multitask.metrics.outputs import Outputs

TEXT, WHOLE, REAL = datasets.Value("string"), datasets.Value("int32"), datasets.Value("float32")


def info(predictions, references) -> evaluate.MetricInfo:
    features = datasets.Features({"predictions": predictions, "references": references})
    return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)


class Shouting(evaluate.Metric):
    """Strings in, one number out."""

    def _info(self):
        return info(TEXT, TEXT)

    def _compute(self, predictions, references):
        return {"shouting": float(np.mean([p == r.upper() for p, r in zip(predictions, references, strict=True)]))}


class Several(Shouting):
    def _compute(self, predictions, references):
        return {"mae": 1.0, "count": len(predictions), "note": "text", "flag": True}


class Codes(evaluate.Metric):
    """What evaluate's own f1 takes and gives."""

    def _info(self):
        return info(WHOLE, WHOLE)

    def _compute(self, predictions, references):
        return {"f1": float(f1_score(references, predictions))}


class Numbers(evaluate.Metric):
    def _info(self):
        return info(REAL, REAL)

    def _compute(self, predictions, references):
        return {"mse": float(np.mean((np.array(predictions) - np.array(references)) ** 2))}


class AnyReference(evaluate.Metric):
    def _info(self):
        return info(TEXT, datasets.Sequence(TEXT))

    def _compute(self, predictions, references):
        return {"any": float(np.mean([p in r for p, r in zip(predictions, references, strict=True)]))}


class Sourced(evaluate.Metric):
    def _info(self):
        features = datasets.Features({"predictions": TEXT, "references": TEXT, "sources": TEXT})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", str(tmp_path / "metrics"))


@pytest.mark.parametrize(
    ("name", "predictions", "references", "columns"),
    [
        ("accuracy", ["a", "b"], ["a", "c"], {}),
        ("jaccard", ["so happy", ""], ["happy", ""], {}),
        ("f1", ["a", "zzz", "b"], ["a", "b", "b"], {"labels": ("a", "b")}),
        ("pearson", ["1", "2", "4"], ["1", "3", "2"], {}),
        ("bleu", ["the cat sat on the mat"], ["the cat sat on a mat"], {}),
        ("multirc_em", ["True", "True"], ["True", "False"], {"groups": ["q", "q"]}),
    ],
)
def test_our_metric_as_an_evaluate_metric_gives_the_same_number(name, predictions, references, columns):
    metric = METRICS.get(name).as_evaluate()
    assert isinstance(metric, evaluate.Metric)
    assert metric.name == name
    result = metric.compute(predictions=predictions, references=references, **columns)
    assert result == {name: METRICS.get(name)(predictions, references, **columns)}
    assert metric.compute(predictions=predictions, references=references, **columns) == result  # once more


def test_our_metric_as_an_evaluate_metric_takes_several_references():
    metric = METRICS.get("exact_match").as_evaluate()
    assert metric.compute(predictions=["x", "b"], references=[["a", "x"], ["c"]]) == {"exact_match": 0.5}


def test_our_metric_as_an_evaluate_metric_takes_batches_and_no_examples():
    metric = METRICS.get("accuracy").as_evaluate()
    for prediction in "ab":
        metric.add(prediction=prediction, reference="a")
    assert metric.compute() == {"accuracy": 0.5}
    assert math.isnan(metric.compute(predictions=[], references=[])["accuracy"])


def test_our_metrics_combine_in_evaluate():
    both = evaluate.combine([METRICS.get("accuracy").as_evaluate(), METRICS.get("jaccard").as_evaluate()])
    assert both.compute(predictions=["a b"], references=["a"]) == {"accuracy": 0.0, "jaccard": 0.5}


def test_our_metric_goes_out_and_comes_back():
    metric = from_evaluate(METRICS.get("jaccard").as_evaluate())
    assert (metric.name, metric(["so happy"], ["happy"])) == ("jaccard", 0.5)


def test_an_evaluate_metric_stands_in_a_list_of_metrics():
    (metric,) = resolve_metrics([Shouting()])
    assert metric.name == "shouting"
    assert metric(["A", "b"], ["a", "b"]) == 0.5
    assert math.isnan(metric([], []))
    assert metric.per_example is None


def test_labels_reach_a_metric_of_integers_as_codes_and_invalid_ones_as_the_other_label():
    metric = from_evaluate(Codes(), name="hub_f1")
    outputs = Outputs(["b", "zzz", "a", "zzz"], ["b", "b", "b", "a"], labels=("a", "b"))
    assert metric.compute(outputs) == pytest.approx(METRICS.get("f1").compute(outputs)) == pytest.approx(0.4)
    assert metric(["1", "0"], ["1", "1"]) == pytest.approx(2 / 3)  # without labels: strings that spell integers


def test_numbers_reach_a_metric_of_floats():
    metric = from_evaluate(Numbers())
    assert metric(["1.5", "what"], ["1.0", "0.0"]) == pytest.approx((0.25 + 2.0**2) / 2)  # from -1 to 2
    assert from_evaluate(Numbers(), key="mse").higher_is_better is False
    assert from_evaluate(Numbers(), key="mse", higher_is_better=True).higher_is_better is True


def test_all_references_reach_a_metric_that_takes_lists():
    assert from_evaluate(AnyReference())(["b", "x"], ["a", "a"], references=[("a", "b"), ()]) == 0.5


def test_a_single_reference_goes_before_the_target():
    assert from_evaluate(Shouting())(["B"], ["a"], references=[("b",)]) == 1.0


def test_a_metric_of_evaluate_pickles():
    metric = from_evaluate(Shouting(), key="shouting", scale=1.0)
    again = pickle.loads(pickle.dumps(metric))
    assert (again.name, again.scale, again(["A"], ["a"])) == ("shouting", 1.0, 1.0)
    lazy = resolve_metrics(["evaluate:rouge/rougeL"])[0]
    assert pickle.loads(pickle.dumps(lazy)) == lazy


def test_a_spec_names_what_is_loaded_and_the_key(tmp_path):
    assert split_spec("accuracy") == ("accuracy", None)
    assert split_spec("rouge/rougeL") == ("rouge", "rougeL")
    assert split_spec("someone/metric/score") == ("someone/metric", "score")
    assert split_spec(str(tmp_path)) == (str(tmp_path), None)
    assert split_spec(f"{tmp_path}/score") == (str(tmp_path), "score")


def test_a_named_metric_is_not_loaded_before_it_is_needed(monkeypatch):
    asked = []
    monkeypatch.setattr(evaluate, "load", lambda path: asked.append(path) or Several())
    (metric,) = resolve_metrics(["evaluate:named_once/mae"])
    assert (metric.name, metric.higher_is_better, asked) == ("evaluate:named_once/mae", False, [])
    metric.prepare()
    assert asked == ["named_once"]
    assert metric(["a"], ["a"]) == 1.0
    assert asked == ["named_once"]
    assert resolve_metrics([metric.name]) == (metric,)  # the name leads back to it


def test_a_local_script_is_loaded_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate.config, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    script = tmp_path / "vowels" / "vowels.py"
    script.parent.mkdir()
    script.write_text(
        "import datasets\n"
        "import evaluate\n"
        "class Vowels(evaluate.Metric):\n"
        "    def _info(self):\n"
        "        text = datasets.Value('string')\n"
        "        return evaluate.MetricInfo(description='', citation='', inputs_description='',\n"
        "            features=datasets.Features({'predictions': text, 'references': text}))\n"
        "    def _compute(self, predictions, references):\n"
        "        return {'vowels': sum(p in 'aeiou' for p in predictions) / len(predictions), 'n': 2}\n"
    )
    (metric,) = resolve_metrics([f"evaluate:{script.parent}/vowels"])
    assert metric(["a", "b"], ["x", "x"]) == 0.5


def test_a_metric_that_cannot_be_loaded_is_one_clear_sentence(monkeypatch):
    def fail(path):
        raise ConnectionError("Couldn't reach the Hub.\nmore lines")

    monkeypatch.setattr(evaluate, "load", fail)
    (metric,) = resolve_metrics(["evaluate:far_away"])
    with pytest.raises(UserError) as error:
        metric.prepare()
    assert str(error.value) == (
        "metric 'evaluate:far_away' could not be loaded by evaluate.load('far_away') (ConnectionError: Couldn't reach "
        "the Hub): it needs the network the first time, and the packages that its script imports; the metrics named "
        "without 'evaluate:' need neither."
    )


@pytest.mark.parametrize(
    ("module", "key", "message"),
    [
        (
            Several,
            None,
            "metric 'evaluate:several' gives 2 numbers: choose one of count, mae, as in 'evaluate:several/count'.",
        ),
        (
            Several,
            "maee",
            "metric 'evaluate:several' gives no number called 'maee': choose one of count, mae, "
            "as in 'evaluate:several/count'.",
        ),
        (
            Sourced,
            None,
            "metric 'evaluate:sourced' takes predictions, references, sources, not predictions and references alone: "
            "call it from a function under @register_metric.",
        ),
    ],
)
def test_a_metric_that_does_not_fit_is_an_error(module, key, message):
    with pytest.raises(UserError) as error:
        from_evaluate(module(), key=key)(["a"], ["a"])
    assert str(error.value) == message


def test_one_evaluate_metric_instead_of_a_list_is_an_error():
    with pytest.raises(UserError) as error:
        resolve_metrics(Shouting())
    assert str(error.value) == "metrics must be a list. Got one Shouting: write metrics=[metric]."
