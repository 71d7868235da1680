"""The record of one task besides scores and effects: exposure, format confusion, curves, changed examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from multitask.interference.design.arms import Arm, Contrast
from multitask.interference.results.pairing import outputs_of_frame
from multitask.interference.results.record import Changed, Confusion, Curve, Exposure, Gap, Update
from multitask.interference.results.task_runs import TaskRuns
from multitask.runs.reader import RunReader, bucketed

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 3
"""Changed examples of each effect and direction."""


def measure_exposure(of: TaskRuns, arm: Arm) -> Exposure:
    """Average what the models of an arm were given of the task over seeds."""
    seen = [run.exposure(of.name) for run in of.runs(arm)]
    means = {name: float(np.mean([s[name] for s in seen])) for name in seen[0]}
    return cast(Exposure, {**of.describe_arm(arm), **means})


def measure_updates(of: TaskRuns, arm: Arm) -> list[Update]:
    """How much of its own the task puts into the updates of an arm's models; empty where no gradients were logged."""
    logs = [run.logged for run in of.runs(arm)]

    def mean(column: str, value: Callable[[float], float] = lambda v: v) -> float | None:
        seeds = [np.mean([value(v) for v in log[column].values()]) for log in logs if log.get(column)]
        return float(np.mean(seeds)) if len(seeds) == len(logs) else None

    if mean("train/gradient_norm") is None:
        return []
    row = {
        "gradient_norm": mean("train/gradient_norm"),
        "clip_factor": mean("train/clip_factor"),
        "clipped": mean("train/clip_factor", lambda factor: float(factor < 1)),
        "own_norm": mean(f"train/own_norm/{of.name}"),
        "own_part": mean(f"train/own_part/{of.name}"),
    }
    return [cast(Update, {**of.describe_arm(arm), **row})]


def compare_formats(of: TaskRuns, match: str) -> Confusion | None:
    """Labels ranked against labels written, alone and trained with all others; None where either was not measured."""
    alone, joint = of.inputs.design.single(of.name, match, of.inputs.design.tasks), of.inputs.design.joint
    if of.task.output != "labels" or alone not in of.frames or joint not in of.frames:
        return None
    if any("generated" not in frame for arm in (alone, joint) for frame in of.frames[arm]):
        return None
    metric, labels = of.task.primary, set(of.task.labels)

    def points(arm: Arm, column: str) -> float:
        values = [metric.compute(outputs_of_frame(of.task, f, column)) for f in of.frames[arm]]
        return metric.points(float(np.mean(values)))

    def foreign(arm: Arm) -> float:
        return float(np.mean([~f["generated"].isin(labels) for f in of.frames[arm]]))

    ranked, written = ([points(arm, c) for arm in (alone, joint)] for c in ("prediction", "generated"))
    per_token = [points(arm, "normalised") for arm in (alone, joint)]
    return {
        "task": of.name,
        "match": match,
        "ranked_single": ranked[0],
        "ranked_joint": ranked[1],
        "generated_single": written[0],
        "generated_joint": written[1],
        "normalised_single": per_token[0],
        "normalised_joint": per_token[1],
        "foreign_single": foreign(alone),
        "foreign_joint": foreign(joint),
        "format_part": (written[1] - ranked[1]) - (written[0] - ranked[0]),
    }


def average_curves(of: TaskRuns) -> list[Curve]:
    """Loss and score over the steps, alone and jointly: mean, lowest and highest over seeds."""
    steps = int(of.inputs.setting["steps"])
    made: list[Curve] = []
    for arm in (of.alone, of.inputs.design.joint):
        if arm is None or arm not in of.frames:
            continue
        logs = [run.logged for run in of.runs(arm)]
        loss = _band([bucketed(log.get(f"train/loss/{of.name}", {}), steps) for log in logs])
        score = _band([log.get(f"val/{of.name}", {}) for log in logs])
        made.append(
            {
                "task": of.name,
                "arm": of.inputs.design.family(arm),
                "steps": loss[0],
                "loss": loss[1],
                "loss_low": loss[2],
                "loss_high": loss[3],
                "score_steps": score[0],
                "score": score[1],
                "score_low": score[2],
                "score_high": score[3],
            }
        )
    return made


def find_changed_examples(of: TaskRuns, wanted: Sequence[Contrast]) -> list[Changed]:
    """The examples that joint training changed most, for the better and for the worse."""
    found: list[Changed] = []
    for contrast in wanted:
        if contrast.kind in ("company", "pair", "without") and contrast.match == of.inputs.design.match[0]:
            found += _changed_by(of, contrast)
    return found


def _changed_by(of: TaskRuns, contrast: Contrast) -> list[Changed]:
    """The examples that one contrast changed most."""
    company, alone = (of.frames[arm] for arm in contrast.arms)
    likelihood = _mean_difference(company, alone, "log_likelihood")
    score = _mean_difference(company, alone, "score")
    measured = np.isfinite(score).all()
    # Ties of a right-or-wrong score are broken by what the model thinks of the target.
    order = np.lexsort((likelihood, score)) if measured else np.argsort(likelihood, kind="stable")
    change = score if measured else likelihood
    found: list[Changed] = []
    for direction, sign, rows in (("worse", -1, order[:SHOWN]), ("better", 1, order[::-1][:SHOWN])):
        found += [
            {
                "kind": contrast.kind,
                "task": of.name,
                "companion": contrast.companion,
                "match": contrast.match,
                "direction": direction,
                "id": str(alone[0]["id"][row]),
                "inputs": str(alone[0]["inputs"][row]),
                "target": str(alone[0]["target"][row]),
                "base": [str(f["prediction"][row]) for f in alone],
                "with_company": [str(f["prediction"][row]) for f in company],
                "change": float(change[row]),
                "measure": "score" if measured else "log_likelihood",
            }
            for row in rows
            if sign * change[row] > 0
        ]
    return found


def measure_gap(of: TaskRuns) -> list[Gap]:
    """With a checkpoint chosen for each task: how far the one model that is kept stays behind."""
    joint = of.inputs.design.joint
    runs = of.runs(joint) if joint in of.frames else []
    if not runs or any(run.deployed is None for run in runs):
        return []
    metric = of.task.primary

    def mean(which: Callable[[RunReader], Mapping[str, Mapping[str, float | None]] | None]) -> float:
        values = [(which(run) or {})[of.name][metric.name] for run in runs]
        return metric.points(float(np.mean([math.nan if v is None else v for v in values])))

    deployed, per_task = mean(lambda run: run.deployed), mean(lambda run: run.metrics)
    return [{"task": of.name, "deployed": deployed, "per_task": per_task, "gap": per_task - deployed}]


def _mean_difference(company: Sequence[pd.DataFrame], alone: Sequence[pd.DataFrame], column: str) -> Any:
    per_seed = [a[column].to_numpy(float) - b[column].to_numpy(float) for a, b in zip(company, alone, strict=True)]
    return np.mean(per_seed, axis=0)


def _band(logs: Sequence[Mapping[int, float]]) -> tuple[list[int], list[float | None], list[float | None], list[Any]]:
    """Steps that all seeds have, and mean, lowest and highest over seeds at each."""
    steps = sorted(set(logs[0]).intersection(*logs[1:]))
    columns = [[log[step] for log in logs] for step in steps]
    return (
        steps,
        [float(np.mean(c)) for c in columns],
        [float(np.min(c)) for c in columns],
        [float(np.max(c)) for c in columns],
    )
