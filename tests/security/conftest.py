"""A canary: a file that is there only if somebody's code ran."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multitask.cli import main
from multitask.sources.sample_rows import sample_rows


class Evil:
    """What a pickle makes of this is a call of `os.system`."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


class Canary:
    """The file, and ways to make it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def command(self) -> str:
        return f"touch {self.path}"

    @property
    def code(self) -> str:
        return f"import os\nos.system({self.command!r})\n"

    def pickle(self) -> Evil:
        return Evil(self.command)

    def sings(self) -> bool:
        return self.path.exists()


@pytest.fixture
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canary]:
    made = Canary(tmp_path_factory.mktemp("canary") / "it_ran")
    yield made
    assert not made.sings()  # whatever the test looked at


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """`refused("train", …)`: what a command that is refused says, in a folder that is the test's own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> str:
        capsys.readouterr()
        assert main(list(arguments)) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert said.err.startswith("multitask: error: ")
        return said.err.removeprefix("multitask: error: ").removesuffix("\n")

    return run


def write_data(folder: Path, tasks: tuple[str, ...] = ("span", "sst2"), rows: int = 150) -> Path:
    """Real files of the sample's rows."""
    for task in tasks:
        (folder / task).mkdir(parents=True, exist_ok=True)
        for split, count in (("train", rows), ("validation", 12)):
            lines = (json.dumps(row) + "\n" for row in sample_rows(task, split)[:count])
            (folder / task / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data")
