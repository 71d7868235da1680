"""How near does each way of estimating a pair matrix come to the matrix that training every pair gives?

    python benchmarks/estimate.py --out runs/estimate [--families mixed,overlap,conflict,known,real,pretrained]
        [--data DIR] [--start MODEL] [--seeds 3] [--methods joined,branches,…] [--figures docs/images]

Of each family the whole study is trained (every task alone, every pair, all together) in OUT/FAMILY, and every method
estimates its pair matrix there; what is finished is used again. `real` needs --data, `pretrained` --data and a folder
for --model (`benchmarks/pretrained_start.py` makes one). Then, with the measured effects in points:

pooled     rank correlation over all ordered pairs
within     its mean over tasks, each task's companions ranked alone
nats       both again with the measured differences of log-likelihood
           All of one seed's estimate with the measured mean of the *other* seeds, so that no noise is shared; mean over
           seeds and a 95 % interval (Student's t); then that of the mean over seeds with the whole measured mean.
F1         macro F1 of the sign, over effects of more than a point
ceiling    √reliability: what a perfect estimate can expect, by the measured matrix's own split halves
cost       in joint runs of a seed; the whole matrix with its single models costs n, and stands last in the means: how
           near one seed of it comes to the others
regret     measured points, summed over tasks, that the grouping chosen by the estimate loses to the best one
confirm    the same correlations after a third of the pairs was taken as measured in the estimate's own seed, and what
           the whole matrix measured in that one seed would have had: their ratio is what is asked for

Prints a table a family and one over all, and writes OUT/estimate.json and, with --figures, a scatter plot.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from multitask.interference.design.config import METHODS, StudyConfig, parse_settings
from multitask.interference.estimation.agreement import ceiling, pooled, regret, sign_f1, within
from multitask.interference.estimation.confirm import choose_pairs, refit
from multitask.interference.estimation.matrix import EstimatedMatrix, Floats
from multitask.interference.estimation.short import pair_effects

HERE = Path(__file__).parent
REAL = ("span", "sst2", "tweet_sentiment", "stsb", "trec", "emotion")
LEAST = 1.0
"""Points that an effect must be larger than for its sign to count."""


def settings_of(family: str, options: Any) -> dict[str, Any]:
    """The study of a family, as `measure_interference` takes it."""
    common = {"seeds": options.seeds, "keep_models": True, "quiet": True, "jobs": options.jobs, "threads": 1}
    common |= {"conflict_every": options.conflict_every}
    generated = {"model": "tiny", "per_step": 16, "trainer": {"max_steps": options.steps or 300}}
    if family in ("mixed", "overlap", "conflict"):
        tasks = [f"{family}_{letter}" for letter in "abcdef"]
        return {**common, **generated, "tasks": tasks, "include": [str(HERE / "graded_tasks.py")]}
    if family == "known":
        from multitask.interference.planted_tasks import family_tasks

        return {**common, **generated, "tasks": list(family_tasks()), "include": [str(HERE / "known_tasks.py")]}
    real = {"per_step": 8, "validation_rows": 800, "data": str(options.data)}
    if family == "real":
        steps = options.steps or 600
        return {**common, **real, "model": "tiny", "tasks": list(REAL), "trainer": {"max_steps": steps}}
    if family == "pretrained":
        tasks = ["sst2", "tweet_sentiment", "trec", "emotion"]
        steps = options.steps or 200
        return {**common, **real, "model": str(options.start), "tasks": tasks, "trainer": {"max_steps": steps}}
    raise SystemExit(f"--families {family}: it is one of mixed, overlap, conflict, known, real, pretrained.")


def measure(settings: dict[str, Any], out: Path) -> Any:
    """The whole study, which is the truth here."""
    import multitask

    return multitask.measure_interference(arms="single,joint,pair", out=str(out), **settings).record


def estimates(settings: dict[str, Any], out: Path, methods: Sequence[str]) -> dict[str, tuple[EstimatedMatrix, float]]:
    """{method: its matrix, its cost in joint runs}."""
    from multitask.interference.estimated import estimate_pairs
    from multitask.interference.request import prepare_request
    from multitask.terminal.quiet import quietly

    plain: StudyConfig = parse_settings(
        {n: v for n, v in settings.items() if n != "quiet"} | {"arms": "single,joint,pair"}
    )
    found = {}
    for method in methods:
        with quietly():
            made = estimate_pairs(prepare_request(dataclasses.replace(plain, estimate=method)), out, quiet=True)
        found[method] = (made.matrix, made.cost)
    return found


def with_others(estimate: Floats, measured: Floats, compare: Any) -> list[float]:
    """[S] each seed's estimate with the measured mean of the other seeds."""
    seeds = range(len(measured))
    return [compare(estimate[s], measured[[o for o in seeds if o != s]].mean(0)) for s in seeds if len(measured) > 1]


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval, Student's t."""
    known = np.array([v for v in values if np.isfinite(v)])
    if not len(known):
        return (float("nan"),) * 3
    half = stats.t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known)) if len(known) > 1 else np.nan
    return float(known.mean()), float(known.mean() - half), float(known.mean() + half)


