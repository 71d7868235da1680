"""Facts about a run for its page and its model card, without this machine's paths."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, NamedTuple, TypedDict

from multitask.config import OPERATIONAL, TrainConfig
from multitask.errors import UserError
from multitask.metrics.naming import known_metric
from multitask.model.from_scratch import is_from_scratch
from multitask.runs.files import OTHERS
from multitask.runs.reader import RunReader
from multitask.sources.readers import READERS
from multitask.storage.schema import check_shape
from multitask.tables.cells import Cell, Column
from multitask.tables.numbers import MISSING, number, range_cell, tally
from multitask.tables.scores import score_table
from multitask.tables.table import Table

PLACES = ("out", "data", "include", "vocab", "model")
"""Settings that are paths, or may be."""


class _Decoding(TypedDict):
    span: str


class _Code(TypedDict):
    postprocess: str | None


class _Definition(TypedDict):
    decoding: _Decoding
    code: _Code


class _Task(TypedDict):
    """The fields that are read of a task in config.json of a model."""

    prefix: str
    output: str
    labels: list[str]
    max_length: int
    max_new_tokens: int
    num_beams: int
    length_penalty: float
    no_answer: bool | None


class Score(NamedTuple):
    """A number of metrics.json beside what it is compared with."""

    task: str
    metric: str
    value: float | None
    error: float | None
    """Standard error over examples; None if it was not measured."""
    baseline: float | None
    answers: str
    """What the baseline answers; "" without one."""

    @property
    def low(self) -> float | None:
        """The lower end of the 95 % interval, inside the metric's range."""
        return None if self.value is None or self.error is None else self._inside(self.value - 1.96 * self.error)

    @property
    def high(self) -> float | None:
        """The upper end of the 95 % interval, inside the metric's range."""
        return None if self.value is None or self.error is None else self._inside(self.value + 1.96 * self.error)

    def _inside(self, end: float) -> float:
        known = known_metric(self.metric)
        low, high = (known.low, known.high) if known else (None, None)
        end = end if low is None else max(low, end)
        return end if high is None else min(high, end)


class TaskFacts(NamedTuple):
    """A task of a run."""

    name: str
    settings: dict[str, Any]
    """As config.json of the model has them, and `span` and `postprocess` (whether it has one)."""
    source: str
    """Where its training rows came from, for people; of files the last two names."""
    dataset: str | None
    """The data set's id on the Hub, if it came from there."""
    generated: bool
    train: int
    validation: int
    fingerprints: tuple[str, str]
    """Of both."""


