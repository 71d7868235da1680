"""One training run, from settings to a run folder: the only file that knows all the parts."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import importlib.metadata
import math
import os
import platform
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from multitask.config import TrainConfig, default_folder, located
from multitask.config_checks import check_config, check_precision, check_trainer_names, resolved
from multitask.errors import UserError
from multitask.evaluation.baselines import score_baselines
from multitask.evaluation.scores import TaskScores, evaluate_task, mean_points, points_of, score_task
from multitask.evaluation.show import print_scores
from multitask.examples.choose_source import data_setting
from multitask.examples.dataset import Examples
from multitask.examples.misfits import one_kind, undefined_metrics
from multitask.mixing.prepare import TWIN, WARNING, Mix, load_mix, load_plugins, select_tasks
from multitask.mixing.summary import data_notes, print_mix
from multitask.mixing.warnings import undrawn
from multitask.model.availability import check_model
from multitask.model.contamination import contamination
from multitask.model.from_scratch import build_model, is_from_scratch
from multitask.model.pretrained import check_pretrained, checkpoint_activations, load_pretrained
from multitask.model.settings import settle_end
from multitask.registry import did_you_mean
from multitask.runs.address import run_address, shown_settings
from multitask.runs.definitions import DEFINITION, PLACES, SETTINGS, definition, edited, recorded
from multitask.runs.finished import load_includes, run_config
from multitask.runs.folder import ORPHANS, PARTS, check_folder, open_folder
from multitask.runs.mix_report import mix_report, unseen
from multitask.runs.report import REPORT, write_run_report
from multitask.runs.resuming import (
    Stored,
    check_continuable,
    check_same,
    check_settings,
    is_whole,
    keep_warmup,
    needs_total,
    stored_state,
)
from multitask.runs.run import Run, StoppedError
from multitask.runs.writing import (
    save_model,
    save_tokenizer,
    task_settings,
    write_config,
    write_scores,
    write_skipped_rows,
)
from multitask.storage.atomic import atomic
from multitask.storage.checksums import digests
from multitask.storage.folders import resume_command
from multitask.storage.json_files import write_json
from multitask.storage.locking import locked
from multitask.storage.paths import expanded, tilde
from multitask.storage.system_errors import system_error, told
from multitask.tables.numbers import number_text
from multitask.terminal.counting import counting, duration
from multitask.terminal.escaping import shown, visible
from multitask.terminal.live import Display, live
from multitask.terminal.output import say
from multitask.terminal.quiet import quietly
from multitask.terminal.training import TaskRow
from multitask.tokenization.disk_cache import Cache
from multitask.tokenization.token_cache import TokenCache, tokenizer_identity
from multitask.tokenization.tokenize import TokenizedTask, tokenize_task
from multitask.tokenization.tokenizer import Tokenizer, load_tokenizer
from multitask.tokenization.unwritable import SHARE, is_written, label_cautions, unwritten, with_unknown
from multitask.tokenization.vocabulary import mixture_tokenizer
from multitask.training.processes import (
    STARTER,
    ProcessError,
    check_strategy,
    end_with,
    failed,
    is_first_process,
    join,
    stop,
)
from multitask.training.progress_bar import TrainProgress
from multitask.training.rng_states import one_training, seeded_generators
from multitask.training.signals import kept
from multitask.version import __version__

if TYPE_CHECKING:
    from multitask.training.nonfinite import NonFiniteError

EVENTS = "events"


class Prepared(NamedTuple):
    """What runs on the same data can share: the cells of a study load and tokenise it once."""

    mix: Mix
    tokenizer: Tokenizer
    train: dict[str, TokenizedTask]
    evaluated: dict[str, TokenizedTask]
    """Of the rows that are scored at the end."""


def train(config: TrainConfig | None = None, *, quiet: bool = False, **settings: Any) -> Run:
    """Train one model on a mixture of tasks and evaluate each; gives the run.

    The same as `multitask train` with the same settings, which `help(multitask.TrainConfig)` explains one by one:

        run = multitask.train(tasks="span,sst2", data="data/", model="google-t5/t5-small", out="runs/first",
                              trainer={"max_steps": 2000})
        run.metrics              # a DataFrame: task, metric, score, se, baseline
        run.predictions("span")  # a DataFrame: id, inputs, prediction, target, score, log_likelihood, …
        run.predict("span", ["positive text: so happy with it"])

    What it writes is described in `multitask.runs.folder`; a run that exists in `out` is refused unless `resume` or
    `overwrite` is true. `train(resume="runs/first")` continues the run in that folder with its own settings; with
    `trainer={"max_steps": …}` for longer than it was. torch's global random generator is left as it was.

    Args:
        config: All settings at once; by default `TrainConfig()`.
        quiet: Print nothing but progress.
        settings: Single settings by name, which win over `config`.

    Raises:
        UserError: For whatever a user can mend, before training starts.
        StoppedError: If it was interrupted; `train(resume="runs/first")` continues it, and the same call with
            `resume=True` does.

    A process trains one model at a time: a call while another thread is in one is a `UserError`.
    """
    known = [f.name for f in dataclasses.fields(TrainConfig)]
    for name in settings:
        if name == "steps":
            raise UserError("unknown setting 'steps': the number of steps is trainer={'max_steps': N}.")
        if name not in known:
            raise UserError(f"unknown setting '{name}': {did_you_mean(name, known)}")
    if not isinstance(settings.get("resume", False), bool):
        config, settings = _continued(settings.pop("resume"), config, settings)
    config = dataclasses.replace(config or TrainConfig(), **settings)
    return Training(config, quiet).run()


def _continued(
    run: str | Path, config: TrainConfig | None, settings: dict[str, Any]
) -> tuple[TrainConfig, dict[str, Any]]:
    """The settings of the run in a folder, and those that are given beside it."""
    for name, given in {"config": config, "out": settings.get("out")}.items():
        if given is not None:
            raise UserError(f"resume={str(run)!r} names a run, whose settings and folder are known: leave {name} out.")
    folder = Path(expanded(str(run)))
    stored = run_config(folder)
    load_includes(folder, stored, settings.get("include", ()))
    own = {**settings, "trainer": {**stored.trainer, **settings.get("trainer", {})}, "out": str(folder), "resume": True}
    return stored, own


class Training:
    """The steps of a run in order; what one finds is there for the next.

    Args:
        config: All settings.
        quiet: Print nothing but progress.
        prepared: Data that is loaded and tokenised already; must be what `config` would give.
        callbacks: More of Lightning's.
    """

    def __init__(
        self, config: TrainConfig, quiet: bool, prepared: Prepared | None = None, callbacks: Sequence[Any] = ()
    ) -> None:
        self.started = time.monotonic()
        self.prepared, self.callbacks = prepared, callbacks
        self.cache = Cache(say=self._say)
        self.examples: list[Any] = []
        self.warnings: list[str] = []
        self.quiet = quiet
        self.events = TrainProgress()
        self.view = self.events.view
        self.display: Display | None = None
        self.watched_baselines: dict[str, float] = {}
        config = located(dataclasses.replace(config, trainer=dict(config.trainer), data=data_setting(config.data)))
        check_precision(config.precision)
        self.own_warmup = config.warmup_steps is not None
        self.config = resolved(config, from_scratch=is_from_scratch(config.model))
        check_config(self.config)
        check_trainer_names(self.config.trainer)
        check_model(self.config.model, self.config.revision)
        self.out = Path(self.config.out or default_folder(self.config))
        self.config = dataclasses.replace(self.config, out=str(self.out))

    def run(self) -> Run:
        """Train, evaluate and write the run folder."""
        with quietly(), one_training(f"the run in {self.out}"):
            return self._alone()

    def _alone(self) -> Run:
        self.first_process = is_first_process()
        self.quiet = self.quiet or not self.first_process
        if not self.first_process:  # the first one may be gone by now: importing takes seconds
            end_with(int(os.environ.get(STARTER) or os.getppid()))
        with contextlib.ExitStack() as stack:
            if self.first_process:
                os.environ[STARTER] = str(os.getpid())
                stack.callback(os.environ.pop, STARTER, None)  # not for what this process starts later
            try:
                return self._run(stack)
            except Exception as error:
                found = system_error(error)
                if found is None:
                    raise
                kept = ""
                if os.path.isfile(self.out / "config.yaml"):
                    kept = f" What was written to {self.out} before is whole; {self._resumes()} goes on from it."
                raise UserError(f"{told(found, self.out)}.{kept}") from error

    def _run(self, stack: contextlib.ExitStack) -> Run:
        config = self.config
        self.stored: Stored | None = None
        self.longer = False
        if self.first_process:
            check_folder(self.out, resume=config.resume, overwrite=config.overwrite)
        if config.resume:
            self._lock(stack)
            if not self.own_warmup:
                config = self.config = keep_warmup(self.out, config)
            self.longer = check_settings(self.out, config, self._say)
            if is_whole(self.out, self._say):
                if not self.longer:
                    longer = "" if needs_total(vars(config)) else "; --steps N continues it for longer"
                    self._say(f"the run in {self.out} is finished: there is nothing to continue{longer}")
                    return Run(self.out)
                check_continuable(self.out)
            self.stored = stored_state(self.out, self._say)
        load_plugins(config.include)
        tasks = select_tasks(config.tasks, config.columns)[1]
        # Now: a formatter may change a state when it is called.
        self.definitions = {name: definition(task) for name, task in tasks.items()}
        self.trainer = self._trainer(list(tasks))
        if self.prepared is None:
            if not is_from_scratch(config.model):
                check_pretrained(config.model)
            self.mix = load_mix(config)
            self.tokenizer = self._tokenizer()
            self.tokens = self._tokenize({name: d.train for name, d in self.mix.data.items()}, tell=True)
        else:
            self.mix, self.tokenizer, self.tokens, _ = self.prepared
        if self.stored:
            check_same(self.out, self._facts(), self._say)
        self.held = {
            name: self.mix.data[name].selection or self.mix.data[name].validation for name in self.mix.evaluated
        }
        self.undecided = self._undecided() if config.eval_every else {}
        with seeded_generators(config.seed):
            model = self._model()
            # Only now, when nothing is wrong with the new run, may an old one be deleted.
            if self.first_process:
                if not config.resume:
                    self._lock(stack)
                anew = self.stored is None
                open_folder(self.out, resume=config.resume, overwrite=config.overwrite or (config.resume and anew))
                write_skipped_rows(self.out / "skipped_rows.jsonl", self.mix.skipped_rows)
                if anew:
                    save_tokenizer(self.tokenizer, self.out / "model")
                if anew or self.longer:  # from here on it is the longer run, unfinished
                    write_config(self.out / "config.yaml", config)
                    write_json(self.out / "run.json", tilde({"status": "begun", **self._facts()}), sealed=True)
            self._announce(model)
            with self._shown():
                module, steps = self._fit(model)
                if not self.first_process:
                    return Run(self.out)
                try:
                    scores, deployed = self._evaluate(module)
                except KeyboardInterrupt:
                    if not self.quiet and (then := self._goes_on()):
                        print(visible(f"training is done, evaluation is not. {then}"), file=sys.stderr)
                    raise
                self.view.done = True
        self._write(module, steps, scores, deployed)
        join(self.trainer)
        return Run(self.out)

    def _lock(self, stack: contextlib.ExitStack) -> None:
        if self.first_process:
            stack.enter_context(locked(self.out, "run", wait=ORPHANS))

    # ---- before training ---------------------------------------------------------------------------------------

    def _tokenizer(self) -> Tokenizer:
        config = self.config
        if self.stored:
            return load_tokenizer(str(self.out / "model"))
        # Every process makes its own from the same text in the same order, and so gets the same one.
        return mixture_tokenizer(
            config, self.mix, self.cache, lambda: self._say("training a vocabulary on the mixture's text …")
        )

    def _tokenize(self, parts: Mapping[str, Examples], *, tell: bool = False) -> dict[str, TokenizedTask]:
        cache = TokenCache(self.cache, self.tokenizer)
        with counting("tokenising", sum(map(len, parts.values()))) as counter:
            made = {name: cache.tokenized(self.mix.tasks[name], part, counter.advance) for name, part in parts.items()}
        summary = cache.summary()
        if tell and summary:
            self._say(summary)
        return made

    def _model(self) -> Any:
        model = initial_model(self.config, self.tokenizer, self._warn)
        model.config.task_specific_params = {name: task_settings(task) for name, task in self.mix.tasks.items()}
        return model

    def _announce(self, model: Any) -> None:
        mix, config = self.mix, self.config
        parameters = sum(p.numel() for p in model.parameters())
        origin = "random weights" if is_from_scratch(config.model) else "pretrained"
        self._say(
            f"model {config.model} ({parameters:,} parameters, {origin}), {config.optimizer} lr {config.lr:g}, "
            f"loss {config.loss}, {config.precision}, seed {config.seed}"
        )
        for line in data_notes(mix):
            if line.startswith(WARNING):
                self._warn(line.removeprefix(WARNING))
            else:
                self._say(line)
        for name, part in self.watched.items() if config.eval_every else ():
            if len(part) < len(self.held[name]):  # of the whole it is said already
                self._look_at_watched(name, part)
        warning = contamination(config.model, tuple(mix.tasks))
        if warning:
            self._say(f"WARNING: {warning}")
        for line in undrawn(mix.plan, mix.steps):
            self._warn(line)
        for name, tokens in self.tokens.items():
            if tokens.cut_inputs or tokens.cut_targets:
                task = mix.tasks[name]
                self._say(
                    f"{name}: {tokens.cut_inputs:,} of {len(tokens):,} training inputs are cut to "
                    f"{task.max_input_tokens} tokens, {tokens.cut_targets:,} targets to {task.max_target_tokens}."
                )
        for name, tokens in self.tokens.items():
            task = mix.tasks[name]
            for line in label_cautions(task, self.tokenizer) if name in mix.evaluated else ():
                self._warn(line)
            lacking = with_unknown(tokens.targets, self.tokenizer) if is_written(task) else 0
            if lacking:
                say_it = self._warn if lacking >= SHARE * len(tokens) else self._say
                say_it(unwritten(name, lacking, len(tokens), "training"))
        if not self.quiet:
            print_mix(mix, self.mean_tokens())

    def _look_at_watched(self, name: str, part: Sequence[Any]) -> None:
        task, held = self.mix.tasks[name], self.held[name]
        looks = f"Evaluation during training looks at the first {len(part):,} of {len(held):,} rows (--eval-limit)"
        if name in self.undecided and task.primary.name not in undefined_metrics(task, held):
            self._warn(
                f"{name}: {looks}, on which metric '{task.primary.name}' is undefined ({self.undecided[name]}): no "
                f"mean, --select or --patience goes by it."
            )
            return
        alike = one_kind(task, part, "watched")
        if alike and not one_kind(task, held, "watched"):
            self._warn(f"{alike} {looks}.")

    def mean_tokens(self) -> dict[str, tuple[float, float]]:
        """{task: (mean input tokens, mean target tokens)} of the training examples."""
        return {n: (float(t.inputs.lengths.mean()), float(t.targets.lengths.mean())) for n, t in self.tokens.items()}

    def _warn(self, line: str) -> None:
        """Say it, and keep it for run.json."""
        self.warnings.append(line)
        self._say(f"WARNING: {line}")

    def _say(self, line: str) -> None:
        if not self.quiet:
            say(line)

    # ---- training ----------------------------------------------------------------------------------------------

    def _fit(self, model: Any) -> tuple[Any, int]:
        from pytorch_lightning.utilities.exceptions import MisconfigurationException  # type: ignore[attr-defined]

        from multitask.batching.step_maker import StepMaker
        from multitask.training.checkpoints import state_of
        from multitask.training.data_module import MultitaskData
        from multitask.training.module import MultitaskModule
        from multitask.training.nonfinite import Guard, NonFiniteError
        from multitask.training.optim import OptimizerSettings

        config, mix = self.config, self.mix
        names = tuple(mix.tasks)
        assert config.optimizer is not None and config.lr is not None and config.schedule is not None
        watching = config.eval_every > 0
        module = MultitaskModule(
            model,
            names,
            OptimizerSettings(
                config.optimizer,
                config.lr,
                config.weight_decay,
                config.schedule,
                config.warmup_steps or 0,
                mix.steps,
            ),
            seed=config.seed,
            watch=self._watch() if watching else None,
            score=self._score_watched if watching else None,
            record=self.examples.append if config.log_examples else None,
            guard=Guard(
                names,
                math.log(model.config.vocab_size),
                skip=config.on_nonfinite == "skip",
                identify=lambda task, row: mix.data[names[task]].train[row].id,
                warn=lambda line: self._say(f"WARNING: {line}"),
            ),
        )
        maker = StepMaker(
            mix.plan,
            names,
            tuple(self.tokens[n] for n in names),
            config.loss,
            tuple(config.loss_weights.get(n, 1.0) for n in names),
            mix.batch_size,
            self.tokenizer.pad_token_id,
            execution_of(config, model, self.trainer.strategy.root_device.type, type(self.trainer.strategy).__name__),
        )
        start, checkpoint = (self.stored.step, self.stored.path) if self.stored else (0, None)
        if checkpoint:
            self._say(f"continuing at step {start:,} of {mix.steps:,} from {checkpoint}")
        data = MultitaskData(
            maker,
            eval_lengths={n: t.inputs.lengths for n, t in self.watched_tokens.items()} if watching else None,
            workers=config.workers,
            batch_tokens=config.batch_tokens,
            start=start,
        )
        with kept():
            trainer = self.trainer
            self._drop_examples(start)
            self._describe_tasks()
            try:
                if checkpoint is None or start < mix.steps:
                    trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
                else:  # it died after its last step: what is left to do is the evaluation
                    saved = state_of(checkpoint)
                    module.load_state_dict(saved["state_dict"])
                    module.on_load_checkpoint(saved)
                    module.total_seen = module.seen()
                module.guard.check_weights(module.model, trainer.global_step)
            except NonFiniteError as error:
                raise self._bad_numbers(error) from None
            except Exception as error:
                how = failed(trainer, error)
                stop(trainer)
                if how is None and isinstance(error, MisconfigurationException):
                    raise UserError(f"Lightning refuses these settings: {shown(error, 300)}") from error
                if how is None:
                    raise
                then = self._goes_on() or "No checkpoint was written before."
                raise ProcessError(f"{how}. {then}") from error
            except SystemExit:  # Lightning's answer to Ctrl-C, after its callbacks saved a checkpoint
                if not self.first_process:  # all stop, and the first one says so
                    raise SystemExit(0) from None
                stop(trainer)
                stopped = StoppedError(
                    f"stopped at step {trainer.global_step:,} of {mix.steps:,}; {self._resumes()} goes on."
                )
                stopped.signal = getattr(trainer.checkpoint_callbacks[-1], "signal", None) or signal.SIGINT
                raise stopped from None
        steps = max(start, trainer.global_step)
        self._write_examples(steps)
        return module, steps

    def _goes_on(self) -> str:
        from multitask.training.checkpoints import checkpoints_in

        found = checkpoints_in(self.out / "checkpoints")
        return f"{self._resumes()} goes on from {found[-1]}." if found else ""

    def _resumes(self) -> str:
        return resume_command(self.out, self.config.include)

    def _bad_numbers(self, error: NonFiniteError) -> BaseException:
        """What to say of a step that no update can be made of: what happened, what is there, what to try."""
        if not self.first_process:  # all processes stop at it, and the first one says so
            return SystemExit(0)
        from multitask.training.checkpoints import checkpoints_in

        config, found = self.config, checkpoints_in(self.out / "checkpoints")
        again = f"begin again (--overwrite) with a lower --lr (now {config.lr:g}) or --clip (now {config.clip:g})"
        if not found:
            return UserError(f"{error}. No checkpoint was written before: {again}.")
        skips = f"{self._resumes()} --on-nonfinite skip goes on without such updates; or "
        skip = skips if error.skippable else ""
        return UserError(f"{error}. {found[-1]} holds the state before: {skip}{again}.")

    def _best(self, task: str | None = None) -> Path | None:
        """The best checkpoint: the task's own, or the one that is kept; None if no evaluation had a defined score."""
        from multitask.training.checkpoints import checkpoints_in

        found = checkpoints_in(self.out / "checkpoints", "best" if task is None else f"best@{task}")
        return found[-1] if found else None

    def _keep_best(self, module: Any, task: str | None = None) -> None:
        """Put the weights of the best checkpoint in.

        Where the task's score was undefined whenever it was looked at, that is the one that is kept; where all were,
        it is the last step's.
        """
        from multitask.training.checkpoints import read_checkpoint

        best, by = self._best(task), task or self.config.select
        if task is not None and best is None and self._best() is not None:
            self._warn(
                f"{task}: its score was undefined in every evaluation during training, so it has no best checkpoint of "
                f"its own; it is scored at the best by mean."
            )
            best, by = self._best(), "mean"
        if best is not None:
            module.load_state_dict(read_checkpoint(best)["state_dict"])
            self._say(f"{task or 'keeping'}: {best.name}, the best by {by} on held-out rows")
        elif task is None:
            self._warn(
                f"--select {self.config.select}: no evaluation during training had a defined score, so nothing was "
                f"chosen; the weights are those of the last step."
            )

    def _trainer(self, watched: Sequence[str]) -> Any:
        """Lightning's Trainer; made before the data is touched, so that what it refuses is refused at once."""
        import pytorch_lightning as pl

        try:
            trainer = pl.Trainer(**self._trainer_options(watched))
        except (UserError, OSError):
            raise
        except Exception as error:  # nearly any, for an option that does not fit another
            reason = shown((str(error) or type(error).__name__).splitlines()[0], 300)
            raise UserError(f"Lightning refuses these --trainer options: {reason}") from error
        check_strategy(trainer)
        return trainer

    def _trainer_options(self, watched: Sequence[str]) -> dict[str, Any]:
        from multitask.training.callbacks import callbacks_of
        from multitask.training.checkpoints import AtomicCheckpointIO
        from multitask.training.loggers import loggers_of

        config, stored = self.config, self.stored
        options: dict[str, Any] = {
            "max_epochs": -1,
            "accelerator": "auto",
            "devices": 1,
            "logger": loggers_of(config, self.out / EVENTS, *((stored.step, stored.logged) if stored else ())),
            # Ours come before: the last one saves the state of all others.
            "callbacks": [
                *self.callbacks,
                *callbacks_of(config, self.out / "checkpoints", watched, self._write_examples),
            ],
            "plugins": [AtomicCheckpointIO()],
            "gradient_clip_val": config.clip or None,
            "precision": "bf16-mixed" if config.precision == "bf16" else "32-true",
            "default_root_dir": str(self.out),
            "use_distributed_sampler": False,
            "num_sanity_val_steps": 0,
            "enable_model_summary": False,
            "log_every_n_steps": config.log_every,
            "check_val_every_n_epoch": None,
            "limit_val_batches": 0 if config.eval_every == 0 else None,
            # Lightning counts batches, and `accumulate_grad_batches` of them make a step.
            "val_check_interval": config.eval_every * config.trainer.get("accumulate_grad_batches", 1) or None,
        }
        options.update(config.trainer)
        if options.get("enable_progress_bar", True):
            options["callbacks"] = [*options["callbacks"], self.events]
        return options

    # ---- what is shown meanwhile -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _shown(self) -> Iterator[None]:
        """Show training and evaluation in one display, in the first process and if progress is wanted at all."""
        if not (self.first_process and self.progress):
            yield
            return
        view = self.view
        with live(view.render, view.line, every=20.0, keep=True) as self.display:
            self.events.display = self.display
            yield

    def _describe_tasks(self) -> None:
        self.events.tasks = [
            TaskRow(
                visible(name),
                len(self.mix.data[name].train),
                task.primary.name,
                higher_is_better=task.primary.higher_is_better,
            )
            for name, task in self.mix.tasks.items()
        ]
        if self.config.eval_every:
            self.events.watched = {visible(name): len(part) for name, part in self.watched.items()}

    def _show_scores(self, values: Mapping[str, float], mean: float) -> None:
        """Of the watched rows, beside what an answer without a model scores on them, which is worked out once."""
        for name, part in self.watched.items():
            if name not in self.watched_baselines:
                task = self.mix.tasks[name]
                found = score_baselines(task, self.mix.data[name].train, part)
                self.watched_baselines[name] = found[0].metrics.get(task.primary.name, math.nan) if found else math.nan
        self.view.score({visible(n): (values[n], self.watched_baselines[n]) for n in self.watched}, mean)

    # ---- evaluation during training ----------------------------------------------------------------------------

    def _undecided(self) -> dict[str, str]:
        """{task: why its primary metric is undefined on the watched rows, whatever is predicted}.

        Raises:
            UserError: If nothing is left that `--select` or `--patience` could go by.
        """
        config = self.config
        found = {}
        for name, part in self.watched.items():
            task = self.mix.tasks[name]
            reason = undefined_metrics(task, part).get(task.primary.name)
            if reason is not None:
                found[name] = reason
        asked = [f"--select {config.select}"] if config.select != "last" else []
        asked += ["--patience"] if config.patience else []
        by_one = config.select in found
        if asked and (by_one or len(found) == len(self.watched)):
            name = config.select if by_one else next(iter(found))
            raise UserError(
                f"{' and '.join(asked)} cannot choose by {name if by_one else 'the mean over tasks'}: on the rows that "
                f"evaluation during training looks at, metric '{self.mix.tasks[name].primary.name}' of task '{name}' "
                f"is undefined ({found[name]}); hold out other rows (--selection-rows, --eval-limit), or choose by "
                f"another metric or task."
            )
        return found

    @property
    def watched(self) -> dict[str, Sequence[Any]]:
        """The rows of each task that evaluation during training looks at."""
        return {name: part[: self.config.eval_limit] for name, part in self.held.items()}

    def _watch(self) -> Any:
        from multitask.decoding.decoder import Decoder

        self.watched_tokens = {
            name: tokenize_task(
                self.tokenizer,
                self.mix.tasks[name],
                dataclasses.replace(self.held[name], examples=tuple(part)),
            )
            for name, part in self.watched.items()
        }
        decoders = [
            Decoder(self.mix.tasks[n], self.tokenizer, part, t.inputs, t.targets, self.config.labels_by)
            for (n, part), t in zip(self.watched.items(), self.watched_tokens.values(), strict=True)
        ]
        return lambda model, batch: [(batch.task_id, p) for p in decoders[batch.task_id](model, batch.rows)]

    def _score_watched(self, watched: Sequence[Any]) -> dict[str, float]:
        values: dict[str, float] = {}
        scored: dict[str, TaskScores] = {}
        for i, (name, part) in enumerate(self.watched.items()):
            predictions = [p for batch in watched for task_id, p in batch if task_id == i]
            task = self.mix.tasks[name]
            scores = scored[name] = score_task(task, part, predictions, train=None)
            values.update({f"val/{name}/{metric}": value for metric, value in scores.metrics.items()})
            values[f"val/{name}/log_likelihood"] = scores.log_likelihood
            values[f"val/{name}"] = points_of(task, scores.metrics[task.primary.name])
        values["val/mean"] = mean_points(scored, self.mix.tasks, self.undecided)
        if self.display is not None and self.display.rewritten:
            primary = {name: s.metrics[self.mix.tasks[name].primary.name] for name, s in scored.items()}
            self._show_scores(primary, values["val/mean"])
        elif not self.quiet:
            shown = "  ".join(f"{n} {number_text(values[f'val/{n}'], 1)}" for n in self.watched)
            zero = [n for n in self.watched if math.isnan(values[f"val/{n}"]) and n not in self.undecided]
            notes = [f"without {', '.join(self.undecided)}"] if self.undecided else []
            notes += [f"{', '.join(zero)} undefined, as if nothing was learned"] if zero else []
            aside = f" ({'; '.join(notes)})" if notes else ""
            say(f"evaluation: {shown}  mean {number_text(values['val/mean'], 1)}{aside}")
        return values

    # ---- after training ----------------------------------------------------------------------------------------

    def _evaluate(self, module: Any) -> tuple[dict[str, TaskScores], dict[str, TaskScores]]:
        """The scores, and with `--select per-task` also those of the one model that is kept."""
        parts = scored_examples(self.config, self.mix)
        tokens = self.prepared.evaluated if self.prepared else self._tokenize(parts)
        # Lightning moves the model to the CPU when training ends.
        model = module.model.to(self.trainer.strategy.root_device)
        scores: dict[str, TaskScores] = {}
        if self.config.select == "per-task":
            for name in parts:
                self._keep_best(module, name)
                scores[name] = self._evaluate_one(model, name, parts[name], tokens[name])
        if self.config.select != "last":
            self._keep_best(module)
        kept = {name: self._evaluate_one(model, name, parts[name], tokens[name]) for name in parts}
        return (scores, kept) if scores else (kept, {})

    def _evaluate_one(self, model: Any, name: str, examples: Examples, tokens: TokenizedTask) -> TaskScores:
        show = counting(f"evaluating {name}", len(examples)) if self.progress else contextlib.nullcontext()
        with show as counter:
            return evaluate_task(
                model,
                self.tokenizer,
                self.mix.tasks[name],
                examples,
                tokens,
                train=self.mix.data[name].train,
                batch_tokens=self.config.batch_tokens,
                labels_by=self.config.labels_by,
                advance=counter.advance if counter else None,
            )

    @property
    def progress(self) -> bool:
        """Whether progress is shown."""
        return bool(self.config.trainer.get("enable_progress_bar", True))

    def _write_examples(self, end: int) -> None:
        """The record of this process up to step `end`, of what is not written yet, as a file of its own."""
        if not self.config.log_examples or not self.examples:
            return
        import pandas as pd
        import torch

        names = list(self.mix.tasks)
        rows = torch.cat(self.examples).tolist()
        late = [row for row in rows if row[0] >= end]  # of a step that is under way, and will be made again
        frame = pd.DataFrame(
            [(step, names[t], self.mix.data[names[t]].train[row].id) for step, t, row in rows if step < end],
            columns=["step", "task", "id"],
        )
        self.examples[:] = [torch.tensor(late, dtype=torch.int64)] if late else []
        if len(frame):
            first = int(frame["step"].min())
            with atomic(
                self.out / "examples" / f"from-{first}-process-{self.trainer.global_rank}.parquet"
            ) as temporary:
                frame.to_parquet(temporary, index=False)

    def _drop_examples(self, start: int) -> None:
        """Delete the record of the steps that are made again."""
        for path in (self.out / "examples").glob("from-*-process-*.parquet"):
            ours = re.fullmatch(r"from-([0-9]+)-process-[0-9]+\.parquet", path.name)  # a user's copy of one is not
            if self.first_process and ours and int(ours[1]) >= start:
                path.unlink()

    def _write(self, module: Any, steps: int, scores: dict[str, TaskScores], deployed: dict[str, TaskScores]) -> None:
        out, mix = self.out, self.mix
        save_model(module.model, self.tokenizer, out / "model")
        if deployed:
            write_json(out / "deployed.json", {name: s.numbers for name, s in deployed.items()})
        write_scores(out, scores)
        if not self.quiet:
            print_scores(scores)
        realised = mix_report(mix, self.mean_tokens(), module.total_seen.numpy(), steps, module.guard.skipped)
        write_json(out / "mix.json", realised)
        self.warnings += module.guard.warnings  # said already
        skipped = module.guard.skipped
        if skipped:
            which = ", ".join(f"{one['step']:,}" for one in module.guard.steps[:10])
            self._warn(
                f"{skipped:,} of {steps:,} steps made no update, for their loss or gradient was not finite: "
                f"{which}{', …' if skipped > 10 else ''}; why is in run.json."
            )
        for line in unseen(realised):
            self._warn(line)
        self.warnings += [line for s in scores.values() for line in s.warnings]  # said with the scores
        self._restore_settings()
        seconds = time.monotonic() - self.started
        parameters = sum(p.numel() for p in module.model.parameters())
        record = {
            "status": "finished",
            "address": run_address(self.config, mix),
            "steps": steps,
            "parameters": parameters,
            "seconds": round(seconds, 1),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            **self._facts(),
            "warnings": self.warnings,
            "skipped_steps": module.guard.steps,
            "files": digests(out, (p for p in PARTS if p not in ("run.json", REPORT, "checkpoints", EVENTS))),
        }
        write_json(out / "run.json", tilde(record), sealed=True)
        if self.prepared is None:  # a study has a page of its own
            self._write_page()
        self._say(f"run folder: {out}  ({duration(seconds)})")

    def _write_page(self) -> None:
        """report.html, of what is written already: the run is whole without it, and whatever is wrong is said."""
        try:
            write_run_report(self.out, run_config(self.out))
        except Exception as error:
            reason = shown(" ".join(str(error).split()) or type(error).__name__, 300)
            self._say(
                f"WARNING: {self.out / REPORT} was not written ({reason}); the run is finished, and "
                f"multitask report {self.out} --format html makes it again."
            )

    def _restore_settings(self) -> None:
        """config.yaml says what this model was trained with, whoever has written there since."""
        try:
            found = edited(self.out, {SETTINGS: recorded(shown_settings(self.config))})
        except UserError as error:
            found = [("", str(error).rstrip("."))]
        for name, line in found:
            if name not in PLACES:  # else a resumed run found them elsewhere, which was said
                self._warn(f"{line}. It is written again as it was.")
        if found:
            write_config(self.out / "config.yaml", self.config)

    def _facts(self) -> dict[str, Any]:
        """What is known when the run begins, and the same when it is continued."""
        import torch
        import transformers

        return {
            "versions": {
                "multitask": __version__,
                "python": platform.python_version(),
                "torch": torch.__version__,
                "pytorch-lightning": importlib.metadata.version("pytorch-lightning"),
                "transformers": transformers.__version__,
            },
            SETTINGS: recorded(shown_settings(self.config)),
            "plan": self.mix.plan.to_dict(),
            "plan_fingerprint": self.mix.plan.fingerprint(),
            "vocabulary": tokenizer_identity(self.tokenizer),
            "tasks": {
                name: {
                    "version": self.mix.tasks[name].version,
                    DEFINITION: self.definitions[name.removesuffix(TWIN)],
                    "source": d.train.source,
                    "generated": d.train.generated,
                    "train": {"examples": len(d.train), "fingerprint": d.train.fingerprint},
                    "validation": {"examples": len(d.validation), "fingerprint": d.validation.fingerprint},
                    "skipped": {"train": dict(d.train.skipped), "validation": dict(d.validation.skipped)},
                    "selection": None if d.selection is None else {"fingerprint": d.selection.fingerprint},
                    "cut": {"inputs": self.tokens[name].cut_inputs, "targets": self.tokens[name].cut_targets},
                }
                for name, d in self.mix.data.items()
            },
            "notes": self.mix.notes,
        }


