"""What the statistics of a study cost, and whether they keep their word: false alarms and coverage, by simulation.

    python benchmarks/interference_statistics.py [--out FILE.json] [--only PART] [--quick] [--processes 2]

levels    normal data with known components of variance: how often the test at 5 %, 1 % and 0.2 % rejects a true null,
          by Satterthwaite's degrees of freedom and as `multitask.interference.statistics.intervals` does it
speed     10,000 resamples × 5 seeds × 5,000 examples × 100 cells: the pair matrix of ten tasks and ten companions
alarms    studies without any true effect, 20 cells a table: the share of cells with a verdict `gain` or `loss` after
          Benjamini–Hochberg, and the share of tables with one or more
coverage  how often the 95 % interval holds the true effect, beside the plain percentiles of the same draws

The simulated models answer each of N examples rightly or wrongly. The log-odds are a base + the example's difficulty
(normal, sd 4: two trainings disagree on about a tenth of the examples) + an effect of the seed, shared by all arms (sd
0.1) + seed × example (sd 1) + the effect of this training, that is of seed × arm, whose sd is given in points.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from scipy.special import stdtrit

from multitask.interference.statistics.intervals import detectable as smallest_seen
from multitask.interference.statistics.verdicts import TaskBootstrap, benjamini_hochberg, verdict_of
from multitask.metrics.classification import mcc_of
from multitask.metrics.metric import METRICS, Metric
from multitask.metrics.outputs import Outputs
from multitask.tables.table import print_table

DIFFICULTY, SEED, SEED_EXAMPLE = 4.0, 0.1, 1.0  # sd in log-odds
POSITIVE = 0.3  # share of the second label, for Matthews
BASE = 0.8  # accuracy of the baseline arm


# ------------------------------------------------------------------------------------------------------------ the world

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(101)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def accuracy_at(log_odds):
    """Expected accuracy of one training, given its own log-odds."""
    spread = (DIFFICULTY**2 + SEED_EXAMPLE**2) ** 0.5
    return (WEIGHTS / (1 + np.exp(-(np.asarray(log_odds)[..., None] + spread * NODES)))).sum(axis=-1)


def matthews_at(log_odds):
    """Expected Matthews correlation: both labels are predicted rightly with the same probability."""
    right = accuracy_at(log_odds)
    positive = POSITIVE * right + (1 - POSITIVE) * (1 - right)
    covariance = POSITIVE * right - POSITIVE * positive
    return covariance / np.sqrt(POSITIVE * (1 - POSITIVE) * positive * (1 - positive))


VALUE = {"accuracy": accuracy_at, "mcc": matthews_at}


def expected(metric, base, training):
    """Mean score in points over trainings whose log-odds have the sd `training` around `base`."""
    return 100 * float((WEIGHTS * VALUE[metric](base + np.hypot(SEED, training) * NODES)).sum())


def solve(value, wanted, low=-15.0, high=15.0):
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if value(middle) < wanted else (low, middle)
    return middle


def training_sd(points):
    """The sd in log-odds that is `points` of accuracy near the baseline."""
    base = solve(accuracy_at, BASE)
    return points / (100 * float(accuracy_at(base + 0.5) - accuracy_at(base - 0.5)))


def answers(rng, bases, seeds, examples, training):
    """[arms, S, N] of one task: whether each training of each arm answers each example rightly."""
    shape = (len(bases), seeds, examples)
    shared = DIFFICULTY * rng.standard_normal(examples) + SEED * rng.standard_normal((seeds, 1))
    shared = shared + SEED_EXAMPLE * rng.standard_normal((seeds, examples))
    own = np.asarray(bases)[:, None, None] + training * rng.standard_normal((*shape[:2], 1))
    return rng.random(shape) < 1 / (1 + np.exp(-(shared + own)))


def _cells(outputs):
    cell = outputs.log_likelihood.astype(int)  # 2 × target + whether right: numbers, because strings would take longer
    target, right = cell // 2, cell % 2
    predicted = np.where(right, target, 1 - target)
    columns = [right, target == 0, target == 1, predicted == 0, predicted == 1]
    return np.stack(columns, axis=-1).astype(float)


def _right(outputs):
    return np.stack([outputs.log_likelihood % 2, np.ones(len(outputs))], axis=-1)


def _mean(sums):
    return sums[..., 0] / sums[..., 1]


SIMULATED = {
    "accuracy": Metric("accuracy", len, sums=_right, of_sums=_mean),
    "mcc": Metric("mcc", len, sums=_cells, of_sums=mcc_of),
}


def outputs_of(right, target):
    blank = [""] * len(right)
    return Outputs(blank, blank, log_likelihood=2.0 * target + right)


# ---------------------------------------------------------------------------------------------------------- simulations


def coverage(case, studies, resamples, together=100):
    """Share of studies whose interval holds the truth, and of those for which the plain percentiles do."""
    metric, effect, seeds, examples, points = case
    training = training_sd(points)
    base = solve(accuracy_at, BASE)
    truth = expected(metric, base, training) + effect
    bases = [base, solve(lambda b: expected(metric, b, training), truth)]
    rng = np.random.default_rng([studies, *(int(1000 * v) for v in case[1:]), metric == "mcc"])
    inside = plain_inside = 0
    width, detectable = [], []
    for start in range(0, studies, together):
        arms = {}
        for study in range(start, min(start + together, studies)):
            target = rng.random(examples) < POSITIVE
            for side, right in enumerate(answers(rng, bases, seeds, examples, training)):
                arms[study, side] = [outputs_of(one, target) for one in right]
        boot = TaskBootstrap(SIMULATED[metric], arms, resamples=resamples, seed=start)
        for study in range(start, min(start + together, studies)):
            terms = {(study, 1): 1.0, (study, 0): -1.0}
            found = boot.contrast(terms)
            low, high = np.quantile(boot.resampled(terms), [0.025, 0.975])
            inside += found.low <= effect <= found.high
            plain_inside += low <= effect <= high
            width.append(found.high - found.low)
            detectable.append(smallest_seen(found.components, 0.05))
    return {
        "metric": metric,
        "effect": effect,
        "seeds": seeds,
        "examples": examples,
        "training_sd": points,
        "studies": studies,
        "coverage": inside / studies,
        "plain_coverage": plain_inside / studies,
        "half_width": float(np.mean(width)) / 2,
        "detectable": float(np.mean(detectable)),
    }


def alarms(case, tables, resamples, tasks=5, together=10):
    """Verdicts in tables of tasks × (tasks − 1) cells without any effect; a task's cells share its baseline."""
    seeds, examples, points = case
    training, base = training_sd(points), solve(accuracy_at, BASE)
    rng = np.random.default_rng([tables, seeds, examples, int(1000 * points)])
    cells, called, uncorrected, with_any = 0, 0, 0, 0
    for start in range(0, tables, together):
        batch = range(start, min(start + together, tables))
        arms = {}
        for table in batch:
            for task in range(tasks):
                for arm, right in enumerate(answers(rng, [base] * tasks, seeds, examples, training)):
                    arms[table, task, arm] = [outputs_of(one, np.zeros(examples)) for one in right]
        boot = TaskBootstrap(SIMULATED["accuracy"], arms, resamples=resamples, seed=start)
        for table in batch:
            found = [
                boot.contrast({(table, task, arm): 1.0, (table, task, 0): -1.0})
                for task in range(tasks)
                for arm in range(1, tasks)
            ]
            q = benjamini_hochberg([f.p for f in found])
            verdicts = [
                verdict_of(low=f.low, high=f.high, delta=f.delta, q=q_, margin=0.5, seeds=seeds)
                for f, q_ in zip(found, q, strict=True)
            ]
            wrong = sum(v in ("gain", "loss") for v in verdicts)
            cells, called, with_any = cells + len(found), called + wrong, with_any + (wrong > 0)
            uncorrected += sum(f.p < 0.05 for f in found)
    return {
        "seeds": seeds,
        "examples": examples,
        "training_sd": points,
        "cells": cells,
        "tables": tables,
        "false_cells": called / cells,
        "false_tables": with_any / tables,
        "below_5_percent": uncorrected / cells,
    }


