"""mix.json: planned and realised shares of the tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from multitask.mixing.prepare import PlannedMixture
from multitask.mixing.summary import token_shares

if TYPE_CHECKING:
    pass


def unseen(mix: Mapping[str, Any]) -> list[str]:
    """From mix.json: the tasks that were planned, but of which nothing was seen."""
    return [
        f"task '{name}' was given no example: {entry['planned']['examples']:,} were planned, in more steps than the "
        f"{mix['steps']:,} that were made."
        for name, entry in mix["tasks"].items()
        if entry["planned"]["examples"] and not entry["realised"]["examples"]
    ]


def mix_report(
    mix: PlannedMixture, mean_tokens: Mapping[str, tuple[float, float]], seen: np.ndarray, steps: int, skipped: int = 0
) -> dict[str, Any]:
    """mix.json: for each task what was planned and what the model was given.

    Args:
        mix: The planned mixture.
        mean_tokens: {task: (input, target)}.
        seen: [tasks, 4] examples, input tokens, target tokens and summed loss, counted during training.
        steps: Optimizer steps that were made.
        skipped: Of these, those without an update (`--on-nonfinite skip`); their examples are not in `seen`.
    """
    from multitask.mixing.plan import planned

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
