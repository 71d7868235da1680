"""A stranger's settings: config files, `config.yaml` of a run and `study.yaml` hold plain values and run nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from multitask.errors import UserError
from multitask.interference.design.folder import read_study
from multitask.runs.finished import load_includes, run_config
from multitask.storage.yaml_files import load_yaml

TAG = "tasks: !!python/object/apply:os.system ['{command}']\n"
BOMB = "{a0: &a0 [x,x,x,x,x,x,x,x,x]" + "".join(f",a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9))
BOMB += "}"


@pytest.fixture
def config(tmp_path):
    def write(text: str) -> str:
        (tmp_path / "stranger.yaml").write_text(text)
        return "stranger.yaml"

    return write


def test_a_tag_of_python_makes_no_object(refused, config, canary):
    text = TAG.format(command=canary.command)
    assert "could not determine a constructor for the tag" in refused("mix", "--config", config(text))
    quoted = f"trainer: {{max_steps: \"!!python/object/apply:os.system ['{canary.command}']\"}}\n"
    assert "is not a plain value" in refused("mix", "--config", config(quoted))


@pytest.mark.parametrize("read", [run_config, read_study])
@pytest.mark.parametrize("text", [TAG, f"trainer: {BOMB}\n"], ids=["tag", "aliases"])
def test_the_settings_of_a_run_and_a_study_are_read_as_plain_values(tmp_path, canary, read, text):
    for name in ("config.yaml", "study.yaml"):
        (tmp_path / name).write_text(text.replace("{command}", canary.command))
    with pytest.raises(UserError, match="is not YAML"):
        read(tmp_path)


@pytest.mark.parametrize("text", [f"trainer: {BOMB}", f"trainer: {{plugins: '{BOMB}'}}"], ids=["file", "text"])
def test_aliases_that_stand_for_millions_are_refused(refused, config, text):
    assert "its aliases stand for more than 100,000 values" in refused("mix", "--config", config(text))


def test_an_alias_of_itself_and_brackets_by_the_thousand_are_refused(refused, config):
    assert "a part of" in refused("mix", "--config", config("trainer: {plugins: &a [*a]}"))
    assert "nested too deeply" in refused("mix", "--config", config("trainer: " + "[" * 3000 + "]" * 3000))


def test_an_honest_alias_is_understood():
    assert load_yaml("a: &x {sst2: 2}\nb: *x\n") == {"a": {"sst2": 2}, "b": {"sst2": 2}}


SPEC = "{class_path: evil_of_test.Evil}"


@pytest.mark.parametrize(
    "text",
    [f"{{logger: {SPEC}}}", f"{{plugins: [{SPEC}]}}", f"{{logger: '{SPEC}'}}", f'"{{logger: {SPEC}}}"', SPEC],
)
def test_a_class_among_lightnings_options_is_not_imported(refused, config, canary, monkeypatch, tmp_path, text):
    (tmp_path / "evil_of_test.py").write_text(canary.code + "class Evil: ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "names a class" in refused("mix", "--config", config(f"trainer: {text}\n"))


def test_a_python_file_that_a_config_names_is_run_only_if_it_is_typed(refused, config, canary, tmp_path):
    (tmp_path / "evil.py").write_text(canary.code)
    assert refused("mix", "--config", config("include: [evil.py]\n")) == (
        "--config stranger.yaml names a Python file, evil.py, and what a config names is not run by itself: "
        "add --include evil.py to the command, if you trust that file."
    )
    (tmp_path / "mine.py").write_text("")
    assert "names a Python file, evil.py" in refused("mix", "--include", "mine.py", "--config", "stranger.yaml")


def test_a_python_file_that_a_run_names_is_not_run(canary, tmp_path):
    (tmp_path / "evil.py").write_text(canary.code)
    (tmp_path / "config.yaml").write_text(f"include: ['{tmp_path / 'evil.py'}']\n")
    with pytest.raises(UserError, match="What a run folder names is not run by itself"):
        load_includes(tmp_path, run_config(tmp_path), [])


def test_a_config_deletes_nothing(refused, config):
    assert "say --overwrite on the command line" in refused("train", "--config", config("overwrite: true\n"))


def test_paths_under_the_home_are_understood(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "config.yaml").write_text("data: ~/data\nout: ~/run\nmodel: tiny\n")
    found = run_config(tmp_path)
    assert (found.data, found.out, found.model) == (str(Path(tmp_path / "data")), str(tmp_path / "run"), "tiny")
