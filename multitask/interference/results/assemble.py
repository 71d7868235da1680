"""From finished runs to the record: all tasks' effects, corrected for their number, and what a reader should know."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from multitask.interference.results.advice import advise
from multitask.interference.results.alike import kind_of, merge_alike
from multitask.interference.results.effects import estimate_effects, judge_effects, moderate_study
from multitask.interference.results.inputs import StudyInputs
from multitask.interference.results.per_task import TaskAnalysis, analyse_task
from multitask.interference.results.record import (
    FORMAT,
    LIKELIHOOD,
    Effect,
    LearningRate,
    Made,
    Setting,
    StudyRecord,
    Summary,
)
from multitask.interference.results.treatments import compare_treatments, strengths, sweep_points
from multitask.interference.statistics.intervals import CONFIDENCE
from multitask.interference.statistics.moderation import LEAST_ARMS, Moderation
from multitask.interference.statistics.verdicts import (
    FDR,
    FEW_ROWS,
    Estimate,
    combine,
    delta_m,
    seed_draws,
    split_half,
)

SHOWN = 5
"""Warnings of single models that are repeated."""


def make_record(inputs: StudyInputs, advance: Callable[[int], None] = lambda _: None) -> StudyRecord:
    """Everything that a study found.

    Args:
        inputs: The finished runs.
        advance: Called with 1 after each task, for a progress display.

    Raises:
        UserError: If runs were evaluated on different examples.
    """
    design = inputs.design
    draws = seed_draws(len(design.seeds), inputs.resamples, 0)
    wanted = design.contrasts()
    found = []
    for task in design.tasks:
        found.append(analyse_task(inputs, task, [c for c in wanted if c.task == task], draws))
        advance(1)
    moderations = moderate_study(found) if inputs.intervals == "moderated" else {}
    estimated = {one.name: estimate_effects(one, moderations, inputs.margin) for one in found}
    pairs = [pair for of_task in estimated.values() for pair in of_task]
    judge_effects(pairs, frozenset(f.name for f in found if f.task_record["learned"] is False))
    effects = [effect for effect, _ in pairs]
    for one in found:
        company = (e for e, _ in estimated[one.name] if e["kind"] in ("company", "pair"))
        of_task = next((e for e in company if e["metric"] == one.task.primary.name), None)
        one.task_record["detectable"] = of_task["detectable"] if of_task else None
    record: StudyRecord = {
        "format": FORMAT,
        "setting": _setting(inputs),
        "budget": _budget(inputs),
        "warnings": _warnings(inputs),
        "notes": _notes(inputs, moderations),
        "tasks": [f.task_record for f in found],
        "scores": [s for f in found for s in f.scores],
        "effects": effects,
        "exposure": [e for f in found for e in f.exposure],
        "updates": [u for f in found for u in f.updates],
        "confusion": [c for f in found for c in f.confusion],
        "summary": [_summary(inputs, match, found, effects) for match in design.match],
        "curves": [c for f in found for c in f.curves],
        "changed": [c for f in found for c in f.changed],
        "advice": None,
        "gaps": [g for f in found for g in f.gaps],
        "learning_rates": _learning_rates(inputs),
        "treatments": compare_treatments(inputs, found, effects),
        "sweeps": sweep_points(inputs, effects),
        "strengths": [],
        "null": _null(effects),
        "made": _made(inputs),
    }
    record["strengths"] = strengths(record["sweeps"])
    record["advice"] = advise(record, inputs.groups)
    return record


def _of(effects: Sequence[Effect], kind: str, match: str | None) -> list[Effect]:
    """The primary-metric effects of one table."""
    return [e for e in effects if e["kind"] == kind and e["match"] == match and e["metric"] != LIKELIHOOD]


def _summary(inputs: StudyInputs, match: str, found: Sequence[TaskAnalysis], effects: Sequence[Effect]) -> Summary:
    company = _of(effects, "company", match)
    mean: Estimate | None = None
    unmeasured = [e["task"] for e in company if e["delta"] is None or not math.isfinite(e["delta"])]
    if len(company) > len(unmeasured):
        parts = [
            (f.boots[f.task.primary.name], dict(c.terms))
            for f in found
            for c in f.contrasts
            if c.kind == "company" and c.match == match and f.name not in unmeasured
        ]
        mean = combine([(boot, terms, 1.0 / len(parts)) for boot, terms in parts])
    value, left_out = delta_m(
        {
            e["task"]: (e["base"], e["score"], inputs.tasks[e["task"]].primary.higher_is_better)
            for e in company
            if e["base"] is not None and e["score"] is not None
        }
    )
    counts = {v: sum(e["verdict"] == v for e in company) for v in ("gain", "loss", "equal", "no evidence")}
    pairs = _of(effects, "pair", match)
    return {
        "match": match,
        "mean_delta": mean.delta if mean else None,
        "low": mean.low if mean else None,
        "high": mean.high if mean else None,
        "gains": counts["gain"],
        "losses": counts["loss"],
        "equals": counts["equal"],
        "no_evidence": counts["no evidence"],
        "delta_m": value,
        "delta_m_left_out": left_out,
        "mean_left_out": unmeasured,
        "split_half": split_half(np.array([e["per_seed"] for e in pairs], float)) if pairs else None,
    }


def _null(effects: Sequence[Effect]) -> dict[str, Any] | None:
    cells = [e for e in effects if e["kind"] == "null" and e["metric"] != LIKELIHOOD]
    if not cells:
        return None
    alarms = sum(e["verdict"] in ("gain", "loss") for e in cells)
    return {"cells": len(cells), "alarms": alarms, "rate": alarms / len(cells)}


def _made(inputs: StudyInputs) -> Made:
    """From the cells' run.json: a study that is tabulated again has the same date."""
    runs = [one.record for one in inputs.finished.values()]
    versions: dict[str, dict[str, None]] = {}
    data: dict[str, dict[str, str]] = {}
    for run in runs:
        for name, version in run.get("versions", {}).items():
            versions.setdefault(name, {})[str(version)] = None
        for task, about in run["tasks"].items():
            if task in inputs.tasks:
                data.setdefault(task, {s: about[s]["fingerprint"] for s in ("train", "validation")})
    times = [str(run["finished"]) for run in runs if run.get("finished")]
    return {
        "versions": {name: ", ".join(sorted(found)) for name, found in versions.items()},
        "finished": max(times, default=None),
        "data": data,
    }


