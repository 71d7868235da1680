"""The models of a study as tasks of a Ray cluster (the extra `ray`).

Each model is a plain task that asks for CPUs and, where there are GPUs, a part of one. Ray starts a task again whose
node or process died; a model that crashed by itself is sent again by us. Where the nodes see the study's folder they
work in it, and a task that is started again goes on from the last checkpoint; else a model comes back as an archive.

What travels is Ray's own serialisation among the machines of one cluster, which trust each other.
Source: Ray's documentation, "Fault tolerance" and "Tasks".
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import os
import secrets
import shutil
import sys
import tarfile
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.interference.design.runs import StudyRun
from multitask.interference.execution.failures import heading, note
from multitask.interference.execution.partial import Partial
from multitask.interference.execution.pool import Failures, PoolSettings, in_turn
from multitask.interference.execution.runs import relative_cost
from multitask.interference.execution.watching import Progress
from multitask.runs.progress_file import read_progress
from multitask.storage.locking import LockedError
from multitask.terminal.live import live
from multitask.terminal.width import print_notice
from multitask.training.signals import handle_stop_signals, interrupt

NODE_DEATHS = 5
"""How often Ray starts a model again whose node or process died."""
LOCKED = 60.0
"""Seconds to wait for a process that still holds a model's folder: the one of a node that is gone ends in a few."""


class Parcel(NamedTuple):
    """What a model needs of the study's folder, for a node that does not see it."""

    study: str
    token: str
    """A file `.ray-TOKEN` lies in the folder: who finds it there sees the folder."""
    archive: bytes


class Answer(NamedTuple):
    """What a task gives back."""

    what: str
    """done, refused or failed."""
    text: str = ""
    archive: bytes | None = None
    """The run folder, where the node does not see the study's."""


