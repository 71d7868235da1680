"""Evaluation during training: the rows that it looks at, what decodes them, and their scores."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.evaluation.scores import TaskScores, mean_points, points_of, score_task
from multitask.examples.dataset import Examples
from multitask.examples.misfits import undefined_metrics
from multitask.mixing.prepare import PlannedMixture
from multitask.model.adapters import find_adapters
from multitask.runs.display import RunDisplay
from multitask.runs.notices import Notices
from multitask.runs.run_data import RunData
from multitask.tables.numbers import number_text
from multitask.task import Example
from multitask.terminal.output import say
from multitask.tokenization.tokenize import TokenizedTask, tokenize_task
from multitask.training.precision import computing_in


class Watched(NamedTuple):
    """Rows that choices are made on."""

    held: dict[str, Examples]
    """{task: its held-out training rows, or else its validation rows}"""
    rows: Mapping[str, Sequence[Example]]
    """{task: those that evaluation during training looks at, the first of them}"""
    undecided: dict[str, str]
    """{task: why its primary metric is undefined on the watched rows, whatever is predicted}"""


def choose_watched_rows(config: TrainConfig, mix: PlannedMixture) -> Watched:
    """Choose the rows that evaluation during training looks at.

    Raises:
        UserError: If nothing is left that `--select` or `--patience` could go by.
    """
    held = {name: mix.data[name].selection or mix.data[name].validation for name in mix.evaluated}
    rows = {name: part[: config.eval_limit] for name, part in held.items()}
    return Watched(held, rows, _find_undecided(config, mix, rows) if config.eval_every else {})


def _find_undecided(config: TrainConfig, mix: PlannedMixture, rows: Mapping[str, Sequence[Example]]) -> dict[str, str]:
    found = {}
    for name, part in rows.items():
        task = mix.tasks[name]
        reason = undefined_metrics(task, part).get(task.primary.name)
        if reason is not None:
            found[name] = reason
    asked = [f"--select {config.select}"] if config.select != "last" else []
    asked += ["--patience"] if config.patience else []
    by_one = config.select in found
    if asked and (by_one or len(found) == len(rows)):
        name = config.select if by_one else next(iter(found))
        raise UserError(
            f"{' and '.join(asked)} cannot choose by {name if by_one else 'the mean over tasks'}: on the rows that "
            f"evaluation during training looks at, metric '{mix.tasks[name].primary.name}' of task '{name}' "
            f"is undefined ({found[name]}); hold out other rows (--selection-rows, --eval-limit), or choose by "
            f"another metric or task."
        )
    return found


class Watch(NamedTuple):
    """How the watched rows are decoded."""

    decode: Callable[[Any, Any], list[tuple[int, Any]]]
    """(model, batch of rows) → [(number of the task, prediction)]."""
    tokens: dict[str, TokenizedTask]


def make_watch(config: TrainConfig, data: RunData, watched: Watched) -> Watch:
    """Tokenise the watched rows, and make the decoder of each task."""
    from multitask.decoding.decoder import Decoder

    tasks = data.mix.tasks
    tokens = {
        name: tokenize_task(data.tokenizer, tasks[name], dataclasses.replace(watched.held[name], examples=tuple(part)))
        for name, part in watched.rows.items()
    }
    decoders = [
        Decoder(tasks[n], data.tokenizer, part, t.inputs, t.targets, config.labels_by)
        for (n, part), t in zip(watched.rows.items(), tokens.values(), strict=True)
    ]
    names = tuple(tasks)

    def decode(model: Any, batch: Any) -> list[tuple[int, Any]]:
        adapters = find_adapters(model)
        merged = adapters.merged(adapters.name_for(names[batch.task_id])) if adapters else contextlib.nullcontext()
        with merged, computing_in(config.eval_precision, model.device.type):
            return [(batch.task_id, p) for p in decoders[batch.task_id](model, batch.rows)]

    return Watch(decode, tokens)


def score_and_show(
    batches: Sequence[Any], watched: Watched, mix: PlannedMixture, display: RunDisplay, notices: Notices
) -> dict[str, float]:
    """Score the watched rows, and show the scores.

    Args:
        batches: What `Watch.decode` gave, of all batches.
        watched: The rows.
        mix: Their tasks.
        display: Takes the scores if it is rewritten in place; else a line is printed.
        notices: Of the run.

    Returns:
        `val/TASK/METRIC`, `val/TASK` in points and `val/mean` over tasks, for the loggers.
    """
    values: dict[str, float] = {}
    scored: dict[str, TaskScores] = {}
    for i, (name, part) in enumerate(watched.rows.items()):
        predictions = [p for batch in batches for task_id, p in batch if task_id == i]
        task = mix.tasks[name]
        scores = scored[name] = score_task(task, part, predictions, train=None)
        values.update({f"val/{name}/{metric}": value for metric, value in scores.metrics.items()})
        values[f"val/{name}/log_likelihood"] = scores.log_likelihood
        values[f"val/{name}"] = points_of(task, scores.metrics[task.primary.name])
    values["val/mean"] = mean_points(scored, mix.tasks, watched.undecided)
    primary = {name: s.metrics[mix.tasks[name].primary.name] for name, s in scored.items()}
    display.file.score(primary, values["val/mean"])
    if display.is_rewritten:
        display.show_scores(primary, values["val/mean"], watched.rows, mix)
    elif not notices.quiet:
        shown = "  ".join(f"{n} {number_text(values[f'val/{n}'], 1)}" for n in watched.rows)
        zero = [n for n in watched.rows if math.isnan(values[f"val/{n}"]) and n not in watched.undecided]
        notes = [f"without {', '.join(watched.undecided)}"] if watched.undecided else []
        notes += [f"{', '.join(zero)} undefined, as if nothing was learned"] if zero else []
        aside = f" ({'; '.join(notes)})" if notes else ""
        say(f"evaluation: {shown}  mean {number_text(values['val/mean'], 1)}{aside}")
    return values
