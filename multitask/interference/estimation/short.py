"""Early-stopped pairs: the pairs themselves, trained for a part of the steps, beside singles of as many steps."""

from __future__ import annotations

import numpy as np

from multitask.interference.estimation.matrix import EstimatedMatrix, stack
from multitask.interference.results.lookup import effects_of, likelihood, primary
from multitask.interference.results.record import StudyRecord


def pair_effects(record: StudyRecord, *, twin: bool, method: str) -> EstimatedMatrix:
    """The pair matrix that a study measured, seed by seed.

    Args:
        record: Of the study.
        twin: Of the mean log-likelihood of the targets, in nats an example; else of the primary metric, in points.
        method: What to call it.
    """
    tasks = record["setting"]["tasks"]
    metrics = likelihood(record) if twin else primary(record)
    match = record["setting"]["match"][0]
    seeds = len(record["setting"]["seeds"])
    values = np.full((seeds, len(tasks), len(tasks)), np.nan)
    spread = np.zeros_like(values)
    for e in effects_of(record, "pair", match, metrics):
        at = tasks.index(e["task"]), tasks.index(str(e["companion"]))
        own = [np.nan if v is None else float(v) for v in e["per_seed"]]
        values[:, at[0], at[1]] = own
        if e["se"] is not None:  # what its examples add beyond the seeds' spread
            between = np.var(own, ddof=1) / seeds if seeds > 1 else 0.0
            spread[:, at[0], at[1]] = np.sqrt(max(e["se"] ** 2 - between, 0.0) * seeds)
    return stack(tasks, method, "nats an example" if twin else "points", list(zip(values, spread, strict=True)))
