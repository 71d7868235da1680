"""Which tasks to train together: the best grouping (`grouping`), and whether the evidence supports it.

Words
    joint         the grouping of one group: the default deployment, which a split must beat
    cross-fitted  chosen on some seeds and evaluated on another

The best of many groupings on the same seeds is optimistic (the winner's curse). So the gain over the joint model is
cross-fitted: for each seed the grouping is chosen on the other seeds and evaluated on this one. The mean of these gains
is unbiased. They share most of what they were chosen on, so their variance is taken times 1/S + 1/(S − 1) and not 1/S
(Nadeau & Bengio 2003), with Student's t and S − 1 degrees of freedom: on pure noise that supports a split in 1 to 2 %
of studies, where 1/S gave 3 to 6 % and no cross-fitting 5 to 24 %. What the seeds cannot show, the draw of the
evaluation examples, is added from the standard errors of the effects.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from multitask.interference.results.grouping import EXACT, Evidence, Floats, Grouping, Pair, Source
from multitask.interference.results.lookup import primary
from multitask.interference.results.record import Advice, Effect, Group, StudyRecord
from multitask.tables.numbers import interval, signed

SEEDS = 3
"""Fewest seeds that can support a split: the others must choose, and the gains need a variance."""


class Interval(NamedTuple):
    """An estimate and its interval; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None


class CrossFit(NamedTuple):
    """The best grouping on all seeds, and what grouping is worth on seeds that did not choose."""

    best: Grouping
    over_joint: Interval
    """The total − that of the joint model."""
    over_single: Interval
    """The total itself: against all tasks trained alone."""

    @property
    def supported(self) -> bool:
        """Whether the evidence speaks for a split: the interval over the joint model is above 0."""
        return len(self.best.groups) > 1 and self.over_joint.low is not None and self.over_joint.low > 0


def cross_fit(
    tasks: Sequence[str],
    per_seed: Mapping[Pair, npt.ArrayLike],
    limit: int,
    measured: Mapping[frozenset[str], Mapping[str, npt.ArrayLike]] | None = None,
    *,
    confidence: float = 0.95,
    examples_sd: Mapping[Source, float] | None = None,
) -> CrossFit:
    """Choose on all seeds but one, evaluate on that one, for every seed; see the module's docstring.

    Args:
        tasks: Their names.
        per_seed: {(task, companion): Δ of each seed}, [S] for all ordered pairs.
        limit: At most so many groups.
        measured: {group: {task: Δ of each seed}} of groups that were trained as such.
        confidence: Of the intervals, two-sided.
        examples_sd: {(task, companion or group): standard deviation of an effect's mean from the draw of the evaluation
            examples}; what is missing counts as 0.
    """
    pairs = {pair: np.asarray(values, dtype=np.float64) for pair, values in per_seed.items()}
    known = {
        g: {t: np.asarray(v, dtype=np.float64) for t, v in values.items()} for g, values in (measured or {}).items()
    }
    seeds = len(next(iter(pairs.values()))) if pairs else 0
    evidence = Evidence(tasks, pairs, known)
    best = evidence.at(lambda v: v.mean(keepdims=True)).best(limit)[0]
    nothing = Interval(None, None, None)
    if seeds < SEEDS:
        return CrossFit(best, nothing, nothing)
    chosen = evidence.at(lambda v: (v.sum() - v) / (seeds - 1)).best(limit)  # one choice for each seed left out
    totals = np.array([sum(float(evidence.value(g)[s]) for g in c.groups) for s, c in enumerate(chosen)])
    joint = evidence.value(tuple(tasks))
    factor = 1 / seeds + 1 / (seeds - 1)
    sd = examples_sd or {}
    split, together = evidence.weights(best.groups), evidence.weights((tuple(tasks),))
    difference = {k: split.get(k, 0.0) - together.get(k, 0.0) for k in (*split, *together)}
    return CrossFit(
        best,
        _interval(totals - joint, factor, _examples_variance(difference, sd), confidence),
        _interval(totals, factor, _examples_variance(split, sd), confidence),
    )