LEVELS = (0.05, 0.01, 0.002)


def levels(seeds, *, studies, units=872):
    """Largest and mean share of rejected true nulls over 42 mixtures of seed, example and seed × example variance."""
    rng = np.random.default_rng(seeds)
    found = {"satterthwaite": [], "used": []}
    d, n = seeds - 1.0, units - 1.0
    for of_examples, residual in ((1, 0), (1, 0.3), (1, 1), (1, 3), (1, 10), (0, 1)):
        for of_seeds in (0, 0.1, 0.3, 1, 3, 10, 30):
            var_a = (of_seeds + residual) * rng.chisquare(d, studies) / d
            var_b = (of_examples + residual) * rng.chisquare(n, studies) / n
            resid = residual * rng.chisquare(d * n, studies) / (d * n)
            error = rng.standard_normal(studies) * (of_seeds + of_examples + residual) ** 0.5
            variance = np.maximum(np.maximum(var_a, var_b), var_a + var_b - resid)
            df = variance**2 / (var_a**2 / d + var_b**2 / n)
            of_levels = {"satterthwaite": [], "used": []}
            for level in LEVELS:
                half = stdtrit(df, 1 - level / 2) ** 2 * variance
                of_levels["satterthwaite"].append(np.mean(error**2 > half))
                t, z = stdtrit(d, 1 - level / 2) ** 2, stdtrit(n, 1 - level / 2) ** 2
                half = np.maximum(t * var_a + z * np.maximum(var_b - resid, 0), z * var_b)
                of_levels["used"].append(np.mean(error**2 > half))
            for way, shares in of_levels.items():
                found[way].append(shares)
    return [
        {
            "seeds": seeds,
            "way": way,
            "levels": list(LEVELS),
            "largest": np.max(shares, axis=0).tolist(),
            "mean": np.mean(shares, axis=0).tolist(),
        }
        for way, shares in found.items()
    ]


