"""Tasks from a user's file and from a second, really installed package."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
import warnings
from importlib import metadata

import pytest

from multitask import plugins
from multitask.errors import UserError
from multitask.plugins import INCLUDED, PluginWarning, check_distribution, include, load_entry_points
from multitask.task import TASKS

TASK = '''
from multitask.task import Example, register_task

@register_task(prefix="{name} it: ", labels=("billing", "technical"), metrics=["accuracy"])
def {name}(row):
    """Which queue does a ticket belong to?"""
    return Example(row["body"], row["queue"])
'''


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch):
    """Each test leaves registry, sys.path, sys.modules and environment as it found them."""
    monkeypatch.setenv(INCLUDED, "")
    monkeypatch.setattr(sys, "path", list(sys.path))
    TASKS.load()
    before, modules = set(TASKS.registered()), set(sys.modules)
    yield
    for name in set(TASKS.registered()) - before:
        TASKS.discard(name)
    for name in set(sys.modules) - modules:
        if name.startswith("_multitask_include_"):
            del sys.modules[name]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def error_of(path):
    with pytest.raises(UserError) as caught:
        include(path)
    return str(caught.value)


# ---------------------------------------------------------------------------------------------------------- include


def test_an_included_file_registers_its_tasks_once(tmp_path):
    path = write(tmp_path / "mine.py", TASK.format(name="route"))
    assert include(path) is include(str(path))
    task = TASKS.get("route")
    assert task({"body": "help", "queue": "billing"}).inputs == "route it: help"
    assert pickle.loads(pickle.dumps(task)) is task


def test_two_files_of_one_name_do_not_clash(tmp_path):
    for name in ("one", "two"):
        include(write(tmp_path / name / "mine.py", TASK.format(name=name)))
    assert {"one", "two"} <= set(TASKS)


def test_a_file_may_import_its_neighbours_but_hides_no_installed_module(tmp_path):
    write(tmp_path / "ticket_words_of_test.py", "QUEUES = ('a', 'b')")
    write(tmp_path / "json.py", "raise RuntimeError('hidden')")
    module = include(write(tmp_path / "mine.py", "import json, ticket_words_of_test as w\nQUEUES = w.QUEUES"))
    assert module.QUEUES == ("a", "b")
    sys.modules.pop("ticket_words_of_test")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\nimport not_there_at_all\n", "line 2: ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("def f():\n    return 1 / 0\n\nf()\n", "line 2: ZeroDivisionError: division by zero"),
        ("x = (\n", "line 1: '(' was never closed."),
        ("import sys\nsys.exit(3)\n", "line 2: SystemExit: 3"),
        ("from multitask.errors import UserError\nraise UserError('plain words.')\n", "line 2: plain words."),
    ],
)
def test_a_file_that_fails_is_named_with_its_line(tmp_path, text, message):
    path = write(tmp_path / "mine.py", text)
    assert error_of(path) == f"--include '{path}', {message}"


def test_a_file_that_failed_leaves_nothing_and_can_be_included_when_mended(tmp_path):
    path = write(tmp_path / "mine.py", TASK.format(name="route") + "\n1 / 0\n")
    error_of(path)
    assert "route" not in TASKS
    assert os.environ[INCLUDED] == ""
    write(path, TASK.format(name="route"))
    include(path)
    assert "route" in TASKS


@pytest.mark.parametrize("name", ["none.py", "mine.txt", "."])
def test_a_path_that_is_no_python_file_is_refused(tmp_path, name):
    (tmp_path / "mine.txt").write_text("")
    assert error_of(tmp_path / name) == (
        f"--include '{tmp_path / name}': there is no Python file of that name; give the path of a .py file."
    )


def test_a_taken_name_is_refused_with_its_holder(tmp_path):
    include(write(tmp_path / "one.py", TASK.format(name="route")))
    second = TASK.format(name="route").replace("route it", "other")
    message = error_of(write(tmp_path / "two.py", second))
    assert "Task 'route'" in message or "task 'route'" in message
    assert "is already registered by" in message
    assert "one.py" in message


def test_a_child_process_includes_what_its_parent_did(tmp_path):
    """A spawned worker unpickles a task by its name, which only the included file can give it."""
    path = write(tmp_path / "mine.py", TASK.format(name="route"))
    include(path)
    pickled = pickle.dumps(TASKS.get("route"))
    code = f"import pickle; print(pickle.loads({pickled!r}).prefix)"
    assert python(code, env=dict(os.environ)) == "route it: \n"


# -------------------------------------------------------------------------------------------------------- plug-ins


def python(code, env):
    paths = os.pathsep.join([env.get("PYTHONPATH", ""), *(p for p in sys.path if p)]).strip(os.pathsep)
    done = subprocess.run(
        [sys.executable, "-c", code], env=env | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def second_package(tmp_path_factory):
    """A real distribution, built and installed by pip into a folder of its own."""
    root = tmp_path_factory.mktemp("second")
    write(root / "ticket_tasks/__init__.py", TASK.format(name="route"))
    write(
        root / "ticket_tasks/by_hand.py",
        """
        from multitask.metrics import resolve_metrics
        from multitask.task import Example, Task

        def double(row):
            return Example(row["text"], row["text"] * 2)

        doubled = Task(name="doubled", formatter=double, prefix="double: ", metrics=resolve_metrics(["exact_match"]))
        """,
    )
    write(
        root / "pyproject.toml",
        """
        [build-system]
        requires = ["setuptools"]
        build-backend = "setuptools.build_meta"
        [project]
        name = "ticket-tasks"
        version = "1.5"
        [project.entry-points."multitask.tasks"]
        tickets = "ticket_tasks"
        doubled = "ticket_tasks.by_hand:doubled"
        broken = "ticket_tasks.not_there"
        wrong = "ticket_tasks.by_hand:double"
        """,
    )
    target = root / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*pip, "--disable-pip-version-check", "--target", str(target), str(root)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target


def test_an_installed_package_brings_its_tasks_and_a_broken_one_is_named(second_package):
    code = """
        import warnings
        from multitask.task import TASKS
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            print(TASKS.get("route").prefix, TASKS.get("doubled").prefix, "sst2" in TASKS, TASKS.holder("doubled"))
        for w in caught:
            if w.category.__name__ == "PluginWarning":
                print(w.message)
    """
    out = python(textwrap.dedent(code), env={**os.environ, "PYTHONPATH": str(second_package)})
    first, *broken = out.splitlines()
    assert first == "route it:  double:  True ticket-tasks 1.5"
    assert sorted(broken) == [
        "the plug-in 'broken' (ticket_tasks.not_there) of distribution 'ticket-tasks 1.5' could not be loaded: "
        "ModuleNotFoundError: No module named 'ticket_tasks.not_there' "
        "(its tasks are missing; upgrade or uninstall it)",
        "the plug-in 'wrong' (ticket_tasks.by_hand:double) of distribution 'ticket-tasks 1.5' could not be loaded: "
        "it must be a module, a Task or a list of Tasks, and is a function. "
        "(its tasks are missing; upgrade or uninstall it)",
    ]


def test_loading_entry_points_twice_changes_nothing():
    before = list(TASKS)
    load_entry_points(lambda loaded, holder: pytest.fail(f"{loaded} of {holder} is no module"))
    assert list(TASKS) == before


# ---------------------------------------------------------------------------------------------- other distributions


@pytest.fixture
def other_distribution(tmp_path, monkeypatch):
    write(tmp_path / "multitask_py-0.4.dist-info/METADATA", "Metadata-Version: 2.1\nName: multitask-py\nVersion: 0.4\n")
    monkeypatch.syspath_prepend(tmp_path)
    check_distribution.cache_clear()
    yield
    check_distribution.cache_clear()


def test_another_distribution_of_the_same_import_name_is_warned_of_once(other_distribution):
    with pytest.warns(PluginWarning) as caught:
        assert check_distribution() == ("multitask-py",)
    assert [str(w.message) for w in caught] == [
        "the distribution 'multitask-py' 0.4 is installed as well, and its import package is also named 'multitask': "
        "one of the two overwrites or hides the other. Uninstall both, then install multitask-t5."
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_distribution() == ("multitask-py",)


def test_without_another_distribution_nothing_is_said(monkeypatch):
    def none(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(plugins.metadata, "version", none)
    check_distribution.cache_clear()
    assert check_distribution() == ()
    check_distribution.cache_clear()
