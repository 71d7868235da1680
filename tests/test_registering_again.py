"""A notebook's cell, a reloaded module and an included file can be run again; nothing else takes a name unasked.

A cell is a string that is compiled and run in the names of one module, as a notebook does it.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import multitask
from multitask.errors import UserError
from multitask.metrics.metric import METRICS
from multitask.mixing.mixture import MIXTURES
from multitask.mixing.prepare import select_tasks
from multitask.plugins import INCLUDED, PluginWarning, include
from multitask.task import TASKS
from multitask.tokenization.token_cache import TokenCache

TICKET = """
from multitask import Example, register_task

@register_task(prefix="{prefix}", labels=("billing", "technical"), metrics=[{metric}]{more})
def ticket(row):
    return Example(row["body"], row["queue"])
"""


def ticket(prefix: str = "route ticket: ", metric: str = '"accuracy"', more: str = "") -> str:
    return TICKET.format(prefix=prefix, metric=metric, more=more)


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(INCLUDED, "")
    monkeypatch.setattr(sys, "path", list(sys.path))
    TASKS.load()
    before = [(registry, set(registry.registered())) for registry in (TASKS, METRICS, MIXTURES)]
    yield
    for registry, names in before:
        for name in set(registry.registered()) - names:
            registry.discard(name)


@pytest.fixture
def cell() -> Callable[[str], dict[str, Any]]:
    names: dict[str, Any] = {"__name__": "a_notebook"}

    def run(text: str) -> dict[str, Any]:
        exec(compile(text, f"<cell {len(names)}>", "exec"), names)
        return names

    return run


def refused(do: Callable[..., Any], *args: Any) -> str:
    with pytest.raises(UserError) as caught:
        do(*args)
    return str(caught.value)


def test_a_cell_that_is_run_again_replaces_its_task(cell):
    first = cell(ticket())["ticket"]
    second = cell(ticket("queue of ticket: "))["ticket"]
    assert first is not second
    assert TASKS.get("ticket") is second
    assert select_tasks("ticket", {})[1] == {"ticket": second}
    assert second({"body": "no net", "queue": "technical"}).inputs == "queue of ticket: no net"


def test_one_run_of_a_cell_does_not_register_a_name_twice(cell):
    message = refused(cell, ticket() + ticket("another: "))
    assert message.startswith("task 'ticket' is already registered by a_notebook.ticket (<cell ")
    assert message.endswith("cannot take the name again: choose another, or say replace=True.")


def test_another_function_takes_a_name_only_when_it_says_so(cell):
    cell(ticket())
    other = ticket("other: ", more=', name="ticket"').replace("def ticket", "def mail")
    assert "cannot take the name again" in refused(cell, other)
    cell(other.replace('name="ticket"', 'name="ticket", replace=True'))
    assert TASKS.get("ticket").prefix == "other: "


def test_another_module_takes_a_name_only_when_it_says_so(cell):
    cell(ticket())
    other = {"__name__": "another_notebook"}
    assert "cannot take the name again" in refused(exec, compile(ticket(), "<cell 1>", "exec"), other)
    exec(compile(ticket(more=", replace=True"), "<cell 1>", "exec"), other)
    assert TASKS.get("ticket") is other["ticket"]


def test_a_built_in_task_is_replaced_only_on_purpose(cell):
    text = ticket("review: ").replace("def ticket", "def sst2")
    before = TASKS.get("sst2")
    assert "already registered by multitask.tasks.sst2.sst2" in refused(cell, text)
    try:
        assert cell(text.replace("metrics=", "replace=True, metrics="))["sst2"] is TASKS.get("sst2")
    finally:
        multitask.add_task(before, replace=True)


def test_metrics_mixtures_and_tasks_made_by_hand_can_be_registered_again(cell):
    text = """
import multitask
from multitask.metrics import METRICS
@multitask.register_metric()
def mine(predictions, targets):
    return 1.0
