"""Does a study find what was planted? Six generated tasks, every pair, over several repetitions of the whole study.

    python benchmarks/known_answers.py [--out runs/known-answers] [--repetitions 5] [--seeds 5] [--steps 300]

Each repetition has other words, rows and seeds (`interference.planted_tasks`), and is a study of its own in
OUT/repetition-N that is continued if it was stopped. Prints each pair's effect beside the planted one, then the
counts, as a table and as JSON (also in OUT/known_answers.json). Exit code 1 if

- a planted gain or loss has another verdict in any repetition,
- the independent family has a gain or a loss in any repetition, or
- more than 5 % of all the pairs without a relation, over all repetitions, have a gain or a loss.

`equal` counts as right where nothing was planted: it says more than `no evidence`, and both are counted apart.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from multitask.interference.planted_tasks import ceilings, family_tasks, planted

TASKS_FILE = Path(__file__).with_name("known_tasks.py")
RIGHT = {"gain": ("gain",), "loss": ("loss",), "none": ("no evidence", "equal")}
ALARMS = 0.05
"""Share of the pairs without a relation that may have a gain or a loss: the level of the tables' own correction."""


class Judged(NamedTuple):
    """One pair effect and what it should be."""

    repetition: int
    task: str
    companion: str
    planted: str
    expected: float
    """Points, for a model that learns all there is to learn."""
    delta: float | None
    low: float | None
    high: float | None
    verdict: str | None
    right: bool

    @property
    def own_family(self) -> bool:
        """Whether both tasks are of one family."""
        return self.task.split("_")[0] == self.companion.split("_")[0]


def judge(record: Any, repetition: int) -> list[Judged]:
    """Every pair effect of a study's record, at equal exposure and in the primary metric."""
    metrics = {task["name"]: task["metric"] for task in record["tasks"]}
    found = []
    for e in record["effects"]:
        if e["kind"] != "pair" or e["match"] != "examples" or e["metric"] != metrics[e["task"]]:
            continue
        sign = planted(e["task"], e["companion"])
        alone, together = ceilings(e["task"].split("_")[0])
        found.append(
            Judged(
                repetition,
                e["task"],
                e["companion"],
                sign,
                0.0 if sign == "none" else together - alone,
                e["delta"],
                e["low"],
                e["high"],
                e["verdict"],
                e["verdict"] in RIGHT[sign],
            )
        )
    return found


def summary(judged: Sequence[Judged]) -> dict[str, Any]:
    """Verdicts counted by what was planted, and whether the whole is as it should be."""
    groups = {
        "sharing": [j for j in judged if j.planted == "gain"],
        "conflicting": [j for j in judged if j.planted == "loss"],
        "independent": [j for j in judged if j.planted == "none" and j.own_family],
        "across families": [j for j in judged if j.planted == "none" and not j.own_family],
    }
    unrelated = groups["independent"] + groups["across families"]
    alarms = sum(not j.right for j in unrelated) / max(1, len(unrelated))
    strict = groups["sharing"] + groups["conflicting"] + groups["independent"]
    return {
        "verdicts": {name: dict(Counter(str(j.verdict) for j in group)) for name, group in groups.items()},
        "mean_delta": {
            name: round(sum(j.delta for j in group) / len(group), 2) if group else None
            for name, group in groups.items()
        },
        "false_alarm_share": round(alarms, 4),
        "passed": bool(strict) and all(j.right for j in strict) and alarms <= ALARMS,
    }


def show(judged: Sequence[Judged], counts: dict[str, Any]) -> None:
    from multitask.tables.numbers import number_text
    from multitask.tables.table import print_table

    rows = [
        (
            str(j.repetition),
            j.task,
            j.companion,
            j.planted,
            "" if j.right else "WRONG",
            str(j.verdict),
            f"{j.expected:+.1f}",
            number_text(j.delta, 2),
            f"[{number_text(j.low, 2)}, {number_text(j.high, 2)}]",
        )
        for j in judged
        if j.own_family or not j.right
    ]
    names = ("repetition", "task", "with", "planted", "", "verdict", "planted Δ", "Δ", "interval")
    print_table("Pairs of one family, and every pair that is wrong", names, rows, left=6)
    verdicts = ("gain", "loss", "equal", "no evidence")
    table = [
        (name, *(str(found.get(v, 0)) for v in verdicts), number_text(counts["mean_delta"][name], 2))
        for name, found in counts["verdicts"].items()
    ]
    print_table("Verdicts over all repetitions", ("pairs", *verdicts, "mean Δ"), table)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/known-answers"))
    parser.add_argument("--repetitions", type=int, default=5, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first repetition's number")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--per-step", type=int, default=16)
    parser.add_argument("--families", default="sharing,conflicting,independent", help="leave some out for a short look")
    parser.add_argument("--execution", default="auto", help="as of multitask train")
    parser.add_argument("--within", action="store_true", help="a study for each family, without the pairs across them")
    options = parser.parse_args(arguments)

    import multitask

    started = time.time()
    judged: list[Judged] = []
    for repetition in range(options.first, options.first + options.repetitions):
        families = options.families.split(",")
        for chosen in [[f] for f in families] if options.within else [families]:
            study = multitask.measure_interference(
                tasks=[n for n in family_tasks(repetition) if n.split("_")[0] in chosen],
                include=[str(TASKS_FILE)],
                arms="single,pair",
                seeds=options.seeds,
                seed=options.seeds * repetition,  # the first of them
                per_step=options.per_step,
                model="tiny",
                execution=options.execution,
                trainer={"max_steps": options.steps},
                out=str(options.out / f"repetition-{repetition}" / (chosen[0] if options.within else "")),
            )
            judged += judge(study.record, repetition)
        counts = summary(judged)
        show(judged, counts)
    result = {
        "repetitions": options.repetitions,
        "first": options.first,
        "seeds": options.seeds,
        "steps": options.steps,
        "per_step": options.per_step,
        "within": options.within,
        "minutes": round((time.time() - started) / 60, 1),
        **counts,
    }
    full = {**result, "effects": [j._asdict() for j in judged]}
    (options.out / "known_answers.json").write_text(json.dumps(full, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
