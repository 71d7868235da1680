"""Training the cells of a study that are missing, side by side, so that it can be interrupted at any moment.

Each worker is a process of its own that loads the study's data once and then trains one cell after another, each in its
own run folder. It does not run the program that began the study, be it a script, a notebook or the command line: it
loads the tasks from their packages and included files. A cell is finished when its run.json says so; one that is not is
continued from its checkpoint, or begun again. The number of threads of a worker is the study's setting and not the
machine's, so the numbers are the same whatever runs beside it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import os
import queue
import shutil
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from multitask.config import TrainConfig
from multitask.config_checks import resolved
from multitask.errors import UserError
from multitask.examples.choose_source import data_setting
from multitask.interference.design.config import Cell
from multitask.interference.execution.partial import Partial
from multitask.interference.execution.watching import Progress
from multitask.mixing.mixture import parse_tasks
from multitask.mixing.prepare import Mix, mix_of
from multitask.model.from_scratch import is_from_scratch
from multitask.runs import folder as folders
from multitask.runs.address import run_address
from multitask.storage.system_errors import system_error, told
from multitask.terminal.live import Display, live
from multitask.terminal.quiet import quiet_libraries, quiet_lightning
from multitask.training.processes import end_with
from multitask.training.signals import STOPPING, Interrupted, interrupt, stopping

SCORES = ("metrics.json", "baselines.json", "mix.json", "predictions")
"""What the tables are made of."""


class CellError(Exception):
    """A cell failed for a reason that the user cannot mend at the prompt; holds the worker's traceback."""


def settled(config: TrainConfig) -> TrainConfig:
    """A cell's settings with all defaults filled in, as its run folder says them."""
    config = dataclasses.replace(config, data=data_setting(config.data))
    return resolved(config, from_scratch=is_from_scratch(config.model))


def cell_mix(config: TrainConfig, full: Mix) -> Mix:
    """A cell's mix, from the study's data."""
    names = list(config.tasks)
    return mix_of(
        settled(config), parse_tasks(names), {t: full.tasks[t] for t in names}, {t: full.data[t] for t in names}
    )


def cell_address(config: TrainConfig, full: Mix) -> str:
    """What `run.json` of the finished cell will say as its address."""
    return run_address(settled(config), cell_mix(config, full))


def check_scores(folder: Path) -> bool:
    """Whether the folder holds a finished run; a cell's folder has its address in its name.

    Raises:
        UserError: If what the tables are made of is not as the run wrote it.
    """
    return (folder / "metrics.json").is_file() and folders.is_finished(folder, SCORES)


def is_finished(folder: Path) -> bool:
    """The same of a cell, which is trained again if it is damaged."""
    try:
        return check_scores(folder)
    except UserError:
        return False


def cost(cell: Cell, evaluated: int) -> float:
    """How long a cell takes, in examples: trained ones, and evaluated ones at about the same price."""
    return float(cell.arm.budget) * int(cell.config.trainer["max_steps"]) + evaluated


# ---------------------------------------------------------------------------------------------------------- one worker


class _Message(NamedTuple):
    """From a worker: what happened to which cell."""

    what: str
    """ready, start, step, evaluate, done, stopped, refused, failed."""
    cell: int
    value: Any = None


class _Data:
    """The study's examples and their tokens, each made when a cell first needs it."""

    def __init__(self, config: TrainConfig) -> None:
        from multitask.mixing.prepare import load_mix
        from multitask.tokenization.disk_cache import Cache
        from multitask.tokenization.token_cache import TokenCache
        from multitask.tokenization.vocabulary import mixture_tokenizer

        self.full = load_mix(settled(config))
        self.tokenizer = mixture_tokenizer(settled(config), self.full)
        self._cache = TokenCache(Cache(), self.tokenizer)  # a worker maps what another has tokenised
        self._tokens: dict[tuple[str, str], Any] = {}

    def prepared(self, config: TrainConfig) -> Any:
        from multitask.runs.train import Prepared, scored_examples

        mix = cell_mix(config, self.full)
        train = {name: self._tokenized(mix.tasks[name], d.train) for name, d in mix.data.items()}
        parts = scored_examples(settled(config), mix)
        scored = {name: self._tokenized(mix.tasks[name], part) for name, part in parts.items()}
        return Prepared(mix, self.tokenizer, train, scored)

    def _tokenized(self, task: Any, examples: Any) -> Any:
        key = (task.name, examples.fingerprint)
        if key not in self._tokens:
            self._tokens[key] = self._cache.tokenized(task, examples)
        return self._tokens[key]


