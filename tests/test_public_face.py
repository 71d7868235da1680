"""What a person sees of the public names: short reprs, help with every field, completion.

A repr is one line of 120 characters at most, never a dump of data; see `multitask.short_repr`.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import pydoc
import re
import signal
import sys
from typing import Any

import pytest

import multitask
from multitask.examples.loading import load_examples
from multitask.metrics.metric import METRICS
from multitask.metrics.outputs import Outputs
from multitask.short_repr import WIDTH, Plain, short_repr
from multitask.sources.generated import sample
from multitask.task import TASKS
from multitask.training.signals import deliver_interrupts

LONG = "so long a text \n\x1b[31m that nobody reads it " * 40


def public_things() -> dict[str, Any]:
    """An instance of each public class, and what public functions give, all of them large."""
    many = {f"task_with_a_rather_long_name_{i}": i + 1 for i in range(50)}
    task = multitask.Task(
        "t" * 200,
        print,
        prefix=LONG,
        labels=tuple(f"label {i}" for i in range(99)),
        metrics=tuple(METRICS.get(name) for name in METRICS),
        output="labels",
    )
    made = {
        "Decoding": multitask.Decoding(max_new_tokens=10**6, length_penalty=0.123456789),
        "Example": multitask.Example(LONG, LONG, id=LONG, context=LONG, group=LONG),
        "Metric": METRICS.get("rouge_lsum_unstemmed"),
        "MixingPlan": multitask.MixingPlan(dict.fromkeys(many, 10**9), many, seed=2**62),
        "Mixture": multitask.Mixture("everything", tuple((name, float(rate)) for name, rate in many.items())),
        "Run": multitask.Run("runs/" + "folder/" * 60),
        "Task": task,
        "TrainConfig": multitask.TrainConfig(tasks=list(many), columns={LONG: {LONG: LONG}}, trainer={"max_steps": 3}),
    }
    rows = sample("span").rows("train")
    return {
        **made,
        "default config": multitask.TrainConfig(),
        "rows": rows,
        "examples": load_examples(TASKS.get("span"), sample("span"), "train"),
        "outputs": Outputs([LONG] * 99, [LONG] * 99, labels=(LONG,)),
        "registry": TASKS,
        "source in memory": multitask.rows({"train": [{"text": LONG}] * 1000, "validation": [{"text": LONG}]}),
        "source of a function": multitask.rows(lambda split: [{"text": LONG}]),
        "source of files": multitask.files("folder/" * 60),
        "source on the Hub": multitask.hub("nyu-mll/glue", "sst2", revision="0" * 40),
        "generated sample": sample("span"),
    }


@pytest.fixture(scope="module")
def things() -> dict[str, Any]:
    return public_things()


def test_every_public_dataclass_is_among_those_that_are_looked_at(things):
    classes = {n for n in multitask.__all__ if dataclasses.is_dataclass(getattr(multitask, n))}
    assert classes - set(things) == {"Study"}  # tests of studies look at it


def test_a_repr_is_one_short_line_and_no_dump(things):
    shown = {name: repr(thing) for name, thing in things.items()}
    odd = {n: r for n, r in shown.items() if len(r) > WIDTH or not r.isprintable() or " at 0x" in r}
    assert odd == {}
    assert shown["default config"] == "TrainConfig()"
    assert shown["TrainConfig"].startswith("TrainConfig(tasks=['task_with")
    assert shown["Metric"] == "Metric('rouge_lsum_unstemmed', higher_is_better=True, scale=100.0)"
    assert shown["rows"].startswith("Rows(\"generated sample 'span', split train\", 2000 rows, columns=['text', ")
    assert repr(TASKS.get("cola")) == (
        "Task('cola', prefix='cola sentence: ', labels=['unacceptable', 'acceptable'], metrics=mcc, accuracy)"
    )
    assert repr(multitask.Run("runs/a")) == "Run('runs/a')"


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_a_short_repr_keeps_short_values_whole_and_never_fails():
    line = short_repr(1, "a" * 300, "short", size=3, none=None)
    assert line.startswith("int('aaaa")
    assert line.endswith("a…', 'short', size=3)")
    assert len(line) == WIDTH
    assert short_repr(1, Plain("two words"), Odd()) == "int(two words, <Odd: RuntimeError>)"
    many = short_repr(1, **{f"name_{i}": "x" * 50 for i in range(60)})
    assert len(many) == WIDTH
    assert many.endswith("…)")


NAMES = ("Decoding", "Example", "Metric", "MixingPlan", "Mixture", "Run", "Study", "Task", "TrainConfig")


@pytest.mark.parametrize("name", NAMES)
def test_help_explains_every_field(name):
    cls = getattr(multitask, name)
    text = pydoc.plain(pydoc.render_doc(cls))
    for field in dataclasses.fields(cls):
        said = re.search(rf"\n \|      {field.name}: .+\n \|          \S.+\n", text)
        assert said, field.name
    assert inspect.getdoc(cls).startswith(inspect.cleandoc(cls.__dict__["__doc__"].text))


def test_the_public_names_are_completed():
    assert [name for name in dir(multitask) if not name.startswith("_")] == multitask.__all__
    assert all(getattr(multitask, name) is not None for name in multitask.__all__)
    assert all(inspect.getdoc(getattr(multitask, name)) for name in multitask.__all__ if name != "Row")


def test_the_mix_of_a_run_is_a_flat_frame(tmp_path):
    share = {"rate": 0.5, "examples": 30, "epochs": 1.5}
    seen = {**share, "input_tokens": 90, "target_tokens": 60, "loss_share": 0.5}
    text = {"tasks": {name: {"rows": 20, "planned": share, "realised": seen} for name in ("a.b", "c")}}
    (tmp_path / "mix.json").write_text(str(text).replace("'", '"'))
    mix = multitask.Run(tmp_path).mix
    assert list(mix.columns) == [
        *("task", "rows", "planned_rate", "planned_examples", "planned_epochs"),
        *("realised_rate", "realised_examples", "realised_epochs"),
        *("realised_input_tokens", "realised_target_tokens", "realised_loss_share"),
    ]
    assert mix["task"].tolist() == ["a.b", "c"]
    assert mix["planned_epochs"].tolist() == [1.5, 1.5]


@pytest.mark.parametrize("name", ["Task", "measure_interference"])
def test_threads_of_a_torch_that_is_still_to_be_imported_wait_without_the_processor(name, monkeypatch):
    for given, there in ((None, "1000"), ("5", "5")):
        monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
        if given:
            monkeypatch.setenv("GOMP_SPINCOUNT", given)
        with monkeypatch.context() as patch:
            patch.delitem(sys.modules, "torch", raising=False)
            multitask.__getattr__(name)
        assert os.environ["GOMP_SPINCOUNT"] == there


def interrupted_import(whole: bool, times: int = 1) -> list[str]:
    """What happens around Ctrl-C that comes while a `__del__` runs, which catches whatever is raised in it."""
    seen = []
    try:
        with deliver_interrupts(whole=whole):
            for _ in range(times):
                try:
                    signal.raise_signal(signal.SIGINT)
                    seen.append("went on")
                except KeyboardInterrupt:
                    seen.append("caught")
            seen.append("end")
    except KeyboardInterrupt:
        seen.append("raised")
    return seen


def test_ctrl_c_while_torch_is_imported_is_never_lost():
    before = signal.getsignal(signal.SIGINT)
    assert interrupted_import(whole=False) == ["caught", "end", "raised"]
    assert interrupted_import(whole=True) == ["went on", "end", "raised"]
    assert interrupted_import(whole=True, times=2) == ["went on", "caught", "end", "raised"]
    assert interrupted_import(whole=True, times=0) == ["end"]
    assert signal.getsignal(signal.SIGINT) is before


# ------------------------------------------------------------------------------------------------------------ notebooks


@pytest.mark.parametrize("kind", [multitask.UserError, multitask.StoppedError])
def test_what_a_user_can_mend_is_one_line_in_a_notebook(kind):
    assert kind("give\tmore rows.")._render_traceback_()[0].startswith(f"{kind.__name__}: give")
    assert len(kind("give more rows.")._render_traceback_()) == 1


def test_a_task_shows_its_prefix_metrics_and_an_example():
    shown = TASKS.get("span")._repr_html_()
    for text in ("span sentiment: ", "jaccard", "none: its rows come from --data", "input", "target"):
        assert text in shown
    task = multitask.Task(
        "mine",
        lambda row: multitask.Example(row["a"], "<b>"),
        "mine <i>: ",
        multitask.rows({"train": [{"a": "one & two"}]}),
        metrics=(METRICS.get("accuracy"),),
    )
    shown = task._repr_html_()
    assert "mine &lt;i&gt;: one &amp; two" in shown
    assert "&lt;b&gt;" in shown
    broken = task.replace(formatter=lambda row: row["none"])
    assert "input" not in broken._repr_html_()


def test_nothing_is_read_or_loaded_for_an_example(tmp_path):
    def load(split):
        raise AssertionError

    task = TASKS.get("rte").replace(source=multitask.rows(load))
    assert "rte" in task._repr_html_()
    assert "no_such_folder" in task.replace(source=multitask.files("no_such_folder"))._repr_html_()


def test_a_run_shows_its_scores_beside_the_baselines(tmp_path):
    run = multitask.Run(tmp_path / "<run>")
    assert "&lt;run&gt;" in run._repr_html_()
    assert "is not there" in run._repr_html_()
    run.folder.mkdir()
    (run.folder / "metrics.json").write_text('{"a": {"accuracy": 0.75, "log_likelihood": -1.5, "invalid_rate": 0.0}}')
    (run.folder / "baselines.json").write_text('{"a": {"answers": "always \'<x>\'", "accuracy": 0.5}}')
    shown = run._repr_html_()
    for text in ("0.750", "0.500", "+0.250", "&lt;x&gt;", "Scores of &lt;run&gt;"):
        assert text in shown
    assert "log_likelihood" not in shown


def test_a_mixture_and_a_plan_show_their_tasks():
    mixture = multitask.Mixture("two", (("span", 2.0), ("sst2", 1.0)))
    assert '<td class="n">2</td>' in mixture._repr_html_()
    plan = multitask.MixingPlan({"span": 9000, "sst2": 100}, {"span": 3, "sst2": "1/2"}, seed=4)
    for text in ("Mixing plan, seed 4", "9,000", "0.5"):
        assert text in plan._repr_html_()