# ---------------------------------------------------------------------------------------------------------------- speed

TEXT = "the of a red blue green house tree runs sits park old new big small day night very happy sad"
WORDS = np.array(TEXT.split())


def strings(rng, metric, examples):
    """(targets, function that gives the predictions of one model)."""
    if metric in ("accuracy", "mcc"):
        targets = rng.choice(["negative", "positive"], examples)
        return targets.tolist(), lambda: np.where(
            rng.random(examples) < BASE, targets, rng.choice(["negative", "positive"], examples)
        ).tolist()
    if metric in ("pearson", "spearman"):
        truth = rng.integers(0, 26, examples) / 5
        return [f"{x:.1f}" for x in truth], lambda: [
            f"{x:.1f}" for x in np.clip(np.round((truth + rng.standard_normal(examples)) * 5) / 5, 0, 5)
        ]
    texts = WORDS[rng.integers(0, len(WORDS), (examples, 8))]
    others = texts[rng.permutation(examples)]
    return [" ".join(t) for t in texts], lambda: [
        " ".join(t) for t in np.where(rng.random(texts.shape) < BASE, texts, others)
    ]


def speed(metric, *, tasks, companions, seeds, examples, resamples):
    """Seconds for all contrasts pair − single of a matrix tasks × companions; making the strings is not counted."""
    rng = np.random.default_rng(0)
    spent = processor = 0.0
    for task in range(tasks):
        targets, predictions = strings(rng, metric, examples)
        labels = ("negative", "positive") if metric in ("accuracy", "mcc") else ()
        arms = {
            arm: [Outputs(predictions(), targets, labels=labels) for _ in range(seeds)] for arm in range(companions + 1)
        }
        start, processor_start = time.perf_counter(), time.process_time()
        boot = TaskBootstrap(METRICS.get(metric), arms, resamples=resamples, seed=task)
        found = [boot.contrast({arm: 1.0, 0: -1.0}) for arm in range(1, companions + 1)]
        spent += time.perf_counter() - start
        processor += time.process_time() - processor_start
        assert all(f.low is not None for f in found)
    size = {"cells": tasks * companions, "seeds": seeds, "examples": examples, "resamples": resamples}
    return {"metric": metric, **size, "seconds": round(spent, 1), "processor_seconds": round(processor, 1)}