def work(base: TrainConfig, cells: Any, messages: Any, threads: int, parent: int) -> None:
    """A worker process: train cells from the queue `cells` until it gives None.

    Args:
        base: The settings of the joint run: what data to load.
        cells: Queue of (number, settings, folder, keep the model) or None.
        messages: Queue for `_Message`s.
        threads: For torch.
        parent: The process that started it; when that one is gone, so is this.
    """
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C goes to the parent alone, which asks every worker once
    end_with(parent)
    asked = threading.Event()
    for number in STOPPING:  # until a training takes them over
        signal.signal(number, lambda *_: asked.set())
    with _silence():
        import torch

        torch.set_num_threads(threads)
        number = -1
        try:
            data = _Data(base)
            messages.put(_Message("ready", -1))
            while not asked.is_set() and (given := cells.get()) is not None:
                number, config, folder, keep = given
                messages.put(_Message("start", number))
                _finish_cell(config, folder, keep, data, functools.partial(_tell, messages, asked, number))
                messages.put(_Message("done", number))
            messages.put(_Message("stopped", number))
        except UserError as error:
            messages.put(_Message("refused", number, str(error)))
        except BaseException as error:
            from multitask.runs.run import StoppedError

            found = system_error(error)
            if isinstance(error, (StoppedError, KeyboardInterrupt)):
                messages.put(_Message("stopped", number))
            elif found is not None:
                messages.put(_Message("refused", number, f"{told(found)}."))
            else:
                messages.put(_Message("failed", number, traceback.format_exc()))
        messages.close()
        messages.join_thread()


def _tell(messages: Any, asked: threading.Event, number: int, what: str, value: Any = None) -> None:
    messages.put(_Message(what, number, value))
    if asked.is_set():  # while the cell was being prepared; now its training has taken the signals over, and saves
        asked.clear()
        os.kill(os.getpid(), signal.SIGINT)


def _finish_cell(config: TrainConfig, folder: Path, keep_model: bool, data: _Data, tell: Callable[..., None]) -> None:
    """Train a cell, and leave in its folder what the tables need; `tell` takes "step" and the step, or "evaluate"."""
    _train_cell(config, folder, data, tell)
    if not keep_model:
        shutil.rmtree(folder / "model", ignore_errors=True)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    # A Trainer and its module hold each other: left to themselves, 8 MB a cell stayed until the search came round.
    gc.collect()


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Leave the terminal to the study's own progress."""
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stderr(nowhere),
        contextlib.redirect_stdout(nowhere),
    ):
        quiet_libraries()
        import pytorch_lightning  # noqa: F401  # it sets its own level when it is imported

        quiet_lightning()
        yield


def _train_cell(config: TrainConfig, folder: Path, data: _Data, tell: Callable[..., None]) -> None:
    """Train and evaluate one cell; what an interrupted one has done is used."""
    from multitask.runs.train import Training
    from multitask.training.checkpoints import checkpoints_in

    config = dataclasses.replace(config, out=str(folder))
    prepared = data.prepared(config)
    begun = (folder / "config.yaml").is_file()
    if begun and checkpoints_in(folder / "checkpoints"):
        try:
            again = dataclasses.replace(config, resume=True)
            Training(again, True, prepared, [_steps(tell)]).run()
            return
        except UserError:  # a checkpoint of other settings: the folder is left from something else
            pass
    anew = dataclasses.replace(config, overwrite=folder.is_dir() and any(folder.iterdir()))
    Training(anew, True, prepared, [_steps(tell)]).run()


