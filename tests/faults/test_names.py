"""Names that YAML takes for something else (`no`, `1e3`, `~`, a date): what is written is what is read, everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from multitask.cli import main
from multitask.cli.flags import config_parser, parse_config
from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.interference.design.folder import FORMAT, read_study, write_study
from multitask.plugins import INCLUDED
from multitask.runs.finished import run_config
from multitask.runs.writing import write_config
from multitask.storage.yaml_files import dump_yaml, load_yaml
from multitask.task import TASKS

ODD = (
    *(
        "no",
        "yes",
        "on",
        "off",
        "y",
        "n",
        "true",
        "False",
        "null",
        "NULL",
        "1e3",
        "1E3",
        "1e-3",
        "12e03",
        "1_000",
        "0x10",
    ),
    *(
        "0o17",
        "017",
        "007",
        "0b1",
        "1",
        "-1",
        "0",
        "nan",
        "inf",
        "2024-01-01",
        "2024-1-1",
        "_",
        "-",
        "a-b",
        "e",
        "1_e3",
    ),
)
"""Names that a task may have."""
ODDER = ("~", "", "1.0", "1e3.5", ".inf", ".nan", "1:30", "1:30:00", "=", "<<", "a: b", "a #b", "- a", "[a]", "{a: b}")
"""What a column may be called too."""
ODDEST = ("&a", "*a", "!x", "'a'", '"a"', "a\nb", " a ", "\t", "\x85", "\u2028", "🙂", "\\x41", "%", "@", "`", "?", "|")
NAMES = st.sampled_from(ODD) | st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)
TEXTS = NAMES | st.sampled_from(ODDER + ODDEST) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def parsed(*words: str) -> TrainConfig:
    return parse_config(config_parser("train", ""), words)[0]


@settings(max_examples=60, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(names=st.lists(NAMES, min_size=1, max_size=3, unique=True), texts=st.lists(TEXTS, min_size=3, max_size=3))
def test_a_written_config_is_read_as_what_was_written(tmp_path_factory, names, texts):
    config = TrainConfig(
        tasks=names if len(names) > 1 else names[0],
        per_step=dict.fromkeys(names, 2.5),
        loss_weights=dict.fromkeys(names, 1e-3),
        columns={name: dict.fromkeys(texts, texts[0]) for name in names},
        select=names[0],
        eval_every=1,
        twin=names[-1],
        model=names[0],
        vocab=names[-1],
        trainer={"max_steps": 3},
        out=names[0],
    )
    folder = tmp_path_factory.getbasetemp()
    write_config(folder / "config.yaml", config)
    assert run_config(folder) == config
    again = parsed("--config", str(folder / "config.yaml"))
    assert again == config
    # Any other reader finds the same, whichever version of YAML it knows.
    assert yaml.safe_load((folder / "config.yaml").read_text("utf-8"))["tasks"] == config.tasks


@settings(max_examples=60, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(name=NAMES, text=TEXTS)
def test_the_command_line_says_what_it_says(name, text):
    dashed = name.startswith("-")  # a word that begins so may be an option: `--tasks=-1` says that it is none
    words = [f"--tasks={name}"] if dashed else ["--tasks", name]
    words += [f"--twin={name}", f"--select={name}", f"--out={name}", f"--per-step.{name}", "2"]
    column = text.replace("=", "-")  # the first = ends the option's name; a file of settings can say such a column
    words += [f"--columns.{name}.{column}=" + text]
    found = parsed(*words)
    assert (found.tasks, found.twin, found.select, found.out) == (name, name, name, name)
    assert (found.per_step, found.columns) == ({name: 2.0}, {name: {column: text}})


@pytest.mark.parametrize("name", ODD)
def test_lists_and_dictionaries_on_the_command_line_too(name):
    columns = f"{{{name}: {{{name}: {name}}}}}"
    found = parsed("--tasks", f"[{name}, b]", "--per-step", f"{{{name}: 2, b: 1e0}}", "--columns", columns)
    assert (found.tasks, found.per_step) == ([name, "b"], {name: 2.0, "b": 1.0})
    assert found.columns == {name: {name: name}}
    assert parsed("--rate-schedule", f"{{0: {{{name}: 1}}, 1e0: {{b: 2}}}}").rate_schedule == {
        0: {name: 1},
        1: {"b": 2},
    }


def test_a_hand_written_config_means_what_it_says(tmp_path):
    (tmp_path / "config.yaml").write_text(
        "tasks: [no, 1e3, 2024-01-01]\nper_step: {no: 2, 1e3: 1e0, 2024-01-01: 3}\nselect: no\nout: 2024-01-01\n"
        "model: 007\nvocab: null\ndata: ~\nlr: 1e-4\neval_every: 1_0\ngated: yes\nloggers: csv,tensorboard\n"
        "columns: {no: {on: off}}\ntrainer: {max_steps: 3, max_time: 1:00:00:00, default_root_dir: 2024-01-01}\n"
    )
    for found in (run_config(tmp_path), parsed("--config", str(tmp_path / "config.yaml"))):
        assert (found.tasks, found.per_step) == (["no", "1e3", "2024-01-01"], {"no": 2, "1e3": 1, "2024-01-01": 3})
        assert (found.select, found.out, found.model, found.vocab, found.data) == (
            "no",
            "2024-01-01",
            "007",
            None,
            None,
        )
        assert (found.lr, found.eval_every, found.gated, found.columns) == (1e-4, 10, True, {"no": {"on": "off"}})
        assert found.loggers == ["csv", "tensorboard"]
        assert found.trainer == {"max_steps": 3, "max_time": "1:00:00:00", "default_root_dir": "2024-01-01"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("loss: task\nloss: token\n", ", line 1 is not YAML: 'loss' stands twice."),
        ("per_step: {a: 1, a: 2}\n", ", line 1 is not YAML: 'a' stands twice."),
        ("rate_schedule: {0: {a: 1}, 0.0: {a: 2}}\n", ", line 1 is not YAML: 0.0 stands twice."),
        ("per_step: {[a]: 1}\n", ", line 1 is not YAML: a name must be plain text."),
        (f"seed: {'9' * 5000}\n", ", line 1 is not YAML: Exceeds the limit"),
        ("seed: 0x_\n", ", line 1 is not YAML: invalid literal"),
        ("mixing: no\n", ": --mixing must be one of proportional, equal, temperature, unimax. Got 'no'."),
        ("seed: no\n", ": --seed must be a whole number. Got 'False'."),
    ],
)
def test_what_cannot_be_meant_is_one_line(tmp_path, text, problem):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        parsed("--config", str(tmp_path / "c.yaml"))
    assert str(error.value).startswith(f"--config {tmp_path / 'c.yaml'}{problem}")


SCALARS = TEXTS | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)


@given(st.dictionaries(TEXTS, SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(TEXTS, SCALARS, max_size=3)))
def test_any_plain_value_comes_back(value: Any):
    for quoted in (False, True):
        assert load_yaml(dump_yaml({"a": value}, quoted=quoted)) == {"a": value}
        assert yaml.safe_load(dump_yaml({"a": value}, quoted=quoted)) == {"a": value}


def test_a_study_of_such_tasks_is_read_as_it_was_written(tmp_path):
    values = {"format": FORMAT, "tasks": list(ODD), "per_step": dict.fromkeys(ODD, 1.0), "lr": {}}
    write_study(tmp_path, values)
    assert read_study(tmp_path) == values


TASK_FILE = """
from multitask import Example, register_task, rows
for name in ("1e3", "no", "null", "2024-01-01"):
    data = rows({"train": [{"t": f"red {i}"} for i in range(8)], "validation": [{"t": "blue"}]})
    register_task(name, prefix=f"task {name}: ", metrics=["exact_match"], source=data)(
        lambda row: Example(row["t"], "x")
    )
