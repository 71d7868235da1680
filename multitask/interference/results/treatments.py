"""The treatments of a study side by side: means over tasks, cost, which of them are on the front; weak and strong.

Words
    front      the treatments that no other beats in both the mean over tasks and the worst task, by their estimates
    weak       interference that another rate of the companion removes; strong: no rate that was tried does (Jiang et
               al. 2023, section 3, where the rate is a factor on the companion's loss)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from multitask.interference.design.arms import Arm, Design
from multitask.interference.design.treatments import Sweep, Treatment
from multitask.interference.results.inputs import StudyInputs
from multitask.interference.results.per_task import TaskAnalysis
from multitask.interference.results.record import LIKELIHOOD, Effect, Strength, SweepPoint, TreatmentRecord
from multitask.interference.statistics.verdicts import Estimate, benjamini_hochberg, combine, verdict_of
from multitask.runs.reader import RunReader

PLAIN = "sum"
"""The name of the joint arm in the table: the plain sum of the losses."""


def compare_treatments(
    inputs: StudyInputs, found: Sequence[TaskAnalysis], effects: Sequence[Effect]
) -> list[TreatmentRecord]:
    """A record for the joint arm as it is, and one for each treatment; empty without treatments."""
    design = inputs.design
    if not design.treatments:
        return []
    lead = design.match[0]
    made = [_compare(inputs, found, effects, None, Kind("company", None, lead), None)]
    over: list[Estimate | None] = [None]
    for t in design.treatments:
        if t.kind != "groups" or design.grouping:
            kind = Kind("treatment", t.name, None)
            over.append(_mean_effect(found, kind))
            made.append(_compare(inputs, found, effects, t, Kind("treated", t.name, lead), over[-1]))
    _judge_means(made, over, inputs)
    _mark_front(made)
    return made


def _judge_means(made: Sequence[TreatmentRecord], over: Sequence[Estimate | None], inputs: StudyInputs) -> None:
    """Give verdicts on the means over tasks against the joint arm, corrected for the number of treatments."""
    qs = benjamini_hochberg([None if one is None else one.p for one in over])
    for record, one, q in zip(made, over, qs, strict=True):
        if one is not None:
            record["over_q"] = q
            record["over_verdict"] = verdict_of(
                low=one.low,
                high=one.high,
                delta=one.delta,
                q=q,
                margin=inputs.margin,
                seeds=one.seeds,
            )


class Kind(NamedTuple):
    """The effects of one table."""

    kind: str
    companion: str | None
    match: str | None


def _compare(
    inputs: StudyInputs,
    found: Sequence[TaskAnalysis],
    effects: Sequence[Effect],
    treatment: Treatment | None,
    against_single: Kind,
    over: Estimate | None,
) -> TreatmentRecord:
    """One treatment, or the joint arm as it is."""
    # A group of one is the task alone: the two are one model, and no effect stands in the tables.
    alone = {t: 0.0 for t in inputs.design.tasks if treatment is not None and _is_alone(inputs.design, treatment, t)}
    deltas = {**alone, **{e["task"]: e["delta"] for e in _of(effects, against_single)}}
    measured = {t: d for t, d in deltas.items() if d is not None and math.isfinite(d)}
    worst = min(measured, key=lambda t: measured[t], default=None)
    mean = _mean_effect(found, against_single, len(alone))
    models = _models(inputs.design, treatment)
    costs = _costs(inputs, models)
    says = "" if treatment is None else treatment.says
    if treatment is not None and treatment.kind == "groups":
        says = " | ".join("+".join(arm.tasks) for arm in models)
    return {
        "name": PLAIN if treatment is None else treatment.name,
        "kind": "train" if treatment is None else treatment.kind,
        "says": says,
        "simple": treatment is not None and treatment.simple,
        "models": 1 if treatment is None or treatment.kind != "groups" else len(models),
        "seconds": costs.seconds,
        "memory_mb": costs.memory,
        # Where each task is a group of its own nothing is lost, by definition and not by measurement.
        "mean": 0.0 if len(alone) == len(found) else None if mean is None else mean.delta,
        "mean_low": 0.0 if len(alone) == len(found) else None if mean is None else mean.low,
        "mean_high": 0.0 if len(alone) == len(found) else None if mean is None else mean.high,
        "mean_over_joint": None if over is None else over.delta,
        "over_low": None if over is None else over.low,
        "over_high": None if over is None else over.high,
        "over_q": None,
        "over_verdict": None,
        "worst": None if worst is None else measured[worst],
        "worst_task": worst,
        "front": False,
    }


def _models(design: Design, treatment: Treatment | None) -> list[Arm]:
    """The models that a treatment has to train; of a merge the single ones and, training nothing, itself."""
    if treatment is None:
        return [design.joint]
    arms = [arm for t in design.tasks if (arm := design.treated(treatment, t)) is not None]
    singles = [design.arm([t]) for t in design.tasks] if treatment.kind == "merge" else []
    return list(dict.fromkeys([*singles, *arms]))


class Costs(NamedTuple):
    """What a treatment's models take together, means over seeds."""

    seconds: float | None
    memory: float | None


