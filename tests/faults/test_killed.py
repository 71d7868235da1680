"""Runs and studies that are killed with SIGKILL anywhere, and runs on a real file system that is full or read-only.

They end with the same bytes as those that are left alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

HERE = Path(__file__).parent
COMMON = ["--include", str(HERE / "fault_tasks.py"), "--tasks", "fault_order,fault_first", "--vocab-size", "80"]
RUN = [
    *("train", *COMMON, "--batch-size", "12", "--trainer.max_steps", "24", "--checkpoint-every", "5"),
    *("--eval-every", "8", "--eval-limit", "20", "--select", "mean", "--selection-rows", "20", "--log-every", "3"),
    *("--log-examples", "--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"),
]
STUDY = [
    *("interference", *COMMON, "--arms", "single,joint", "--seeds", "1", "--per-step", "6", "--resamples", "200"),
    *("--jobs", "1", "--threads", "1", "--trainer.max_steps", "12", "--checkpoint-every", "4"),
    *("--trainer.accelerator", "cpu"),
]
LONG = 50


class Zygote:
    """Starts commands in forked children, and kills them.

    Args:
        folder: For its own files.
        under: A command that it runs under.
    """

    def __init__(self, folder: Path, under: Sequence[str] = ()) -> None:
        self.folder, self.number = folder, 0
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        environment["PYTHONPATH"] = os.pathsep.join([str(HERE.parent.parent), environment.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [*under, sys.executable, str(HERE / "zygote.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.send(argv=[*RUN, "--out", str(folder / "warm")], cache=str(folder / "warm-cache"))
        assert self.line() == "ready"

    def send(self, **job: Any) -> None:
        assert self.process.stdin is not None
        self.log = self.folder / "log.txt"
        self.process.stdin.write(json.dumps({"log": str(self.log), **job}) + "\n")
        self.process.stdin.flush()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def run(self, argv: list[str], cache: Path, *, kill_after: float | None = None, die: Any = None) -> int:
        """The exit code, negative for a signal."""
        self.send(argv=argv, cache=str(cache), die=die)
        pid = json.loads(self.line())["pid"]
        timer = threading.Timer(kill_after or 0, _kill, (pid,))
        if kill_after is not None:
            timer.start()
        code = json.loads(self.line())["code"]
        timer.cancel()
        return int(code)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)
        assert self.process.stdout is not None
        self.process.stdout.close()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    made = Zygote(tmp_path_factory.mktemp("zygote"))
    yield made
    made.close()


class Whole:
    """A run that was left alone: its results, and how long it took."""

    def __init__(self, zygote: Zygote, folder: Path, argv: list[str]) -> None:
        self.argv = argv
        self.folder = folder / "whole"
        began = time.monotonic()
        assert zygote.run([*argv, "--out", str(self.folder)], folder / "cache") == 0, zygote.log.read_text()[-3000:]
        self.seconds = time.monotonic() - began


@pytest.fixture(scope="module")
def whole(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(zygote, tmp_path_factory.mktemp("run"), RUN)


@pytest.fixture(scope="module")
def whole_study(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(zygote, tmp_path_factory.mktemp("study"), STUDY)


def results(folder: Path, out: Path | None = None) -> dict[str, bytes]:
    """All that a run leaves behind but times; the examples' files in one, for each checkpoint begins another.

    Args:
        folder: The run folder.
        out: Its name where it was made.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith(("checkpoints/", "examples/")) and name not in ("run.json", ".lock"):
            found[name] = path.read_bytes()
    parts = sorted((folder / "examples").glob("*.parquet"), key=lambda p: int(p.name.split("-")[1]))
    found["examples"] = pd.concat([pd.read_parquet(p) for p in parts]).to_csv(index=False).encode()
    record = json.loads((folder / "run.json").read_text())
    for name in ("seconds", "training_seconds", "peak_memory", "finished", "sha256"):
        if name == "finished":  # the page says where, when and in what time
            page = found["report.html"].decode().replace(f"Run {(out or folder).name}<", "Run OUT<")
            found["report.html"] = re.sub(rf"{re.escape(record[name])}, [\d:]+", "WHEN", page).encode()
        del record[name]
    record["files"] = {k: v for k, v in record["files"].items() if not k.startswith(("examples/", "config"))}
    found["run.json"] = json.dumps(record).encode()
    found["config.yaml"] = found["config.yaml"].replace(str(out or folder).encode(), b"OUT")
    return found