"""


def test_runs_of_such_tasks_are_repeated_evaluated_and_used(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(INCLUDED, "")
    Path("tasks.py").write_text(TASK_FILE)
    given = ["--include", "tasks.py", "--out", "null", "--trainer.max_steps", "1", "--vocab-size", "40"]
    try:
        each = ["--per-step", "{1e3: 1, no: 1, null: 1, 2024-01-01: 1}"]
        assert main(["train", "--tasks", "1e3,no,null,2024-01-01", *given, *each]) == 0
        assert sorted(json.loads(Path("null/metrics.json").read_text())) == ["1e3", "2024-01-01", "no", "null"]
        assert main(["train", "--include", "tasks.py", "--config", "null/config.yaml", "--out", "no"]) == 0
        assert Path("no/model/model.safetensors").read_bytes() == Path("null/model/model.safetensors").read_bytes()
        assert (
            main(["train", "--include", "tasks.py", "--config", "null/config.yaml", "--out", "null", "--resume"]) == 0
        )
        assert main(["eval", "no", "--include", "tasks.py", "--tasks", "1e3"]) == 0
        Path("lines.txt").write_text("red 1\n")
        assert main(["predict", "no", "--include", "tasks.py", "--task", "null", "--input", "lines.txt"]) == 0
    finally:
        for name in ("1e3", "no", "null", "2024-01-01"):
            TASKS.discard(name)
    assert "Traceback" not in capsys.readouterr().err