def _costs(inputs: StudyInputs, arms: Sequence[Arm]) -> Costs:
    runs = [inputs.runs(arm) for arm in arms]
    seconds = [_mean([_seconds(run) for run in of]) for of in runs]
    memory = [_mean([_memory(run) for run in of]) for of in runs]
    known = [m for m in memory if m is not None]  # a merge trains nothing, and has none of its own
    return Costs(None if None in seconds else sum(s for s in seconds if s is not None), max(known, default=None))


def _seconds(run: RunReader) -> float | None:
    value = run.record.get("seconds")
    return float(value) if isinstance(value, (int, float)) else None


def _memory(run: RunReader) -> float | None:
    """Of the GPU where there was one, else of the process; None of a run of before it was recorded."""
    peak = run.record.get("peak_memory") or {}
    value = peak.get("device_mb") or peak.get("process_mb")  # on a machine with a GPU that was not used the first is 0
    return float(value) if isinstance(value, (int, float)) else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _of(effects: Sequence[Effect], kind: Kind) -> list[Effect]:
    """Those on primary metrics."""
    same = ((e["kind"], e["companion"], e["match"]) == kind and e["metric"] != LIKELIHOOD for e in effects)
    return [e for e, is_same in zip(effects, same, strict=True) if is_same]


def _is_alone(design: Design, treatment: Treatment, task: str) -> bool:
    return treatment.kind == "groups" and design.treated(treatment, task) == design.single(
        task, design.match[0], design.tasks
    )


def _mean_effect(found: Sequence[TaskAnalysis], kind: Kind, zeros: int = 0) -> Estimate | None:
    """The mean over all tasks; None where one of them has no such effect, but for `zeros` that have none for 0."""
    parts = [
        (f.boots[f.task.primary.name], dict(c.terms))
        for f in found
        for c in f.contrasts
        if (c.kind, c.companion, c.match) == kind
    ]
    if not parts or len(parts) + zeros < len(found):
        return None
    return combine([(boot, terms, 1.0 / len(found)) for boot, terms in parts])


def _mark_front(made: Sequence[TreatmentRecord]) -> None:
    """Mark what no other beats in both, or in one where the other is the same."""
    known = [(t, t["mean"], t["worst"]) for t in made]
    for one, mean, worst in known:
        if mean is None or worst is None:
            continue
        one["front"] = not any(
            m >= mean and w >= worst and (m > mean or w > worst)
            for other, m, w in known
            if other is not one and m is not None and w is not None
        )


# ---- weak or strong --------------------------------------------------------------------------------------------------


def sweep_points(inputs: StudyInputs, effects: Sequence[Effect]) -> list[SweepPoint]:
    """Each task's effect of a companion at each of its rates: the joint arm there − the arm without the companion."""
    made: list[SweepPoint] = []
    for companion, sweeps in _by_companion(inputs.design.sweeps).items():
        factors = sorted({1.0, *(float(s.factor) for s in sweeps)})
        names = {float(s.factor): s.name for s in sweeps}
        for task in inputs.design.tasks:
            for factor in factors if task != companion else ():
                name = names.get(factor, f"{companion} × 1")
                effect = next((e for e in _of(effects, Kind("rate", name, None)) if e["task"] == task), None)
                if effect is None:
                    continue
                changes = [] if factor == 1.0 else _of(effects, Kind("rate_change", name, None))
                change = next((e for e in changes if e["task"] == task), None)
                made.append(
                    {
                        "task": task,
                        "companion": companion,
                        "factor": factor,
                        "delta": effect["delta"],
                        "low": effect["low"],
                        "high": effect["high"],
                        "verdict": effect["verdict"],
                        "change": None if change is None else change["delta"],
                        "change_verdict": None if change is None else change["verdict"],
                    }
                )
    return made


def strengths(points: Sequence[SweepPoint]) -> list[Strength]:
    """Whether what a companion takes from a task at the study's rates is weak or strong interference.

    `none seen`: there is no loss at the study's rates. `weak`: at some rate the task is better than at the study's,
    with a verdict, and is no longer at a loss. `strong`: it is at a loss, with a verdict, at every rate. Else
    `undecided`.
    """
    made: list[Strength] = []
    pairs = dict.fromkeys((p["task"], p["companion"]) for p in points)
    for task, companion in pairs:
        own = [p for p in points if (p["task"], p["companion"]) == (task, companion)]
        here = next((p for p in own if p["factor"] == 1.0), None)
        judged = [p for p in own if p["delta"] is not None]
        best = max(judged, key=lambda p: p["delta"] or 0.0, default=None)
        if here is None or here["verdict"] is None:
            word = "not judged"
        elif here["verdict"] != "loss":
            word = "none seen"
        elif any(p["change_verdict"] == "gain" and p["verdict"] not in ("loss", None) for p in own):
            word = "weak"
        elif all(p["verdict"] == "loss" for p in own):
            word = "strong"
        else:
            word = "undecided"
        made.append(
            {
                "task": task,
                "companion": companion,
                "strength": word,
                "best_factor": None if best is None else best["factor"],
                "best_delta": None if best is None else best["delta"],
            }
        )
    return made


def _by_companion(sweeps: Sequence[Sweep]) -> dict[str, list[Sweep]]:
    found: dict[str, list[Sweep]] = {}
    for sweep in sweeps:
        found.setdefault(sweep.companion, []).append(sweep)
    return found
