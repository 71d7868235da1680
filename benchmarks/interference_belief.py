"""Do intervals that moderate seed variances over a table keep their word, and what do they find? By simulation.

    python benchmarks/interference_belief.py [--out FILE.json] [--only PART] [--quick] [--tables 200] [--processes 2]

moderation   tables of pairs with known effects, half of them 0: coverage of the 95 % interval, false verdicts among
             all, found effects by size, and the share of tables without any effect that have a verdict; for several
             kinds of noise, 2 to 8 tasks, 2 to 10 seeds, beside intervals from each effect's own seeds
detectable   how often an effect that is as large as `detectable` says gets its verdict in such a table
few-rows     scores at the end of their range, and few evaluated rows: coverage by how many rows differ
looks        seeds added only where a verdict is open: trained models and what is found, beside all seeds for all

In all but `few-rows` scores are simulated, not answers: T tasks, each alone, in T − 1 pairs and with all others (with
T = 2 these are one). The sd over seeds differs from task to task (median 1.8 points, log-normal by 0.5); what other
evaluation rows would change adds 0.8 points to a difference, as it does in 800 rows of which a twentieth differs.
Kinds of noise: `normal`; `skewed` (exponential, its tail to bad scores); `diverging` (3 % of trainings lose 6 sd);
`heavy` (Student's t with 3 degrees of freedom); `unlike 0.4` and `unlike 0.7` (the sd of each arm is another,
log-normal by so much); `correlated` (half the variance is shared by all arms of a seed); `alone × 2` (a task alone
varies twice as much as in company) and `joint × 2`. Effects that are not 0 are normal with sd 4; "found" are those with
a verdict of the right sign, "false" verdicts where there is no effect, or with the wrong sign; "false rate" is the mean
over tables of their share, which Benjamini and Hochberg control. The truth of a skewed or diverging arm is its mean,
divergences included.

`few-rows` simulates answers: accuracies of 60 to 99 %, both arms alike or 3 to 5 points apart.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from multitask.interference.statistics.intervals import Components, Estimate, detectable
from multitask.interference.statistics.intervals import _p as p_value
from multitask.interference.statistics.moderation import moderate
from multitask.interference.statistics.verdicts import (
    FEW_ROWS,
    TaskBootstrap,
    benjamini_hochberg,
    differing_units,
    discovery_levels,
    verdict_of,
)
from multitask.metrics.metric import METRICS
from multitask.metrics.outputs import Outputs
from multitask.tables.table import print_table

ROWS = 800
OF_ROWS = 0.8  # standard error of a difference by its evaluation rows, in points
KINDS = (
    *("normal", "skewed", "diverging", "heavy", "unlike 0.4", "unlike 0.7", "correlated", "alone × 2", "joint × 2"),
)
WAYS = ("separate", "moderated")


class World(NamedTuple):
    """The tasks of one table: arms, true effects against the task alone, and the sd of each arm over seeds."""

    arms: dict
    """{task: its arms}"""
    effects: dict
    """{task: [arms] in points}"""
    sd: dict
    """{task: [arms] in points}"""


def world_of(rng, kind, tasks, effects=True):
    arms, true, spread = {}, {}, {}
    for task in range(tasks):
        names = ["single", *(f"pair {u}" for u in range(tasks) if u != task), *(["joint"] if tasks > 2 else [])]
        sd = np.full(len(names), np.exp(rng.normal(np.log(1.8), 0.5)))
        if kind.startswith("unlike"):
            sd = sd * np.exp(rng.normal(0, float(kind.split()[1]), len(names)))
        elif kind.endswith("× 2"):
            name = kind.split()[0].replace("alone", "single")
            sd = np.where([arm == name for arm in names], 2 * sd, sd)
        real = np.where(rng.random(len(names)) < 0.5, rng.normal(0, 4, len(names)), 0.0) * effects
        real[0] = 0.0
        arms[task], true[task], spread[task] = names, real, sd
    return World(arms, true, spread)


def draw(rng, kind, world, seeds):
    """{task: {arm: [S] scores}}: one study of it."""
    scores = {}
    for task, names in world.arms.items():
        z = noise(rng, kind, (len(names), seeds))
        of_rows = rng.normal(0, OF_ROWS / np.sqrt(2), len(names))
        values = 60 + (world.effects[task] + of_rows)[:, None] + world.sd[task][:, None] * z
        scores[task] = dict(zip(names, values, strict=True))
    return scores


def truth_of(world):
    return {t: dict(zip(names, world.effects[t], strict=True)) for t, names in world.arms.items()}


def noise(rng, kind, shape):
    """[arms, S] with mean 0 and variance 1."""
    z = rng.standard_normal(shape)
    if kind == "skewed":
        return 1 - rng.standard_exponential(shape)
    if kind == "heavy":
        return rng.standard_t(3, shape) / np.sqrt(3)
    if kind == "diverging":
        away = rng.random(shape) < 0.03
        return (z - 6 * away + 0.18) / np.sqrt(1 + 36 * 0.03 * 0.97)
    if kind == "correlated":
        return (z + rng.standard_normal(shape[1])) / np.sqrt(2)
    return z


def pools_of(way, scores):
    if way == "separate":
        return {}
    return moderate(scores, {arm: arm.split()[0] for arms in scores.values() for arm in arms}).pools


def pair_effects(scores, pools):
    """[(task, arm, Estimate, seeds used)] of the pairs; rows enter by their known variance, as a bootstrap gives it."""
    found = []
    for task, arms in scores.items():
        for arm in arms:
            if arm.startswith("pair"):
                terms = {arm: 1.0, "single": -1.0}
                x = arms[arm] - arms["single"]
                pool = pools[task].of(terms) if task in pools else None
                found.append((task, arm, estimate_of(x, pool)))
    return found


def estimate_of(x, pool):
    seeds = len(x)
    own, df = float(x.var(ddof=1)), float(seeds - 1)
    if pool is not None:
        own, df = pool.moderate(own, seeds)
    parts = Components(own / seeds, OF_ROWS**2, 0.0, df, ROWS - 1.0, seeds, pool)
    delta, half = float(x.mean()), parts.half(0.05)
    p = p_value(abs(delta), parts)
    return Estimate(delta, delta - half, delta + half, None, None, p, None, seeds, ROWS, tuple(x), 0.0, parts)


def verdicts(estimates):
    q = benjamini_hochberg([e.p for e in estimates])
    return [
        verdict_of(low=e.low, high=e.high, delta=e.delta, q=one, margin=1.0, seeds=e.seeds)
        for e, one in zip(estimates, q, strict=True)
    ]


def moderation(case, tables):
    kind, tasks, seeds = case
    rng = np.random.default_rng([tasks, seeds, *kind.encode()])
    counts = {way: dict.fromkeys(COUNTS, 0) for way in WAYS}
    for effects in (True, False):
        for _ in range(tables):
            world = world_of(rng, kind, tasks, effects)
            scores = draw(rng, kind, world, seeds)
            for way in WAYS:
                count(counts[way], pair_effects(scores, pools_of(way, scores)), truth_of(world), effects)
    return [{"kind": kind, "tasks": tasks, "seeds": seeds, "way": way, **shares(counts[way])} for way in WAYS]


COUNTS = (
    *("cells", "inside", "called", "false", "large", "large found", "middle", "middle found", "equal", "equal false"),
    *("null tables", "null tables with one", "tables", "false shares", "half"),
)


def count(counts, found, truth, effects):
    said = verdicts([e for *_, e in found])
    any_called = wrong_here = called_here = 0
    for (task, arm, e), verdict in zip(found, said, strict=True):
        true = truth[task][arm]
        called = verdict in ("gain", "loss")
        wrong = called and (true == 0 or (true > 0) != (e.delta > 0))
        any_called |= called
        counts["cells"] += 1
        counts["inside"] += e.low <= true <= e.high
        counts["half"] += (e.high - e.low) / 2
        if not effects:
            continue
        called_here, wrong_here = called_here + called, wrong_here + wrong
        counts["equal"] += verdict == "equal"
        counts["equal false"] += verdict == "equal" and abs(true) > 1
        for size, low, high in (("large", 4, np.inf), ("middle", 2, 4)):
            if low <= abs(true) < high:
                counts[size] += 1
                counts[f"{size} found"] += called and not wrong
    if effects:
        counts["called"] += called_here
        counts["false"] += wrong_here
        counts["tables"] += 1
        counts["false shares"] += wrong_here / max(called_here, 1)
    else:
        counts["null tables"] += 1
        counts["null tables with one"] += any_called


def shares(c):
    part = lambda a, b: c[a] / c[b] if c[b] else None  # noqa: E731
    return {
        "coverage": part("inside", "cells"),
        "false": part("false", "called"),
        "false_rate": part("false shares", "tables"),
        "found_large": part("large found", "large"),
        "found_middle": part("middle found", "middle"),
        "null_tables": part("null tables with one", "null tables"),
        "equal": part("equal", "cells"),
        "equal_false": part("equal false", "equal"),
        "half_width": part("half", "cells"),
        "verdicts": c["called"],
    }


# ------------------------------------------------------------------------------------------------------- what is seen


def detected(case, tables):
    """How often an effect as large as a table says it would see gets its verdict in another table of the same tasks."""
    tasks, seeds, way = case
    rng = np.random.default_rng([7, tasks, seeds, way == "moderated"])
    sizes, found = [], []
    for _ in range(tables):
        world = world_of(rng, "normal", tasks)
        scores = draw(rng, "normal", world, seeds)
        cells = pair_effects(scores, pools_of(way, scores))
        task, arm, e = cells[0]
        size = detectable(e.components, discovery_levels([e.p for *_, e in cells])[0])
        world.effects[task][world.arms[task].index(arm)] = size
        again = draw(rng, "normal", world, seeds)
        said = verdicts([e for *_, e in pair_effects(again, pools_of(way, again))])
        sizes.append(size)
        found.append(said[0] == "gain")
    points = float(np.median(sizes))
    return {"tasks": tasks, "seeds": seeds, "way": way, "points": points, "found": float(np.mean(found))}


# ----------------------------------------------------------------------------------------------------------- few rows


def few_rows(case, studies, resamples=400):
    """Coverage of effects by how many rows differ: two arms of accuracies near the end of the range."""
    rows, accuracy, effect, seeds = case
    rng = np.random.default_rng([rows, int(1000 * accuracy), int(10 * (effect + 50)), seeds])
    found = {}
    metric = METRICS.get("accuracy")
    for start in range(0, studies, 50):
        arms, pairs = {}, []
        for study in range(start, min(start + 50, studies)):
            difficulty = 2 * rng.standard_normal(rows)
            for side, right in (("single", accuracy), ("pair", accuracy + effect / 100)):
                base = solve(right)
                own = 0.3 * rng.standard_normal((seeds, 1)) + 0.5 * rng.standard_normal((seeds, rows))
                answers = rng.random((seeds, rows)) < 1 / (1 + np.exp(-(base + difficulty + own)))
                arms[study, side] = [
                    Outputs(["a" if a else "b" for a in one], ["a"] * rows, labels=("a", "b")) for one in answers
                ]
            pairs.append(study)
        boot = TaskBootstrap(metric, arms, resamples=resamples, seed=start)
        for study in pairs:
            differ = differing_units(metric, [arms[study, "pair"], arms[study, "single"]])
            e = boot.contrast({(study, "pair"): 1.0, (study, "single"): -1.0})
            bin_ = next(i for i, most in enumerate(BINS) if differ <= most)
            inside, number = found.get(bin_, (0, 0))
            found[bin_] = inside + (e.low - 1e-9 <= effect <= e.high + 1e-9), number + 1
    return {"rows": rows, "accuracy": accuracy, "effect": effect, "seeds": seeds, "bins": found}


ENDS = ((0.99, 0.0), (0.9, 0.0), (0.95, 3.0), (0.998, -3.0), (0.995, -8.0), (0.9, 5.0), (0.6, 0.0))
BINS = (0, FEW_ROWS - 1, 4, 7, 11, 15, 10**9)
BIN_NAMES = ("0", f"1–{FEW_ROWS - 1}", f"{FEW_ROWS}–4", "5–7", "8–11", "12–15", "16 or more")
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(61)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def solve(accuracy):
    """The log-odds at which rows of all difficulties, over all seeds, are answered rightly with that probability."""
    spread = (2**2 + 0.3**2 + 0.5**2) ** 0.5
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        value = float((WEIGHTS / (1 + np.exp(-(middle + spread * NODES)))).sum())
        low, high = (middle, high) if value < accuracy else (low, middle)
    return middle


# -------------------------------------------------------------------------------------------------------------- looks

LOOKS = ((3, 0.01), (5, 0.015), (8, 0.025))  # seeds so far, and the level of that look: together 5 %


def looks(rule, tables, tasks=6):
    """Models and found effects: every arm the same seeds, or looks at 3, 5 and 8 that stop arms without an open effect.

    Rules: a number (of seeds, for all), `verdicts` (an effect is closed by its verdict, or by an interval inside ±1),
    `hopeless` (also where even its present estimate would not be found with 8 seeds in one case of five).
    """
    rng = np.random.default_rng([3, tasks])
    models = large = large_found = middle = middle_found = called = false = 0
    for _ in range(tables):
        world = world_of(rng, "normal", tasks)
        scores, truth = draw(rng, "normal", world, LOOKS[-1][0]), truth_of(world)
        closed = {}
        for seeds, level in ((int(rule), 0.05),) if rule.isdigit() else LOOKS:
            opened = [key for key in cells_of(world) if key not in closed]
            before = 0 if rule.isdigit() else next((s for s, _ in reversed(LOOKS) if s < seeds), 0)
            singles = {t for t, _ in opened}
            pairs = {frozenset((t, int(arm.split()[1]))) for t, arm in opened}
            models += (seeds - before) * (len(singles) + len(pairs))
            now = {t: {a: x[:seeds] for a, x in arms.items() if a != "joint"} for t, arms in scores.items()}
            cells = pair_effects(now, pools_of("moderated", now))
            q = benjamini_hochberg([e.p for *_, e in cells])
            levels = discovery_levels([e.p for *_, e in cells], level)
            for (task, arm, e), one, own in zip(cells, q, levels, strict=True):
                if (task, arm) in closed:
                    continue
                if one <= level:
                    closed[task, arm] = "gain" if e.delta > 0 else "loss"
                elif e.low >= -1 and e.high <= 1:
                    closed[task, arm] = "equal"
                elif rule == "hopeless" and seeds < LOOKS[-1][0]:
                    at_end = e.components.with_seeds(LOOKS[-1][0])
                    if abs(e.delta) + 0.84 * at_end.variance**0.5 < at_end.half(own):
                        closed[task, arm] = "no evidence"
        for task, arm in cells_of(world):
            true, verdict = truth[task][arm], closed.get((task, arm))
            found = verdict in ("gain", "loss")
            right = found and (true > 0) == (verdict == "gain") and true != 0
            called, false = called + found, false + (found and not right)
            large, large_found = large + (abs(true) >= 4), large_found + (right and abs(true) >= 4)
            mid = 2 <= abs(true) < 4
            middle, middle_found = middle + mid, middle_found + (right and mid)
    return {
        "rule": rule,
        "models": models / tables,
        "found_large": large_found / large,
        "found_middle": middle_found / middle,
        "false": false / max(called, 1),
    }


def cells_of(world):
    return [(task, arm) for task, names in world.arms.items() for arm in names if arm.startswith("pair")]


# -------------------------------------------------------------------------------------------------------------- output


def percent(share, digits=1):
    return "–" if share is None else f"{100 * share:.{digits}f}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", choices=["moderation", "detectable", "few-rows", "looks"])
    parser.add_argument("--quick", action="store_true", help="tiny numbers: that it runs, not what it finds")
    parser.add_argument("--tables", type=int, default=200)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    quick, only, tables = options.quick, options.only, 2 if options.quick else options.tables
    result: dict = {}
    with ProcessPoolExecutor(1 if quick else options.processes) as pool:
        run = map if quick else pool.map
        if only in (None, "moderation"):
            cases = [(kind, 6, seeds) for kind in KINDS for seeds in (3, 5)]
            cases += [(k, t, s) for k in ("normal", "unlike 0.4") for t, s in SIZES]
            cases = cases[:2] if quick else cases
            found = [row for rows in run(partial(moderation, tables=tables), cases) for row in rows]
            result["moderation"] = found
            print_table(
                f"Moderated and separate seed variances, % ({tables} tables with effects and {tables} without)",
                *moderation_table(found),
            )
        if only in (None, "detectable"):
            cases = [(6, seeds, way) for seeds in (3, 5, 10) for way in WAYS]
            result["detectable"] = list(run(partial(detected, tables=2 * tables), cases[:1] if quick else cases))
            print_table(
                "An effect as large as a table says it would see: how often it gets its verdict, %",
                ["tasks", "seeds", "intervals", "points (median)", "found"],
                [
                    [str(r["tasks"]), str(r["seeds"]), r["way"], f"{r['points']:.1f}", percent(r["found"])]
                    for r in result["detectable"]
                ],
            )
        if only in (None, "few-rows"):
            cases = [
                (rows, accuracy, effect, seeds)
                for rows in (20, 50, 200)
                for accuracy, effect in ENDS
                for seeds in (3, 5)
            ]
            studies = 4 if quick else 2 * tables
            result["few_rows"] = list(run(partial(few_rows, studies=studies), cases[:1] if quick else cases))
            print_table(
                "Coverage of the 95 % interval by the number of rows that differ, % (studies)",
                ["rows that differ", *(f"{rows} rows" for rows in (20, 50, 200)), "all"],
                few_rows_table(result["few_rows"]),
            )
        if only in (None, "looks"):
            result["looks"] = list(run(partial(looks, tables=tables), ("8", "5", "4", "verdicts", "hopeless")))
            print_table(
                "Seeds where they are needed: 6 tasks, looks at 3, 5 and 8 seeds",
                ["seeds", "models", "found, |Δ| ≥ 4", "found, 2 ≤ |Δ| < 4", "false among verdicts"],
                [
                    [
                        r["rule"],
                        f"{r['models']:.0f}",
                        *(percent(r[k]) for k in ("found_large", "found_middle", "false")),
                    ]
                    for r in result["looks"]
                ],
            )
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


SIZES = ((2, 3), (2, 5), (3, 3), (3, 5), (4, 3), (8, 3), (8, 5), (6, 2), (6, 10), (3, 10))


def moderation_table(found):
    head = [
        "noise",
        "tasks",
        "seeds",
        "intervals",
        "coverage",
        "false",
        "false rate",
        "found, ≥ 4",
        "2–4",
        "null tables",
    ]
    names = ("coverage", "false", "false_rate", "found_large", "found_middle", "null_tables")
    rows = [
        [r["kind"], str(r["tasks"]), str(r["seeds"]), r["way"], *(percent(r[name]) for name in names)] for r in found
    ]
    return head, rows


def few_rows_table(found):
    table = []
    for i, name in enumerate(BIN_NAMES):
        row = [name]
        for rows in (20, 50, 200, None):
            of = [r["bins"][i] for r in found if i in r["bins"] and rows in (r["rows"], None)]
            number = sum(n for _, n in of)
            row.append(f"{percent(sum(k for k, _ in of) / number)} ({number:,})" if number else "–")
        table.append(row)
    return table


if __name__ == "__main__":
    main()