def _examples_variance(weights: Mapping[Source, float], sd: Mapping[Source, float]) -> float:
    """Variance of a weighted sum of effects from the draw of the evaluation examples.

    Those of different tasks are independent. The effects of one task share its single arm, so they are taken to
    correlate by one half, which is what two differences of equally noisy arms from a third have.
    """
    tasks: dict[str, list[float]] = {}
    for (task, key), weight in weights.items():
        tasks.setdefault(task, []).append(weight * sd.get((task, key), 0.0))
    return sum((sum(x * x for x in parts) + sum(parts) ** 2) / 2 for parts in tasks.values())


def _interval(per_seed: Floats, factor: float, extra: float, confidence: float) -> Interval:
    """Mean ± t · sqrt(variance over seeds × factor + extra)."""
    from scipy.stats import t as student  # type: ignore[import-untyped]

    mean = float(per_seed.mean())
    half = float(student.ppf((1 + confidence) / 2, len(per_seed) - 1)) * math.sqrt(
        per_seed.var(ddof=1) * factor + extra
    )
    return Interval(mean, mean - half, mean + half)


def advise(record: StudyRecord, limit: int = 3) -> Advice | None:
    """The grouping into at most `limit` models that the study's effects speak for, and how far.

    Rests on the effects on primary metrics at equal exposure if they are there: then every grouping is given the same
    examples and costs the same, and all effects of a task are differences from one single arm. At equal compute they
    are not (the joint model's single arm is larger than the pair's), so there the pairs alone are used.

    A task whose score is undefined in some model is left out, by name, and the others are advised on by their pairs.

    Returns:
        None if some ordered pair of the study's tasks was not measured.
    """
    metrics = primary(record)
    seeds = len(record["setting"]["seeds"])
    lead = record["setting"]["match"][:1]
    for match in dict.fromkeys(["examples", *lead]):
        effects = {
            (e["kind"], e["task"], e["companion"]): e
            for e in record["effects"]
            if e["match"] == match and e["metric"] == metrics.get(e["task"]) and _measured(e, seeds)
        }
        undefined = {
            e["task"]
            for e in record["effects"]
            if e["kind"] == "pair" and e["match"] == match and e["metric"] == metrics.get(e["task"])
            if len(e["per_seed"]) == seeds and not _measured(e, seeds)
        }
        tasks = [t for t in record["setting"]["tasks"] if t not in undefined]
        pairs = {(t, u): effects[k] for t in tasks for u in tasks if t != u and (k := ("pair", t, u)) in effects}
        if len(tasks) > 1 and len(pairs) == len(tasks) * (len(tasks) - 1):
            break
    else:
        return None
    per_seed = {pair: _values(e) for pair, e in pairs.items()}
    sd: dict[Source, float] = {pair: _examples_sd(e) for pair, e in pairs.items()}
    measured = _measured_groups(tasks, effects, sd) if match == "examples" and not undefined else {}
    fit = cross_fit(tasks, per_seed, limit, measured, confidence=record["setting"]["confidence"], examples_sd=sd)
    evidence = Evidence(tasks, per_seed, measured)
    return Advice(
        limit=limit,
        groups=[_group(evidence, group, seeds, sd, record["setting"]["confidence"]) for group in fit.best.groups],
        gain_over_joint=fit.over_joint.value,
        low=fit.over_joint.low,
        high=fit.over_joint.high,
        supported=fit.supported,
        sentence=_sentence(fit, evidence, seeds, match, sorted(undefined)),
    )


def _measured(effect: Effect, seeds: int) -> bool:
    values = effect["per_seed"]
    return len(values) == seeds and all(v is not None and math.isfinite(v) for v in values)


def _values(effect: Effect) -> Floats:
    return np.array(effect["per_seed"], dtype=np.float64)


def _examples_sd(effect: Effect) -> float:
    """The part of an effect's standard error that the spread over its seeds does not explain."""
    values, se = _values(effect), effect["se"]
    if se is None or len(values) < 2:
        return 0.0
    return math.sqrt(max(se**2 - float(values.var(ddof=1)) / len(values), 0.0))


