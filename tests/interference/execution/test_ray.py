"""Models on a Ray cluster: what is sent, what comes back, what is tried again.

The cluster here is a stand-in that runs a task when it is waited for. A real one, of two nodes of which one is killed,
is `benchmarks/ray_node_removed.py`.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from multitask import Study
from multitask.cli import main
from multitask.errors import UserError
from multitask.interference.execution import on_ray
from multitask.interference.execution.on_ray import pack, unpack

TASK_FILE = str(Path(__file__).parents[2] / "study_tasks.py")
STUDY = [
    *("interference", "--tasks", "study_order,study_first", "--include", TASK_FILE, "--vocab-size", "70"),
    *("--per-step", "4", "--resamples", "200", "--arms", "single,joint", "--seeds", "1", "--threads", "1"),
    *("--steps", "4", "--trainer.accelerator", "cpu"),
]


pytestmark = pytest.mark.usefixtures("study_tasks")


@pytest.fixture(autouse=True)
def _own_examples():
    """A node keeps the examples of a study for its next model; a test's are its own."""
    yield
    on_ray._examples.clear()


class Cluster(types.ModuleType):
    """As much of Ray as is used."""

    class RayError(Exception):
        pass

    def __init__(self) -> None:
        super().__init__("ray")
        self.exceptions = types.SimpleNamespace(RayError=self.RayError)
        self.options: dict = {}
        self.called: list[tuple] = []
        self.dies = 0
        """Tasks whose node dies more often than Ray tries."""
        self.alive = ["a", "b"]
        self.is_open = False

    def init(self, **options) -> None:
        if options["address"] == "nowhere:1":
            raise ConnectionError("ray.init() could not reach nowhere:1\nand more")
        self.is_open = True

    def is_initialized(self) -> bool:
        return self.is_open

    def shutdown(self) -> None:
        self.is_open = False

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def nodes(self) -> list[dict]:
        return [{"NodeID": name, "Alive": name in self.alive} for name in ("a", "b")]

    def put(self, value):
        return value

    def remote(self, function):
        def call(*arguments):
            self.called.append((function, arguments))
            return len(self.called) - 1

        task = types.SimpleNamespace(remote=call)
        task.options = lambda **options: self.options.update(options) or task
        return task

    def wait(self, references, num_returns, timeout):
        return references[:1], references[1:]

    def get(self, reference):
        function, arguments = self.called[reference]
        if self.dies:
            self.dies -= 1
            self.alive = ["a"]
            raise self.RayError("The node died.")
        return function(*arguments)


@pytest.fixture
def cluster(monkeypatch) -> Cluster:
    made = Cluster()
    monkeypatch.setitem(sys.modules, "ray", made)
    return made


def test_a_study_on_a_cluster_has_the_tables_of_one_on_this_machine(cluster, tmp_path, capsys):
    cluster.dies = 1
    assert main([*STUDY, "--out", str(tmp_path / "there"), "--engine", "ray"]) == 0
    assert not cluster.is_open
    assert (cluster.options["num_cpus"], cluster.options["num_gpus"]) == (1, 0)
    assert cluster.options["max_retries"] > 0 and cluster.options["retry_exceptions"] is False
    assert len(cluster.called) == 4
    said = capsys.readouterr().err
    assert "failed: RayError: The node died." in said and "trying again" in said
    assert "1 node left the cluster" in said
    # The second, to a cluster whose nodes do not see the folder: the models come back as archives.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_ray, "is_seen", lambda parcel: False)
        assert main([*STUDY, "--out", str(tmp_path / "away"), "--engine", "ray"]) == 0
    assert main([*STUDY, "--out", str(tmp_path / "here"), "--jobs", "1"]) == 0
    records = [Study.read(tmp_path / name).record for name in ("there", "away", "here")]
    assert all(record["made"].pop("finished") for record in records)
    assert records[0] == records[1] == records[2]
    csv = [(tmp_path / name / "interference.csv").read_bytes() for name in ("there", "away", "here")]
    assert csv[0] == csv[1] == csv[2]
    assert not list((tmp_path / "there").glob(".ray-*"))


def test_what_is_refused_there_is_refused_here(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(on_ray, "train_remotely", lambda *_: on_ray.Answer("refused", "the disk is full."))
    with pytest.raises(UserError, match=r"joint seed 0: the disk is full\."):
        run_study(tmp_path)


def run_study(folder: Path, *more: str) -> None:
    from multitask.cli.interference import run

    run([*STUDY[1:], "--out", str(folder / "study"), "--engine", "ray", *more])


def test_a_cluster_that_cannot_be_reached_and_a_package_that_is_missing_are_sentences(cluster, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"--ray-address nowhere:1: ray\.init\(\) could not reach nowhere:1$"):
        run_study(tmp_path, "--ray-address", "nowhere:1")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"--engine ray needs the package ray: pip install 'multitask-t5\[ray\]'"):
        run_study(tmp_path)
    with pytest.raises(UserError, match="--submit is of --engine slurm; the engine here is ray"):
        run_study(tmp_path, "--submit")


def test_an_archive_comes_whole_and_leads_nowhere_else(tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "step-1.ckpt").write_text("large")
    (run / "metrics.json").write_text("{}")
    (run / ".owner").write_text("me")
    unpack(pack({Path("run"): run}), tmp_path / "cells" / "one")
    assert [p.name for p in (tmp_path / "cells" / "one").iterdir()] == ["metrics.json"]
    (run / "link").symlink_to("/etc/passwd")
    with pytest.raises(Exception, match=r"absolute path|outside"):
        unpack(pack({Path("run"): run}), tmp_path / "cells" / "two")
    assert [p.name for p in (tmp_path / "cells").iterdir()] == ["one"]