def confirmed(estimate: EstimatedMatrix, measured: Floats, groups: int = 3) -> dict[str, Any]:
    """A third of the pairs as measured in the estimate's own seed, the rest corrected by them; beside the whole matrix.

    {"pooled": [S], "within": [S], "pooled_full": [S], "within_full": [S]}
    """
    n = len(estimate.tasks)
    count = max(1, round(n * (n - 1) / 2 / 3))
    found: dict[str, Any] = {"pairs": count, "pooled": [], "within": [], "pooled_full": [], "within_full": []}
    for s in range(len(measured)):
        one = dataclasses.replace(estimate, per_seed=estimate.per_seed[s : s + 1], spread=estimate.spread[s : s + 1])
        known = np.full((n, n), np.nan)
        for i, j in choose_pairs(one, count, groups):
            known[i, j], known[j, i] = measured[s, i, j], measured[s, j, i]
        corrected = refit(one, known, known, known).values
        truth = measured[[o for o in range(len(measured)) if o != s]].mean(0)
        for name, compare in (("pooled", pooled), ("within", within)):
            found[name].append(compare(corrected, truth))
            found[f"{name}_full"].append(compare(measured[s], truth))
    return found


def judge(matrix: EstimatedMatrix, cost: float, points: Floats, nats: Floats) -> dict[str, Any]:
    """All that is said of one method on one family."""
    values = matrix.per_seed
    result: dict[str, Any] = {"method": matrix.method, "unit": matrix.unit, "cost": cost}
    for unit, measured in (("points", points), ("nats", nats)):
        for name, compare in (("pooled", pooled), ("within", within)):
            result[f"{name}_{unit}"] = with_others(values, measured, compare)
            result[f"{name}_{unit}_mean"] = compare(values.mean(0), measured.mean(0))
    result["f1"] = sign_f1(values.mean(0), points.mean(0), LEAST)
    result["regret"] = regret(matrix.tasks, values.mean(0), points.mean(0))
    result["confirm"] = confirmed(matrix, points)
    return result


def text(values: Sequence[float]) -> str:
    mean, low, high = interval(values)
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]" if np.isfinite(low) else f"{mean:+.2f}"


def show(family: str, result: dict[str, Any]) -> None:
    from multitask.tables.table import print_table

    rows = [
        (
            m["method"],
            *(text(m[f"{name}_{unit}"]) for unit in ("points", "nats") for name in ("pooled", "within")),
            f"{m['pooled_points_mean']:+.2f}",
            f"{m['within_points_mean']:+.2f}",
            f"{m['f1']:.2f}",
            f"{m['cost']:.2f}",
            f"{m['regret']:.1f}",
            ratio(m["confirm"], "pooled"),
            ratio(m["confirm"], "within"),
        )
        for m in result["methods"]
    ]
    head = ("method", "pooled", "within", "pooled, nats", "within, nats", "pooled, mean of seeds", "within, mean")
    head += ("F1", "cost", "regret", "confirm: pooled", "confirm: within")
    c = result["ceilings"]
    title = f"{family}: ceiling pooled {c['pooled_points']:.2f}, within {c['within_points']:.2f}"
    print_table(f"{title}; nats {c['pooled_nats']:.2f}, {c['within_nats']:.2f}", head, rows, left=1)


def reached(found: dict[str, Any], name: str) -> float:
    """After confirming, as a share of what the whole matrix of one seed reaches."""
    return float(np.nanmean(found[name]) / np.nanmean(found[f"{name}_full"]))


def total(of: Sequence[dict[str, Any]], name: str) -> float:
    """The mean over families of what confirming reaches; a mean of ratios would hang on the smallest denominator."""
    return float(np.nanmean([np.nanmean(m["confirm"][name]) for m in of]))