def _setting(inputs: StudyInputs) -> Setting:
    design = inputs.design
    values = {
        "tasks": list(design.tasks),
        "arms": list(design.arms),
        "match": list(design.match),
        "seeds": list(design.seeds),
        "per_step": {t: float(b) for t, b in design.per_step.items()},
        "resamples": inputs.resamples,
        "confidence": CONFIDENCE,
        "fdr": FDR,
        "margin": inputs.margin,
        "intervals": inputs.intervals,
        "cells": len(inputs.finished),
        **inputs.setting,
    }
    return cast(Setting, values)


def _budget(inputs: StudyInputs) -> str:
    design, steps = inputs.design, int(inputs.setting["steps"])
    each = {f"{float(b):g}" for b in design.per_step.values()}
    if len(each) == 1:
        shown = f"{each.pop()} examples of each task a step"
    else:
        shown = "examples a step: " + ", ".join(f"{t} {float(b):g}" for t, b in design.per_step.items())
    meaning = {
        "examples": "examples matched: a task alone sees the very examples, at the same steps, that it has in company",
        "steps": "steps matched: a task alone spends as many steps and examples a step as its company, all on itself",
    }
    matched = "; and ".join(meaning[m] for m in design.match)
    return (
        f"{matched}. {steps:,} steps, {shown}; {len(inputs.finished)} models, "
        f"{len(design.seeds)} seed{'s'[: len(design.seeds) != 1]}."
    )


def _warnings(inputs: StudyInputs) -> list[str]:
    found = merge_alike(inputs.facts.get("warnings", []))
    seeds = len(inputs.design.seeds)
    if seeds == 1:
        found.insert(
            0,
            "1 seed: evaluation noise only. The intervals say what other evaluation rows would change, not what "
            "another training would, so there are no verdicts.",
        )
    elif seeds < 5:
        found.append(f"{seeds} seeds: the spread of training is known poorly, so the intervals are wide.")
    alike: dict[str, tuple[list[str], dict[str, None]]] = {}
    for (arm, seed), cell in inputs.finished.items():
        for line in cell.record.get("warnings", []):  # an earlier version kept none
            if line not in found:
                lines, models = alike.setdefault(kind_of(line), ([], {}))
                lines.append(line)
                models[f"the model of {', '.join(arm.tasks)}, seed {seed}"] = None
    of_runs = [
        f"{next(iter(models))}{f', and {len(models) - 1:,} more' if len(models) > 1 else ''}: {merge_alike(lines)[0]}"
        for lines, models in alike.values()
    ]
    more = len(of_runs) - SHOWN
    rest = [f"{more} more warnings of single models are in their run.json."] if more > 0 else []
    return found + of_runs[:SHOWN] + rest


def _notes(inputs: StudyInputs, moderations: Mapping[bool, Moderation]) -> list[str]:
    seeds = len(inputs.design.seeds)
    found = []
    if seeds > 1:
        found.append(
            f"{seeds} seeds: a sign-flip test over seeds alone cannot give a p below {2.0 ** (1 - seeds):.3g}. "
            f"Intervals ({100 * CONFIDENCE:.0f} %) and p are of a two-level bootstrap over seeds and examples "
            f"({inputs.resamples:,} resamples), widened by Student's t for so few seeds; q after Benjamini–Hochberg "
            "over each table."
        )
        found.append(_moderation_note(moderations.get(False)))
        found.append(
            f"`equal` means that the whole interval lies within ±{inputs.margin:g} points, which was fixed beforehand; "
            "`no evidence` is all that is left. A task that alone is not above its baseline is not judged, nor is an "
            f"effect that fewer than {FEW_ROWS} evaluated rows differ in."
        )
    found.append(
        "Learning rates were chosen for each kind of arm on held-out training rows, from the same grid."
        if inputs.setting["lr_grid"]
        else "One learning rate for all arms, not tuned."
    )
    return found + list(inputs.facts.get("notes", []))


def _moderation_note(found: Moderation | None) -> str:
    if found is None:
        return "Each effect's interval takes the seed variance from its own seeds alone (--intervals separate)."
    apart = f"; arms of the sort {' and '.join(found.unlike)} vary otherwise and keep their own" if found.unlike else ""
    if found.df is None:
        return (
            "Each effect's interval takes the seed variance from its own seeds alone: moderating it takes "
            f"{LEAST_ARMS} arms a task that vary alike{apart}."
        )
    weight = "no limit of" if math.isinf(found.df) else f"{found.df:.1f}"
    return (
        "Seed variances are moderated over the table: those of a task's arms count as "
        f"{weight} degrees of freedom beside an effect's own seeds{apart}."
    )


def _learning_rates(inputs: StudyInputs) -> list[LearningRate]:
    return [cast(LearningRate, dict(trial)) for trial in inputs.facts.get("trials", [])]
