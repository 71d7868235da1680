"""A study from settings to tables: find what is missing, train it, and write what was found."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.examples.choose_source import data_setting
from multitask.interference.design.arms import Arm, label
from multitask.interference.design.config import (
    Cell,
    StudyConfig,
    cell_config,
    check_same,
    check_study_folder,
    checked,
    design_of,
    open_study,
    parse_numbers,
    read_study,
    study_dict,
    write_study,
)
from multitask.interference.execution.partial import Partial
from multitask.interference.execution.pool import cell_address, cell_mix, is_finished, settled, train_cells
from multitask.interference.results.alike import merge_alike
from multitask.interference.results.assemble import make_record
from multitask.interference.results.per_task import Material
from multitask.interference.study import Study, write_study_files
from multitask.interference.tables.planned import PlannedArm, planned_table
from multitask.mixing.prepare import load_mix, load_plugins, select_tasks
from multitask.mixing.summary import data_notes
from multitask.mixing.warnings import undrawn
from multitask.model.contamination import contamination
from multitask.model.from_scratch import is_from_scratch
from multitask.model.pretrained import check_pretrained
from multitask.runs.definitions import FORMATTER, changes, definition, definitions_in, said
from multitask.runs.folder import ORPHANS
from multitask.runs.reading import Finished
from multitask.storage.folders import safe_name
from multitask.storage.json_files import read_json, write_json
from multitask.storage.locking import check_owner, locked
from multitask.storage.paths import tilde
from multitask.storage.system_errors import system_error, told
from multitask.tables.terminal import show_tables
from multitask.task import TASKS
from multitask.terminal.counting import counting, duration
from multitask.terminal.output import say
from multitask.tokenization.disk_cache import Cache
from multitask.training.rng_states import one_training

TRIAL_SEED = 1_000_000
"""Added to the first seed for the trials of the learning-rate search: no reported run has it."""


class Conduct:
    """The steps of a study in order.

    Args:
        config: What is asked for.
        out: The study's folder.
        quiet: Print nothing but progress.
        overwrite: Begin anew.
    """

    def __init__(self, config: StudyConfig, out: Path, *, quiet: bool = False, overwrite: bool = False) -> None:
        from multitask.config_checks import check_precision, check_trainer_names
        from multitask.model.availability import check_model
        from multitask.training.callbacks import named_callbacks

        self.config = config = checked(config)
        self.out, self.quiet, self.overwrite = out, quiet, overwrite
        check_precision(config.train.precision)
        check_trainer_names(config.train.trainer)
        if config.train.callbacks:
            named_callbacks(config.train.callbacks)
        check_model(config.train.model, config.train.revision)
        load_plugins(config.train.include)
        self.mixture, self.tasks = select_tasks(config.train.tasks, config.train.columns)
        self.definitions = {name: definition(task) for name, task in self.tasks.items()}
        self.changed: list[str] = []
        """Tasks with a formatter whose code is another than when models of the study were trained, with repetitions."""
        self.said: list[str] = []
        """Warnings that were printed before the training."""
        self.design = design_of(config, list(self.tasks))
        self.from_scratch = is_from_scratch(config.train.model)
        self.jobs, self.threads = _workers(config, self.from_scratch)
        own = [name for name in self.tasks if not TASKS.is_reloadable(name)]
        if own and self.jobs > 1:  # said even if quiet: it takes longer than it might
            self.jobs, self.threads = _workers(dataclasses.replace(config, jobs=1), self.from_scratch)
            sys.stderr.write(
                f"multitask: {'tasks' if len(own) > 1 else 'task'} {', '.join(map(repr, own))} "
                f"{'are' if len(own) > 1 else 'is'} registered by this program itself, so other processes do not know "
                f"{'them' if len(own) > 1 else 'it'}: the models are trained here, one after another. To train them "
                "side by side, put the registration in a file and give include=[FILE].\n"
            )

    # ---- what the cells are --------------------------------------------------------------------------------------

    def load(self, stored: dict[str, Any] | None) -> None:
        """Load the data, and settle what all cells share."""
        design = self.design
        # The number of threads changes the last bits: a study that goes on with other jobs keeps the cells' own.
        self.threads = self.config.threads or (stored or {}).get("threads") or self.threads
        self.rate_base = Fraction(stored["rate_base"]) if stored else design.budget(design.tasks)
        train = self.config.train
        self.vocab = (self.out / "vocab") if self.from_scratch and not train.vocab else None
        self.vocabulary = sorted(self.tasks)
        if stored and self.vocab and (self.vocab / "spiece.model").is_file():
            self.vocabulary = list(map(str, stored.get("vocabulary") or stored["tasks"]))
        self.base = dataclasses.replace(
            train,
            tasks=list(design.tasks),
            per_step={t: float(b) for t, b in design.per_step.items()},
            rate_base=float(self.rate_base),
            seed=design.seeds[0],
            trainer={"enable_progress_bar": False, **train.trainer},
            log_every=train.log_every
            if train.log_every != TrainConfig.log_every
            else max(1, min(train.log_every, int(train.trainer["max_steps"]) // 60)),
            vocab=str(self.vocab) if self.vocab else train.vocab,
        )
        lr = settled(self.base).lr
        assert lr is not None
        families = {design.family(arm) for arm in design.needed()}
        self.lr = dict.fromkeys(sorted(families), lr)
        if stored and stored["lr_grid"] and stored["lr"]:
            self.lr.update({f: v for f, v in stored["lr"].items() if f in self.lr})
        if not self.from_scratch:
            check_pretrained(train.model)
        if not self.quiet:
            say(f"loading the data of {', '.join(design.tasks)} …")
        self.full = load_mix(dataclasses.replace(settled(self.base), vocab=None))
        self._check_selection()

    def cells(self) -> list[Cell]:
        """Every model that the design needs."""
        return [self._cell(arm, seed, "cells") for seed in self.design.seeds for arm in self.design.needed()]

    def _cell(self, arm: Arm, seed: int, where: str, lr: float | None = None, **changes: Any) -> Cell:
        family = self.design.family(arm)
        # The null control's two arms share a rate, or the rate would be their difference.
        own = self.lr.get("single" if family == "null" else family, next(iter(self.lr.values())))
        config = cell_config(
            self.base,
            self.design,
            arm,
            seed,
            rate_base=self.rate_base,
            lr=own if lr is None else lr,
            vocab=self.vocab,
            **changes,
        )
        address = cell_address(config, self.full)
        name = f"{safe_name(label(arm, family))}-seed{seed}-{address[:10]}"
        return Cell(arm, family, seed, config, self.out / where / name)

    def missing(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells that are not finished.

        Raises:
            UserError: If one was trained, or begun, on another task of that name.
        """
        for cell in cells:
            self._check_tasks(cell)
        return [c for c in cells if not is_finished(c.folder)]

    def _check_tasks(self, cell: Cell) -> None:
        path = cell.folder / "run.json"
        try:
            before = definitions_in(read_json(path, dict[str, Any]), path) if path.is_file() else {}
        except UserError:  # it is damaged, and trained again
            return
        for task in cell.arm.tasks:
            found = changes(before.get(task), self.definitions[task], path)
            other = [change for change in found if change.part != FORMATTER]
            if other:
                raise UserError(
                    f"task '{task}' changed since {cell.folder} was trained: {said(other)}; all models of a table need "
                    f"one task: restore it, give another --out, or --overwrite to begin anew."
                )
            if found:  # the folder's name has the address, and so says that the rows are the same
                self.changed.append(task)

    def rows(self, cell: Cell) -> int:
        """How many rows it is evaluated on."""
        mix = cell_mix(cell.config, self.full)
        on = cell.config.evaluate_on
        return sum(
            len((mix.data[t].selection or ()) if on == "selection" else mix.data[t].validation) for t in mix.evaluated
        )

    # ---- before anything is spent --------------------------------------------------------------------------------

    def dry_run(self) -> None:
        """Print the cells, how many are there already, and what the others will cost."""
        with one_training(f"the study in {self.out}"):
            self._dry_run()

    def _dry_run(self) -> None:
        from multitask.interference.execution.estimate import measure, seconds_of

        stored = read_study(self.out) if self.out.is_dir() and not self.overwrite else None
        self.load(stored)
        if stored:
            check_same(self.out, stored, self._study_dict())
        with tempfile.TemporaryDirectory() as temporary:
            vocab = self.vocab
            if vocab is not None and not (vocab / "spiece.model").is_file():
                vocab = Path(temporary) / "vocab"
                self._train_vocabulary(vocab)
            base = dataclasses.replace(self.base, vocab=str(vocab) if vocab else self.base.vocab)
            from multitask.tokenization.vocabulary import mixture_tokenizer, older_vocabulary

            tokenizer = mixture_tokenizer(settled(base), self.full)
            older = older_vocabulary(tokenizer, self.full.data, self.vocabulary) if self.vocab else None
            if older:
                say(f"WARNING: {older}")
            if not self.quiet:
                say("timing a few steps and decoded rows …")
            speed = measure(base, self.full, tokenizer, self.threads)
        trained_vocabulary = self.vocab is None or (self.vocab / "spiece.model").is_file()
        cells = self.cells() if trained_vocabulary else self._unaddressed()
        missing = self.missing(cells)
        trials = self._trials() if self.config.lr_grid and not (stored and stored["lr"]) else []
        rows = {t: len(d.validation) for t, d in self.full.data.items()}
        train, evaluate = seconds_of([*missing, *trials], speed, rows, self.jobs)
        steps = int(self.base.trainer["max_steps"])
        arms = []
        for arm in self.design.needed():
            of_arm = [c for c in cells if c.arm == arm]
            name = label(arm, self.design.family(arm)) + (" (twin)" if arm.twin else "")
            finished = sum(c not in missing for c in of_arm)
            arms.append(PlannedArm(name, tuple(arm.tasks), float(arm.budget), len(of_arm), finished))
        show_tables(planned_table(arms, steps))
        if trials:
            say(f"{len(trials)} trials of the learning rate ({len(self.config.lr_grid)} a kind of arm) come first.")
        examples = sum(float(c.arm.budget) * steps for c in (*missing, *trials))
        say(
            f"{len(cells)} models, {len(cells) - len(missing)} finished; {len(missing) + len(trials)} to train on "
            f"{examples:,.0f} examples.",
            f"estimate: training {duration(train)}, evaluation {duration(evaluate)}, with {self.jobs} at a time and "
            f"{self.threads} thread{'s'[: self.threads != 1]} each (a few steps and rows of the untrained joint model "
            "were timed on this machine). Nothing was written.",
        )

    def _unaddressed(self) -> list[Cell]:
        """The cells of a study that has no vocabulary yet, so that no address can be known: none is finished."""
        return [
            Cell(arm, self.design.family(arm), seed, self.base, self.out / "cells" / "-")
            for seed in self.design.seeds
            for arm in self.design.needed()
        ]

    # ---- the study -----------------------------------------------------------------------------------------------

    def run(self) -> Study:
        """Train what is missing and write what was found.

        Raises:
            UserError: For what a user can fix, a full disk too.
        """
        try:
            return self._run()
        except Exception as error:
            found = system_error(error)
            if found is None:
                raise
            raise UserError(
                f"{told(found, self.out)}. What was written to {self.out} before is whole; the same command goes on."
            ) from error

    def _run(self) -> Study:
        check_study_folder(self.out, overwrite=self.overwrite)  # before a lock is put in it
        with one_training(f"the study in {self.out}"), locked(self.out, "study", wait=ORPHANS):
            stored = open_study(self.out, overwrite=self.overwrite)
            self.load(stored)
            if stored:
                check_same(self.out, stored, self._study_dict())
            if self.vocab is not None and not (self.vocab / "spiece.model").is_file():
                if not self.quiet:
                    say("training one vocabulary for all cells …")
                self._train_vocabulary(self.vocab)
            frozen = bool(stored and stored["lr_grid"] and set(self.lr) <= set(stored["lr"]))
            write_study(self.out, self._study_dict(lr=None if frozen or not self.config.lr_grid else {}))
            facts = self._facts()
            if self.config.lr_grid:
                facts["trials"] = self._tune(frozen)
                write_study(self.out, self._study_dict())
            cells = self.cells()
            missing = self.missing(cells)
            facts["warnings"] += [
                f"the code of the formatter of task '{task}' changed since models of this study were trained; it makes "
                "the same examples of the rows."
                for task in dict.fromkeys(self.changed)
            ]
            facts["warnings"] = merge_alike(facts["warnings"])
            write_json(self.out / "facts.json", facts, sealed=True)
            write_json(self.out / "cells.json", [self._listed(cell) for cell in cells])
            if not self.quiet:
                self.said = list(facts["warnings"])
                say(*(f"WARNING: {line}" for line in self.said))
                say(
                    f"{len(cells)} models, {len(cells) - len(missing)} of them finished; {self.jobs} at a time, "
                    f"{self.threads} thread{'s'[: self.threads != 1]} each, in {self.out}"
                )
            partial = Partial(self.design, self.tasks)
            for cell in cells:
                if cell not in missing:
                    partial.add(cell.arm, cell.seed, cell.folder)
            self._train(missing, done=len(cells) - len(missing), partial=partial)
            with counting("intervals of task", len(self.tasks)) as counter:
                record = make_record(self._material(cells, facts), counter.advance)
            return write_study_files(self.out, record)

    def _listed(self, cell: Cell) -> dict[str, Any]:
        return {
            "name": cell.name,
            "arm": cell.family,
            "tasks": list(cell.arm.tasks),
            "per_step": cell.config.per_step,
            "twin": cell.arm.twin,
            "seed": cell.seed,
            "lr": cell.config.lr,
            "folder": str(cell.folder.relative_to(self.out)),
        }

    def _train(self, missing: Sequence[Cell], done: int, partial: Partial | None = None) -> None:
        for cell in missing:
            cell.folder.parent.mkdir(parents=True, exist_ok=True)
        train_cells(
            missing,
            self.base,
            evaluated=self.rows,
            jobs=self.jobs,
            threads=self.threads,
            keep_models=self.config.keep_models,
            done=done,
            partial=partial,
        )

    def _study_dict(self, lr: dict[str, float] | None = None) -> dict[str, Any]:
        config = dataclasses.replace(self.config, threads=self.threads)
        return study_dict(config, self.design, self.rate_base, self.lr if lr is None else lr, self.vocabulary)

    def _train_vocabulary(self, folder: Path) -> None:
        from multitask.model.from_scratch import SIZES
        from multitask.tokenization.vocabulary import mixture_vocabulary

        ordered = {t: self.full.data[t] for t in sorted(self.full.data)}  # not as --tasks happens to list them
        size = self.base.vocab_size or SIZES[self.base.model].vocabulary
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".vocab-") as temporary:
            made = Path(temporary) / "vocab"
            made.mkdir()
            vocabulary = mixture_vocabulary(dataclasses.replace(self.full, data=ordered), size, Cache())
            (made / "spiece.model").write_bytes(vocabulary)
            check_owner(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(made, folder)

    # ---- learning rates ------------------------------------------------------------------------------------------

    def _trials(self) -> list[Cell]:
        """Every arm at every learning rate of the grid, once: the same number of trials for each kind of arm."""
        seed = self.design.seeds[0] + TRIAL_SEED
        arms = [arm for arm in self.design.needed() if not arm.twin]
        return [
            self._cell(arm, seed, "trials", lr, evaluate_on="selection", select="last")
            for lr in self.config.lr_grid
            for arm in arms
        ]

    def _tune(self, frozen: bool) -> list[dict[str, Any]]:
        """Run the trials and choose each kind of arm's rate; once chosen it stays, whatever is added later."""
        import numpy as np

        from multitask.evaluation.scores import deciding_points

        if frozen and (self.out / "facts.json").is_file():
            return list(read_json(self.out / "facts.json").get("trials", []))
        undefined = self._undefined()  # which their notes say
        trials = self._trials()
        missing = self.missing(trials)
        if not self.quiet:
            say(f"{len(trials)} trials of the learning rate, {len(trials) - len(missing)} of them finished")
        self._train(missing, done=len(trials) - len(missing))
        points: dict[tuple[str, float], list[float]] = {}
        for cell in trials:
            metrics = Finished(cell.folder).metrics
            for task in cell.arm.tasks:
                if task not in undefined:
                    metric = self.tasks[task].primary
                    points.setdefault((cell.family, float(cell.config.lr or 0)), []).append(
                        deciding_points(metric, metrics[task][metric.name])
                    )
        means = {key: float(np.mean(values)) for key, values in points.items()}
        for family in self.lr:
            of = {lr: score for (f, lr), score in means.items() if f == family}
            if of:
                self.lr[family] = max(of, key=lambda lr: (of[lr], -lr))
        return [
            {"arm": family, "lr": lr, "score": score, "chosen": self.lr.get(family) == lr}
            for (family, lr), score in sorted(means.items())
        ]

    def _undefined(self, limit: int | None = None) -> dict[str, str]:
        """{task: why its primary metric is undefined on its first `limit` selection examples}; see `misfits`."""
        from multitask.examples.misfits import undefined_metrics

        found = {}
        for name, task in self.tasks.items():
            reason = undefined_metrics(task, (self.full.data[name].selection or ())[:limit]).get(task.primary.name)
            if reason is not None:
                found[name] = f"'{task.primary.name}' of {name} is undefined on its selection examples ({reason})"
        return found

    def _check_selection(self) -> None:
        """Refuse what could choose nothing, before any model is trained.

        Raises:
            UserError: With the tasks and the reasons.
        """
        then = "Hold out more (--selection-rows), or give another primary metric."
        train = self.config.train
        alone = self._undefined(train.eval_limit) if train.select != "last" else {}
        if alone:  # every task is trained alone too
            raise UserError(
                f"--select {train.select} cannot choose among the checkpoints of a task alone: "
                f"{'; '.join(alone.values())}. {then}"
            )
        undefined = self._undefined() if self.config.lr_grid else {}
        if undefined and len(undefined) == len(self.tasks):
            raise UserError(f"--lr-grid cannot choose a learning rate: {'; '.join(undefined.values())}. {then}")

    # ---- what a reader should know -------------------------------------------------------------------------------

    def _facts(self) -> dict[str, Any]:
        """Warnings and notes about data and model."""
        from multitask.checks.overlap import find_overlaps
        from multitask.checks.warnings import overlap_sentences
        from multitask.tokenization.vocabulary import mixture_tokenizer, older_vocabulary

        lines = data_notes(self.full)
        generated = lines[:1] if self.full.generated else []
        lines = lines[len(generated) :]
        warnings = generated + [line.removeprefix("WARNING: ") for line in lines if line.startswith("WARNING: ")]
        warning = contamination(self.base.model, self.design.tasks)
        if warning:
            warnings.append(f"CONTAMINATED: {warning}")
        if len(self.tasks) > 1:
            between = [o for o in find_overlaps(self.tasks, self.full.data) if o.train != o.validation]
            warnings += [f"LEAKAGE: {sentence}" for o in between for sentence in overlap_sentences(o)]
        warnings += undrawn(self.full.plan, self.full.steps)
        if self.vocab is not None and (self.vocab / "spiece.model").is_file():
            tokenizer = mixture_tokenizer(settled(self.base), self.full)
            older = older_vocabulary(tokenizer, self.full.data, self.vocabulary)
            warnings += [f"VOCABULARY: {older}"] if older else []
        notes = [line for line in lines if not line.startswith("WARNING: ")]
        facts: dict[str, Any] = tilde({"warnings": warnings, "notes": notes})
        return facts

    def _material(self, cells: Sequence[Cell], facts: dict[str, Any]) -> Material:
        first = Finished(cells[0].folder)
        sources = sorted({d.train.source for d in self.full.data.values()})
        config = settled(self.base)
        setting = {
            "steps": int(config.trainer["max_steps"]),
            "model": config.model,
            "parameters": int(first.run["parameters"]),
            "data": "generated sample" if len(self.full.generated) == len(self.tasks) else _shown(config, sources),
            "loss": config.loss,
            "optimizer": config.optimizer,
            "lr": self.lr,
            "lr_grid": self.config.lr_grid,
            "select": config.select,
            "command": self.command(),
        }
        return Material(
            self.design,
            self.tasks,
            {(c.arm, c.seed): Finished(c.folder) for c in cells},
            tilde(setting),
            facts,
            margin=self.config.margin,
            resamples=self.config.resamples,
            groups=self.config.groups,
        )

    def command(self) -> str:
        """The command that repeats the study; without the folder that it is written to."""
        import shlex

        words = ["multitask", "interference", "--tasks", ",".join(self.design.tasks)]
        design, train, plain = self.design, self.config.train, TrainConfig()
        if design.arms != tuple(StudyConfig().arms):
            words += ["--arms", ",".join(design.arms)]
        words += ["--seeds", _seeds(design.seeds), "--match", ",".join(design.match)]
        each = {float(b) for b in design.per_step.values()}
        if len(each) == 1:
            words += ["--per-step", f"{each.pop():g}"]
        else:
            words += [w for t, b in design.per_step.items() for w in (f"--per-step.{t}", f"{float(b):g}")]
        for name, value in train.trainer.items():
            words += [f"--trainer.{name}", str(value)]
        if design.null:
            words += ["--null", ",".join(design.null)]
        if self.config.lr_grid:
            words += ["--lr-grid", ",".join(f"{lr:g}" for lr in self.config.lr_grid)]
        skipped = {"tasks", "per_step", "trainer", "seed", "out", "resume", "overwrite", "labels_by", "hold_selection"}
        for field in dataclasses.fields(TrainConfig):
            value = getattr(train, field.name)
            if field.name in skipped or value == getattr(plain, field.name):
                continue
            if field.name == "data_seed" and value == design.seeds[0]:
                continue
            option = "--" + field.name.replace("_", "-")
            if isinstance(value, dict):
                words += [w for k, v in value.items() for w in (f"{option}.{k}", str(v))]
            elif isinstance(value, list):
                words += [option, ",".join(map(str, value))]
            else:
                words += [option, str(value).lower() if isinstance(value, bool) else str(value)]
        return shlex.join(words)


def _shown(config: TrainConfig, sources: Sequence[str]) -> str:
    return data_setting(config.data) or "; ".join(sources)


def _seeds(seeds: Sequence[int]) -> str:
    return str(len(seeds)) if tuple(seeds) == tuple(range(len(seeds))) else ",".join(map(str, seeds))


def _workers(config: StudyConfig, from_scratch: bool) -> tuple[int, int]:
    """How many cells side by side, and threads of each.

    A small model gains little from a second thread and loses much when it has to wait for it (measured: two single
    threads train one and a half times as fast as one with two), a large one would not fit the memory several times.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    accelerator = str(config.train.trainer.get("accelerator", "auto"))
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not _has_accelerator())
    jobs = config.jobs or (cores if from_scratch and on_cpu else 1)
    return jobs, config.threads or max(1, cores // jobs)


def _has_accelerator() -> bool:
    import torch

    return torch.accelerator.is_available()


def settings_of(settings: dict[str, Any]) -> StudyConfig:
    """A study's settings from names of both kinds, as `multitask.interference(...)` takes them.

    Raises:
        UserError: For a name that is neither.
    """
    from multitask.registry import did_you_mean

    own = {f.name for f in dataclasses.fields(StudyConfig)} - {"train"}
    training = {f.name for f in dataclasses.fields(TrainConfig)}
    for name in settings:
        if name not in own | training:
            raise UserError(f"unknown setting '{name}': {did_you_mean(name, sorted(own | training))}")
    study: dict[str, Any] = {n: v for n, v in settings.items() if n in own and v is not None}
    if study.get("lr_grid"):
        study["lr_grid"] = parse_numbers(study["lr_grid"], "--lr-grid")
    for name in ("arms", "match", "null"):
        if isinstance(study.get(name), str):
            study[name] = [part for part in study[name].split(",") if part]
    if study.get("null") is True:
        study["null"] = ["all"]
    if isinstance(study.get("seeds"), (list, tuple)):
        study["seeds"] = ",".join(map(str, study["seeds"])) + ("," if len(study["seeds"]) == 1 else "")
    if "seeds" in study:
        study["seeds"] = str(study["seeds"])
    train = TrainConfig(**{n: v for n, v in settings.items() if n in training})
    return StudyConfig(train=train, **study)
