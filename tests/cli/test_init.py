"""A starter project: its own test passes, its data is checked, it trains and answers, and its package is found."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib

import pytest
import yaml

from multitask.cli import main
from multitask.plugins import INCLUDED
from multitask.task import TASKS


@pytest.mark.parametrize(
    ("folder", "task", "package"), [("my-tasks", "ticket", "my_tasks"), ("42 Things", "mood", "tasks_42_things")]
)
def test_a_project_passes_its_own_test_and_trains(tmp_path, monkeypatch, capsys, folder, task, package):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(INCLUDED, "")
    assert main(["init", folder, "--task", task]) == 0
    assert f"multitask train --config config.yaml --include {package}.py" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path / folder)
    project = tomllib.loads((tmp_path / folder / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["multitask.tasks"] == {package: package}
    assert yaml.safe_load((tmp_path / folder / "config.yaml").read_text())["tasks"] == task
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert tests.returncode == 0 and "2 passed" in tests.stdout, tests.stdout
    if folder != "my-tasks":
        return
    try:
        own = ["--include", f"{package}.py"]
        assert main(["tasks", "check", "--tasks", task, "--data", "data", *own]) == 0
        words = ["train", "--config", "config.yaml", *own, "--out", "runs/first", "--steps", "3"]
        assert main([*words, "--trainer.accelerator", "cpu"]) == 0
        (tmp_path / "lines.txt").write_text("I was charged for a phone I sent back\n")
        assert main(["predict", "runs/first", "--task", task, *own, "--input", str(tmp_path / "lines.txt")]) == 0
        assert '"prediction": "' in capsys.readouterr().out
    finally:
        TASKS.discard(task)
        sys.modules.pop(package, None)


def test_a_folder_that_holds_something_and_a_name_that_cannot_be_are_refused(tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    assert main(["init", str(tmp_path / "full")]) == 2
    assert "holds something already: a project begins in a new or empty folder." in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["notes.txt"]
    for name in ("my task", "class", "1st", "größe"):
        assert main(["init", str(tmp_path / "new"), "--task", name]) == 2
        assert f"--task {name}: the name is one of a Python function" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
