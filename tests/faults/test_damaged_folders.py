"""Files of a run folder and of the cache, damaged: a named error or another way, never a traceback.

python -m pytest tests/faults/test_damaged_folders.py -m slow -s
"""

from __future__ import annotations

import gzip
import json
import random
import runpy
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from multitask.cli import main
from multitask.errors import UserError
from multitask.runs.finished import run_config
from multitask.runs.reader import RunReader
from multitask.runs.train import train
from multitask.storage.json_files import read_json, write_json
from multitask.tokenization.disk_cache import Cache, entries

oracle = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("reader_oracle.py"))))

SHORT, LONG = 25, 500
"""Damages of each file."""
FILES = ("config.yaml", "run.json", "metrics.json", "baselines.json", "mix.json", "predictions/toy_labels.parquet")
VALUES = (None, True, -1, 1.5, "x", [], {}, [None], {"a": 1}, 10**30, "\x1b[2J", ".nan", "1e999")


@pytest.fixture
def run(toys, tmp_path):
    options = {"max_steps": 2, "enable_progress_bar": False, "accelerator": "cpu"}
    settings = {"tasks": "toy_labels,toy_span", "vocab_size": 70, "batch_size": 8, "labels_by": "both"}
    folder = train(**settings, out=str(tmp_path / "run"), trainer=options, quiet=True).folder
    # Without hashes, as a person who changed a file leaves it: the readers have to see for themselves.
    record = read_json(folder / "run.json")
    del record["files"]
    write_json(folder / "run.json", record)
    return folder


def damaged(draw: random.Random, content: bytes, name: str) -> bytes:
    """The bytes as a disk, a person or another program may leave them."""
    kind = draw.choice(("flip", "cut", "zeros", "insert", "value", "value", "value", "other"))
    at = draw.randrange(len(content))
    if kind == "flip":
        return content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]
    if kind == "cut":
        return content[:at]
    if kind == "zeros":
        return content[:at] + b"\0" * (len(content) - at)
    if kind == "insert":
        return (
            content[:at]
            + draw.choice([b"\xff", b"{", b"]", b": ", b"\n", b"!!python/object:os.system", b"&a", b"*a"])
            + content[at:]
        )
    if kind == "other":
        return draw.choice([b"", b"[]", b"{}", b"null", b"[" * 100_000, gzip.compress(content), b"\xff\xfe"])
    if not name.endswith(".json"):
        lines = content.split(b"\n")
        i = draw.randrange(len(lines))
        lines[i] = lines[i].partition(b":")[0] + b": " + json.dumps(draw.choice(VALUES)).encode()
        return b"\n".join(lines)
    value = json.loads(content)
    place = value
    while place:
        key = draw.choice(list(place))
        if not isinstance(place[key], dict) or draw.random() < 0.2:
            if draw.random() < 0.3:
                del place[key]
            else:
                place[key] = draw.choice(VALUES)
            break
        place = place[key]
    return json.dumps(value).encode()


def use(folder: Path, capsys) -> None:
    """Everything that reads the files of a finished run without its model."""
    run_config(folder)
    finished = RunReader(folder)
    for part in (finished.record, finished.metrics, finished.mix, finished.baselines):
        assert isinstance(part, dict)
    for task in ("toy_labels", "toy_span"):
        finished.frame(task)
        if task in finished.metrics:
            finished.exposure(task)


def check(folder: Path, name: str, content: bytes, capsys) -> str:
    (folder / name).write_bytes(content)
    code = main(["report", str(folder)])
    said = capsys.readouterr().err
    if code:
        assert code == 2
        oracle.check_message(said.removesuffix("\n"), "multitask: error: ")
    try:
        use(folder, capsys)
    except UserError as error:
        oracle.check_message(error, str(folder))
        return "refused"
    return "read"


def damage(run: Path, count: int, capsys) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    for name in FILES:
        whole = (run / name).read_bytes()
        draw = random.Random(name)
        for _ in range(count):
            outcomes[f"{name} {check(run, name, damaged(draw, whole, name), capsys)}"] += 1
        assert check(run, name, whole, capsys) == "read"
    return outcomes


def test_damaged_files_of_a_run_are_named(run, capsys):
    outcomes = damage(run, SHORT, capsys)
    assert sum(n for what, n in outcomes.items() if what.endswith("refused")) > SHORT * len(FILES) // 2


@pytest.mark.slow
def test_many_damaged_files_of_a_run_are_named(run, capsys, request):
    if "slow" not in request.config.option.markexpr:
        pytest.skip("a minute: run with -m slow")
    outcomes = damage(run, LONG, capsys)
    with capsys.disabled():
        print(f"\nrun folders: {outcomes.total():,} {json.dumps(outcomes, indent=1)}")


def test_a_damaged_entry_of_the_cache_is_as_if_it_were_not_there(tmp_path):
    said: list[str] = []
    cache = Cache(tmp_path / "cache", said.append)
    arrays = {"ids": np.arange(200, dtype=np.int32), "starts": np.arange(5, dtype=np.int64)}
    cache.write("tokens", {"task": "toy"}, arrays, {"rows": 4})
    path = cache.path("tokens", {"task": "toy"})
    whole = path.read_bytes()
    draw = random.Random(0)
    outcomes: Counter[str] = Counter()
    for _ in range(400):
        shutil.rmtree(tmp_path / "cache")
        path.parent.mkdir()
        path.write_bytes(damaged(draw, whole, "entry"))
        found = cache.read("tokens", {"task": "toy"})
        outcomes["read" if found else "made again"] += 1
        if found is not None:  # a byte between the arrays that nothing is in
            assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
        assert len(entries(path.parent)) == 1
    assert len(said) == outcomes["made again"] > 300
    for line in said:
        assert line.startswith(f"cache: {path} is damaged (")
