"""The files that a run leaves behind: settings, scores, the realised mix and the model, written to the run folder."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from multitask.config import TrainConfig
from multitask.evaluation.scores import TaskScores
from multitask.model.adapters import ADAPTERS, CONFIG, SHARED, find_adapters, write_adapter
from multitask.runs.address import shown_settings
from multitask.storage.atomic import atomic, atomic_files
from multitask.storage.json_files import write_json
from multitask.storage.yaml_files import dump_yaml
from multitask.tokenization.tokenizer import Tokenizer


def task_settings(task: Any) -> dict[str, Any]:
    """The entry of a task in `model/config.json`: all that is needed to use the model without this package."""
    return {
        "prefix": task.prefix,
        "output": task.output,
        "labels": list(task.labels),
        "max_length": task.max_input_tokens,
        "max_new_tokens": task.decoding.max_new_tokens,
        "num_beams": task.decoding.num_beams,
        "length_penalty": task.decoding.length_penalty,
        "no_answer": task.decoding.no_answer,
    }


def write_config(path: Path, config: TrainConfig) -> None:
    """Write config.yaml."""
    with atomic(path) as temporary:
        temporary.write_text(dump_yaml(shown_settings(config)), encoding="utf-8")


def write_skipped_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write skipped_rows.jsonl, if there are any; not a table for spreadsheets, which would run a cell as a formula."""
    if rows:
        with atomic(path) as temporary:
            # ASCII: a reason may quote what no encoding can write, and JSON escapes it.
            temporary.write_text("".join(json.dumps(dict(row)) + "\n" for row in rows), encoding="utf-8")


def save_model(model: Any, tokenizer: Tokenizer, folder: Path) -> None:
    """Write `model/` in Hugging Face format: safetensors, tokenizer, task prefixes and decoding settings.

    Raises:
        OSError: If it cannot be written.
    """
    adapters = find_adapters(model)
    if adapters:
        adapters.strip(SHARED if adapters.names == (SHARED,) else None)
    with _from_rust(folder), atomic_files(folder, last="config.json") as temporary:
        model.cpu().save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)


def save_adapters(model: Any, folder: Path, base: str | None) -> None:
    """Write a model's adapters, if it has some, in PEFT's format: `adapters/NAME/` in the folder of the model.

    Args:
        model: Before `save_model`, which takes them off.
        folder: `model/`.
        base: The model that an adapter for all tasks belongs to, by its id on the Hub; None if it has none. Those of
            one task each belong to the model in `folder`.
    """
    adapters = find_adapters(model)
    if adapters is None:
        return
    for name in adapters.names:
        own = folder / ADAPTERS / name
        with _from_rust(own), atomic_files(own, last=CONFIG) as temporary:
            write_adapter(adapters, name, temporary, base if name == SHARED else "../..")


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the tokenizer's part of `model/`.

    Raises:
        OSError: If it cannot be written.
    """
    with _from_rust(folder), atomic_files(folder, last="tokenizer_config.json") as temporary:
        tokenizer.save_pretrained(temporary)


@contextlib.contextmanager
def _from_rust(folder: Path) -> Iterator[None]:
    """Raise a system error as Python says it: tokenizers raises a bare Exception, safetensors its own."""
    try:
        yield
    except Exception as error:
        found = re.search(r"\(os error (\d+)\)", str(error))
        if found is None:
            raise
        number = int(found[1])
        raise OSError(number, os.strerror(number), str(folder)) from error


def write_scores(out: Path, scores: Mapping[str, TaskScores]) -> None:
    """Write predictions, baselines, errors and last metrics.json, whose presence says that the rest is there."""
    for name, s in scores.items():
        with atomic(out / "predictions" / f"{name}.parquet") as temporary:
            s.frame.to_parquet(temporary, index=False)
    write_json(out / "standard_errors.json", {name: s.standard_errors for name, s in scores.items()})
    write_json(out / "baselines.json", {name: _baselines(s) for name, s in scores.items()})
    write_json(out / "metrics.json", {name: s.numbers for name, s in scores.items()})


def _baselines(scores: TaskScores) -> dict[str, Any]:
    """A task in baselines.json: the best baseline and, under `others`, {name: {metric: value}} of the rest."""
    others = {"others": scores.other_baselines} if scores.other_baselines else {}
    return {"answers": scores.baseline_name, **scores.baseline, **others}
