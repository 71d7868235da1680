"""One process at a time writes to a folder, also where the file system keeps no locks."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from multitask.errors import UserError
from multitask.interference.design.folder import check_study_folder
from multitask.runs.folder import check_folder
from multitask.storage.atomic import atomic, atomic_files
from multitask.storage.folders import make_folder
from multitask.storage.json_files import write_json
from multitask.storage.locking import LOCK, OWNER, locked

BUSY = "another process is working on the run in {}: wait for it, or stop it."


def taken_over(folder: Path) -> None:
    """By a process of another machine."""
    other = {"token": "0" * 32, "pid": 7, "began": "1", "host": "elsewhere", "boot": "x"}
    (folder / OWNER).write_text(json.dumps(other))


# --------------------------------------------------------------------------------------------------------------- links


@pytest.mark.parametrize("name", [LOCK, OWNER])
@pytest.mark.parametrize("kind", ["dangling", "to a file", "pipe"])
def test_a_lock_that_is_a_link_is_refused_before_anything_is_made(tmp_path, name, kind):
    folder, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    if kind == "pipe":
        os.mkfifo(folder / name)  # opening one waits for ever
    else:
        (folder / name).symlink_to(elsewhere / "made")
        if kind == "to a file":
            (elsewhere / "made").write_text("precious")
    before = sorted(p.name for p in elsewhere.iterdir())

    def hold() -> None:
        with locked(folder, "run"):
            pass

    ways = [
        hold,
        *(lambda o=o: check_folder(folder, resume=False, overwrite=o) for o in (False, True)),
        *(lambda o=o: check_study_folder(folder, overwrite=o) for o in (False, True)),
    ]
    for refused in ways:
        with pytest.raises(UserError, match=rf"{name} is (a link to|no plain file)"):
            refused()
    assert [p.name for p in folder.iterdir()] == [name]
    assert sorted(p.name for p in elsewhere.iterdir()) == before
    assert kind != "to a file" or (elsewhere / "made").read_text() == "precious"


def test_a_study_with_a_link_that_leads_out_is_refused_before_it_is_locked(tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.yaml").touch()
    (tmp_path / "study" / "cells").symlink_to(tmp_path)
    with pytest.raises(UserError, match="cells is a link that leads out of"):
        check_study_folder(tmp_path / "study", overwrite=False)


# --------------------------------------------------------------------------------------------------------------- locks


def always_there(*_: object) -> None:
    """`flock` on a file system that says yes to everybody."""


def without(number: int):
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


FLOCKS = {"yes to all": always_there, **{errno.errorcode[n]: without(n) for n in (errno.ENOLCK, errno.EOPNOTSUPP)}}


@pytest.fixture(params=FLOCKS)
def no_locks(request, monkeypatch) -> None:
    monkeypatch.setattr(fcntl, "flock", FLOCKS[request.param])


@pytest.fixture
def other(tmp_path) -> Iterator[int]:
    """Another process that holds the folder."""
    child = os.fork()
    if child == 0:
        with locked(tmp_path, "run"):
            (tmp_path / "held").touch()
            time.sleep(60)
        os._exit(0)
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    yield child
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_without_locks_a_second_process_is_refused_while_the_first_one_lives(no_locks, other, tmp_path):
    with pytest.raises(UserError) as error, locked(tmp_path, "run"):
        pass
    assert str(error.value) == BUSY.format(tmp_path)


def test_without_locks_a_folder_is_free_again_when_its_owner_was_killed(no_locks, other, tmp_path):
    os.kill(other, signal.SIGKILL)  # and nobody has asked yet how it ended
    with locked(tmp_path, "run", wait=30):
        write_json(tmp_path / "a.json", {})
        assert json.loads((tmp_path / OWNER).read_text())["pid"] == os.getpid()
    assert not (tmp_path / OWNER).exists()


def test_an_owners_file_that_is_damaged_keeps_nobody_out(tmp_path):
    for content in (b"", b"{", b"[]", b'{"token": 1}', b"\xff", b"[" * 5000):
        (tmp_path / OWNER).write_bytes(content)
        with locked(tmp_path, "run"):
            write_json(tmp_path / "a.json", {})


def test_who_lost_a_folder_writes_nothing_more(tmp_path):
    folder = tmp_path / "run"
    with locked(folder, "run"):
        write_json(folder / "config.json", {"of": "the first"})
        late = pytest.raises(UserError, match=r"process 7 of elsewhere has taken over .*run while this process was")
        with late, atomic(folder / "weights") as temporary:
            temporary.write_text("of the first")
            taken_over(folder)  # in the middle of a write
            write_json(tmp_path / "another.json", {})  # of a folder that nobody owns
        with late, atomic_files(folder / "model", last="a"):
            pass
        with late:
            make_folder(folder, delete=["config.json"])
        with late:
            write_json(folder / "sub" / "run.json", {})
    assert sorted(p.name for p in folder.iterdir()) == [LOCK, OWNER, "config.json"]
    assert "elsewhere" in (folder / OWNER).read_text()
    (folder / OWNER).unlink()
    with locked(folder, "run"):
        (folder / OWNER).unlink()
        with pytest.raises(UserError, match="another process, or somebody, has taken over"):
            write_json(folder / "run.json", {})


def test_two_runs_take_turns_in_one_folder(tmp_path):
    for _ in range(2):
        with locked(tmp_path, "run"), locked(tmp_path / "cells" / "a", "run"):
            write_json(tmp_path / "cells" / "a" / "run.json", {})
    assert sorted(p.name for p in tmp_path.rglob("*")) == [LOCK, LOCK, "a", "cells", "run.json"]
