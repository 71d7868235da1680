"""What many tasks cost: 300 registered, 50 in a mixture, a study of 12 that is only planned.

    python benchmarks/many_tasks.py [--rows 1500]

Writes rows of made-up tasks as JSON lines, a file that registers them all, and runs the commands of a user, each in a
process of its own, one after another: seconds by the clock and the most memory that the process held. `mix` is run
twice: the second time what was tokenised is in the cache. Prints a table, and JSON on the last line.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REGISTERED, MIXED, STUDIED = 300, 50, 12
FILE = """from multitask import Example, Task, add_task


def formatter(row):
    return Example(row["text"], row["label"])


for number in range({count}):
    name = f"made_{{number:03}}"
    add_task(Task(name, formatter, f"{{name}}: ", labels=("yes", "no"), metrics=["accuracy"]))
"""
WORDS = [f"{a}{b}" for a in ("ka", "lo", "mi", "re", "su", "ta") for b in ("n", "r", "l", "s", "t", "ve", "do", "ga")]


def write_rows(folder: Path, rows: int) -> int:
    """Rows of the tasks that are mixed; gives how many."""
    draw, written = random.Random(0), 0
    for number in range(MIXED):
        place = folder / f"made_{number:03}"
        place.mkdir(parents=True)
        for split, count in (("train", rows), ("validation", max(rows // 10, 20))):
            with (place / f"{split}.jsonl").open("w") as file:
                for i in range(count):
                    text = " ".join(draw.choice(WORDS) for _ in range(draw.randint(5, 30))) + f" {i}"
                    label = "yes" if text.count("ka") > 2 else "no"
                    file.write(json.dumps({"text": text, "label": label}) + "\n")
                    written += 1
    return written


def run(words: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds and MB of a command."""
    script = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024); sys.exit(done.returncode)"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{done.stderr}")
    return time.perf_counter() - began, float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1500, help="Training rows a task.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = write_rows(folder / "data", options.rows)
        file = folder / "many_tasks_registered.py"
        file.write_text(FILE.format(count=REGISTERED))
        cache = {**os.environ, "MULTITASK_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
        names = [f"made_{i:03}" for i in range(MIXED)]
        base = [sys.executable, "-m", "multitask.cli"]
        own = ["--include", str(file)]
        mixed = [*own, "--data", str(folder / "data"), "--tasks", ",".join(names)]
        studied = [*own, "--data", str(folder / "data"), "--tasks", ",".join(names[:STUDIED])]
        small = ["--steps", "20", "--validation-rows", "20", "--eval-limit", "20", "--batch-size", "100"]
        study = ["--arms", "single,joint,pair,without", "--seeds", "5", "--per-step", "2", "--validation-rows", "20"]
        commands = {
            f"tasks: {REGISTERED} listed": [*base, "tasks", *own],
            f"tasks check: {MIXED} tasks": [*base, "tasks", "check", *mixed],
            f"mix: {MIXED} tasks, first": [*base, "mix", *mixed],
            f"mix: {MIXED} tasks, again": [*base, "mix", *mixed],
            f"train: {MIXED} tasks, 20 steps": [*base, "train", *mixed, *small, "--out", str(folder / "run")],
            f"interference --dry-run: {STUDIED} tasks": [
                *(*base, "interference", *studied, *study, "--steps", "20", "--dry-run"),
                *("--out", str(folder / "study")),
            ],
        }
        table = {what: run(words, cache) for what, words in commands.items()}
    own_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{rows:,} rows of {MIXED} tasks; this script itself holds {own_peak:.0f} MB\n")
    print(f"| {'stage':<36} | {'seconds':>7} | {'MB':>6} |\n|{'-' * 38}|{'-' * 8}:|{'-' * 7}:|")
    for what, (seconds, memory) in table.items():
        print(f"| {what:<36} | {seconds:7.1f} | {memory:6.0f} |")
    print(json.dumps({"rows": rows, "stages": {what: list(found) for what, found in table.items()}}))


if __name__ == "__main__":
    main()
