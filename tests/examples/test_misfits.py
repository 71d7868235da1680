"""Metrics and data that do not fit: found before the first step, with the row; what is undefined decides nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from multitask.cli import main
from multitask.errors import UserError
from multitask.evaluation.scores import deciding_points, mean_points
from multitask.examples.loading import load_examples, load_task
from multitask.examples.misfits import data_cautions, one_kind, undefined_metrics
from multitask.metrics.metric import METRICS, Metric
from multitask.metrics.naming import resolve_metrics
from multitask.mixing.prepare import prepare_mixture
from multitask.plugins import INCLUDED
from multitask.runs.train import train
from multitask.sources.in_memory import rows
from multitask.task import UNLABELLED, Example, Task, add_task
from multitask.testing import check_task
from multitask.training.callbacks import best_checkpoint

ROWS = "rows given in Python, split validation"
NUMBERS = ["1.0", "2.5", "4.0", "3.0"]
FILE = """
from multitask import Example, register_task

@register_task(prefix="fit number: ", output="number", metrics=["pearson"])
def fit_number(row):
    return Example(row["text"], row["y"])

@register_task(prefix="fit label: ", labels=("a", "b", "c"), metrics=["f1"])
def fit_label(row):
    return Example(row["text"], row["y"])

@register_task(prefix="fit rank: ", labels=("a", "b", "c"), metrics=["spearman"], folder="fit_label")
def fit_rank(row):
    return Example(row["text"], row["y"])

@register_task(prefix="fit group: ", labels=("a", "b", "c"), metrics=["accuracy", "multirc_em"], folder="fit_label")
def fit_group(row):
    return Example(row["text"], row["y"])