def assert_same(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    assert one.keys() == other.keys()
    different = [name for name in one if one[name] != other[name]]
    assert not different, different


def where_it_died(folder: Path, cache: Path) -> str:
    """What the process was doing, as far as its files tell."""
    if any(cache.glob(".*.entry.*")):
        return "writing the cache"
    if any((folder / "checkpoints").glob(".*")):
        return "writing a checkpoint"
    if any(p.name != ".lock" for p in folder.glob(".*")) or any((folder / "predictions").glob(".*")):
        return "writing a file of the run"
    if (folder / "metrics.json").exists():
        return "after the scores" if "finished" in (folder / "run.json").read_text() else "between scores and record"
    if (folder / "checkpoints" / "step-24.ckpt").exists():
        return "the last evaluation"
    if (folder / "checkpoints").exists():
        return "training, after a checkpoint"
    return "training, before a checkpoint" if (folder / "run.json").exists() else "loading"


def finish(zygote: Zygote, folder: Path, cache: Path, kill_after: float | None = None) -> int:
    """As a user would: continue, or begin if nothing is there yet."""
    code = zygote.run([*RUN, "--out", str(folder), "--resume"], cache, kill_after=kill_after)
    if code == 2:
        code = zygote.run([*RUN, "--out", str(folder), "--overwrite"], cache)
    return code


def killed_at_random(zygote: Zygote, whole: Whole, base: Path, count: int, seed: int) -> Counter[str]:
    """Where runs were killed, until `count` were: a moment after the end of a run does not count."""
    draw = random.Random(seed)
    expected, places, seconds = results(whole.folder), Counter[str](), whole.seconds
    for i in range(4 * count):
        if places.total() == count:
            break
        folder, cache = base / f"run-{i}", base / f"cache-{i}"
        cache.mkdir()
        moment = draw.uniform(0.02, 1.0) * seconds
        if zygote.run([*RUN, "--out", str(folder)], cache, kill_after=moment):
            places[where_it_died(folder, cache)] += 1
        else:
            seconds *= 0.7  # the run that was timed may have had a busier machine
        if draw.random() < 0.3:  # and once more while it is continued
            finish(zygote, folder, cache, kill_after=draw.uniform(0.02, 0.8) * whole.seconds)
        assert finish(zygote, folder, cache) == 0, (i, zygote.log.read_text()[-3000:])
        assert_same(results(folder), expected)
    assert places.total() == count
    return places


def killed_at_a_write(zygote: Zygote, whole: Whole, base: Path, n: int, when: str) -> bool:
    """Whether there was an n-th write."""
    folder, cache = base / f"run-{n}-{when}", base / f"cache-{n}-{when}"
    cache.mkdir()
    code = zygote.run([*RUN, "--out", str(folder)], cache, die=[n, when])
    assert code in (0, -signal.SIGKILL)
    assert finish(zygote, folder, cache) == 0, (n, when, zygote.log.read_text()[-3000:])
    assert_same(results(folder), results(whole.folder))
    return code != 0


@pytest.mark.slow
def test_a_run_killed_at_many_random_moments_ends_with_the_same_bytes(zygote, whole, tmp_path, capsys):
    places = killed_at_random(zygote, whole, tmp_path, LONG, seed=2)
    with capsys.disabled():
        print(f"\n{LONG} of {LONG} runs ended with the same bytes; killed while: {dict(places.most_common())}")


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "torn", "after"])
def test_a_run_killed_at_any_write_ends_with_the_same_bytes(zygote, whole, tmp_path, when, capsys):
    n = 1
    while killed_at_a_write(zygote, whole, tmp_path, n, when):
        n += 1
    with capsys.disabled():
        print(f"\nkilled {when} each of {n - 1} writes: {n - 1} of {n - 1} ended with the same bytes")
    assert n > 20


