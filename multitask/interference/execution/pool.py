"""Training the runs of a study that are missing, side by side, so that it can be interrupted at any moment.

Each worker is a process of its own that loads the study's data once and then trains one run after another, each in its
own run folder, on the GPU of its slot if there are GPUs. It does not run the program that began the study, be it a
script, a notebook or the command line: it loads the tasks from their packages and included files. A run is finished
when its run.json says so; one that is not is continued from its checkpoint, or begun again. The number of threads of a
worker is the study's setting and not the machine's, so the numbers are the same whatever runs beside it.

A run that crashes, or whose process is killed, is tried again in a new process, for a crash may leave a device's memory
in any state; one that is refused is not. What does not succeed in the end holds up no other, unless several fail.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import time
import traceback
import types
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.interference.design.runs import StudyRun
from multitask.interference.execution.failures import cause, ending, heading, note
from multitask.interference.execution.partial import Partial
from multitask.interference.execution.runs import StudyRunError, relative_cost
from multitask.interference.execution.watching import Progress
from multitask.interference.execution.worker import Message, Order, StudyExamples, finish_run, silence, work
from multitask.storage.system_errors import system_error
from multitask.terminal.live import Display, live
from multitask.terminal.width import print_notice
from multitask.training.signals import Interrupted, handle_stop_signals, interrupt

GIVE_UP = 3
"""Runs that failed in the end, after which no other is begun: the reason is probably one that all share."""
GOES_ON = "saving where the models under way are; the same command goes on from there.\n"


@dataclass(frozen=True)
class PoolSettings:
    """How runs are trained on this machine."""

    log_of: Callable[[StudyRun], Path]
    """Where a run's failures are kept."""
    slots: Sequence[str | None] = (None,)
    """The GPU of each worker, or None for a CPU; a single worker trains in this process."""
    threads: int = 1
    """Of each."""
    retries: int = 1
    """How often a run that crashed is tried again."""
    keep_models: bool = False
    """Keep the weights."""


def train_runs(
    runs: Sequence[StudyRun],
    base: TrainConfig,
    settings: PoolSettings,
    *,
    evaluated: Callable[[StudyRun], int],
    done: int = 0,
    partial: Partial | None = None,
) -> None:
    """Train all of `runs`, and show how far it is.

    Args:
        runs: Those that are missing.
        base: The settings of the joint run.
        settings: How.
        evaluated: How many rows a run is evaluated on.
        done: Runs that were there already, for the progress.
        partial: Differences so far, which are shown while they grow.

    Raises:
        UserError: If a run is refused.
        StudyRunError: If one fails, as often as it is tried.
        KeyboardInterrupt: After Ctrl-C, when every worker has saved where it was.
    """
    if not runs:
        return
    costs = [relative_cost(run, evaluated(run)) for run in runs]
    order = in_turn(runs, costs)
    slots = settings.slots[: len(runs)]
    arms = [run.arm for run in runs]
    progress = Progress(runs, costs, done=done, jobs=len(slots), partial=partial, arms=arms)
    with handle_stop_signals(interrupt), live(progress.render, progress.line, every=30.0) as display:
        if len(settings.slots) == 1:
            _train_here(runs, order, base, settings, progress, display)
        else:
            _Pool(runs, order, base, settings, slots, progress, display).train()


def in_turn(runs: Sequence[StudyRun], costs: Sequence[float]) -> list[int]:
    """The order in which runs are trained.

    Seed by seed, so that what is there after an interruption is whole for the first seeds; the large ones first.
    """
    return sorted(range(len(runs)), key=lambda i: (runs[i].seed, -costs[i]))


