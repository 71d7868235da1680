"""A made-up study record with every part filled, for the tests of tables, figures and report: nothing in it is real."""

from __future__ import annotations

import functools
import operator
import random
from typing import Any

from multitask.interference.results.record import FORMAT, LIKELIHOOD, StudyRecord


def example_record(tasks: tuple[str, ...] = ("span", "sst2", "stsb"), seeds: int = 5) -> StudyRecord:
    draw = random.Random(7)
    one = seeds == 1
    metrics = {"span": "jaccard", "stsb": "pearson"}

    def effect(kind: str, task: str, companion: str | None, match: str | None, metric: str) -> dict[str, Any]:
        base = draw.uniform(40, 80) if metric != LIKELIHOOD else -draw.uniform(1, 3)
        delta = draw.choice([-6.0, -1.5, 0.1, 2.0, 7.0]) * (0.1 if metric == LIKELIHOOD else 1)
        half = draw.uniform(0.3, 3) * (0.1 if metric == LIKELIHOOD else 1)
        p = draw.uniform(0, 0.2) if abs(delta) > half else draw.uniform(0.2, 1)
        sure = abs(delta) > half and not one
        verdict = ("gain" if delta > 0 else "loss") if sure else "equal" if abs(delta) + half < 0.5 else "no evidence"
        return {
            "kind": kind,
            "task": task,
            "companion": companion,
            "match": match,
            "metric": metric,
            "score": base + delta,
            "base": base,
            "delta": delta,
            "low": delta - half,
            "high": delta + half,
            "se": half / 2,
            "df": 6.2,
            "p": p,
            "q": min(1.0, p * 2),
            "p_sign_flip": None if one else 2.0 ** (1 - seeds),
            "verdict": None if one else verdict,
            "unjudged": "1 seed" if one else None,
            "margin": 0.5 if metric != LIKELIHOOD else None,
            "detectable": half * 1.4,
            "seeds_to_halve": None if one else 4 * seeds,
            "seeds": seeds,
            "examples": 400,
            "differing": 80,
            "per_seed": [delta + draw.gauss(0, half / 2) for _ in range(seeds)],
        }

    def score(task: str, arm: str, companions: list[str], match: str | None, metric: str) -> dict[str, Any]:
        values = [draw.uniform(40, 80) for _ in range(seeds)]
        mean = functools.reduce(operator.add, values) / seeds  # `sum` rounds otherwise from Python 3.12 on
        squares = functools.reduce(operator.add, [(v - mean) ** 2 for v in values])
        sd = None if one else (squares / (seeds - 1)) ** 0.5
        budget = 16.0 * (1 + len(companions)) * (1 if match != "steps" or companions else len(tasks))
        return {
            "task": task,
            "arm": arm,
            "companions": companions,
            "match": match,
            "budget": budget,
            "metric": metric,
            "mean": mean,
            "sd": sd,
            "per_seed": values,
        }

    effects: list[dict[str, Any]] = []
    scores: list[dict[str, Any]] = []
    for task in tasks:
        others = [t for t in tasks if t != task]
        for metric in (metrics.get(task, "accuracy"), LIKELIHOOD):
            for match in ("examples", "steps"):
                effects.append(effect("company", task, None, match, metric))
                scores.append(score(task, "single", [], match, metric))
                for other in others:
                    effects.append(effect("pair", task, other, match, metric))
                    effects.append(effect("without", task, other, match, metric))
            effects.append(effect("dilution", task, None, None, metric))
            effects.append(effect("non_additivity", task, None, "examples", metric))
            effects.append(effect("null", task, None, "steps", metric))
            scores.append(score(task, "joint", others, None, metric))
            for other in others:
                scores.append(score(task, "pair", [other], None, metric))
                scores.append(score(task, "without", [o for o in others if o != other], "examples", metric))
    effects[3].update(delta=None, low=None, high=None, p=None, q=None, verdict=None, score=None, base=None)
    effects[3].update(unjudged="undefined", detectable=None, seeds_to_halve=None)
    effects[3]["per_seed"][0] = None
    steps = list(range(50, 650, 50))
    curve = [3.0 / (1 + s / 100) for s in steps]
    rising: list[float | None] = [40.0 + s / 50 for s in steps]
    return {
        "format": FORMAT,
        "setting": {
            "tasks": list(tasks),
            "arms": ["single", "joint", "pair", "without"],
            "match": ["examples", "steps"],
            "seeds": list(range(seeds)),
            "steps": 600,
            "per_step": dict.fromkeys(tasks, 16.0),
            "model": "tiny",
            "parameters": 1_234_567,
            "data": "generated sample",
            "loss": "task",
            "optimizer": "adamw-scaled",
            "lr": {"single": 0.01, "joint": 0.01, "pair": 0.01, "without": 0.01},
            "lr_grid": [],
            "select": "last",
            "resamples": 10_000,
            "confidence": 0.95,
            "fdr": 0.05,
            "margin": 0.5,
            "intervals": "moderated",
            "cells": 10 * seeds,
            "command": f"multitask interference --tasks {','.join(tasks)} --seeds {seeds}",
        },
        "budget": "examples matched: every arm sees the same 9,600 examples of a task at the same 600 steps",
        "warnings": ["GENERATED SAMPLE: the examples of span are made by a small grammar."]
        + (["1 seed: evaluation noise only. Nothing here says what training again would give."] if one else []),
        "notes": ["One learning rate for all arms, not tuned.", "Rows <b>held out</b> & counted."],
        "tasks": [
            {
                "name": task,
                "output": {"span": "span", "stsb": "number"}.get(task, "labels"),
                "metric": metrics.get(task, "accuracy"),
                "unit": f"{metrics.get(task, 'accuracy')} × 100",
                "rows": 2000,
                "validation": 400,
                "generated": True,
                "source": "generated sample",
                "version": 1,
                "noise_floor": None if one else 0.8,
                "detectable": None if one else 2.1,
                "baseline": 30.0,  # below every score: all tasks were learned
                "baseline_name": "always 'negative'",
                "above_low": 20.0,
                "above_high": 40.0,
                "learned": True,
                "low": -100.0 if task == "stsb" else 0.0,
                "high": 100.0,
            }
            for task in tasks
        ],
        "scores": scores,  # type: ignore[typeddict-item]
        "effects": effects,  # type: ignore[typeddict-item]
        "exposure": [
            {
                "task": task,
                "arm": arm,
                "companions": [t for t in tasks if t != task] if arm == "joint" else [],
                "match": None if arm == "joint" else "examples",
                "budget": 48.0 if arm == "joint" else 16.0,
                "examples": 9600.0,
                "epochs": 4.8,
                "input_tokens": 211_000.0,
                "target_tokens": 28_000.0,
                "loss_share": 0.33 if arm == "joint" else 1.0,
                "planned_share": 1 / 3 if arm == "joint" else 1.0,
                "realised_share": 1 / 3 if arm == "joint" else 1.0,
                "cut_inputs": 0.01,
                "invalid": 0.02 if arm == "joint" else 0.0,
            }
            for task in tasks
            for arm in ("single", "joint")
        ],
        "treatments": [],
        "sweeps": [],
        "strengths": [],
        "updates": [
            {
                "task": task,
                "arm": arm,
                "companions": [t for t in tasks if t != task] if arm == "joint" else [],
                "match": None if arm == "joint" else "examples",
                "budget": 48.0 if arm == "joint" else 16.0,
                "gradient_norm": 0.9 if arm == "single" else 1.6,
                "clip_factor": 0.98 if arm == "single" else 0.63,
                "clipped": 0.2 if arm == "single" else 0.68,
                "own_norm": 0.9,
                "own_part": 1.0 if arm == "single" else 0.3,
            }
            for task in tasks
            for arm in ("single", "joint")
        ],
        "confusion": [
            {
                "task": task,
                "match": "examples",
                "ranked_single": 70.0,
                "ranked_joint": 68.0,
                "generated_single": 70.0,
                "generated_joint": 61.0,
                "normalised_single": None,
                "normalised_joint": None,
                "foreign_single": 0.0,
                "foreign_joint": 0.08,
                "format_part": -7.0,
            }
            for task in tasks
            if task not in metrics
        ],
        "summary": [
            {
                "match": match,
                "mean_delta": 0.9,
                "low": -0.2,
                "high": 2.0,
                "gains": 1,
                "losses": 1,
                "equals": 0,
                "no_evidence": len(tasks) - 2,
                "delta_m": 1.7,
                "delta_m_left_out": ["stsb"],
                "mean_left_out": [],
                "split_half": None if one else 0.71,
            }
            for match in ("examples", "steps")
        ],
        "curves": [
            {
                "task": task,
                "arm": arm,
                "steps": steps,
                "loss": list(curve),
                "loss_low": [c * 0.95 for c in curve],
                "loss_high": [c * 1.05 for c in curve],
                "score_steps": steps,
                "score": list(rising),
                "score_low": list(rising),
                "score_high": list(rising),
            }
            for task in tasks
            for arm in ("single", "joint")
        ],
        "changed": [
            {
                "kind": kind,
                "task": task,
                "companion": None if kind == "company" else next(t for t in tasks if t != task),
                "match": "examples",
                "direction": direction,
                "id": f"validation:{i}",
                "inputs": f"{task} text: <script>alert('x')</script> a & b, so happy {i}",
                "target": "positive",
                "base": ["positive"] * seeds,
                "with_company": ["negative"] * seeds,
                "change": -1.0 if direction == "worse" else 1.0,
                "measure": "score",
            }
            for task in tasks
            for kind in ("company", "pair")
            for direction in ("worse", "better")
            for i in range(2)
        ],
        "advice": {
            "limit": 2,
            "groups": [
                {"tasks": list(tasks[:2]), "total": 3.1, "low": 1.0, "high": 5.2, "runs": 3 * seeds},
                {"tasks": list(tasks[2:]), "total": 0.0, "low": None, "high": None, "runs": seeds},
            ],
            "gain_over_joint": 2.2,
            "low": -0.3,
            "high": 4.6,
            "supported": False,
            "sentence": "No split is supported by the evidence: the best one is at +2.2 points [-0.3, 4.6].",
        },
        "gaps": [{"task": task, "deployed": 61.0, "per_task": 62.5, "gap": 1.5} for task in tasks],
        "learning_rates": [
            {"arm": arm, "lr": lr, "score": 60.0 + 100 * lr, "chosen": lr == 0.01}
            for arm in ("single", "joint")
            for lr in (0.003, 0.01)
        ],
        "null": {"cells": 3, "alarms": 0, "rate": 0.0},
        "made": {
            "versions": {"multitask": "0.1.0", "torch": "2.13.0"},
            "finished": "2026-01-01T12:00:00+00:00",
            "data": {task: {"train": "ab" * 32, "validation": "cd" * 32} for task in tasks},
        },
    }


def mark_not_learned(record: StudyRecord, *tasks: str) -> None:
    """Make tasks ones that alone are not above their baseline, as an analysis would."""
    for about in record["tasks"]:
        if about["name"] in tasks:
            about.update(learned=False, above_low=-2.0, above_high=2.0)
    for effect in record["effects"]:
        if effect["task"] in tasks and effect["unjudged"] != "undefined":
            effect.update(verdict=None, unjudged="not learned")