def _steps(tell: Callable[..., None], every: float = 0.5) -> Any:
    import pytorch_lightning as pl

    class Steps(pl.Callback):
        """Says how far the training is, twice a second at most."""

        said = 0.0

        def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
            now = time.monotonic()
            if now - self.said > every:
                self.said = now
                tell("step", value=trainer.global_step)

        def on_train_end(self, *_: Any) -> None:
            tell("evaluate")

    return Steps()


# ----------------------------------------------------------------------------------------------------------- the parent


def train_cells(
    cells: Sequence[Cell],
    base: TrainConfig,
    *,
    evaluated: Callable[[Cell], int],
    jobs: int,
    threads: int,
    keep_models: bool,
    done: int = 0,
    partial: Partial | None = None,
) -> None:
    """Train all of `cells`, `jobs` at a time, and show how far it is.

    Args:
        cells: Those that are missing.
        base: The settings of the joint run.
        evaluated: How many rows a cell is evaluated on.
        jobs: Workers; 1 trains in this process.
        threads: Of each.
        keep_models: Keep the weights.
        done: Cells that were there already, for the progress.
        partial: Differences so far, which are shown while they grow.

    Raises:
        UserError: If a cell is refused.
        CellError: If one fails.
        KeyboardInterrupt: After Ctrl-C, when every worker has saved where it was.
    """
    if not cells:
        return
    # Seed by seed, so that what is there after an interruption is whole for the first seeds; the large ones first.
    costs = [cost(cell, evaluated(cell)) for cell in cells]
    order = sorted(range(len(cells)), key=lambda i: (cells[i].seed, -costs[i]))
    jobs = min(jobs, len(cells))
    progress = Progress(cells, costs, done=done, jobs=jobs, partial=partial)
    with stopping(interrupt), live(progress.render, progress.line, every=30.0) as display:
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
        with _silence():
            data = _Data(base)
            progress.ready()

            def say(what: str, number: int, value: Any = None) -> None:
                _take(progress, _Message(what, number, value))
                display.update()

            for number in order:
                cell = progress.cells[number]
                say("start", number)
                try:
                    _finish_cell(cell.config, cell.folder, keep_models, data, functools.partial(say, number=number))
                except UserError as error:
                    raise UserError(f"{cell.name}: {error}") from error
                except StoppedError as stopped:
                    raise Interrupted(stopped.signal) from None
                except Exception as error:
                    if system_error(error) is not None:
                        raise
                    raise CellError(f"{cell.name} failed:\n{traceback.format_exc()}") from error
                say("done", number)
    except KeyboardInterrupt:
        sys.stderr.write(GOES_ON)
        raise
    finally:
        torch.set_num_threads(before)


def _take(progress: Progress, message: _Message) -> None:
    """Note what happened to a cell."""
    match message.what:
        case "start":
            progress.step(message.cell, 0)
        case "step":
            progress.step(message.cell, message.value)
        case "evaluate":
            progress.evaluating(message.cell)
        case "done":
            progress.finished(message.cell)


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

    cells = progress.cells
    context = multiprocessing.get_context("spawn")  # a forked process must not use torch's threads
    waiting, messages = context.Queue(), context.Queue()
    for i in order:
        waiting.put((i, cells[i].config, cells[i].folder, keep_models))
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
    """What became of a process that trains models and said nothing.

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
                name = f"{progress.cells[message.cell].name}: " if message.cell >= 0 else ""
                raise UserError(f"{name}{message.value}")
            case _:
                name = progress.cells[message.cell].name if message.cell >= 0 else "loading the data"
                raise CellError(f"{name} failed:\n{message.value}")
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