class Failures:
    """Runs that failed: which to try again, and what is said in the end."""

    def __init__(self, runs: Sequence[StudyRun], settings: PoolSettings) -> None:
        self._runs, self._settings, self._stream = runs, settings, sys.stderr
        self._times: dict[int, int] = {}
        self.final: dict[int, str] = {}
        """{run: what it said at last}"""

    def attempt(self, number: int) -> int:
        """The number of the next attempt, from 1."""
        return self._times.get(number, 0) + 1

    def add(self, number: int, text: str, gpu: str | None = None) -> bool:
        """Note a failure; whether the run is to be tried again."""
        self._times[number] = self.attempt(number)
        again = self._times[number] <= self._settings.retries
        run, log = self._runs[number], self._settings.log_of(self._runs[number])
        then = "trying again" if again else "giving it up"
        with contextlib.redirect_stderr(self._stream):  # training in this process is silenced
            print_notice(f"WARNING: {run.name} failed: {cause(text, gpu)} (log: {log}); {then}.")
        if not again:
            self.final[number] = text
        return again

    @property
    def too_many(self) -> bool:
        """Whether no other run is worth a try."""
        return len(self.final) >= GIVE_UP

    def check(self) -> None:
        """Say which failed.

        Raises:
            StudyRunError: If any did.
        """
        if not self.final:
            return
        number, text = next(iter(self.final.items()))
        more = [self._runs[i].name for i in list(self.final)[1:]]
        also = f"\nso did {', '.join(more)}" if more else ""
        logs = self._settings.log_of(self._runs[number]).parent
        raise StudyRunError(
            f"{self._runs[number].name} failed:\n{text.rstrip()}{also}\nThe logs are in {logs}; the same command goes "
            "on from what is finished."
        )


def _train_here(
    runs: Sequence[StudyRun],
    order: Sequence[int],
    base: TrainConfig,
    settings: PoolSettings,
    progress: Progress,
    display: Display,
) -> None:
    """One after another in this process."""
    from multitask.runs.run import StoppedError
    from multitask.training.rng_states import torch_threads

    failures, waiting = Failures(runs, settings), deque(order)
    try:
        with torch_threads(settings.threads), silence():
            data = StudyExamples(base)
            progress.ready()

            def tell(what: str, number: int, value: Any = None) -> None:
                _take(progress, Message(what, number, value))
                display.update()

            while waiting and not failures.too_many:
                number = waiting.popleft()
                run, log = runs[number], settings.log_of(runs[number])
                tell("start", number)
                keep = settings.keep_models or run.keep_model
                try:
                    finish_run(run.config, run.folder, keep, data, functools.partial(tell, number=number))
                except UserError as error:
                    raise UserError(f"{run.name}: {error}") from error
                except StoppedError as stopped:
                    raise Interrupted(stopped.signal) from None
                except Exception as error:
                    if system_error(error) is not None:
                        raise
                    note(log, heading(failures.attempt(number)) + "\n" + traceback.format_exc())
                    progress.dropped(number)
                    if failures.add(number, traceback.format_exc()):
                        waiting.append(number)
                else:
                    tell("done", number)
    except KeyboardInterrupt:
        sys.stderr.write(GOES_ON)
        raise
    failures.check()


def _take(progress: Progress, message: Message) -> None:
    """Note what happened to a run."""
    match message.what:
        case "start":
            progress.step(message.run, 0)
        case "step":
            progress.step(message.run, message.value)
        case "evaluate":
            progress.evaluating(message.run)
        case "done":
            progress.finished(message.run)


# ---------------------------------------------------------------------------------------------------------- processes


@dataclass(eq=False)
class _Worker:
    """A process that trains, and the run that it has."""

    process: Any
    connection: Any
    gpu: str | None
    run: int | None = None


