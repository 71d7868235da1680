"""What each way of balancing tasks costs: seconds and memory of training steps, for 2, 4 and 8 tasks.

    python benchmarks/balance_cost.py [--model tiny] [--steps 40] [--rounds 3] [--tasks 2,4,8] [--batch 64]
        [--methods sum,uw,famo,pcgrad,…] [--precision fp32] [--json FILE]

Trains on made-up label tasks of one size, on a GPU where there is one. The methods take turns within a round, so that a
slow moment of the machine is no method's own; shown are medians over rounds, and their ratio to the plain sum's. Peak
memory is of tensors on the GPU, the model's among them, or else of the process beyond what it held before training.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
from pathlib import Path

import torch

import multitask
from multitask.interference.design.treatments import BALANCES
from multitask.storage.json_files import read_json
from multitask.tables.table import print_table

MOST = 8


def register(number: int) -> None:
    """A task whose label is which of two words comes more often in ten to thirty words."""
    draw = random.Random(number)
    words = [f"{a}{b}" for a in "bdfgklmnprstvz" for b in ("ar", "el", "io", "un", "ay")]
    rows = [{"text": " ".join(draw.choices(words, k=draw.randint(10, 30)))} for _ in range(600)]
    one, other = words[2 * number], words[2 * number + 1]

    def made(row: dict[str, str]) -> multitask.Example:
        given = row["text"].split()
        return multitask.Example(row["text"], "yes" if given.count(one) >= given.count(other) else "no")

    multitask.register_task(
        f"made{number}",
        prefix=f"made {number}: ",
        source={"train": rows[:560], "validation": rows[560:]},
        labels=("yes", "no"),
        metrics=["accuracy"],
    )(made)


def one(method: str, tasks: int, options: argparse.Namespace, folder: Path) -> tuple[float, float]:
    """(Seconds a step, peak memory in MB) of one training."""
    out = folder / f"{method}-{tasks}"
    multitask.train(
        tasks=",".join(f"made{i}" for i in range(tasks)),
        model=options.model,
        balance=method,
        batch_size=options.batch,
        precision=options.precision,
        trainer={"max_steps": options.steps, "enable_progress_bar": False},
        out=str(out),
        overwrite=True,
        quiet=True,
    )
    record = read_json(out / "run.json")
    peak = record["peak_memory"]
    return record["training_seconds"] / options.steps, peak["device_mb"] or peak["process_mb"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks", default="2,4,8")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--methods", default=",".join(("sum", *BALANCES)))
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    methods, counts = options.methods.split(","), [int(k) for k in options.tasks.split(",")]
    for number in range(MOST):
        register(number)
    seen: dict[tuple[str, int], list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        for k in counts:
            one("sum", k, options, Path(name))  # what is made once: vocabulary, tokens, kernels
            for _ in range(options.rounds):
                for method in methods:
                    seen.setdefault((method, k), []).append(one(method, k, options, Path(name)))
    rows: list[list[str]] = []
    results = []
    for method in methods:
        cells = [method]
        for k in counts:
            seconds = statistics.median(s for s, _ in seen[method, k])
            ratios = [s / p for (s, _), (p, _) in zip(seen[method, k], seen["sum", k], strict=True)]
            memory = statistics.median(m for _, m in seen[method, k])
            results.append({"method": method, "tasks": k, "ms": 1000 * seconds, "ratios": ratios, "mb": memory})
            cells += [
                f"{1000 * seconds:.1f}",
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
                f"{memory:,.0f}",
            ]
        rows.append(cells)
    heads = [h for k in counts for h in (f"ms, K={k}", "of sum", "MB")]
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    title = f"A step of {options.batch} examples, {options.model}, {options.precision}, {where}"
    print_table(title, ["balance", *heads], rows)
    if options.json:
        options.json.write_text(json.dumps({"where": where, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
