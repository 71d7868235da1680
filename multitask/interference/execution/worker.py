"""A process that trains runs of a study, one after another, on data that it loads once."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import os
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.gc_pause import keep_out_of_searches
from multitask.interference.execution.failures import heading, note, written_to
from multitask.interference.execution.runs import mix_of_run, resolve_settings
from multitask.storage.system_errors import system_error, told
from multitask.terminal.quiet import quiet_libraries, quiet_lightning
from multitask.training.processes import end_with
from multitask.training.signals import STOPPING


class Message(NamedTuple):
    """From a worker: what happened to which run."""

    what: str
    """ready, start, step, evaluate, done, stopped, refused, failed."""
    run: int
    value: Any = None


class Order(NamedTuple):
    """To a worker: a run to train."""

    run: int
    config: TrainConfig
    folder: Path
    keep_model: bool
    log: Path
    """For what it says."""
    attempt: int
    """From 1."""


class StudyExamples:
    """The study's examples and their tokens, each made when a run first needs it."""

    def __init__(self, config: TrainConfig) -> None:
        from multitask.mixing.prepare import prepare_mixture
        from multitask.tokenization.disk_cache import Cache
        from multitask.tokenization.token_cache import TokenCache
        from multitask.tokenization.vocabulary import mixture_tokenizer

        self.full = prepare_mixture(resolve_settings(config))
        self.tokenizer = mixture_tokenizer(resolve_settings(config), self.full)
        self._cache = TokenCache(Cache(), self.tokenizer)  # a worker maps what another has tokenised
        self._tokens: dict[tuple[str, str], Any] = {}

    def prepared(self, config: TrainConfig) -> Any:
        """Prepare the data of a run of these settings; see `runs.run_data.RunData`."""
        from multitask.runs.run_data import RunData, scored_examples

        mix = mix_of_run(config, self.full)
        train = {name: self._tokenized(mix.tasks[name], d.train) for name, d in mix.data.items()}
        parts = scored_examples(resolve_settings(config), mix)
        scored = {name: self._tokenized(mix.tasks[name], part) for name, part in parts.items()}
        return RunData(mix, self.tokenizer, train, scored)

    def _tokenized(self, task: Any, examples: Any) -> Any:
        key = (task.name, examples.fingerprint)
        if key not in self._tokens:
            self._tokens[key] = self._cache.tokenized(task, examples)
        return self._tokens[key]


def work(base: TrainConfig, connection: Any, threads: int, parent: int) -> None:
    """A worker process: train runs as they are ordered, until None is.

    Args:
        base: The settings of the joint run: what data to load.
        connection: `Order`s come, `Message`s go.
        threads: For torch.
        parent: The process that started it; when that one is gone, so is this.
    """
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C goes to the parent alone, which asks every worker once
    end_with(parent)
    asked = threading.Event()
    for number in STOPPING:  # until a training takes them over
        signal.signal(number, lambda *_: asked.set())
    with silence():
        import torch

        torch.set_num_threads(threads)
        number = -1
        try:
            data = StudyExamples(base)
            connection.send(Message("ready", -1))
            while not asked.is_set() and (order := connection.recv()) is not None:
                number = order.run
                connection.send(Message("start", number))
                with written_to(order.log):
                    note(order.log, heading(order.attempt))
                    tell = functools.partial(_tell, connection, asked, number)
                    try:
                        finish_run(order.config, order.folder, order.keep_model, data, tell)
                    except Exception:
                        note(order.log, traceback.format_exc())
                        raise
                if order.attempt == 1:
                    order.log.unlink(missing_ok=True)
                connection.send(Message("done", number))
                number = -1
            connection.send(Message("stopped", number))
        except (BrokenPipeError, EOFError):  # the parent is gone
            os._exit(1)
        except UserError as error:
            connection.send(Message("refused", number, str(error)))
        except BaseException as error:
            from multitask.runs.run import StoppedError

            found = system_error(error)
            if isinstance(error, (StoppedError, KeyboardInterrupt)):
                connection.send(Message("stopped", number))
            elif found is not None:
                connection.send(Message("refused", number, f"{told(found)}."))
            else:
                connection.send(Message("failed", number, traceback.format_exc()))
        connection.close()


def _tell(connection: Any, asked: threading.Event, number: int, what: str, value: Any = None) -> None:
    connection.send(Message(what, number, value))
    if asked.is_set():  # while the run was being prepared; now its training has taken the signals over, and saves
        asked.clear()
        os.kill(os.getpid(), signal.SIGINT)


def finish_run(
    config: TrainConfig, folder: Path, keep_model: bool, data: StudyExamples, tell: Callable[..., None]
) -> None:
    """Train a run, and leave in its folder what the tables need; `tell` takes "step" and the step, or "evaluate"."""
    with keep_out_of_searches():
        _train_run(config, folder, data, tell)
        if not keep_model:
            shutil.rmtree(folder / "model", ignore_errors=True)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        # A Trainer and its module hold each other: left to themselves, 8 MB a run stayed until the search came round.
        gc.collect()


@contextlib.contextmanager
def silence() -> Iterator[None]:
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


def _train_run(config: TrainConfig, folder: Path, data: StudyExamples, tell: Callable[..., None]) -> None:
    """Train and evaluate one run; what an interrupted one has done is used."""
    from multitask.runs.train import train_run
    from multitask.training.checkpoints import checkpoints_in

    config = dataclasses.replace(config, out=str(folder))
    prepared = data.prepared(config)
    begun = (folder / "config.yaml").is_file()
    if begun and checkpoints_in(folder / "checkpoints"):
        try:
            again = dataclasses.replace(config, resume=True)
            train_run(again, quiet=True, prepared=prepared, callbacks=[_report_steps(tell)])
            return
        except UserError:  # a checkpoint of other settings: the folder is left from something else
            pass
    anew = dataclasses.replace(config, overwrite=folder.is_dir() and any(folder.iterdir()))
    train_run(anew, quiet=True, prepared=prepared, callbacks=[_report_steps(tell)])


def _report_steps(tell: Callable[..., None], every: float = 0.5) -> Any:
    import pytorch_lightning as pl

    class ReportSteps(pl.Callback):
        """Says how far the training is, twice a second at most."""

        said = 0.0

        def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
            now = time.monotonic()
            if now - self.said > every:
                self.said = now
                tell("step", value=trainer.global_step)

        def on_train_end(self, *_: Any) -> None:
            tell("evaluate")

    return ReportSteps()