class RunFacts(NamedTuple):
    """A finished run."""

    run: RunReader
    """What is read of its folder."""
    config: TrainConfig
    tasks: dict[str, TaskFacts]
    scores: list[Score]

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self.run.folder.resolve().name

    @property
    def record(self) -> dict[str, Any]:
        """run.json."""
        return self.run.record

    @property
    def generated(self) -> list[str]:
        """The tasks whose examples are the generated sample."""
        return [name for name, task in self.tasks.items() if task.generated]

    @property
    def base(self) -> str | None:
        """The model that it began with; None for random weights."""
        if is_from_scratch(self.config.model):
            return None
        return self.config.model if is_hub_id(self.config.model) else f"the folder {PurePath(self.config.model).name}"

    @property
    def warnings(self) -> list[str]:
        """Notes and warnings of the run, each once, without paths."""
        lines = [*self.record.get("warnings", []), *self.record.get("notes", [])]
        return list(dict.fromkeys(without_paths(str(line)) for line in lines))

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that are none of their defaults, but for places and what does not touch a result."""
        usual = TrainConfig()
        found = {f.name: getattr(self.config, f.name) for f in dataclasses.fields(self.config)}
        left_out = {*PLACES, *OPERATIONAL, "tasks", "trainer", "resume", "overwrite", "callbacks"}
        own = {n: v for n, v in found.items() if n not in left_out and v != getattr(usual, n)}
        return {**own, "steps": self.record.get("steps")}


def run_facts(folder: Path, config: TrainConfig, *, deployed: bool = False) -> RunFacts:
    """Read them.

    Args:
        folder: Of a finished run, checked.
        config: Its settings.
        deployed: Give the scores of the one model that is kept, where each task was scored at its own best.

    Raises:
        UserError: If a file is missing, or not as it was written.
    """
    run = RunReader(folder)
    settings = run.model_settings
    check_shape(settings, dict[str, _Task], folder / "model" / "config.json")
    missing = [name for name in run.metrics if name not in settings]
    if missing:
        raise UserError(f"{folder} is not as it was written: model/config.json does not know '{missing[0]}'.")
    tasks = {name: _task(name, dict(settings[name]), run) for name in run.metrics}
    return RunFacts(run, config, tasks, _scores(run, deployed))


def _task(name: str, settings: dict[str, Any], run: RunReader) -> TaskFacts:
    about = run.record["tasks"].get(name)
    if about is None:
        raise UserError(f"{run.folder} is not as it was written: run.json does not know '{name}'.")
    span, postprocess = "best", False
    if "definition" in about:
        check_shape(about["definition"], _Definition, run.folder / "run.json")
        span = about["definition"]["decoding"]["span"]
        postprocess = about["definition"]["code"]["postprocess"] is not None
    settings = {**settings, "span": span, "postprocess": postprocess}
    train, validation = about["train"], about["validation"]
    source, dataset = shown_source(about["source"])
    return TaskFacts(
        name,
        settings,
        source,
        dataset,
        about["generated"],
        train["examples"],
        validation["examples"],
        (train["fingerprint"], validation["fingerprint"]),
    )


def _scores(run: RunReader, deployed: bool) -> list[Score]:
    kept = run.deployed if deployed else None
    errors = run.errors if kept is None else {}  # they are of the other scores
    found = []
    for task, metrics in (kept or run.metrics).items():
        base = run.baselines.get(task, {})
        for metric, value in metrics.items():
            if metric in OTHERS or metric == "invalid_rate":
                continue
            other = base.get(metric)
            answers = str(base.get("answers") or "") if other is not None else ""
            found.append(Score(task, metric, value, errors.get(task, {}).get(metric), other, answers))
    return found


# ---- tables ----------------------------------------------------------------------------------------------------------


def scores_table(facts: RunFacts) -> Table:
    """Each score with its interval, beside its baseline."""
    rows = []
    measured = any(s.error is not None for s in facts.scores)
    for s in facts.scores:
        task = facts.tasks[s.task]
        row = [Cell(s.task + " (generated)" * task.generated), Cell(s.metric), number(s.value, 3)]
        row += [range_cell(s.low, s.high, 3)] * measured
        rows.append((*row, number(s.baseline, 3), Cell(s.answers or MISSING), tally(task.validation)))
    columns = (
        Column("task", left=True),
        Column("metric", left=True),
        Column("score"),
        *[Column("95 % interval")] * measured,
        Column("baseline"),
        Column("the baseline answers", left=True, wrap=True),
        Column("examples"),
    )
    notes = (
        "The interval is the score ± 1.96 standard errors over examples, within the metric's range: another seed may "
        "differ by more.",
    )
    return Table("Scores", columns, tuple(rows), notes * measured, key="scores")


def run_scores(folder: Path) -> Table:
    """A run's scores beside their baselines: what a notebook shows of it.

    Raises:
        UserError: If it is not finished.
    """
    run = RunReader(folder)
    left_out = ("invalid_rate", "log_likelihood")
    scores = {task: {m: v for m, v in of.items() if m not in left_out} for task, of in run.metrics.items()}
    return score_table(scores, run.baselines, title=f"Scores of {folder.name}", errors=run.errors or None)


def mix_table(facts: RunFacts) -> Table:
    """The mixture as planned and as the model was given it."""
    rows = []
    for name, of in facts.run.mix["tasks"].items():
        planned, realised = of["planned"], of["realised"]
        rows.append(
            (
                Cell(name),
                tally(of["rows"]),
                number(_percent(planned["rate"]), 1, unit=" %"),
                number(_percent(realised["rate"]), 1, unit=" %"),
                tally(planned.get("examples")),
                tally(realised["examples"]),
                number(realised.get("epochs"), 2),
                number(_percent(realised.get("target_token_share")), 1, unit=" %"),
                number(_percent(realised["loss_share"]), 1, unit=" %"),
            )
        )
    columns = (
        Column("task", left=True),
        *map(Column, ("rows", "planned share", "realised share", "planned examples", "realised examples")),
        *map(Column, ("epochs", "share of target tokens", "share of the loss")),
    )
    return Table("The mixture", columns, tuple(rows), key="mix")


def _percent(share: float | None) -> float | None:
    return None if share is None or not math.isfinite(share) else 100 * share


# ---- no paths of this machine ----------------------------------------------------------------------------------------

_HUB = re.compile(r"(?P<id>[\w.-]+(?:/[\w.-]+)?)(?: \([^)]*\))? at \S+")
_PATH = re.compile(r"(?<![\w.:/<-])(?:~|[A-Za-z]:)?[/\\][^\s'\"`,;()]*")


def is_hub_id(model: str) -> bool:
    """Whether a model's name is one on the Hub, and no folder's."""
    return bool(re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", model)) and not Path(model).exists()


def shown_source(source: str) -> tuple[str, str | None]:
    """A source for people, and its id on the Hub.

    >>> shown_source("nyu-mll/glue (sst2) at main, split train")
    ('nyu-mll/glue (sst2) at main, split train', 'nyu-mll/glue')
    >>> shown_source("/home/somebody/my data/ticket/train.jsonl")
    ('ticket/train.jsonl', None)
    """
    hub = _HUB.match(source)
    if hub and "/" not in source.removeprefix(hub["id"]):
        return source, hub["id"]
    if source.endswith(tuple(READERS)) or source.startswith(("/", "~", ".")):
        return "/".join(PurePath(source).parts[-2:]), None
    return without_paths(source), None


def without_paths(sentence: str) -> str:
    """A sentence in which only the last name of an absolute path is left.

    >>> without_paths("12 rows of '/home/somebody/data/train.csv' are left out; 1/2 of them")
    "12 rows of 'train.csv' are left out; 1/2 of them"
    """
    return _PATH.sub(lambda m: re.split(r"[/\\]", m[0].rstrip("/\\"))[-1] or m[0], sentence)


def shown_settings(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings as pairs of text, without paths."""
    return [(name.replace("_", " "), without_paths(str(value))) for name, value in settings.items()]
