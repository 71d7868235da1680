"""The analysis of one task of a study: its scores on every resample, and all that no other task is needed for."""

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
    measure_updates,
)
from multitask.interference.results.inputs import StudyInputs
from multitask.interference.results.learned import above_baseline
from multitask.interference.results.lookup import BUDGETS
from multitask.interference.results.pairing import outputs_of_frame
from multitask.interference.results.record import Changed, Confusion, Curve, Exposure, Gap, Score, TaskRecord, Update
from multitask.interference.results.task_runs import TaskRuns, read_task_runs
from multitask.interference.statistics.verdicts import TaskBootstrap, differing_units, noise_floor
from multitask.metrics.metric import Metric
from multitask.metrics.outputs import Outputs
from multitask.mixing.halves import parts_of
from multitask.task import Task


@dataclass(frozen=True, eq=False)
class TaskAnalysis:
    """One task of a study, before its effects are judged, which takes all tasks."""

    task: Task
    boots: dict[str, TaskBootstrap]
    """{metric: …}"""
    sorts: dict[Arm, str]
    """{arm: its family and budget}, as seed variances are pooled over alike arms"""
    differing: dict[tuple[str, Contrast], int]
    """{(metric, contrast): units that the metric sees otherwise in one of its arms than in another}"""
    task_record: TaskRecord
    scores: list[Score]
    exposure: list[Exposure]
    updates: list[Update]
    confusion: list[Confusion]
    curves: list[Curve]
    changed: list[Changed]
    gaps: list[Gap]

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name

    @property
    def contrasts(self) -> list[Contrast]:
        """Those that are its effects, in the order of the tables."""
        return list(dict.fromkeys(contrast for _, contrast in self.differing))


def analyse_task(inputs: StudyInputs, name: str, wanted: Sequence[Contrast], draws: Any) -> TaskAnalysis:
    """Analyse one task of a study: all but its effects.

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
    about = [of.describe_arm(arm) for arm in of.arms]
    return TaskAnalysis(
        of.task,
        boots,
        {arm: _sort(row["arm"], row["match"]) for arm, row in zip(of.arms, about, strict=True)},
        {(m.name, c): differing_units(m, [outputs[arm] for arm in c.arms]) for m in of.metrics for c in wanted},
        _record(of, boots[of.task.primary.name], [] if of.alone is None else outputs[of.alone]),
        [_score(of, arm, metric, boots[metric.name]) for metric in of.metrics for arm in of.arms],
        [measure_exposure(of, arm) for arm in of.arms],
        [update for arm in of.arms for update in measure_updates(of, arm)],
        [c for match in inputs.design.match if (c := compare_formats(of, match)) is not None],
        average_curves(of),
        find_changed_examples(of, wanted),
        measure_gap(of),
    )


def _sort(family: str, match: str | None) -> str:
    """The name of a sort of arms: its family, and its budget where that may differ.

    >>> _sort("single", "steps"), _sort("pair", None)
    ('single at equal compute', 'pair')
    """
    return family if match is None else f"{family} at {BUDGETS[match]}"


def _score(of: TaskRuns, arm: Arm, metric: Metric, boot: TaskBootstrap) -> Score:
    values = [float(v) for v in boot.scores[arm]]
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    more = {"metric": metric.name, "mean": float(np.mean(values)), "sd": sd, "per_seed": values}
    return cast(Score, {**of.describe_arm(arm), **more})


def _record(of: TaskRuns, boot: TaskBootstrap, alone: Sequence[Outputs]) -> TaskRecord:
    run = of.runs(of.arms[0])[0]
    about, base = run.record["tasks"][of.name], run.baselines.get(of.name, {})
    metric = of.task.primary
    baseline = base.get(metric.name)
    unit = metric.name + (f" × {metric.scale:g}" if metric.scale != 1 else "")
    low, high = _range(metric)
    above = above_baseline(of, boot, alone, (low, high))
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
        "noise_floor": None if of.alone is None else noise_floor(boot.scores[of.alone]),
        "detectable": None,  # takes all effects of the table
        "baseline": None if baseline is None else metric.points(float(baseline)),
        "baseline_name": str(base.get("answers", "")),
        "above_low": above and above[0],
        "above_high": above and above[1],
        "learned": None if above is None else above[0] > 0,
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
