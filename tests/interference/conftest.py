"""The tasks of `study_tasks.py`, for tests of whole studies."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from multitask.plugins import INCLUDED, include
from multitask.task import TASKS

TASK_FILE = str(Path(__file__).parents[1] / "study_tasks.py")


@pytest.fixture
def study_tasks(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The file, included for the length of a test."""
    monkeypatch.setenv(INCLUDED, "")
    module = include(TASK_FILE)
    yield TASK_FILE
    for name in ("study_order", "study_first", "study_last"):
        TASKS.discard(name)
    del sys.modules[module.__name__]