def undated(study: Path) -> dict[str, Any]:
    """interference.json but for when the last model was finished."""
    record: dict[str, Any] = json.loads((study / "interference.json").read_text())
    del record["sha256"], record["made"]["finished"]
    return record


def killed_study(zygote: Zygote, whole: Whole, base: Path, count: int, seed: int) -> int:
    draw, kills = random.Random(seed), 0
    for i in range(count):
        folder, cache = base / f"study-{i}", base / f"cache-{i}"
        argv = [*STUDY, "--out", str(folder)]
        cache.mkdir()
        while (code := zygote.run(argv, cache, kill_after=draw.uniform(0.02, 0.7) * whole.seconds)) != 0:
            assert code == -signal.SIGKILL, zygote.log.read_text()[-3000:]
            kills += 1
            if draw.random() < 0.4:
                assert zygote.run(argv, cache) == 0, zygote.log.read_text()[-3000:]
                break
        assert (folder / "interference.csv").read_bytes() == (whole.folder / "interference.csv").read_bytes(), i
        assert undated(folder) == undated(whole.folder), i
    return kills


def test_what_is_killed_ends_with_the_same_bytes(zygote, whole, whole_study, tmp_path):
    """The short form, in one test: what it is compared with is made once."""
    killed_at_random(zygote, whole, tmp_path, 2, seed=1)
    for n, when in ((3, "torn"), (6, "before"), (9, "after")):
        assert killed_at_a_write(zygote, whole, tmp_path, n, when)
    (tmp_path / "study").mkdir()
    killed_study(zygote, whole_study, tmp_path / "study", 1, seed=4)


@pytest.mark.slow
def test_a_study_killed_at_many_random_moments_ends_with_the_same_bytes(zygote, whole_study, tmp_path, capsys):
    kills = killed_study(zygote, whole_study, tmp_path, 20, seed=3)
    with capsys.disabled():
        print(f"\n20 of 20 studies ended with the same bytes after {kills} kills")


# ------------------------------------------------------------------------------------------------- a small file system