def ratio(found: dict[str, Any], name: str) -> str:
    """After confirming, of what the whole matrix of one seed reaches."""
    some, full = np.nanmean(found[name]), np.nanmean(found[f"{name}_full"])
    return f"{some:+.2f} of {full:+.2f} ({reached(found, name):.2f})"


def overall(results: dict[str, Any], methods: Sequence[str]) -> None:
    from multitask.tables.table import print_table

    rows = []
    for method in methods:
        of = [m for result in results.values() for m in result["methods"] if m["method"] == method]
        rows.append(
            (
                method,
                *(f"{np.nanmean([np.nanmean(m[k]) for m in of]):+.2f}" for k in ("pooled_points", "within_points")),
                *(f"{np.nanmin([np.nanmean(m[k]) for m in of]):+.2f}" for k in ("pooled_points", "within_points")),
                f"{np.mean([m['cost'] for m in of]):.2f}",
                *(f"{total(of, k) / total(of, f'{k}_full'):.2f}" for k in ("pooled", "within")),
            )
        )
    whole = [
        {k: np.nanmean(r["methods"][0]["confirm"][f"{k}_full"]) for k in ("pooled", "within")} for r in results.values()
    ]
    rows.append(
        (
            "the whole matrix",
            *(f"{how([w[k] for w in whole]):+.2f}" for how in (np.nanmean, np.nanmin) for k in ("pooled", "within")),
            f"{np.mean([len(r['points']) for r in results.values()]):.2f}",
            *("", ""),
        )
    )
    head = ("method", "pooled", "within", "worst pooled", "worst within", "cost", "confirm: pooled", "confirm: within")
    print_table(f"Means over {len(results)} families", head, rows, left=1)


def draw(results: dict[str, Any], methods: Sequence[str], path: Path) -> None:
    """Estimated against measured effects, a row a method and a column a family."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shape = (len(methods), len(results))
    figure, axes = pyplot.subplots(*shape, figsize=(2.3 * shape[1], 2.0 * shape[0]), squeeze=False)
    for column, (family, result) in enumerate(results.items()):
        measured = np.array(result["points"], float)
        for row, method in enumerate(methods):
            axis = axes[row][column]
            found = next((m for m in result["methods"] if m["method"] == method), None)
            if found is not None:
                axis.scatter(np.array(found["values"], float).ravel(), measured.ravel(), s=9, color="#2166ac")
                axis.set_title(f"{family}: {method} {found['pooled_points_mean']:+.2f}", fontsize=8)
            axis.axhline(0, color="#d0d7de", linewidth=0.8, zorder=0)
            axis.axvline(0, color="#d0d7de", linewidth=0.8, zorder=0)
            axis.tick_params(labelsize=6)
            if column == 0:
                axis.set_ylabel("measured, points", fontsize=7)
            if row == shape[0] - 1:
                axis.set_xlabel("estimated", fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/estimate"))
    parser.add_argument("--families", default="mixed,overlap,conflict,known")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--start", type=Path, help="a model's folder, for the family `pretrained`")
    parser.add_argument("--seeds", default="3")
    parser.add_argument("--steps", type=int, default=None, help="instead of a family's own")
    parser.add_argument("--conflict-every", type=int, default=0, help="of the joint runs; 0 is a study's own default")
    parser.add_argument("--jobs", type=int, default=None)
    parser.add_argument("--figures", type=Path, help="a folder for estimate.png")
    options = parser.parse_args(arguments)
    methods = options.methods.split(",")
    results: dict[str, Any] = {}
    for family in options.families.split(","):
        settings, out = settings_of(family, options), options.out / family
        record = measure(settings, out)
        points, nats = (pair_effects(record, twin=twin, method="measured").per_seed for twin in (False, True))
        found = estimates(settings, out, methods)
        judged = [{**judge(m, cost, points, nats), "values": m.mean.tolist()} for m, cost in found.values()]
        ceilings = {
            f"{how}_{unit}": ceiling(measured, how)
            for unit, measured in (("points", points), ("nats", nats))
            for how in ("pooled", "within")
        }
        results[family] = {"methods": judged, "ceilings": ceilings, "points": points.mean(0).tolist()}
        show(family, results[family])
    overall(results, methods)
    (options.out / "estimate.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if options.figures:
        draw(results, methods, options.figures / "estimate.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
