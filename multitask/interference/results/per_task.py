"""The analysis of one task of a study: its scores, and its effects with intervals."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from multitask.interference.design.arms import Arm, Contrast
from multitask.interference.results.details import (
    average_curves,
    compare_formats,
    find_changed_examples,
    measure_exposure,
    measure_gap,
)
from multitask.interference.results.inputs import StudyInputs
from multitask.interference.results.pairing import outputs_of_frame
from multitask.interference.results.record import (
    LIKELIHOOD,
    Changed,
    Confusion,
    Curve,
    Effect,
    Exposure,
    Gap,
    Score,
    TaskRecord,
)
from multitask.interference.results.task_runs import TaskRuns, read_task_runs
from multitask.interference.statistics.verdicts import Estimate, TaskBootstrap, margin_of, noise_floor
from multitask.metrics.metric import Metric
from multitask.mixing.halves import parts_of
from multitask.task import Task


@dataclass(frozen=True, eq=False)
class TaskAnalysis:
    """The record of one task, and the bootstraps that statements about several tasks are made of."""

    task: Task
    boots: dict[str, TaskBootstrap]
    """{metric: …}"""
    estimates: dict[tuple[str, Contrast], Estimate]
    """{(metric, contrast): …}"""
    task_record: TaskRecord
    scores: list[Score]
    effects: list[Effect]
    exposure: list[Exposure]
    confusion: list[Confusion]
    curves: list[Curve]
    changed: list[Changed]
    gaps: list[Gap]

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name


def analyse_task(inputs: StudyInputs, name: str, wanted: Sequence[Contrast], draws: Any) -> TaskAnalysis:
    """Analyse one task of a study.

    Args:
        inputs: The finished runs.
        name: The task.
        wanted: The contrasts of arms that are its effects.
        draws: Of seeds, from `seed_draws`; the same for all tasks, so that means over tasks can be drawn too.

    Raises:
        UserError: If runs were evaluated on different examples.
    """
    of = read_task_runs(inputs, name)
    outputs = {arm: [outputs_of_frame(of.task, f) for f in frames] for arm, frames in of.frames.items()}
    boots = {
        metric.name: TaskBootstrap(
            metric, outputs, resamples=inputs.resamples, seed=_stable_seed(name), seed_draws=draws
        )
        for metric in of.metrics
    }
    estimates = {(m.name, c): boots[m.name].contrast(dict(c.terms)) for m in of.metrics for c in wanted}
    noise = {m: None if of.alone is None else noise_floor(boot.scores[of.alone]) for m, boot in boots.items()}
    scores = [_score(of, arm, metric, boots[metric.name]) for metric in of.metrics for arm in of.arms]
    effects = [
        _effect(of, contrast, metric, boots[metric.name], estimates[metric.name, contrast], noise[metric.name])
        for metric in of.metrics
        for contrast in wanted
    ]
    return TaskAnalysis(
        of.task,
        boots,
        estimates,
        _record(of, effects, noise[of.task.primary.name]),
        scores,
        effects,
        [measure_exposure(of, arm) for arm in of.arms],
        [c for match in inputs.design.match if (c := compare_formats(of, match)) is not None],
        average_curves(of),
        find_changed_examples(of, wanted),
        measure_gap(of),
    )


def _score(of: TaskRuns, arm: Arm, metric: Metric, boot: TaskBootstrap) -> Score:
    values = [float(v) for v in boot.scores[arm]]
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    more = {"metric": metric.name, "mean": float(np.mean(values)), "sd": sd, "per_seed": values}
    return cast(Score, {**of.describe_arm(arm), **more})


def _effect(
    of: TaskRuns, contrast: Contrast, metric: Metric, boot: TaskBootstrap, found: Estimate, noise: float | None
) -> Effect:
    two = len(contrast.terms) == 2 and contrast.kind != "dilution"
    # In nats a margin of half a point means nothing: there the noise alone decides.
    least = of.inputs.margin if metric.name != LIKELIHOOD else 0.0
    return {
        "kind": contrast.kind,
        "task": of.name,
        "companion": contrast.companion,
        "match": contrast.match,
        "metric": metric.name,
        "score": float(np.mean(boot.scores[contrast.terms[0][0]])) if two else None,
        "base": float(np.mean(boot.scores[contrast.terms[1][0]])) if two else None,
        "delta": found.delta,
        "low": found.low,
        "high": found.high,
        "se": found.se,
        "df": found.df,
        "p": found.p,
        "q": None,
        "p_sign_flip": found.p_sign_flip,
        "verdict": None,
        "margin": margin_of(noise, least),
        "detectable": found.detectable,
        "seeds": found.seeds,
        "examples": found.examples,
        "per_seed": [float(v) for v in found.per_seed],
    }


def _record(of: TaskRuns, effects: Sequence[Effect], noise: float | None) -> TaskRecord:
    run = of.runs(of.arms[0])[0]
    about, base = run.record["tasks"][of.name], run.baselines.get(of.name, {})
    metric = of.task.primary
    baseline = base.get(metric.name)
    company = next((e for e in effects if e["kind"] in ("company", "pair") and e["metric"] == metric.name), None)
    unit = metric.name + (f" × {metric.scale:g}" if metric.scale != 1 else "")
    low, high = _range(metric)
    halves = [run.record["tasks"][name] for name in parts_of(of.name, run.record["tasks"])]
    rows = sum(half["train"]["examples"] for half in halves)
    return {
        "name": of.name,
        "output": of.task.output,
        "metric": metric.name,
        "unit": unit if metric.higher_is_better else f"−{unit}, so that higher is better",
        "rows": rows,
        "validation": len(of.frames[of.arms[0]][0]),
        "generated": bool(about["generated"]),
        "source": str(about["source"]),
        "version": int(about["version"]),
        "noise_floor": noise,
        "detectable": company["detectable"] if company else None,
        "baseline": None if baseline is None else metric.points(float(baseline)),
        "baseline_name": str(base.get("answers", "")),
        "low": low,
        "high": high,
    }


def _range(metric: Metric) -> tuple[float | None, float | None]:
    """The ends of a metric's range, in points; a fraction whose range is not known is taken to be 0 to 1."""
    fraction = metric.scale == 100
    low = metric.low if metric.low is not None else 0.0 if fraction else -math.inf
    high = metric.high if metric.high is not None else 1.0 if fraction else math.inf
    least, most = (v + 0.0 if math.isfinite(v) else None for v in sorted(map(metric.points, (low, high))))
    return least, most


def _stable_seed(task: str) -> int:
    """Draws of examples depend on the task alone: another task in the study changes none of them."""
    return int.from_bytes(hashlib.blake2b(task.encode(), digest_size=4).digest(), "big")
