"""What holds for every metric, and the interface: names, resolving, registering, pickling, errors."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multitask.errors import UserError
from multitask.metrics.metric import METRICS, Metric, written_out
from multitask.metrics.naming import register_metric, resolve_metrics
from multitask.metrics.outputs import Outputs

BUILT_IN = [
    "accuracy",
    "bleu",
    "bleu_intl",
    "chrf",
    "exact_match",
    "f1",
    "f1_macro",
    "jaccard",
    "log_likelihood",
    "mcc",
    "mse",
    "multirc_em",
    "multirc_f1",
    "pearson",
    "perplexity",
    "rouge_1",
    "rouge_1_unstemmed",
    "rouge_2",
    "rouge_2_unstemmed",
    "rouge_l",
    "rouge_l_unstemmed",
    "rouge_lsum",
    "rouge_lsum_unstemmed",
    "sequence_accuracy",
    "spearman",
    "token_f1",
    "token_probability",
]
LIKELIHOOD = ("perplexity", "token_probability", "log_likelihood")
MEANS = [
    "accuracy",
    "mse",
    "jaccard",
    "exact_match",
    "token_f1",
    "sequence_accuracy",
    "rouge_1",
    "rouge_1_unstemmed",
    "rouge_2",
    "rouge_2_unstemmed",
    "rouge_l",
    "rouge_l_unstemmed",
    "rouge_lsum",
    "rouge_lsum_unstemmed",
    "log_likelihood",
]
LABELS = {
    "f1": ("negative", "positive"),
    "f1_macro": ("negative", "neutral", "positive"),
    "mcc": ("negative", "neutral", "positive"),
    "accuracy": ("negative", "neutral", "positive"),
    "multirc_f1": ("False", "True"),
    "multirc_em": ("False", "True"),
}
UNITS = {
    "bleu": (0, 100),
    "bleu_intl": (0, 100),
    "chrf": (0, 100),
    "mcc": (-1, 1),
    "pearson": (-1, 1),
    "spearman": (-1, 1),
}
UNITS |= {"mse": (0, math.inf), "perplexity": (1, math.inf), "log_likelihood": (-math.inf, 0)}
TEXTS = ("the cat sat on the mat", "a dog runs in the old park", "so very happy today my friend")


def strings_for(name: str) -> tuple[str, ...]:
    if name in LABELS:
        return LABELS[name]
    return ("0.0", "2.5", "4.8", "1.2") if name in ("pearson", "spearman", "mse") else TEXTS


def outputs_for(name: str, predictions, targets) -> Outputs:
    n = len(targets)
    return Outputs(
        list(predictions),
        list(targets),
        groups=[f"q{i // 2}" for i in range(n)],
        labels=LABELS.get(name, ()),
        log_likelihood=-np.arange(n, dtype=float) - 0.5,
        target_tokens=np.arange(n) % 3 + 1,
    )


@st.composite
def scored(draw, names=tuple(BUILT_IN), foreign: bool = True):
    name = draw(st.sampled_from(names))
    strings = strings_for(name)
    n = draw(st.integers(2, 8))
    said = (*strings, "zzz", "") if foreign else strings
    predictions = draw(st.lists(st.sampled_from(said), min_size=n, max_size=n))
    return name, outputs_for(name, predictions, draw(st.lists(st.sampled_from(strings), min_size=n, max_size=n)))


def same(a: float, b: float) -> bool:
    return a == pytest.approx(b, abs=1e-9, nan_ok=True)


def test_all_metrics_are_there():
    assert list(METRICS) == BUILT_IN


@pytest.mark.parametrize("name", [n for n in BUILT_IN if n not in LIKELIHOOD])
def test_targets_against_themselves_are_perfect(name):
    targets = [*strings_for(name), *strings_for(name)]
    perfect = {"bleu": 100.0, "bleu_intl": 100.0, "chrf": 100.0, "mse": 0.0}.get(name, 1.0)
    assert METRICS.get(name).compute(outputs_for(name, targets, targets)) == pytest.approx(perfect)


@given(scored(), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_the_order_of_examples_changes_nothing(case, random):
    name, outputs = case
    order = list(range(len(outputs)))
    random.shuffle(order)
    metric = METRICS.get(name)
    assert same(metric.compute(outputs.take(order)), metric.compute(outputs))
    assert metric.scores(outputs.take(order)) == pytest.approx(metric.scores(outputs)[order], nan_ok=True)


@given(scored())
@settings(max_examples=200, deadline=None)
def test_values_stay_in_their_unit(case):
    name, outputs = case
    value = METRICS.get(name).compute(outputs)
    low, high = UNITS.get(name, (0, 1))
    assert low <= value <= high + 1e-9 or (math.isnan(value) and name in ("pearson", "spearman"))


@given(scored(names=tuple(MEANS)))
@settings(max_examples=100, deadline=None)
def test_the_mean_of_the_examples_is_the_metric(case):
    name, outputs = case
    metric = METRICS.get(name)
    assert metric.compute(outputs) == pytest.approx(metric.scores(outputs).mean(), abs=1e-9)


@given(scored(names=tuple(n for n in BUILT_IN if n != "multirc_em")), st.data())
@settings(max_examples=300, deadline=None)
def test_a_resample_by_counts_is_the_metric_of_the_resample_written_out(case, data):
    name, outputs = case
    metric = METRICS.get(name)
    if metric.target_fault is not None and strings_for(name)[0] == "0.0":  # unreadable ones keep the whole's places
        outputs = outputs_for(
            name, [p if p in strings_for(name) else "-1" for p in outputs.predictions], outputs.targets
        )
    rows = data.draw(st.lists(st.integers(0, len(outputs) - 1), min_size=1, max_size=12))
    counts = np.bincount(rows, minlength=len(outputs))
    with np.errstate(invalid="ignore"):
        values = metric.resampler(outputs)(np.stack([counts, 2 * counts, np.ones(len(outputs))]).astype(float))
    assert values.shape == (3,)
    if name in ("f1_macro", "mcc"):  # their labels are given, so a label that drops out is no other task
        assert outputs.labels
    expected = metric.compute(outputs.take(rows))
    assert same(float(values[0]), expected)
    assert same(float(values[1]), metric.compute(outputs.take([*rows, *rows])))
    assert same(float(values[2]), metric.compute(outputs))
    if not name.startswith("bleu"):  # whose smoothing does; no other metric sees how often the whole is repeated
        assert same(float(values[1]), expected)


@given(scored(names=("multirc_em", "multirc_f1"), foreign=False), st.data())
@settings(max_examples=100, deadline=None)
def test_a_question_drawn_twice_counts_as_two_questions(case, data):
    name, outputs = case
    questions = sorted(set(outputs.groups))
    times = data.draw(st.lists(st.integers(0, 3), min_size=len(questions), max_size=len(questions)).filter(any))
    counts = np.array([times[questions.index(g)] for g in outputs.groups], dtype=float)
    metric = METRICS.get(name)
    assert same(float(metric.resampler(outputs)(counts[None])[0]), metric.compute(written_out(outputs, counts)))
    right = [
        all(p == t for p, t, g in zip(outputs.predictions, outputs.targets, outputs.groups, strict=True) if g == q)
        for q in questions
    ]
    if name == "multirc_em":
        assert same(float(metric.resampler(outputs)(counts[None])[0]), np.average(right, weights=times))


def test_every_metric_has_a_fast_way_to_resample_it():
    assert [n for n in BUILT_IN if METRICS.get(n).sums is None] == ["spearman"]
    assert METRICS.get("spearman").weighted is not None


def test_a_metric_without_a_fast_way_is_computed_on_each_resample():
    seen = []

    def agreement(outputs):
        seen.append(len(outputs))
        return float(np.mean([p == t for p, t in zip(outputs.predictions, outputs.targets, strict=True)]))

    values = Metric("mine", agreement).resampler(Outputs(["a", "b"], ["a", "x"]))(
        np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 3.0], [0.0, 0.0]])
    )
    assert values[:3].tolist() == [1.0, 0.5, 0.0]
    assert math.isnan(values[3])
    assert seen == [2, 2, 3]


def test_a_resample_written_out_keeps_copies_of_a_group_apart():
    outputs = Outputs(["a", "b", "c"], ["a", "b", "c"], groups=["p", "p", None])
    again = written_out(outputs, np.array([2, 2, 2]))
    assert again.targets == ["a", "b", "c", "a", "b", "c"]
    assert again.groups == ["p", "p", None, "p copy 1", "p copy 1", None]


@given(scored(names=("accuracy", "f1", "jaccard", "exact_match", "token_f1", "rouge_l", "multirc_em"), foreign=False))
@settings(max_examples=100, deadline=None)
def test_an_invalid_prediction_never_helps(case):
    name, outputs = case
    for i in range(len(outputs)):
        predictions = [*outputs.predictions[:i], "zzz", *outputs.predictions[i + 1 :]]
        worse = METRICS.get(name).compute(outputs_for(name, predictions, outputs.targets))
        assert worse <= METRICS.get(name).compute(outputs) + 1e-12


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_examples_give_nan(name):
    assert math.isnan(METRICS.get(name)([], []))
    assert METRICS.get(name).scores(Outputs([], [])).shape == (0,)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_metric_pickles_to_itself(name):
    assert pickle.loads(pickle.dumps(METRICS.get(name))) is METRICS.get(name)


@pytest.mark.parametrize("name", ["pearson", "spearman", "bleu", "bleu_intl", "perplexity", "token_probability"])
def test_a_metric_without_a_part_for_each_example_has_a_column_of_nan(name):
    outputs = outputs_for("pearson", ["1", "2", "3"], ["2", "3", "4"])
    assert np.isnan(METRICS.get(name).scores(outputs)).tolist() == [True] * 3


@pytest.mark.parametrize("name", ["accuracy", "f1", "f1_macro", "mcc"])
def test_the_example_part_of_label_metrics_is_whether_it_is_right(name):
    outputs = Outputs(["b", "zzz", "a"], ["b", "a", "b"], labels=("a", "b"))
    assert METRICS.get(name).scores(outputs).tolist() == [1.0, 0.0, 0.0]


def test_points_are_the_value_times_the_scale():
    assert {n: METRICS.get(n).scale for n in BUILT_IN if METRICS.get(n).scale != 100} == dict.fromkeys(
        ["bleu", "bleu_intl", "chrf", "log_likelihood", "mse", "perplexity"], 1
    )


def test_take_repeats_and_reorders_every_column():
    outputs = Outputs(
        ["a", "b"],
        ["c", "d"],
        references=[("c", "C"), ("d",)],
        groups=["g", None],
        labels=("c", "d"),
        log_likelihood=np.array([-1.0, -2.0]),
        target_tokens=np.array([3, 4]),
    ).take([1, 1, 0])
    assert (outputs.predictions, outputs.targets) == (["b", "b", "a"], ["d", "d", "c"])
    assert (outputs.references, outputs.groups) == ([("d",), ("d",), ("c", "C")], [None, None, "g"])
    assert outputs.log_likelihood.tolist() == [-2.0, -2.0, -1.0]
    assert (outputs.target_tokens.tolist(), outputs.labels) == ([4, 4, 3], ("c", "d"))
    assert len(outputs.take([])) == 0


@pytest.mark.parametrize(
    ("predictions", "columns", "message"),
    [
        (["a"] * 3, {}, "accuracy needs one prediction per target, but got 3 predictions for 4 targets."),
        (["a"], {}, "accuracy needs one prediction per target, but got 1 prediction for 4 targets."),
        (
            ["a"] * 4,
            {"references": [("a",)]},
            "accuracy needs one tuple of references per target, but got 1 tuple of references for 4 targets.",
        ),
        (["a"] * 4, {"groups": ["g"] * 5}, "accuracy needs one group per target, but got 5 groups for 4 targets."),
        (
            ["a"] * 4,
            {"log_likelihood": np.zeros(2)},
            "accuracy needs one log-likelihood per target, but got 2 log-likelihoods for 4 targets.",
        ),
        (
            ["a"] * 4,
            {"target_tokens": np.zeros(2, dtype=int)},
            "accuracy needs one token count per target, but got 2 token counts for 4 targets.",
        ),
        ("aaaa", {}, "accuracy needs a list of predictions. Got the string 'aaaa'."),
        (
            ["a"] * 4,
            {"references": ["abc"] * 4},
            "accuracy needs a tuple of references for each example. Got the string 'abc'.",
        ),
    ],
)
def test_columns_that_do_not_fit_together_are_an_error(predictions, columns, message):
    with pytest.raises(ValueError) as error:
        METRICS.get("accuracy")(predictions, ["a"] * 4, **columns)
    assert str(error.value) == message


def test_an_empty_entry_of_references_stands_for_the_target():
    assert METRICS.get("sequence_accuracy")(["a", "B"], ["a", "b"], references=[(), ("b", "B")]) == 1.0


# --- resolving


def test_names_and_metrics_resolve_in_order():
    mine = Metric("mine", len)
    assert resolve_metrics(["f1", mine, "accuracy"]) == (METRICS.get("f1"), mine, METRICS.get("accuracy"))
    assert resolve_metrics([]) == ()


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ("accuracy", 'metrics must be a list. Got one str: write metrics=["accuracy"].'),
        (METRICS.registered()["f1"], "metrics must be a list. Got one Metric: write metrics=[metric]."),
        (["acuracy"], "unknown metric 'acuracy': did you mean 'accuracy'?"),
        (["f1", "f1"], "metric 'f1' is given twice: each stands under its name in metrics.json."),
        ([3], "a metric is a name, a Metric or an evaluate.Metric. Got int 3."),
        (
            [math.sqrt],
            "a metric is a name, a Metric or an evaluate.Metric. Got builtin_function_or_method 'sqrt': "
            "put @register_metric() above it.",
        ),
    ],
)
def test_what_is_no_list_of_metrics_is_an_error(metrics, message):
    with pytest.raises(UserError) as error:
        resolve_metrics(metrics)
    assert str(error.value) == message


# --- registering


@pytest.fixture
def clean():
    before = set(METRICS)
    yield
    for name in set(METRICS) - before:
        METRICS.discard(name)


def wrong_words(predictions, targets):
    return [float(p != t) for p, t in zip(predictions, targets, strict=True)]


@pytest.mark.usefixtures("clean")
def test_a_function_becomes_a_metric_that_is_callable_and_known_by_name():
    @register_metric("error_rate", higher_is_better=False, per_example=wrong_words)
    def anything(predictions, targets):
        assert type(predictions) is type(targets) is list
        return sum(wrong_words(predictions, targets)) / len(targets)

    assert resolve_metrics(["error_rate"]) == (anything,)
    assert anything(("a", "b"), ("a", "c")) == 0.5
    assert anything.scores(Outputs(["a", "b"], ["a", "c"])).tolist() == [0.0, 1.0]
    assert (anything.higher_is_better, anything.scale) == (False, 100.0)


@pytest.mark.usefixtures("clean")
def test_a_taken_metric_name_is_refused():
    with pytest.raises(
        UserError,
        match=r"^metric 'f1' is already registered by multitask\.metrics; .*choose another, or say replace=True\.$",
    ):

        @register_metric()
        def f1(predictions, targets):
            return 0.0


def test_register_metric_without_brackets_is_an_error():
    with pytest.raises(UserError) as error:
        register_metric(wrong_words)
    assert str(error.value) == (
        "register_metric is called with or without a name: write @register_metric() above the function."
    )


@pytest.mark.usefixtures("clean")
def test_examples_of_the_wrong_number_are_an_error():
    metric = register_metric("short", per_example=lambda p, t: [1.0])(lambda p, t: 1.0)
    with pytest.raises(ValueError, match=r"^per_example of short must have shape \[N\] = \(2,\)\. Got \(1,\)\.$"):
        metric.scores(Outputs(["a", "b"], ["a", "b"]))


@pytest.mark.usefixtures("clean")
def test_a_users_metric_is_found_again_by_a_process_that_never_imported_it(tmp_path, monkeypatch):
    (tmp_path / "somebodys_metrics.py").write_text(
        "from multitask.metrics import register_metric\n"
        "@register_metric()\n"
        "def always_half(predictions, targets):\n"
        "    return 0.5\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from somebodys_metrics import always_half

    stored = pickle.dumps(always_half)
    METRICS.discard("always_half")
    monkeypatch.delitem(sys.modules, "somebodys_metrics")
    assert pickle.loads(stored)(["a"], ["b"]) == 0.5


def test_an_unregistered_metric_pickles_field_by_field():
    metric = Metric("mine", METRICS.get("accuracy").function, scale=1.0)
    again = pickle.loads(pickle.dumps(metric))
    assert again == metric
    assert again(["a", "b"], ["a", "c"]) == 0.5


def test_importing_the_metrics_imports_nothing_heavy():
    heavy = ["torch", "transformers", "datasets", "evaluate", "pandas", "scipy", "sklearn", "rouge_score", "sacrebleu"]
    code = f"import sys, multitask.metrics.builtin; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
