"""Training the runs of a study that are missing, side by side, so that it can be interrupted at any moment.

Each worker is a process of its own that loads the study's data once and then trains one run after another, each in its
own run folder. It does not run the program that began the study, be it a script, a notebook or the command line: it
loads the tasks from their packages and included files. A run is finished when its run.json says so; one that is not is
continued from its checkpoint, or begun again. The number of threads of a worker is the study's setting and not the
machine's, so the numbers are the same whatever runs beside it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import queue
import signal
import sys
import time
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.interference.design.runs import StudyRun
from multitask.interference.execution.partial import Partial
from multitask.interference.execution.runs import StudyRunError, relative_cost
from multitask.interference.execution.watching import Progress
from multitask.interference.execution.worker import Message, StudyExamples, finish_run, silence, work
from multitask.storage.system_errors import system_error
from multitask.terminal.live import Display, live
from multitask.training.signals import Interrupted, handle_stop_signals, interrupt


def train_runs(
    runs: Sequence[StudyRun],
    base: TrainConfig,
    *,
    evaluated: Callable[[StudyRun], int],
    jobs: int,
    threads: int,
    keep_models: bool,
    done: int = 0,
    partial: Partial | None = None,
) -> None:
    """Train all of `runs`, `jobs` at a time, and show how far it is.

    Args:
        runs: Those that are missing.
        base: The settings of the joint run.
        evaluated: How many rows a run is evaluated on.
        jobs: Workers; 1 trains in this process.
        threads: Of each.
        keep_models: Keep the weights.
        done: Runs that were there already, for the progress.
        partial: Differences so far, which are shown while they grow.

    Raises:
        UserError: If a run is refused.
        StudyRunError: If one fails.
        KeyboardInterrupt: After Ctrl-C, when every worker has saved where it was.
    """
    if not runs:
        return
    # Seed by seed, so that what is there after an interruption is whole for the first seeds; the large ones first.
    costs = [relative_cost(run, evaluated(run)) for run in runs]
    order = sorted(range(len(runs)), key=lambda i: (runs[i].seed, -costs[i]))
    jobs = min(jobs, len(runs))
    progress = Progress(runs, costs, done=done, jobs=jobs, partial=partial)
    with handle_stop_signals(interrupt), live(progress.render, progress.line, every=30.0) as display:
        if jobs == 1:
            _train_here(order, base, threads, keep_models, progress, display)
        else:
            _train_apart(order, base, jobs, threads, keep_models, progress, display)


def _train_here(
    order: Sequence[int], base: TrainConfig, threads: int, keep_models: bool, progress: Progress, display: Display
) -> None:
    """One after another in this process."""
    import torch

    from multitask.runs.run import StoppedError

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with silence():
            data = StudyExamples(base)
            progress.ready()

            def say(what: str, number: int, value: Any = None) -> None:
                _take(progress, Message(what, number, value))
                display.update()

            for number in order:
                run = progress.runs[number]
                say("start", number)
                keep = keep_models or run.keep_model
                try:
                    finish_run(run.config, run.folder, keep, data, functools.partial(say, number=number))
                except UserError as error:
                    raise UserError(f"{run.name}: {error}") from error
                except StoppedError as stopped:
                    raise Interrupted(stopped.signal) from None
                except Exception as error:
                    if system_error(error) is not None:
                        raise
                    raise StudyRunError(f"{run.name} failed:\n{traceback.format_exc()}") from error
                say("done", number)
    except KeyboardInterrupt:
        sys.stderr.write(GOES_ON)
        raise
    finally:
        torch.set_num_threads(before)


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


def _train_apart(
    order: Sequence[int],
    base: TrainConfig,
    jobs: int,
    threads: int,
    keep_models: bool,
    progress: Progress,
    display: Display,
) -> None:
    """In `jobs` processes."""
    import multiprocessing

    runs = progress.runs
    context = multiprocessing.get_context("spawn")  # a forked process must not use torch's threads
    waiting, messages = context.Queue(), context.Queue()
    for i in order:
        waiting.put((i, runs[i].config, runs[i].folder, keep_models or runs[i].keep_model))
    for _ in range(jobs):
        waiting.put(None)
    with _environment(OMP_NUM_THREADS=str(threads), TOKENIZERS_PARALLELISM="false"):
        workers = [
            context.Process(target=work, args=(base, waiting, messages, threads, os.getpid()), daemon=False)
            for _ in range(jobs)
        ]
        with _without_script():
            for worker in workers:
                worker.start()
    try:
        _follow(workers, messages, progress, display)
    except BaseException:
        _stop(workers, messages)
        raise
    finally:
        for q in (waiting, messages):
            q.cancel_join_thread()
            q.close()


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


def _ended(code: int, workers: int) -> str:
    """Say how a process that trains models ended without a word.

    >>> _ended(1, 1)
    'a process that trains models ended with code 1: the same command goes on from what is finished.'
    """
    how = f"was killed (signal {-code}), perhaps for want of memory" if code < 0 else f"ended with code {code}"
    less = f", with --jobs {workers // 2} in less memory" if workers > 1 else ""
    return f"a process that trains models {how}: the same command goes on from what is finished{less}."


def _follow(workers: Sequence[Any], messages: Any, progress: Progress, display: Display) -> None:
    ended = 0
    while ended < len(workers):
        try:
            message = messages.get(timeout=1.0)
        except queue.Empty:
            dead = [w for w in workers if w.exitcode not in (None, 0)]
            if dead:
                raise UserError(_ended(dead[0].exitcode, len(workers))) from None
            display.update()
            continue
        match message.what:
            case "ready":
                progress.ready()
            case "start" | "step" | "evaluate" | "done":
                _take(progress, message)
            case "stopped":
                ended += 1
            case "refused":
                name = f"{progress.runs[message.run].name}: " if message.run >= 0 else ""
                raise UserError(f"{name}{message.value}")
            case _:
                name = progress.runs[message.run].name if message.run >= 0 else "loading the data"
                raise StudyRunError(f"{name} failed:\n{message.value}")
        display.update()


GOES_ON = "saving where the models under way are; the same command goes on from there.\n"


def _stop(workers: Sequence[Any], messages: Any) -> None:
    """Ask every worker once to save and end; end those that take longer than a minute, or at a second Ctrl-C."""
    for worker in workers:
        if worker.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGINT)
    sys.stderr.write(GOES_ON)
    deadline = time.monotonic() + 60
    try:
        while any(w.is_alive() for w in workers) and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                messages.get(timeout=0.2)  # a full pipe would keep a worker from ending
    except KeyboardInterrupt:
        pass
    for worker in workers:
        if worker.is_alive():
            worker.terminate()
        worker.join(timeout=10)


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
