"""Callbacks by name and options of the Trainer, one by one: used, or refused in one line before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from multitask.config import TrainConfig
from multitask.config_checks import check_trainer_names
from multitask.errors import UserError
from multitask.interference.design.config import parse_settings
from multitask.interference.request import prepare_request
from multitask.runs.run import Run
from multitask.runs.train import train
from multitask.training.callbacks import UNFIT, named_callbacks

CALLBACKS = ("DeviceStatsMonitor", "LearningRateMonitor", "ModelSummary", "RichModelSummary")
"""Those of Lightning that a name alone makes useful."""


def run(out: Path, trainer: dict[str, Any] | None = None, **settings: Any) -> Run:
    options = {"max_steps": 2, "enable_progress_bar": False, "accelerator": "cpu", **(trainer or {})}
    plain = {"tasks": "toy_labels", "vocab_size": 60, "batch_size": 4, "quiet": True, "out": str(out)}
    return train(**{**plain, "trainer": options, **settings})


def test_every_callback_of_lightning_is_known_as_fit_or_unfit():
    from pytorch_lightning import callbacks

    assert sorted([*CALLBACKS, *UNFIT]) == sorted(n for n in dir(callbacks) if n[0].isupper())


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_callback_that_is_fit_trains(toys, out, name, monkeypatch):
    if name == "DeviceStatsMonitor":
        pytest.importorskip("psutil")
    assert (run(out, callbacks=[name]).folder / "metrics.json").is_file()


@pytest.mark.parametrize("name", sorted(UNFIT))
def test_a_callback_that_is_unfit_is_refused_before_anything_is_written(toys, out, name):
    with pytest.raises(UserError) as error:
        run(out, callbacks=[name])
    assert str(error.value) == f"--callbacks {name}: it {UNFIT[name]}."
    assert not out.exists()


def test_other_mistakes_with_callbacks_are_one_line(monkeypatch):
    for names, text in (
        (["ModelSummary", "ModelSummary"], "--callbacks names ModelSummary twice."),
        ([""], "unknown callback '': known: DeviceStatsMonitor, LearningRateMonitor, ModelSummary, RichModelSummary"),
        (["learningratemonitor"], "unknown callback 'learningratemonitor': did you mean 'LearningRateMonitor'?"),
    ):
        with pytest.raises(UserError) as error:
            named_callbacks(names)
        assert str(error.value).startswith(text)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^--callbacks DeviceStatsMonitor: it needs the package psutil: pip install"):
        named_callbacks(["DeviceStatsMonitor"])
    monkeypatch.setitem(UNFIT, "EarlyStopping", "")
    monkeypatch.delitem(UNFIT, "EarlyStopping")
    with pytest.raises(UserError, match=r"^--callbacks EarlyStopping: it cannot be made by its name alone: .*monitor"):
        named_callbacks(["EarlyStopping"])


def test_a_study_refuses_them_before_it_loads_anything(toys, out):
    with pytest.raises(UserError, match=r"^--callbacks LearningRateFinder: it trains before the run does"):
        prepare_request(parse_settings({"tasks": "toy_labels,toy_text", "callbacks": ["LearningRateFinder"]}))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("log_every_n_steps", "x", "must be a whole number, not text"),
        ("max_time", 3, "must be text, not a whole number"),
        ("profiler", True, "must be text, not true or false"),
        ("gradient_clip_algorithm", 3, "must be text, not a whole number"),
        ("benchmark", "x", "must be true or false, not text"),
        ("detect_anomaly", 1, "must be true or false, not a whole number"),
        ("model_registry", 3, "must be text, not a whole number"),
        ("limit_val_batches", "x", "must be a whole number, not text"),
        ("default_root_dir", ["x"], "must be text, not a list"),
        ("strategy", object(), "must be text, not object"),
    ],
)
def test_a_trainer_option_of_another_kind_is_refused(name, value, text):
    with pytest.raises(UserError) as error:
        check_trainer_names({name: value})
    assert str(error.value) == f"--trainer.{name} {text}."


@pytest.mark.parametrize("option", [{"limit_train_batches": 0}, {"overfit_batches": 0.5}, {"fast_dev_run": True}])
def test_options_that_cut_epochs_short_are_refused(toys, out, option):
    (name,) = option
    with pytest.raises(UserError, match=rf"^--trainer\.{name} is set by --trainer\.max_steps"):
        run(out, option)
    assert not out.exists()


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"profiler": "nonsense"}, "When passing string value for the `profiler` parameter of `Trainer`"),
        ({"max_time": "nope"}, "`Timer(duration='nope')` is not a valid duration"),
        ({"plugins": "slurm"}, ""),
        ({"devices": 0}, "`Trainer(devices=0)` value is not a valid input using cpu accelerator."),
    ],
)
def test_what_lightning_refuses_of_itself_is_one_line(toys, out, option, text):
    with pytest.raises(UserError) as error:
        run(out, option)
    assert str(error.value).startswith(
        text if "plugins" in option else f"Lightning refuses these --trainer options: {text}"
    )
    assert "\n" not in str(error.value)
    assert not out.exists()


def test_options_that_are_right_are_let_through():
    check_trainer_names(
        {"devices": "auto", "precision": "64-true", "max_time": {"minutes": 1}, "limit_val_batches": 0.5}
        | {"gradient_clip_val": None, "deterministic": "warn", "profiler": "simple", "num_nodes": 1}
        | {"max_steps": 3, "strategy": "ddp", "plugins": [], "detect_anomaly": False, "default_root_dir": "x"}
    )
    assert TrainConfig().trainer == {}