"""


def task_of(metrics: list[Any], targets: list[str], **fields: Any) -> Any:
    task = Task(
        name="fit",
        formatter=lambda row: Example(row["text"], row["y"], group=row.get("group")),
        prefix="fit: ",
        metrics=resolve_metrics(metrics),
        **fields,
    )
    made = [{"text": f"text {i}", "y": y} for i, y in enumerate(targets)]
    return task, load_examples(task, rows({"validation": made}), "validation")


def refusal(metrics: list[Any], targets: list[str], **fields: Any) -> str:
    with pytest.raises(UserError) as error:
        undefined_metrics(*task_of(metrics, targets, **fields))
    return str(error.value)


# ---------------------------------------------------------------------------------------------------- single targets


@pytest.mark.parametrize("metric", ["pearson", "spearman", "mse"])
@pytest.mark.parametrize("target", ["N/A", "nan", "inf", "", "high"])
def test_a_target_that_is_no_number_is_a_bad_row_of_a_metric_of_numbers(metric, target):
    said = refusal(["exact_match", metric], [*NUMBERS, target])
    assert f"{ROWS}, row 4: target '{target}' is no finite number, and metric '{metric}' takes nothing else." in said


def test_a_number_task_has_targets_that_are_numbers_whatever_its_metrics():
    assert 'and output="number" takes nothing else.' in refusal(["exact_match"], ["1.0", "one"], output="number")


def test_such_rows_are_left_out_on_request_and_rows_without_a_label_are_none():
    task, _ = task_of(["pearson"], NUMBERS)
    data = [{"text": str(i), "y": y} for i, y in enumerate(["1.0", "N/A", UNLABELLED, "2.0"])]
    kept = load_examples(task, rows({"validation": data}), "validation", on_bad_row="skip")
    assert [e.target for e in kept] == ["1.0", "2.0"]
    assert [bad.reason for bad in kept.bad_rows] == [
        "target 'N/A' is no finite number, and metric 'pearson' takes nothing else."
    ]


def test_a_correlation_of_labels_needs_labels_that_are_numbers():
    labels = {"labels": ("1", "2", "3"), "output": "labels"}
    assert undefined_metrics(*task_of(["pearson"], ["1", "2", "3"], **labels)) == {}
    assert "target 'a' is no finite number" in refusal(["pearson"], ["a", "b"], labels=("a", "b"), output="labels")


def test_multirc_takes_true_and_false():
    assert "'yes' is neither 'True' nor 'False'" in refusal(["multirc_f1"], ["yes"])


# ------------------------------------------------------------------------------------------------------ whole splits


def test_f1_of_three_labels_is_refused_with_the_first_of_the_third():
    labels = {"labels": ("a", "b", "c"), "output": "labels"}
    assert refusal(["accuracy", "f1"], ["a", "b", "c", "c"], **labels) == (
        "task 'fit': metric 'f1' cannot score its data: it needs two labels, the second of which is the positive one, "
        f"and the task has 3: a, b, c; f1_macro takes any number (first at {ROWS}, row 2 (from 0))."
    )
    assert "the task has 0; f1_macro" in refusal(["f1"], ["a"])


def test_the_check_of_a_tasks_own_tests_refuses_too():
    task, _ = task_of(["f1"], ["a"], labels=("a", "b", "c"), output="labels")
    with pytest.raises(UserError, match="metric 'f1' cannot score its data"):
        check_task(task, [{"text": "x", "y": "a"}], predictions=["a"])


def test_multirc_needs_groups():
    assert "it needs a group for every example" in refusal(["multirc_em"], ["True", "False"])


def test_a_correlation_with_one_number_is_undefined_and_an_error_is_not():
    task, examples = task_of(["pearson", "mse", "spearman"], ["2.5", "2.50", "2.5"])
    found = undefined_metrics(task, examples)
    assert list(found) == ["pearson", "spearman"]
    assert found["pearson"] == "the target of all 3 examples is '2.5', and a correlation with one number is undefined"


def test_what_a_metric_of_ones_own_would_raise_in_evaluation_is_found_with_its_row():
    def strict(outputs):
        for target in outputs.targets:
            if "bad" in target:
                raise KeyError("no entry")
        return 1.0

    targets = ["x"] * 37 + ["bad"] + ["x"] * 20
    assert f"cannot score its data: KeyError: 'no entry' (first at {ROWS}, row 37 (from 0))." in refusal(
        [Metric("strict", strict)], targets
    )


def test_what_a_metric_raises_on_every_row_is_no_rows_fault():
    def never(outputs):
        raise ValueError("needs a licence")

    assert refusal([Metric("never", never)], ["x", "y", "z"]) == (
        "task 'fit': metric 'never' cannot score its data: ValueError: needs a licence."
    )


def test_a_metric_of_ones_own_that_gives_nan_for_the_right_answers_is_undefined():
    task, examples = task_of([Metric("void", lambda outputs: math.nan)], ["x"])
    assert undefined_metrics(task, examples) == {"void": "it gives NaN for the right answers themselves"}


def test_a_metric_of_evaluate_is_given_the_gold_answers():
    datasets, evaluate = pytest.importorskip("datasets"), pytest.importorskip("evaluate")

    class Whole(evaluate.Metric):
        def _info(self):
            whole = datasets.Value("int32")
            features = datasets.Features({"predictions": whole, "references": whole})
            return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

        def _compute(self, predictions, references):
            return {"whole": 1.0}

    said = refusal([Whole()], ["1", "2", "half", "4"])
    assert f"needs targets that are numbers. Got 'half' (first at {ROWS}, row 2 (from 0))." in said


def test_postprocessing_that_fails_on_a_right_answer_is_refused():
    def first(text, example):
        return text.split()[0]

    assert refusal(["exact_match"], ["x", ""], postprocess=first) == (
        f"task 'fit': its postprocess fails on the right answer '' of {ROWS}, row 1 (from 0): IndexError: list index "
        "out of range"
    )


@pytest.mark.parametrize("name", [n for n in METRICS if n not in ("f1", "multirc_em", "multirc_f1")])
def test_metrics_and_data_that_fit_are_left_alone(name):
    numbers = METRICS.get(name).target_fault is not None
    assert undefined_metrics(*task_of([name], NUMBERS if numbers else ["a b", "c", "a b"])) == {}


# ------------------------------------------------------------------------------------------------------- of one kind


def test_a_split_of_one_kind_is_said():
    labels = {"labels": ("neg", "pos"), "output": "labels"}
    task, _ = task_of(["mcc"], ["neg"], **labels)
    made = {"train": ["neg", "neg"], "validation": ["pos", "pos", "pos"]}
    source = rows({split: [{"text": str(i), "y": y} for i, y in enumerate(ys)] for split, ys in made.items()})
    assert data_cautions(task, load_task(task, source, seed=0)).one_kind == [
        "fit: all 2 training examples have the target 'neg' and never 'pos': a model learns to answer nothing else.",
        "fit: all 3 validation examples have the target 'pos' and never 'neg': always giving it scores as well as "
        "knowing the answers.",
    ]
    assert one_kind(task, [Example("a", "neg"), Example("b", "pos")], "validation") is None
    assert one_kind(task, [Example("a", "neg")], "validation") is None


# ------------------------------------------------------------------------------------------------- at the command line


@pytest.fixture
def folder(tmp_path, monkeypatch):
    from multitask.task import TASKS

    monkeypatch.setenv(INCLUDED, "")
    (tmp_path / "fit_tasks.py").write_text(FILE)
    labels = "text,y\none,a\ntwo,b\nthree,c\nfour,a\n"
    for task, split, text in (
        ("fit_number", "train", "text,y\none,1.0\ntwo,2.0\nthree,3.5\n"),
        ("fit_number", "validation", "text,y\none,1.0\ntwo,2.0\n"),
        ("fit_label", "train", labels),
        ("fit_label", "validation", labels),
    ):
        path = tmp_path / "data" / task / f"{split}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("fit_number", "fit_label", "fit_rank", "fit_group"):
        TASKS.discard(name)


@pytest.mark.parametrize("command", [["train", "--out", "run"], ["tasks", "check"]])
@pytest.mark.parametrize(
    ("task", "add", "said"),
    [
        (
            "fit_number",
            ("validation", "three,N/A"),
            "data/fit_number/validation.csv, line 4: target 'N/A' is no",
        ),
        ("fit_number", ("train", "four,inf"), "data/fit_number/train.csv, line 5: target 'inf' is no finite number"),
        ("fit_label", None, "metric 'f1' cannot score its data: it needs two labels"),
        ("fit_rank", None, "data/fit_label/train.csv, line 2: target 'a' is no finite number, and metric 'spearman'"),
        ("fit_group", None, "(first at data/fit_label/validation.csv, row 0 (from 0))."),
    ],
)
def test_train_and_check_refuse_before_anything_is_trained(folder, command, task, add, said, capsys):
    if add:
        with (folder / "data" / task / f"{add[0]}.csv").open("a") as file:
            file.write(add[1] + "\n")
    assert main([*command, "--include", "fit_tasks.py", "--data", "data", "--tasks", task]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (folder / "run").exists()


# --------------------------------------------------------------------------------------------- NaN decides nothing


def test_a_mean_that_is_chosen_by_is_never_over_other_tasks_for_a_nan(toy_task):
    class Scored:
        def __init__(self, value):
            self.metrics = {"accuracy": value, "pearson": value}

    tasks = {"a": toy_task("labels", name="a"), "b": toy_task("number", name="b")}
    assert mean_points({"a": Scored(0.8), "b": Scored(math.nan)}, tasks) == 40.0  # one answer to everything: 0
    assert mean_points({"a": Scored(0.8), "b": Scored(math.nan)}, tasks, {"b"}) == 80.0
    assert math.isnan(mean_points({"b": Scored(math.nan)}, tasks, {"b"}))
    assert deciding_points(METRICS.get("mse"), None) == -math.inf


def test_a_checkpoint_with_an_undefined_score_is_never_the_best(tmp_path):
    callback = best_checkpoint(tmp_path, monitor="val/a", mode="max", save_top_k=1)
    assert not callback.check_monitor_top_k(None, torch.tensor(math.nan))
    assert callback.check_monitor_top_k(None, torch.tensor(-50.0))


@pytest.fixture
def constant(toys, toy_task):
    """A task whose targets are all one number, so that its correlation is undefined."""
    task = toy_task("number", name="toy_constant", prefix="constant: ", formatter=lambda r: Example(r["text"], "2.5"))
    yield add_task(task)
    from multitask.task import TASKS

    TASKS.discard("toy_constant")


def run(out: Path, tasks: str, **settings: Any) -> Path:
    options = {"max_steps": 4, "enable_progress_bar": False, "accelerator": "cpu"}
    given: dict[str, Any] = {"vocab_size": 70, "batch_size": 8, "eval_every": 2, "selection_rows": 6, "eval_limit": 4}
    return train(**{**given, "tasks": tasks, "out": str(out), "trainer": options, **settings}).folder


def test_an_undefined_task_is_left_out_of_the_choice_by_name(constant, tmp_path, capsys):
    folder = run(tmp_path / "run", "toy_constant,toy_labels", select="per-task", patience=5)
    out = capsys.readouterr().out
    assert "(without toy_constant)" in out
    lines = [line for line in out.splitlines() if line.startswith("evaluation:")]
    assert len(lines) == 2
    for line in lines:  # the mean is that of the other task
        assert line.split("toy_labels ")[1].split()[0] == line.split("mean ")[1].split()[0]
    names = {p.name.rsplit("-", 1)[0] for p in (folder / "checkpoints").iterdir()}
    assert names == {"best", "best@toy_labels", "step"}
    warnings = json.loads((folder / "run.json").read_text())["warnings"]
    assert any("'pearson' is undefined on the selection examples" in w for w in warnings)
    assert any("has no best checkpoint of its own; it is scored at the best by mean" in w for w in warnings)
    assert any(w.startswith("task 'toy_constant': pearson is undefined on these 12 examples") for w in warnings)
    assert json.loads((folder / "metrics.json").read_text())["toy_constant"]["pearson"] is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"tasks": "toy_constant,toy_labels", "select": "toy_constant"},
            "--select toy_constant cannot choose by toy_",
        ),
        (
            {"tasks": "toy_constant", "select": "mean"},
            "--select mean cannot choose by the mean over tasks: on",
        ),
        ({"tasks": "toy_constant", "patience": 2}, "--patience cannot choose by the mean over tasks: on the"),
    ],
)
def test_where_nothing_is_left_to_choose_by_the_run_is_refused(constant, tmp_path, settings, said):
    with pytest.raises(UserError) as error:
        run(tmp_path / "run", quiet=True, **settings)
    assert str(error.value).startswith(said)
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_study_that_could_choose_nothing_is_refused_before_any_model(constant, tmp_path):
    from multitask.interference.design.config import parse_settings
    from multitask.interference.request import prepare_request
    from multitask.interference.setup import prepare_setup
    from multitask.interference.undefined import undefined_on_selection

    plain = {"tasks": "toy_constant,toy_number", "vocab_size": 70, "trainer": {"max_steps": 2}, "selection_rows": 6}
    chosen = prepare_request(parse_settings({**plain, "select": "mean", "eval_every": 1}))
    with pytest.raises(UserError, match="--select mean cannot choose among the checkpoints of a task alone: 'pearson'"):
        prepare_setup(chosen, tmp_path / "a", None, quiet=True)
    tuned = prepare_request(parse_settings({**plain, "lr_grid": "0.1,0.2"}))
    setup = prepare_setup(tuned, tmp_path / "b", None, quiet=True)
    assert list(undefined_on_selection(tuned.tasks, setup.mix)) == ["toy_constant"]


def test_the_mean_of_a_study_is_over_the_tasks_that_have_a_difference():
    from fractions import Fraction
    from types import SimpleNamespace

    from multitask.interference.design.arms import Arm, Contrast
    from multitask.interference.results.assemble import _summary
    from multitask.interference.statistics.verdicts import TaskBootstrap
    from multitask.metrics.outputs import Outputs

    joint, single = Arm(("a", "b"), Fraction(2)), Arm(("a",), Fraction(1))
    metric = METRICS.get("log_likelihood")
    found, effects = [], []
    for name, gain in (("a", 3.0), ("b", math.nan)):
        values = {joint: [1.0 + gain, 2.0 + gain], single: [1.0, 2.0]}
        outputs = {arm: [Outputs([""] * 2, [""] * 2, log_likelihood=v)] * 2 for arm, v in values.items()}
        boot = TaskBootstrap(metric, outputs, resamples=200, seed=0)
        contrast = Contrast("company", name, None, "examples", ((joint, 1), (single, -1)))
        task = SimpleNamespace(primary=metric)
        found.append(SimpleNamespace(name=name, task=task, boots={metric.name: boot}, contrasts=[contrast]))
        delta = boot.contrast(dict(contrast.terms)).delta
        effect = {"kind": "company", "match": "examples", "task": name, "metric": "accuracy", "delta": delta}
        effects.append({**effect, "base": None, "score": None, "verdict": None})
    material = SimpleNamespace(tasks={one.name: one.task for one in found})
    summary = _summary(material, "examples", found, effects)
    assert (summary["mean_delta"], summary["mean_left_out"]) == (pytest.approx(3.0), ["b"])
    assert _summary(material, "examples", found, effects[1:])["mean_delta"] is None


# ------------------------------------------------------------------------------------------- what train says besides


def test_train_says_what_can_never_be_learned_or_written(toys, toy_task, tmp_path, monkeypatch):
    from multitask.task import TASKS

    monkeypatch.setattr("multitask.runs.train.fit", _stop)
    texts = [{"text": f"red blue {i % 5}", "label": i % 2} for i in range(40)]
    ordered = sorted(texts, key=lambda row: row["label"])
    add_task(
        toy_task(
            "labels",
            name="toy_alike",
            prefix="alike: ",
            labels=("a b", "a  b"),
            formatter=lambda row: Example(row["text"], ("a b", "a  b")[row["label"]]),
            source=rows({"train": texts, "validation": ordered}),
        )
    )
    add_task(
        toy_task(
            "text",
            name="toy_odd",
            prefix="odd: ",
            formatter=lambda row: Example(row["text"], "snow ☃" if row["label"] else "rain"),
            source=rows({"train": texts, "validation": texts[:6]}),
        )
    )
    try:
        with pytest.raises(Stopped) as stopped:
            settings = {"vocab": str(_vocabulary(tmp_path)), "eval_limit": 10, "selection_rows": 1}
            run(tmp_path / "run", "toy_alike,toy_odd", quiet=True, **settings)
        assert stopped.value.warnings == [
            "toy_alike: all 10 watched examples have the target 'a b' and never 'a  b': always giving it scores as "
            "well as knowing the answers. Evaluation during training looks at the first 10 of 40 rows (--eval-limit).",
            "toy_alike: labels 'a b' and 'a  b' have the same tokens, so 'a  b' can never be predicted; write one of "
            "them another way.",
            "toy_odd: 20 of 40 training targets (50.0 %) hold <unk>: the vocabulary lacks a part of them, so no model "
            "can write them.",
        ]
    finally:
        TASKS.discard("toy_alike")
        TASKS.discard("toy_odd")


class Stopped(Exception):
    def __init__(self, warnings: list[str]) -> None:
        self.warnings = warnings


def _stop(*stages, notices, **more):
    raise Stopped(notices.warnings)


def _vocabulary(tmp_path: Path) -> Path:
    from multitask.tokenization.train_vocabulary import train_vocabulary

    train_vocabulary(["red blue rain snow a b alike odd: 0 1 2 3 4"] * 20, 40, tmp_path / "vocab")
    return tmp_path / "vocab"


def test_data_and_metrics_that_fit_bring_no_warning(toys):
    from multitask.config import TrainConfig
    from multitask.config_checks import fill_defaults

    config = fill_defaults(TrainConfig(tasks="toy_labels,toy_span,toy_number,toy_text"), from_scratch=True)
    assert prepare_mixture(config).notes == []
