"""A run that trains nothing: the models of finished runs, merged, and evaluated as any run is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from multitask.config import TrainConfig, expand_paths
from multitask.errors import UserError
from multitask.evaluation.scores import evaluate_task, mean_points
from multitask.examples.misfits import undefined_metrics
from multitask.model.from_scratch import is_from_scratch
from multitask.model.merging import SCALES, merged_vector, scaled
from multitask.model.pretrained import load_pretrained
from multitask.runs.finished import check_finished
from multitask.runs.folder import read_run
from multitask.runs.notices import Notices
from multitask.runs.run_data import RunData, tokenize_parts
from multitask.tables.numbers import number_text
from multitask.tokenization.disk_cache import Cache
from multitask.tokenization.token_cache import TokenCache, tokenizer_identity
from multitask.training.precision import computing_in


class Merged(NamedTuple):
    """What merging gave."""

    scale: float
    points: dict[float, float]
    """{scale: mean over tasks of the primary metric on held-out rows, in points}; empty if there was no choice."""


def check_merge(config: TrainConfig) -> None:
    """Refuse runs that cannot be merged, from what their folders say.

    Raises:
        UserError: Names the run and the reason.
    """
    if config.merge is None:
        return
    if config.peft:
        raise UserError("--merge makes a model of whole ones, and --peft trains adapters: leave one out.")
    first: tuple[str, Any] | None = None
    for name in config.merge_runs:
        own = expand_paths(check_finished(Path(name)))
        if own.peft and own.adapters == "task":
            raise UserError(f"--merge-runs {name} has an adapter a task, and no one model of them.")
        start = {"model": own.model, "seed of its random weights": own.seed if is_from_scratch(own.model) else None}
        wanted = {
            "model": config.model,
            "seed of its random weights": config.seed if is_from_scratch(config.model) else None,
        }
        for what, value in start.items():
            if value != wanted[what]:
                raise UserError(
                    f"--merge-runs {name} began at other weights ({what} {value!r}, asked for is {wanted[what]!r}): "
                    "models that began apart have their units in another order, and a mean of them is none of them. "
                    "Merge runs of one pretrained --model, or of one --seed."
                )
        vocabulary = read_run(Path(name)).get("vocabulary")
        if first is not None and vocabulary != first[1]:
            raise UserError(
                f"--merge-runs {first[0]} and {name} have different vocabularies, so they cannot be merged."
            )
        first = first or (name, vocabulary)


def merge_runs(model: Any, config: TrainConfig, data: RunData, cache: Cache, notices: Notices) -> Merged:
    """Give the model the merged weights of the runs, at the scale that does best on held-out rows.

    Args:
        model: As training would begin with it.
        config: The settings, with `merge` and `merge_runs`.
        data: With held-out rows (`selection`) of each task, unless the scale is given or there is one alone.
        cache: Of token ids.
        notices: Told what was chosen.

    Raises:
        UserError: If the runs' models are of another shape or vocabulary.
    """
    assert config.merge is not None
    start = weights_of(model)
    for name in config.merge_runs:
        if read_run(Path(name)).get("vocabulary") != tokenizer_identity(data.tokenizer):
            raise UserError(f"--merge-runs {name} has another vocabulary than --model {config.model}.")
    states = [weights_of(load_pretrained(str(Path(name) / "model"))) for name in config.merge_runs]
    try:
        vector = merged_vector(start, states, config.merge)
    except ValueError as error:
        raise UserError(f"--merge-runs: {error}") from error
    scales = SCALES[config.merge] if config.merge_scale is None else (config.merge_scale,)
    if len(scales) > 1:
        _check_held_out(config, data)
    points = {} if len(scales) == 1 else _points(model, start, vector, scales, config, data, cache)
    best = max(scales, key=lambda s: (points[s], -s)) if points else scales[0]
    put_weights(model, scaled(start, vector, best))
    how = f", the best of {len(scales)} on held-out rows" if points else ""
    notices.say(f"merged {len(states)} models: {config.merge}, scale {number_text(best, 2)}{how}")
    if is_from_scratch(config.model):
        notices.warn(
            "--merge of models from random weights: they began at the same ones and went far from them, each its own "
            "way; merging is for models that are close to a common pretrained start."
        )
    return Merged(best, points)


def _check_held_out(config: TrainConfig, data: RunData) -> None:
    """Refuse to choose the scale on rows that a run was trained on."""
    for name in config.merge_runs:
        for task, about in read_run(Path(name))["tasks"].items():
            held = data.mix.data[task].selection if task in data.mix.data else None
            own = (about.get("selection") or {}).get("fingerprint")
            if held is not None and own != held.fingerprint:
                raise UserError(
                    f"--merge {config.merge} chooses its scale on training rows of '{task}' that are held out, and "
                    f"{name} was trained on them: train it with --hold-selection true and the same --data-seed, or "
                    "give --merge-scale."
                )


def weights_of(model: Any) -> dict[str, Any]:
    """The weights by name, each once: of tied ones a state dict has every name, and TIES would count them as often."""
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def put_weights(model: Any, weights: Mapping[str, Any]) -> None:
    """Give a model these weights, by name."""
    import torch

    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(weights[name])


def _points(
    model: Any, start: Any, vector: Any, scales: Sequence[float], config: TrainConfig, data: RunData, cache: Cache
) -> dict[float, float]:
    mix = data.mix
    parts = {name: mix.data[name].selection for name in mix.evaluated}
    held = {name: part for name, part in parts.items() if part is not None}
    if len(held) < len(parts):  # `selection_size` says that a merge holds rows out
        raise UserError("--merge chooses its scale on held-out rows, and there are none: give --merge-scale.")
    held = {n: dataclasses.replace(part, examples=tuple(part[: config.eval_limit])) for n, part in held.items()}
    tokens = tokenize_parts(held, mix, TokenCache(cache, data.tokenizer))
    undecided = {n for n, part in held.items() if mix.tasks[n].primary.name in undefined_metrics(mix.tasks[n], part)}
    found = {}
    for scale in scales:
        put_weights(model, scaled(start, vector, scale))
        with computing_in(config.eval_precision, model.device.type):
            scores = {
                name: evaluate_task(
                    *(model, data.tokenizer, mix.tasks[name], part, tokens[name]),
                    train=None,
                    errors=False,
                    batch_tokens=config.batch_tokens,
                )
                for name, part in held.items()
            }
        found[scale] = mean_points(scores, mix.tasks, undecided)
    return found