# --------------------------------------------------------------------------------------------------------------- output


def percent(share):
    return f"{100 * share:.1f}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", choices=["levels", "speed", "alarms", "coverage"])
    parser.add_argument("--quick", action="store_true", help="tiny numbers: that it runs, not what it finds")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    quick, only = options.quick, options.only
    result: dict = {"cores": os.cpu_count(), "threads": os.environ.get("OMP_NUM_THREADS", "all")}
    if only in (None, "levels"):
        result["levels"] = [r for s in (2, 3, 5, 10) for r in levels(s, studies=1000 if quick else 100_000)]
        print_table(
            "Rejected true nulls at 5 %, 1 % and 0.2 % in normal data, %: the worst of 42 mixtures and their mean",
            ["seeds", "t by", "worst 5", "worst 1", "worst 0.2", "mean 5", "mean 1", "mean 0.2"],
            [
                [str(r["seeds"]), r["way"], *(f"{100 * v:.2f}" for v in (*r["largest"], *r["mean"]))]
                for r in result["levels"]
            ],
        )
    if only in (None, "speed"):
        size = {"seeds": 5, "examples": 5000, "resamples": 10_000}
        if quick:
            size = {"seeds": 2, "examples": 50, "resamples": 50}
        plan = [(m, 2 if quick else 10, 10) for m in ("accuracy", "mcc", "pearson", "jaccard")]
        plan += [(m, 1, 10) for m in ("spearman", "bleu")]  # a tenth: they have more to do for each model
        result["speed"] = [speed(m, tasks=t, companions=c, **size) for m, t, c in plan]
        print_table(
            "Speed",
            ["metric", "cells", "seeds", "examples", "resamples", "seconds", "of processors"],
            [
                [r["metric"], *(str(r[k]) for k in ("cells", *size, "seconds", "processor_seconds"))]
                for r in result["speed"]
            ],
        )
    with ProcessPoolExecutor(1 if quick else options.processes) as pool:
        run = map if quick else pool.map
        if only in (None, "alarms"):
            grid = [(s, n, 2.0) for s in (3, 5, 10) for n in (400, 872, 2000)]
            grid += [(s, 872, points) for s in (3, 5, 10) for points in (0.0, 6.0)]
            tables, resamples = (2, 50) if quick else (200, 1000)
            one = partial(alarms, tables=tables, resamples=resamples)
            result["alarms"] = list(run(one, [(3, 60, 2.0)] if quick else grid))
            print_table(
                "False alarms without any effect, %",
                ["seeds", "examples", "training sd", "cells", "gain or loss", "tables with one", "p < 0.05"],
                [
                    [
                        *(str(r[k]) for k in ("seeds", "examples", "training_sd", "cells")),
                        *(percent(r[k]) for k in ("false_cells", "false_tables", "below_5_percent")),
                    ]
                    for r in result["alarms"]
                ],
            )
        if only in (None, "coverage"):
            cases = [
                (metric, effect, seeds, 872, points)
                for metric in ("accuracy", "mcc")
                for effect in (0.0, 1.0, 3.0)
                for seeds in (3, 5, 10)
                for points in (0.0, 2.0, 6.0)
            ]
            cases += [("accuracy", 1.0, 1, 872, 0.0)]
            studies, resamples = (4, 50) if quick else (1000, 1000)
            one = partial(coverage, studies=studies, resamples=resamples)
            result["coverage"] = list(run(one, [("mcc", 1.0, 3, 60, 2.0)] if quick else cases))
            print_table(
                "Coverage of the 95 % interval, %",
                ["metric", "effect", "seeds", "training sd", "calibrated", "percentiles", "half-width", "detectable"],
                [
                    [
                        *(str(r[k]) for k in ("metric", "effect", "seeds", "training_sd")),
                        *(percent(r[k]) for k in ("coverage", "plain_coverage")),
                        *(f"{r[k]:.2f}" for k in ("half_width", "detectable")),
                    ]
                    for r in result["coverage"]
                ],
            )
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
