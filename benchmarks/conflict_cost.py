"""What conflict probes cost at a study's default interval: the joint run with and without them, in turns.

    python benchmarks/conflict_cost.py [--tasks span,sst2,tweet_sentiment] [--per-step 8,16] [--probes 3] [--rounds 3]

Trains the `tiny` model on the generated sample in this process with one thread and prints, for each number of examples
of a task in a step, the ratio of the training's time with probes to that without: median over rounds and range. A run
has as many steps as its probes stand for, so that their share is that of a long run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import multitask
from multitask.interference.design.config import check_study_config, design_of, parse_settings
from multitask.interference.setup import probe_interval
from multitask.storage.json_files import read_json


def seconds(tasks: str, per_step: float, steps: int, every: int) -> float:
    with tempfile.TemporaryDirectory() as out:
        trainer = {"max_steps": steps, "enable_progress_bar": False, "accelerator": "cpu"}
        multitask.train(
            tasks=tasks,
            model="tiny",
            per_step=per_step,
            conflict_every=every,
            out=f"{out}/run",
            quiet=True,
            trainer=trainer,
        )
        return float(read_json(Path(out) / "run" / "run.json")["training_seconds"])


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", default="span,sst2,tweet_sentiment")
    parser.add_argument("--per-step", default="8,16")
    parser.add_argument("--probes", type=int, default=3, help="of a run: it has so many intervals")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for per_step in map(float, options.per_step.split(",")):
        config = check_study_config(parse_settings({"tasks": options.tasks, "per_step": per_step}))
        every = probe_interval(design_of(config, options.tasks.split(",")), config.train)
        found = []
        for _ in range(options.rounds):
            plain, probed = (seconds(options.tasks, per_step, options.probes * every, n) for n in (0, every))
            found.append(probed / plain)
        print(
            f"{per_step:g} examples of each task in a step, a probe every {every} steps: "
            f"× {statistics.median(found):.3f} ({min(found):.3f} – {max(found):.3f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
