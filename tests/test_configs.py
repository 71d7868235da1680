from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from multitask.cli import main
from multitask.cli.flags import config_parser, parse_config
from multitask.config import TrainConfig
from multitask.config_checks import check_config, check_trainer_names, fill_defaults
from multitask.examples.choose_source import resolve_source
from multitask.mixing.prepare import select_tasks
from multitask.model.from_scratch import is_from_scratch

FOLDER = Path(__file__).parents[1] / "configs"
NAMES = sorted(p.stem for p in FOLDER.glob("*.yaml"))
ON_THE_HUB = [n for n in NAMES if yaml.safe_load((FOLDER / f"{n}.yaml").read_text(encoding="utf-8"))["data"] == "hub"]


def parsed(*arguments: str) -> TrainConfig:
    """The settings that `multitask train` would train with."""
    return parse_config(config_parser("train", ""), list(arguments))[0]


def test_the_presets_are_those_that_the_documentation_names():
    wanted = "bart demo flan-t5 from-scratch glue mixed superglue t5-small t5-v1_1-base t5gemma"
    assert wanted.split() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_accepted_as_it_stands(name):
    config = parsed("--config", str(FOLDER / f"{name}.yaml"))
    check_config(fill_defaults(config, from_scratch=is_from_scratch(config.model)))
    check_trainer_names(config.trainer)
    select_tasks(config.tasks, config.columns)  # raises if there is no such task


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_says_what_it_is_for_and_on_what_hardware(name):
    comment = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").split("\ntasks:")[0]
    assert all(line.startswith("# ") for line in comment.splitlines())
    assert "Hardware: " in comment


@pytest.mark.parametrize("name", NAMES)
def test_a_presets_values_arrive_as_they_are_written(name):
    written = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    config = parsed("--config", str(FOLDER / f"{name}.yaml"))
    assert {key: getattr(config, key) for key in written} == written


@pytest.mark.parametrize("name", ON_THE_HUB)
def test_the_tasks_of_a_hub_preset_have_a_hub_source(name):
    written = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    for task in select_tasks(written["tasks"], {})[1].values():
        resolve_source(task, "hub")  # raises if the task has none; nothing is downloaded


def test_a_preset_is_found_by_its_name_from_any_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert parsed("--config", "glue") == parsed("--config", str(FOLDER / "glue.yaml"))


def test_a_flag_after_a_preset_wins():
    config = parsed("--config", "t5-small", "--tasks", "sst2", "--trainer.max_steps", "7")
    assert (config.tasks, config.model, config.trainer["max_steps"]) == ("sst2", "google-t5/t5-small", 7)


def test_the_demo_preset_is_what_train_does_by_default():
    # `data` differs in the letter only: without it, these two tasks take the generated sample too.
    demo, default = (fill_defaults(c, from_scratch=True) for c in (parsed("--config", "demo"), parsed()))
    assert demo == dataclasses.replace(default, data="sample")


def test_an_unknown_key_is_refused_by_its_name(tmp_path, capsys):
    path = tmp_path / "wrong.yaml"
    path.write_text("taks: span\n", encoding="utf-8")
    assert main(["train", "--config", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"multitask: error: --config {path} has the unknown setting 'taks': did you mean 'tasks'?\n"
    )


def test_an_unknown_preset_is_refused_with_the_nearest_name(capsys):
    assert main(["train", "--config", "demos"]) == 2
    assert capsys.readouterr().err == (
        "multitask: error: --config demos is neither a file nor a preset: did you mean 'demo'?\n"
    )