def _measured_groups(
    tasks: Sequence[str],
    effects: Mapping[tuple[str, str, str | None], Effect],
    sd: dict[Source, float],
) -> dict[frozenset[str], dict[str, Floats]]:
    """Groups that a model was trained on: all tasks, and all but one; their examples' part is added to `sd`."""
    if any(("company", t, None) not in effects for t in tasks):
        return {}
    company = {t: effects["company", t, None] for t in tasks}
    everything = frozenset(tasks)
    out = {everything: {t: _values(company[t]) for t in tasks}}
    sd |= {(t, everything): _examples_sd(company[t]) for t in tasks}
    for u in tasks if len(tasks) > 3 else ():  # of three tasks, all but one are a pair
        rest = [t for t in tasks if t != u]
        if all(("without", t, u) in effects for t in rest):
            group = frozenset(rest)
            # (joint − single) − (joint − without u) = without u − single
            out[group] = {t: _values(company[t]) - _values(effects["without", t, u]) for t in rest}
            sd |= {(t, group): _examples_sd(company[t]) for t in rest}
    return out


def _group(
    evidence: Evidence,
    group: tuple[str, ...],
    seeds: int,
    sd: Mapping[Source, float],
    confidence: float,
) -> Group:
    """One group, with the plain interval over seeds: not corrected for its being chosen, which the gain is."""
    values = evidence.value(group)
    low: float | None = None
    high: float | None = None
    if seeds >= SEEDS and len(group) > 1:
        variance = _examples_variance(evidence.weights([group]), sd)
        _, low, high = _interval(values, 1 / seeds, variance, confidence)
    models = {frozenset([t]) for t in group}
    for t, key in evidence.weights([group]):
        models.add(frozenset([t, key]) if isinstance(key, str) else key)
    return Group(tasks=list(group), total=float(values.mean()), low=low, high=high, runs=len(models) * seeds)


def _sentence(fit: CrossFit, evidence: Evidence, seeds: int, match: str, left_out: Sequence[str] = ()) -> str:
    """The advice in words, with all that it rests on."""
    best = fit.best
    names = " | ".join(" + ".join(g) for g in best.groups)
    joint = float(evidence.value(evidence.tasks).mean())
    if len(best.groups) == 1:
        words = "One joint model of all tasks has the best expected total: no split is supported by the evidence."
    elif fit.over_joint.value is None:
        words = (
            f"No split is supported by the evidence: that takes {SEEDS} seeds or more, and there "
            f"{'is 1' if seeds == 1 else f'are {seeds}'}. The best one here is {names}, at "
            f"{signed(best.total - joint, 1)} points over one joint model, which is optimistic: the same runs chose it."
        )
    else:
        how = (
            f"{_text(fit.over_joint)} over one joint model and {_text(fit.over_single)} over training each task alone, "
            f"each seed judging what the other {seeds - 1} chose "
            f"({signed(best.total - joint, 1)} over the joint model on the seeds that chose)"
        )
        if fit.supported:
            words = f"Train {names} in {len(best.groups)} models: {how}."
        else:
            words = f"No split is supported by the evidence: the best one, {names}, is at {how}."
    guessed = [g for g in best.groups if len(g) > 2 and frozenset(g) not in evidence.measured]
    if guessed:
        named = " and ".join(" + ".join(g) for g in guessed)
        words += f" {named}: predicted from the pairs, not trained as a group; no interval holds the error of that."
    if len(evidence.tasks) > 2 and frozenset(evidence.tasks) not in evidence.measured:
        words += " The joint model was not used: its total is predicted from the pairs too."
    if match != "examples":
        words += " At equal compute."
    if left_out:
        words += f" Without {', '.join(left_out)}, whose score is undefined in some of the models."
    if not best.exact:
        words += f" Found by local search, which for more than {EXACT} tasks may miss the best grouping."
    return words + " Points of different tasks are summed as they are."


def _text(gain: Interval) -> str:
    return f"{signed(gain.value, 1)} points {interval(gain.low, gain.high, 1)}"
