"""A digest of all that decides a run's result, and the settings as the run folder has them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from multitask.config import OPERATIONAL, TrainConfig
from multitask.mixing.prepare import PlannedMixture
from multitask.storage.checksums import digest_of
from multitask.storage.paths import tilde
from multitask.version import __version__

NUMERICS = 2
"""Raised when the same settings train to other bits (2: steps on unpadded tokens), so that runs of before and after are
not taken for one another."""


ADDED: dict[str, Any] = {
    "shuffle_targets": [],
    "balance": "sum",
    "balance_scale": "sum",
    "peft": None,
    "adapters": "shared",
    "lora_rank": 8,
    "merge": None,
    "merge_runs": [],
    "merge_scale": None,
    "tf32": False,
    "eval_precision": "fp32",
}
"""Settings that came after runs had been trained, and the value that those had, which is left out of an address: or
theirs would be others now."""


def config_dict(config: TrainConfig) -> dict[str, Any]:
    """The settings that determine a run, as plain data."""
    values = dataclasses.asdict(config)
    for switch in ("resume", "overwrite"):
        del values[switch]
    return values


def run_address(config: TrainConfig, mix: PlannedMixture) -> str:
    """SHA-256 of all that determines a run: settings, task versions, data, plan and the version of this code.

    Two runs with one address give the same result on one machine; where they were written does not matter.
    """
    settings = {k: v for k, v in config_dict(config).items() if k not in (*OPERATIONAL, "data", "include")}
    for name in ("vocab", "model"):
        settings[name] = _content(settings[name])
    # By name: those of a study end with their addresses, and are not there yet when this one's is asked for.
    if settings.get("merge_runs"):
        settings["merge_runs"] = [Path(run).name for run in settings["merge_runs"]]
    for name, plain in ADDED.items():
        if settings[name] == plain:
            del settings[name]
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
    """Hash what is in a folder's files, so that one that was moved is the same and one that was changed is not."""
    if path is None or not Path(path).exists():
        return path
    found = Path(path)
    files = sorted(p for p in (found.iterdir() if found.is_dir() else [found]) if p.is_file())
    return [[p.name, digest_of(p)] for p in files]


def shown_settings(config: TrainConfig) -> dict[str, Any]:
    """The settings as files say them: with `~` for the user's home, whose name is not for those who are given them."""
    shown: dict[str, Any] = tilde(config_dict(config))
    return shown
