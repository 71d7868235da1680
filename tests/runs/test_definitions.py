"""What a run was begun with and is another now: tasks and settings, by name."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.metrics.metric import METRICS
from multitask.metrics.naming import register_metric, resolve_metrics
from multitask.runs.address import shown_settings
from multitask.runs.code_digest import OURS
from multitask.runs.definitions import changes, check_settings_file, definition, edited, recorded, said
from multitask.runs.resuming import check_settings
from multitask.runs.writing import write_config
from multitask.task import TASKS, Decoding, Example

HERE = Path("run.json")


def stored(task):
    """As run.json gives it back."""
    return json.loads(json.dumps(definition(task)))


def test_a_task_that_stays_has_no_changes(toy_task):
    for kind in ("labels", "span", "number", "text"):
        assert changes(stored(toy_task(kind)), definition(toy_task(kind)), HERE) == []
    for task in map(TASKS.get, TASKS):
        assert changes(stored(task), definition(task), HERE) == []
        if task.formatter.__module__.startswith("multitask."):  # their version says what changed
            assert set(definition(task)["code"].values()) <= {OURS, None}


CHANGED = {
    "prefix": ({"prefix": "other: "}, "its prefix was 'toy labels: ' and is 'other: '"),
    "output": ({"output": "text"}, "its output was 'labels' and is 'text'"),
    "labels": ({"labels": ("no", "yes", "maybe")}, "its labels was ['no', 'yes'] and is ['no', 'yes', 'maybe']"),
    "max_input_tokens": ({"max_input_tokens": 9}, "its max_input_tokens was 512 and is 9"),
    "max_target_tokens": ({"max_target_tokens": 9}, "its max_target_tokens was 128 and is 9"),
    "decoding.num_beams": ({"decoding": Decoding(num_beams=4)}, "its decoding.num_beams was 1 and is 4"),
    "decoding.span": ({"decoding": Decoding(span="greedy")}, "its decoding.span was 'best' and is 'greedy'"),
    "postprocess": ({"postprocess": lambda text, example: text.strip()}, "the code of its postprocess is another"),
    "formatter": ({"formatter": lambda row: Example(row["text"], "no")}, "the code of its formatter is another"),
}


@pytest.mark.parametrize("part", CHANGED)
def test_every_field_that_changed_is_named_with_both_values(toy_task, part):
    fields, sentence = CHANGED[part]
    found = changes(stored(toy_task("labels")), definition(toy_task("labels", **fields)), HERE)
    assert [change.part for change in found] == [part]
    assert said(found) == sentence


def test_a_metric_of_ones_own_counts_by_its_name_and_its_code(toy_task):
    def task_with(value: float):
        METRICS.discard("mine")
        register_metric("mine")(lambda predictions, targets: value)
        try:
            return toy_task("text", metrics=resolve_metrics(["mine"]))
        finally:
            METRICS.discard("mine")

    before = stored(task_with(1.0))
    assert changes(before, definition(task_with(1.0)), HERE) == []
    assert said(changes(before, definition(task_with(2.0)), HERE)) == "the code of its metric mine is another"
    assert "its metrics was ['mine'] and is ['exact_match']" in said(
        changes(before, definition(toy_task("text")), HERE)
    )


def test_what_was_not_recorded_is_believed_and_what_is_damaged_is_named(toy_task):
    now = definition(toy_task("labels"))
    assert changes(None, now, HERE) == []
    assert changes({"decoding": {}, "code": {}, "of a later version": 1}, now, HERE) == []
    for damaged in ([], {"decoding": {}}, {"decoding": {}, "code": {"formatter": 3}}):
        with pytest.raises(UserError, match=r"run\.json is not as it was written"):
            changes(damaged, now, HERE)


# ------------------------------------------------------------------------------------------------------------ settings


def test_settings_come_back_from_yaml_as_they_were_recorded(tmp_path):
    config = TrainConfig(
        tasks="a=2,b",
        rate_schedule={0.0: {"a": 1.0}, 1.0: {"a": 0.5}},
        columns={"a": {"text": "Text"}},
        lr=1e-5,
        cap=None,
        data=str(Path.home() / "data"),
        trainer={"max_steps": 3, "devices": 2},
    )
    write_config(tmp_path / "config.yaml", config)
    record = json.loads(json.dumps({"settings": recorded(shown_settings(config))}))
    assert edited(tmp_path, record) == []
    assert record["settings"]["trainer"] == {"max_steps": 3}
    assert edited(tmp_path, {}) == []  # of before


def test_an_edited_setting_is_named_and_what_a_resumed_run_may_change_is_not(tmp_path):
    config = TrainConfig(tasks="a", lr=0.003, trainer={"max_steps": 3})
    record = {"settings": recorded(shown_settings(config))}
    path = tmp_path / "config.yaml"

    def write(**values) -> list[str]:
        lines: list[str] = []
        path.write_text(yaml.safe_dump({**shown_settings(config), **values}))
        check_settings_file(tmp_path, record, lines.append)
        return lines

    assert write(workers=7, out="elsewhere", trainer={"max_steps": 3, "devices": 4}) == []
    path.write_text(yaml.safe_dump({k: v for k, v in shown_settings(config).items() if k not in ("lr", "clip")}))
    assert [name for name, _ in edited(tmp_path, record)] == ["lr"]  # the other is as it is by default
    assert write(data="moved") == [f"WARNING: {path} was edited: data is 'moved', and the run was begun with None."]
    for values, said_of_it in (
        ({"lr": 0.01}, "lr is 0.01, and the run was begun with 0.003"),
        ({"trainer": {"max_steps": 9}}, "trainer is {'max_steps': 9}, and the run was begun with {'max_steps': 3}"),
    ):
        with pytest.raises(UserError) as error:
            write(**values)
        assert str(error.value) == f"{path} was edited: {said_of_it}. Restore it; for other settings train another run."


def test_data_and_tasks_that_moved_do_not_stop_a_run_from_being_continued(tmp_path):
    begun = TrainConfig(tasks="a", data="/there/data", include=["/there/tasks.py"], lr=0.003)
    write_config(tmp_path / "config.yaml", begun)
    lines: list[str] = []
    check_settings(tmp_path, dataclasses.replace(begun, data="/here/data", include=["/here/tasks.py"]), lines.append)
    assert lines == [
        f"the run in {tmp_path} was begun with {name} = {was!r}, and goes on with {now!r}: rows and tasks are compared "
        "by their content."
        for name, was, now in (
            ("data", "/there/data", "/here/data"),
            ("include", ["/there/tasks.py"], ["/here/tasks.py"]),
        )
    ]
    with pytest.raises(UserError, match=r"has lr = 0\.003, asked for is 0\.1"):
        check_settings(tmp_path, dataclasses.replace(begun, lr=0.1), lines.append)