class _Pool:
    """Processes that train runs, one for each slot; one that ends while there is work is replaced."""

    def __init__(
        self,
        runs: Sequence[StudyRun],
        order: Sequence[int],
        base: TrainConfig,
        settings: PoolSettings,
        slots: Sequence[str | None],
        progress: Progress,
        display: Display,
    ) -> None:
        self._runs, self._base, self._settings, self._slots = runs, base, settings, slots
        self._progress, self._display = progress, display
        self._waiting = deque(order)
        self._failures = Failures(runs, settings)
        self._workers: list[_Worker] = []
        self._loads = 0  # processes in a row that ended before they had loaded the data

    def train(self) -> None:
        """Train all, as far as they can be."""
        try:
            for gpu in self._slots:
                self._start(gpu)
            while self._workers:
                self._listen()
        except BaseException:
            self._stop()
            raise
        finally:
            for worker in self._workers:
                worker.connection.close()
        self._failures.check()

    def _start(self, gpu: str | None) -> None:
        import multiprocessing

        context = multiprocessing.get_context("spawn")  # a forked process must not use torch's threads
        here, there = context.Pipe()
        values = {"OMP_NUM_THREADS": str(self._settings.threads), "TOKENIZERS_PARALLELISM": "false"}
        if gpu is not None:
            values["CUDA_VISIBLE_DEVICES"] = gpu
        process = context.Process(
            target=work, args=(self._base, there, self._settings.threads, os.getpid()), daemon=False
        )
        with _environment(**values), _without_script():
            process.start()
        there.close()  # or its end would never be noticed
        self._workers.append(_Worker(process, here, gpu))

    def _listen(self) -> None:
        """Wait for a word from any of them, for a second at most."""
        ready = wait([worker.connection for worker in self._workers], timeout=1.0)
        for worker in [w for w in self._workers if w.connection in ready]:
            try:
                message = worker.connection.recv()
            except (EOFError, ConnectionResetError):
                self._ended(worker)
            else:
                self._hear(worker, message)
        self._display.update()

    def _hear(self, worker: _Worker, message: Message) -> None:
        match message.what:
            case "ready" | "done":
                if message.what == "ready":
                    self._loads = 0
                    self._progress.ready()
                else:
                    _take(self._progress, message)
                worker.run = None
                self._order(worker)
            case "start" | "step" | "evaluate":
                _take(self._progress, message)
            case "stopped":  # somebody asked it, not we; or there was nothing more to do
                self._close(worker)
                self._again(worker, "stopped by a signal")
            case "refused":
                name = f"{self._runs[message.run].name}: " if message.run >= 0 else ""
                raise UserError(f"{name}{message.value}")
            case _:
                if worker.run is None:
                    raise StudyRunError(f"loading the data failed:\n{message.value}")
                self._close(worker)
                self._again(worker, message.value)

    def _order(self, worker: _Worker) -> None:
        """Give a worker the next run, or let it end."""
        if not self._waiting or self._failures.too_many:
            worker.connection.send(None)
            return
        number = worker.run = self._waiting.popleft()
        run, settings = self._runs[number], self._settings
        keep = settings.keep_models or run.keep_model
        attempt = self._failures.attempt(number)
        worker.connection.send(Order(number, run.config, run.folder, keep, settings.log_of(run), attempt))

    def _ended(self, worker: _Worker) -> None:
        """A worker ended without a word."""
        self._close(worker)
        said = ending(worker.process.exitcode or 0)
        if worker.run is None and worker.process.exitcode:
            self._loads += 1
            if self._loads > self._settings.retries:
                fewer = len(self._slots) // 2
                less = f", with --jobs {fewer} in less memory" if fewer else ""
                raise UserError(
                    f"a process that trains models {said} while it loaded the data: the same command goes on from what "
                    f"is finished{less}."
                )
            self._start(worker.gpu)
        elif worker.run is not None:
            note(self._settings.log_of(self._runs[worker.run]), f"the process {said}")
            self._again(worker, f"the process {said}")

    def _again(self, worker: _Worker, text: str) -> None:
        """Put a failed run back, if it is to be tried again; a new process takes the slot if there is work."""
        if worker.run is not None:
            self._progress.dropped(worker.run)
            if self._failures.add(worker.run, text, worker.gpu):
                self._waiting.append(worker.run)
        idle = sum(other.run is None for other in self._workers)
        if len(self._waiting) > idle and not self._failures.too_many:
            self._start(worker.gpu)

    def _close(self, worker: _Worker) -> None:
        worker.process.join(timeout=20)
        worker.connection.close()
        self._workers.remove(worker)

    def _stop(self) -> None:
        """Ask every worker once to save and end; end those that take longer than a minute, or at a second Ctrl-C."""
        for worker in self._workers:
            if worker.process.is_alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.process.pid, signal.SIGINT)
            with contextlib.suppress(OSError):  # one that waits for an order would wait for ever
                worker.connection.send(None)
        sys.stderr.write(GOES_ON)
        deadline = time.monotonic() + 60
        left: dict[Any, _Worker] = {worker.connection: worker for worker in self._workers}
        try:
            while left and time.monotonic() < deadline:
                for connection in wait(list(left), timeout=0.2):  # a full pipe would keep a worker from ending
                    try:
                        left[connection].connection.recv()
                    except (EOFError, OSError):
                        del left[connection]
        except KeyboardInterrupt:
            pass
        for worker in self._workers:
            if worker.process.is_alive() and worker.connection in left:
                worker.process.terminate()
            worker.process.join(timeout=10)


@contextlib.contextmanager
def _without_script() -> Iterator[None]:
    """Processes that are started inside do not run the user's script again, which spawned ones do before all else.

    A script without `if __name__ == "__main__":` would begin the study anew in each of them. All that a worker needs
    comes by its arguments and by import; a task that the script itself registers is not trained in a worker.
    """
    script = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


@contextlib.contextmanager
def _environment(**values: str) -> Any:
    """Variables for processes that are started inside; torch reads the number of threads when it is imported."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
