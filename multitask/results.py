"""What a run leaves behind: settings, scores, the realised mix and the model, written to the run folder."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multitask import __version__
from multitask.config import OPERATIONAL, TrainConfig
from multitask.console import token_shares
from multitask.evaluation import TaskScores
from multitask.folder import atomic, atomic_files, digest_of, write_json
from multitask.home import tilde
from multitask.prepare import Mix
from multitask.tokens import Tokenizer
from multitask.yaml_files import dump_yaml

NUMERICS = 2
"""Raised when the same settings train to other bits (2: steps on flat tokens), so that runs of before and after are
not taken for one another."""


def task_settings(task: Any) -> dict[str, Any]:
    """What `model/config.json` says of a task: all that is needed to use the model without this package."""
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


def config_dict(config: TrainConfig) -> dict[str, Any]:
    """The settings that determine a run, as plain data."""
    values = dataclasses.asdict(config)
    for switch in ("resume", "overwrite"):
        del values[switch]
    return values


def run_address(config: TrainConfig, mix: Mix) -> str:
    """SHA-256 of all that determines a run: settings, task versions, data, plan and the version of this code.

    Two runs with one address give the same result on one machine; where they were written does not matter.
    """
    settings = {k: v for k, v in config_dict(config).items() if k not in (*OPERATIONAL, "data", "include")}
    for name in ("vocab", "model"):
        settings[name] = _content(settings[name])
    tasks = {
        name: [mix.tasks[name].version, d.train.fingerprint, d.validation.fingerprint] for name, d in mix.data.items()
    }
    parts = {
        "code": __version__,
        "numerics": NUMERICS,
        "settings": settings,
        "tasks": tasks,
        "plan": mix.plan.fingerprint(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _content(path: str | None) -> Any:
    """Of a folder what is in its files, so that one that was moved is the same and one that was changed is not."""
    if path is None or not Path(path).exists():
        return path
    found = Path(path)
    files = sorted(p for p in (found.iterdir() if found.is_dir() else [found]) if p.is_file())
    return [[p.name, digest_of(p)] for p in files]


def shown_settings(config: TrainConfig) -> dict[str, Any]:
    """The settings as files say them: with `~` for the user's home, whose name is not for those who are given them."""
    shown: dict[str, Any] = tilde(config_dict(config))
    return shown


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
    with _from_rust(folder), atomic_files(folder, last="config.json") as temporary:
        model.cpu().save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the tokenizer's part of `model/`.

    Raises:
        OSError: If it cannot be written.
    """
    with _from_rust(folder), atomic_files(folder, last="tokenizer_config.json") as temporary:
        tokenizer.save_pretrained(temporary)


@contextlib.contextmanager
def _from_rust(folder: Path) -> Iterator[None]:
    """What the system says of a file, as Python says it: tokenizers raises a bare Exception, safetensors its own."""
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


def mix_report(
    mix: Mix, mean_tokens: Mapping[str, tuple[float, float]], seen: np.ndarray, steps: int, skipped: int = 0
) -> dict[str, Any]:
    """mix.json: for each task what was planned and what the model was given.

    Args:
        mix: The planned mixture.
        mean_tokens: {task: (input, target)}.
        seen: [tasks, 4] examples, input tokens, target tokens and summed loss, counted during training.
        steps: Optimizer steps that were made.
        skipped: Of these, those without an update (`--on-nonfinite skip`); their examples are not in `seen`.
    """
    from multitask.plan import planned

    plan = {row.task: row for row in planned(mix.plan, mix.steps)}
    shares = token_shares(mix, mean_tokens)
    totals = np.maximum(seen.sum(0), 1e-12)
    tasks = {}
    for i, name in enumerate(mix.tasks):
        row = plan[name]
        examples, inputs, targets, loss = (float(v) for v in seen[i])
        tasks[name] = {
            "rows": row.size,
            "planned": {
                "rate": float(row.rate),
                "examples": row.examples,
                "epochs": float(row.epochs),
                "input_token_share": shares[name][0],
                "target_token_share": shares[name][1],
            },
            "realised": {
                "rate": examples / totals[0],
                "examples": int(examples),
                "epochs": examples / row.size,
                "input_tokens": int(inputs),
                "target_tokens": int(targets),
                "input_token_share": inputs / totals[1],
                "target_token_share": targets / totals[2],
                "loss_share": loss / totals[3],
                "mean_loss": loss / targets if targets else None,
            },
        }
    return {"steps": steps, "skipped_steps": skipped, "batch_size": mix.batch_size, "tasks": tasks}