def initial_model(config: TrainConfig, tokenizer: Tokenizer, say: Callable[[str], None] | None = None) -> Any:
    """The model that training begins with: of random weights or pretrained.

    Args:
        config: With its defaults filled in.
        tokenizer: The run's.
        say: Told what a pretrained model's folder leaves open, and what of it is not used.

    Raises:
        UserError: If there is no such model, its weights do not fit, or the tokenizer is another's.
    """
    if is_from_scratch(config.model):
        assert config.dropout is not None
        model = build_model(
            config.model,
            len(tokenizer),
            seed=config.seed,
            dropout=config.dropout,
            pad=tokenizer.pad_token_id,
            eos=tokenizer.eos_token_id,
            gated=config.gated,
            copy_head=config.copy_head,
        )
    else:
        model = load_pretrained(config.model, revision=config.revision, dropout=config.dropout, say=say)
        if len(tokenizer) > model.config.vocab_size:
            raise UserError(
                f"the tokenizer of '{config.model}' has {len(tokenizer):,} ids and the model "
                f"{model.config.vocab_size:,} embeddings: they do not belong together."
            )
        for line in settle_end(model, tokenizer, config.model):
            if say:
                say(line)
    if config.gradient_checkpointing:
        checkpoint_activations(model)
    return model


def execution_of(
    config: TrainConfig, model: Any, device: str, strategy: str = "SingleDeviceStrategy"
) -> Literal["flat", "grouped"]:
    """How steps are computed; see `TrainConfig.execution`.

    Args:
        config: The settings.
        model: As training begins with it.
        device: Its kind, e.g. cpu.
        strategy: Lightning's, by its class.

    Raises:
        UserError: If flat tokens are asked for and cannot be had.
    """
    from multitask.model.unpadded.forward import agrees

    asked = config.execution
    if asked == "grouped" or (asked == "auto" and device != "cpu"):
        return "grouped"
    needs = {
        "it runs in fp32 only": config.precision == "fp32" and "precision" not in config.trainer,
        "it has no gradient checkpointing": not config.gradient_checkpointing,
        f"it has not been tried with {strategy}": strategy in ("SingleDeviceStrategy", "DDPStrategy"),
    }
    against = [reason for reason, met in needs.items() if not met]
    if not against and not agrees(model):
        against = [f"it does not give what the code of {type(model).__name__} gives"]
    if asked == "flat" and against:
        raise UserError(f"--execution flat: {against[0]}; use --execution grouped, or auto.")
    return "grouped" if against else "flat"


def scored_examples(config: TrainConfig, mix: Mix) -> dict[str, Examples]:
    """The rows of each task that a run is scored on at its end."""
    parts = {}
    for name in mix.evaluated:
        data = mix.data[name]
        chosen = data.validation if config.evaluate_on == "validation" else data.selection
        assert chosen is not None  # `selection_size` says that there is one
        parts[name] = chosen
    return parts