class Disk:
    """A tmpfs in a mount namespace of its own, and a zygote that sees it; others see an empty folder."""

    def __init__(self, zygote: Zygote, folder: Path, inside: Sequence[str]) -> None:
        self.zygote, self.folder, self._inside = zygote, folder, inside
        self._cache = folder.parent / "cache"

    def mount(self, options: str) -> None:
        subprocess.run([*self._inside, "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)], check=True)

    def change(self, options: str) -> None:
        subprocess.run([*self._inside, "mount", "-o", f"remount,{options}", str(self.folder)], check=True)

    def leave(self) -> None:
        subprocess.run([*self._inside, "umount", str(self.folder)], check=True)

    def run(self, *words: str, cache: Path | None = None) -> tuple[int, list[str]]:
        """The exit code, and the lines that it ended with or was warned by."""
        self.zygote.log.unlink(missing_ok=True)
        code = self.zygote.run(list(words), cache or self._cache)
        lines = self.zygote.log.read_text().splitlines()
        assert not any(line.startswith("Traceback") for line in lines), lines
        return code, [line for line in lines if line.startswith(("multitask: ", "cache: "))]

    @property
    def seen(self) -> Path:
        """The folder as the zygote sees it."""
        return Path(f"/proc/{self.zygote.process.pid}/root{self.folder}")


def _may_mount(under: Sequence[str], folder: Path) -> bool:
    try:
        tried = subprocess.run([*under, "mount", "-t", "tmpfs", "tmpfs", str(folder)], capture_output=True)
    except OSError:
        return False
    return tried.returncode == 0


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    """Where mounting is forbidden, nothing can be shown: the reason stands in the summary of the tests."""
    base = tmp_path_factory.mktemp("disk")
    (base / "mount").mkdir()
    ways = ((["unshare", "--mount"], ["-m"]), (["unshare", "--user", "--map-root-user", "--mount"], ["-U", "-m"]))
    way = next((way for way in ways if _may_mount(way[0], base / "mount")), None)
    if way is None:
        pytest.skip("this machine lets nobody mount a file system")
    under, enter = way
    zygote = Zygote(base, under)
    (base / "cache").mkdir()
    prefix = ["nsenter", "--preserve-credentials", "-t", str(zygote.process.pid), *enter]
    made = Disk(zygote, base / "mount", prefix)
    yield made
    zygote.close()


@pytest.fixture(scope="module")
def elsewhere(disk: Disk, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(disk.zygote, tmp_path_factory.mktemp("elsewhere"), RUN)


def on_a_full_disk(disk: Disk, whole: Whole, size: int) -> str:
    """What a run of the disk's `size` in KiB ends with; it goes on when there is room, to the same bytes."""
    disk.mount(f"size={size}k")
    out = disk.folder / "run"
    code, said = disk.run(*RUN, "--out", str(out))
    if code:
        assert (code, len(said)) == (2, 1), said
        assert "No space left on device" in said[0]
        assert str(out) in said[0]
        disk.change("size=1g")
        code, _ = disk.run(*RUN, "--out", str(out), "--resume")
        if code == 2:
            code, _ = disk.run(*RUN, "--out", str(out), "--overwrite")
        assert code == 0, disk.zygote.log.read_text()[-3000:]
    assert_same(results(disk.seen / "run", out), results(whole.folder))
    disk.leave()
    return said[0] if said else ""


def needed(folder: Path) -> int:
    """KiB that a run takes on a disk, nearly."""
    return sum(-(-p.stat().st_size // 4096) * 4 for p in folder.rglob("*") if p.is_file())


def on_a_read_only_disk(disk: Disk, whole: Whole, tmp_path: Path) -> None:
    disk.mount("size=1g")
    out = disk.folder / "run"
    assert disk.run(*RUN, "--out", str(out))[0] == 0
    disk.change("ro")
    other = disk.folder / "other"
    refused = f"multitask: error: --out {other} cannot be written: Read-only file system."
    assert disk.run(*RUN, "--out", str(other)) == (2, [refused])
    # What only reads works as before, and a cache that cannot be written is done without.
    assert disk.run("report", str(out)) == (0, [])
    words = ["eval", str(out), "--include", str(HERE / "fault_tasks.py"), "--out", str(tmp_path / "eval")]
    assert disk.run(*words)[0] == 0
    assert (tmp_path / "eval" / "metrics.json").read_bytes() == (whole.folder / "metrics.json").read_bytes()
    code, said = disk.run(*RUN, "--out", str(tmp_path / "run"), cache=disk.folder / "cache")
    assert code == 0
    assert said == [f"cache: {disk.folder / 'cache'} cannot be written (Read-only file system); going on without it."]
    disk.leave()


def test_a_run_on_a_disk_that_is_full_or_read_only(disk, elsewhere, tmp_path):
    """The short form, in one test, for the same reason."""
    size = needed(elsewhere.folder)
    said = [on_a_full_disk(disk, elsewhere, size * share // 100) for share in (1, 60)]
    assert all(said), said
    on_a_read_only_disk(disk, elsewhere, tmp_path)


@pytest.mark.slow
def test_real_disks_of_many_sizes(disk, elsewhere, capsys):
    size = needed(elsewhere.folder)
    said = [on_a_full_disk(disk, elsewhere, size * share // 100) for share in range(2, 130, 4)]
    full = [line for line in said if line]
    assert 20 < len(full) < len(said)
    with capsys.disabled():
        kinds = Counter(line.partition(" cannot")[0] for line in full)
        print(
            f"\n{len(full)} of {len(said)} runs found the disk full, and all ended with the same bytes: {dict(kinds)}"
        )