def train_on_ray(
    runs: Sequence[StudyRun],
    base: TrainConfig,
    settings: PoolSettings,
    *,
    study: Path,
    address: str | None,
    gpus: float,
    evaluated: Callable[[StudyRun], int],
    done: int = 0,
    partial: Partial | None = None,
) -> None:
    """Train all of `runs` on a cluster; as `pool.train_runs`.

    Args:
        runs: Those that are missing.
        base: The settings of the joint run.
        settings: Threads, retries, whether to keep the weights.
        study: The study's folder.
        address: Of a cluster; None for RAY_ADDRESS, or else one that is started on this machine.
        gpus: The part of a GPU that a model asks for; 0 for none.
        evaluated: How many rows a run is evaluated on.
        done: Runs that were there already, for the progress.
        partial: Differences so far.

    Raises:
        UserError: If Ray is not there, or a run is refused.
        StudyRunError: If one fails, as often as it is tried.
    """
    if not runs:
        return
    ray = load_ray()
    costs = [relative_cost(run, evaluated(run)) for run in runs]
    arms = [run.arm for run in runs]
    with _connected(ray, address), _marked(study) as token:
        jobs = max(1, int(ray.cluster_resources().get("CPU", 1)) // settings.threads)
        progress = Progress(runs, costs, done=done, jobs=jobs, partial=partial, arms=arms)
        with handle_stop_signals(interrupt), live(progress.render, progress.line, every=30.0) as display:
            sent = _Sent(ray, runs, base, settings, study, token, gpus, progress)
            waiting = deque(in_turn(runs, costs))
            try:
                progress.ready()
                while waiting or sent.running:
                    while waiting and not sent.failures.too_many:
                        sent.send(waiting.popleft())
                    waiting.extend(sent.listen())
                    if sent.failures.too_many:
                        waiting.clear()
                    display.update()
            except BaseException:
                sent.cancel()
                raise
            sent.failures.check()


def load_ray() -> Any:
    """Ray itself.

    Raises:
        UserError: If it is not installed.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a task without a GPU keeps its environment
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise UserError("--engine ray needs the package ray: pip install 'multitask-t5[ray]'.") from error


@contextlib.contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    try:
        ray.init(address=address, log_to_driver=False, include_dashboard=False if address is None else None)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"--ray-address {address}: {reason}") from error
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _marked(study: Path) -> Iterator[str]:
    """A file in the study's folder by which a node knows that it sees it."""
    token = secrets.token_hex(8)
    mark = study / f".ray-{token}"
    mark.write_text("")
    try:
        yield token
    finally:
        mark.unlink(missing_ok=True)


class _Sent:
    """The models that the cluster has, and what comes of them."""

    def __init__(
        self,
        ray: Any,
        runs: Sequence[StudyRun],
        base: TrainConfig,
        settings: PoolSettings,
        study: Path,
        token: str,
        gpus: float,
        progress: Progress,
    ) -> None:
        self._ray, self._runs, self._settings, self._study = ray, runs, settings, study
        self._progress, self._token = progress, token
        self._base = ray.put(base)
        self.failures = Failures(runs, settings)
        self.running: dict[Any, int] = {}
        """{what Ray gives for a task: the run}"""
        self._archives: dict[tuple[Path, ...], bytes] = {}
        self._nodes = self._alive()
        self._task = ray.remote(train_remotely).options(
            num_cpus=settings.threads,
            num_gpus=gpus,
            max_retries=NODE_DEATHS,
            retry_exceptions=False,
            scheduling_strategy="SPREAD",
        )

    def send(self, number: int) -> None:
        """Give the cluster a run."""
        run = self._runs[number]
        keep = self._settings.keep_models or run.keep_model
        parcel = Parcel(str(self._study.absolute()), self._token, self._archive(run))
        folder = str(run.folder.relative_to(self._study))
        config = _whole_paths(run.config)
        self.running[self._task.remote(parcel, self._base, config, folder, keep, self._settings.threads)] = number

    def _archive(self, run: StudyRun) -> bytes:
        """What the run needs of the study's folder: the vocabulary, and the models that it merges.

        Made once for all runs that need the same.
        """
        wanted = tuple(Path(p) for p in (run.config.vocab, *run.config.merge_runs) if p)
        if wanted not in self._archives:
            inside = self._study.absolute()
            found = {p.absolute().relative_to(inside): p for p in wanted if p.absolute().is_relative_to(inside)}
            self._archives[wanted] = pack(found)
        return self._archives[wanted]

    def listen(self) -> list[int]:
        """Wait a second for results; the runs that are to be tried again."""
        ready, _ = self._ray.wait(list(self.running), num_returns=1, timeout=1.0)
        again = []
        for reference in ready:
            number = self.running.pop(reference)
            try:
                answer = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:
                answer = Answer("failed", f"{type(error).__name__}: {error}")
            if not self._take(number, answer):
                again.append(number)
        for number in self.running.values():
            self._look(number)
        alive = self._alive()
        left = len(self._nodes - alive)
        if left:
            print_notice(f"WARNING: {left} node{'s'[: left != 1]} left the cluster; what ran there goes on elsewhere.")
        self._nodes = alive
        return again

    def _take(self, number: int, answer: Answer) -> bool:
        """Whether that is all of this run."""
        run = self._runs[number]
        if answer.what == "done":
            if answer.archive is not None:
                unpack(answer.archive, run.folder)
            self._progress.finished(number)
            return True
        if answer.what == "refused":
            raise UserError(f"{run.name}: {answer.text}")
        note(self._settings.log_of(run), f"{heading(self.failures.attempt(number))}\n{answer.text}")
        self._progress.dropped(number)
        return not self.failures.add(number, answer.text)

    def _look(self, number: int) -> None:
        """How far a run is, where its folder can be seen."""
        found = read_progress(self._runs[number].folder)
        if found is not None:
            self._progress.evaluating(number) if found.evaluating else self._progress.step(number, found.step)

    def _alive(self) -> set[str]:
        return {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}

    def cancel(self) -> None:
        """Ask every task to save and end, and wait a minute for them."""
        sys.stderr.write("asking the models under way to save and end; the same command goes on from there.\n")
        for reference in self.running:
            with contextlib.suppress(Exception):
                self._ray.cancel(reference, force=False)
        with contextlib.suppress(Exception):
            self._ray.wait(list(self.running), num_returns=len(self.running), timeout=60)


def _whole_paths(config: TrainConfig) -> TrainConfig:
    """The settings with whole paths: a node has a current folder of its own."""
    own: dict[str, Any] = {}
    for name in ("data", "model", "vocab"):
        value = getattr(config, name)
        if value and Path(value).exists():
            own[name] = str(Path(value).absolute())
    include = [str(Path(file).absolute()) for file in config.include]
    merge = [str(Path(run).absolute()) for run in config.merge_runs]
    return dataclasses.replace(config, **own, include=include, merge_runs=merge)


# ------------------------------------------------------------------------------------------------------------ archives


def pack(folders: dict[Path, Path]) -> bytes:
    """An archive of folders, {name in it: folder}; without checkpoints, locks and leftovers."""

    def kept(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        parts = Path(info.name).parts
        return None if "checkpoints" in parts or parts[-1].startswith(".") else info

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as archive:
        for name, folder in folders.items():
            archive.add(folder, arcname=str(name), filter=kept)
    return file.getvalue()


def unpack(archive: bytes, folder: Path) -> None:
    """Put a run folder that came as an archive in its place, whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        with tarfile.open(fileobj=io.BytesIO(archive)) as found:
            found.extractall(temporary, filter="data")  # no link, device or path that leads out
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(Path(temporary) / "run", folder)


# --------------------------------------------------------------------------------------------------------- on the node

_examples: dict[str, Any] = {}
"""{study: its examples}, of this process: Ray gives it one model after another."""


def train_remotely(
    parcel: Parcel, base: TrainConfig, config: TrainConfig, folder: str, keep_model: bool, threads: int
) -> Answer:
    """Train one model, on a node of the cluster.

    Args:
        parcel: Where the study is, and what of it is needed where it is not seen.
        base: The settings of the joint run.
        config: Of the run, with whole paths.
        folder: Of the run, in the study's.
        keep_model: Keep its weights.
        threads: For torch.
    """
    import torch

    from multitask.interference.execution.worker import StudyExamples, finish_run, silence

    study, shared = Path(parcel.study), is_seen(parcel)
    try:
        torch.set_num_threads(threads)
        root = study if shared else _own_folder(parcel)
        if not shared:
            config, base = (_moved(one, study, root) for one in (config, base))
        with silence():
            if parcel.token not in _examples:
                _examples.clear()
                _examples[parcel.token] = StudyExamples(_whole_paths(base))
            _wait_for_lock(lambda: finish_run(config, root / folder, keep_model, _examples[parcel.token], _silent))
        archive = None if shared else pack({Path("run"): root / folder})
    except UserError as error:
        return Answer("refused", str(error))
    except Exception:
        return Answer("failed", traceback.format_exc())
    return Answer("done", archive=archive)


def is_seen(parcel: Parcel) -> bool:
    """Whether this node sees the study's folder."""
    return (Path(parcel.study) / f".ray-{parcel.token}").is_file()


def _silent(what: str, value: Any = None) -> None:
    """Progress is in the run's own folder."""


def _wait_for_lock(train: Callable[[], None]) -> None:
    until = time.monotonic() + LOCKED
    while True:
        try:
            return train()
        except LockedError:
            if time.monotonic() > until:
                raise
            time.sleep(2.0)


def _own_folder(parcel: Parcel) -> Path:
    """A folder of this node in the study's place."""
    root = Path(tempfile.gettempdir()) / f"multitask-{parcel.token}-{os.getpid()}"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(parcel.archive)) as found:
        found.extractall(root, filter="data")
    return root


def _moved(config: TrainConfig, study: Path, root: Path) -> TrainConfig:
    """The settings with the paths inside the study in another folder."""

    def there(path: str) -> str:
        whole = Path(path).absolute()
        return str(root / whole.relative_to(study)) if whole.is_relative_to(study) else path

    vocab = there(config.vocab) if config.vocab else None
    return dataclasses.replace(config, vocab=vocab, merge_runs=[there(run) for run in config.merge_runs])