mixture = multitask.register_mixture("two", {"span": 1, "sst2": 2})
task = multitask.add_task(multitask.Task("by_hand", lambda row: None, "by hand: ", metrics=(mine,)))
"""
    first = dict(cell(text))
    second = cell(text)
    assert METRICS.get("mine") is second["mine"] is not first["mine"]
    assert MIXTURES.get("two") is second["mixture"] is not first["mixture"]
    assert TASKS.get("by_hand") is second["task"] is not first["task"]
    with pytest.raises(UserError, match="cannot take the name again"):
        multitask.register_mixture("two", ["span"])
    assert multitask.register_mixture("two", ["span"], replace=True) is MIXTURES.get("two")
    with pytest.raises(UserError, match="cannot take the name again"):
        multitask.register_metric("mine")(lambda predictions, targets: 0.5)
    assert multitask.register_metric("mine", replace=True)(lambda p, t: 0.5) is METRICS.get("mine")


def test_a_task_with_an_earlier_metric_is_not_trained(cell):
    metric = "from multitask import register_metric\n@register_metric()\ndef mine(p, t):\n    return 1.0\n"
    cell(metric)
    cell(ticket(metric="mine"))
    assert select_tasks("ticket", {})
    cell(metric)
    assert refused(select_tasks, "ticket", {}) == (
        "task 'ticket' has the metric 'mine' as it was before another was registered under that name: register the "
        "task again too (run its cell)."
    )
    cell(ticket(metric="mine"))
    assert select_tasks("ticket", {})


def test_tokens_of_a_replaced_task_are_not_those_of_the_earlier_one(cell, bytes_tokenizer):
    from multitask.examples.loading import load_examples
    from multitask.sources.in_memory import rows
    from multitask.tokenization.disk_cache import KEPT_FROM, Cache

    source = rows({"train": [{"body": f"body {i}", "queue": "billing"} for i in range(KEPT_FROM)]})
    cached = TokenCache(Cache(), bytes_tokenizer)
    made = []
    for prefix in ("one: ", "two: "):
        task = cell(ticket(prefix))["ticket"]
        made.append(cached.tokenized(task, load_examples(task, source, "train")))
    decoded = [bytes_tokenizer.decode(tokens.inputs[0], skip_special_tokens=True) for tokens in made]
    assert decoded == ["one: body 0", "two: body 0"]


# ---------------------------------------------------------------------------------------------------- files, modules


def test_a_module_that_is_reloaded_replaces_its_tasks(tmp_path, monkeypatch):
    (tmp_path / "reloaded_tasks.py").write_text(ticket())
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("reloaded_tasks")
    first = module.ticket
    importlib.reload(module)
    assert TASKS.get("ticket") is module.ticket is not first


def test_a_script_can_include_the_file_it_is(tmp_path):
    (tmp_path / "script.py").write_text(ticket())
    script = types.ModuleType("a_script")
    exec(compile(ticket(), str(tmp_path / "script.py"), "exec"), script.__dict__)
    assert include(tmp_path / "script.py").ticket is TASKS.get("ticket")


def test_a_changed_file_is_run_again_only_when_asked_to(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(ticket() + ticket("other: ").replace("def ticket", "def mail"))
    first = include(path)
    assert include(path, again=True) is first  # unchanged
    path.write_text(ticket("queue: "))
    with pytest.warns(PluginWarning, match=rf"^'{path}' was changed since it was included, which changes nothing here"):
        assert include(path) is first
    assert "mail" in TASKS
    assert include(path, again=True).ticket is TASKS.get("ticket")
    assert TASKS.get("ticket").prefix == "queue: "
    assert "mail" not in TASKS
    assert TASKS.is_reloadable("ticket")


def test_a_changed_file_that_fails_changes_nothing(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(ticket())
    module = include(path)
    Path(path).write_text(ticket("queue: ") + "1 / 0\n")
    with pytest.raises(UserError, match="ZeroDivisionError"):
        include(path, again=True)
    assert TASKS.get("ticket") is module.ticket
    path.write_text(ticket("queue: "))
    assert include(path, again=True).ticket.prefix == "queue: "


def test_register_task_that_is_not_called_says_so():
    with pytest.raises(UserError, match=r"write @register_task\(\) above the function"):

        @multitask.register_task  # type: ignore[arg-type]
        def bare(row):
            return None
