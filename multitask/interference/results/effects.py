"""The effects of a study: estimated with what its whole table says of the noise, corrected for their number, judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from multitask.interference.design.arms import Contrast
from multitask.interference.results.per_task import TaskAnalysis
from multitask.interference.results.record import (
    FEW_ROWS,
    LIKELIHOOD,
    NOT_LEARNED,
    ONE_SEED,
    UNDEFINED_SCORE,
    Effect,
)
from multitask.interference.statistics import verdicts
from multitask.interference.statistics.intervals import Estimate, detectable, seeds_to_halve
from multitask.interference.statistics.moderation import Moderation, moderate
from multitask.interference.statistics.verdicts import (
    FDR,
    benjamini_hochberg,
    discovery_levels,
    verdict_of,
)


def moderate_study(found: Sequence[TaskAnalysis]) -> dict[bool, Moderation]:
    """Pool seed variances over the tasks: {False: of the primary metrics, True: of the log-likelihoods}."""
    moderations = {}
    for nats in (False, True):
        boots = {f.name: f.boots.get(LIKELIHOOD if nats else f.task.primary.name) for f in found}
        scores = {task: boot.scores for task, boot in boots.items() if boot is not None}
        moderations[nats] = moderate(scores, {arm: sort for f in found for arm, sort in f.sorts.items()})
    return moderations


def estimate_effects(
    one: TaskAnalysis, moderations: Mapping[bool, Moderation], margin: float
) -> list[tuple[Effect, Estimate]]:
    """A task's effects without what takes the whole table: q, verdict, and what is detectable.

    Args:
        one: The task.
        moderations: From `moderate_study`; empty for intervals from each effect's own seeds.
        margin: Points within which an interval counts as equal.
    """
    found = []
    for metric, boot in one.boots.items():
        nats = metric == LIKELIHOOD
        pool = moderations[nats].pools.get(one.name) if moderations else None
        for contrast in one.contrasts:
            terms = dict(contrast.terms)
            estimate = boot.contrast(terms, None if pool is None else pool.of(terms))
            found.append((_effect(one, contrast, metric, estimate, None if nats else margin), estimate))
    return found


def _effect(one: TaskAnalysis, contrast: Contrast, metric: str, found: Estimate, margin: float | None) -> Effect:
    two = len(contrast.terms) == 2 and contrast.kind != "dilution"
    scores = one.boots[metric].scores
    differing = one.differing[metric, contrast]
    if differing < verdicts.FEW_ROWS:  # an interval of rows that are not there would be too short
        found = found._replace(low=None, high=None, se=None, df=None, p=None, components=None)
    return {
        "kind": contrast.kind,
        "task": one.name,
        "companion": contrast.companion,
        "match": contrast.match,
        "metric": metric,
        "score": float(np.mean(scores[contrast.terms[0][0]])) if two else None,
        "base": float(np.mean(scores[contrast.terms[1][0]])) if two else None,
        "delta": found.delta,
        "low": found.low,
        "high": found.high,
        "se": found.se,
        "df": found.df,
        "p": found.p,
        "q": None,
        "p_sign_flip": found.p_sign_flip,
        "verdict": None,
        "unjudged": None,
        "margin": margin,
        "detectable": None,
        "seeds_to_halve": None,
        "seeds": found.seeds,
        "examples": found.examples,
        "differing": differing,
        "per_seed": [float(v) for v in found.per_seed],
    }


def judge_effects(effects: Sequence[tuple[Effect, Estimate]], unlearned: frozenset[str]) -> None:
    """Correct each table for its number of effects, give verdicts, and say what would have got one.

    What cannot be judged, and says why in `unjudged`, is no member of a table's correction.
    """
    tables: dict[tuple[str, str | None, bool], list[tuple[Effect, Estimate]]] = {}
    for effect, found in effects:
        effect["unjudged"] = _why_unjudged(effect, unlearned)
        key = effect["kind"], effect["match"], effect["metric"] == LIKELIHOOD
        tables.setdefault(key, []).append((effect, found))
    for table in tables.values():
        p = [None if _is_aside(effect) else effect["p"] for effect, _ in table]
        levels = discovery_levels(p)
        for (effect, found), q, level in zip(table, benjamini_hochberg(p), levels, strict=True):
            effect["q"] = q
            if found.components is not None:
                effect["detectable"] = detectable(found.components, level)
                effect["seeds_to_halve"] = seeds_to_halve(found.components, level)
            if effect["unjudged"] is None:
                effect["verdict"] = verdict_of(
                    low=effect["low"],
                    high=effect["high"],
                    delta=effect["delta"],
                    q=q,
                    margin=effect["margin"],
                    seeds=effect["seeds"],
                    fdr=FDR,
                )


def _why_unjudged(effect: Effect, unlearned: frozenset[str]) -> str | None:
    if effect["delta"] is None or not np.isfinite(effect["delta"]):
        return UNDEFINED_SCORE
    if effect["task"] in unlearned:
        return NOT_LEARNED
    if effect["differing"] is not None and effect["differing"] < verdicts.FEW_ROWS:
        return FEW_ROWS
    if effect["seeds"] < 2:
        return ONE_SEED
    return UNDEFINED_SCORE if effect["low"] is None or effect["p"] is None else None


def _is_aside(effect: Effect) -> bool:
    return effect["unjudged"] in (NOT_LEARNED, FEW_ROWS)
