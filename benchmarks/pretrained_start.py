"""A small T5 that is pretrained a little, as the common start of a study of adapters and merged models.

    python benchmarks/pretrained_start.py --data DIR --out MODEL [--texts trec,span,sst2,emotion]
        [--model tiny] [--minutes 60] [--steps 20000]

Trains `denoise` (span corruption; Raffel et al. 2020, section 3.1.4) from random weights on DIR/denoise and on the
training texts, never the labels, of the named folders; the vocabulary is of the same text. DIR is laid out as in the
README, "Data". MODEL is then a folder for `--model`. With `--minutes` the steps are what fits, measured on the first
hundred; with `--steps` they are given, and the result repeats to the bit on one machine.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from multitask.cli import main as multitask
from multitask.sources.local_files import files
from multitask.storage.json_files import read_json

TEXTS = {"span": "text", "sst2": "sentence", "stsb": "sentence1", "mrpc": "sentence1", "squad": "context"}
"""The column of a folder's texts, where it is not `text`."""


def write_texts(data: Path, names: list[str], folder: Path) -> None:
    """One text a line: DIR/denoise and the training texts of the named folders."""
    target = folder / "denoise"
    target.mkdir(parents=True)
    for split in ("train", "validation"):
        lines = [str(row["text"]) for row in files(data / "denoise").rows(split)]
        if split == "train":
            for name in names:
                column = TEXTS.get(name, "text")
                lines += [str(row[column]) for row in files(data / name).rows("train")]
        flat = [" ".join(line.split()) for line in lines]
        (target / f"{split}.txt").write_text("\n".join(line for line in flat if line) + "\n", encoding="utf-8")


def train(folder: Path, out: Path, model: str, steps: int, seed: int) -> None:
    """Train `denoise` for so many steps."""
    flags = ["--tasks", "denoise", "--data", str(folder), "--model", model, "--out", str(out), "--seed", str(seed)]
    code = multitask(["train", *flags, "--trainer.max_steps", str(steps), "--overwrite", "true"])
    if code:
        raise SystemExit(code)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--texts", default="trec,span,sst2,emotion")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.out.exists():
        raise SystemExit(f"{options.out} exists; give another --out.")
    with tempfile.TemporaryDirectory() as name:
        folder, run = Path(name) / "data", Path(name) / "run"
        write_texts(options.data, options.texts.split(","), folder)
        steps = options.steps
        if steps is None:
            train(folder, run, options.model, 1, options.seed)  # reads, tokenises, evaluates: what any number costs
            fixed = read_json(run / "run.json")["seconds"]
            train(folder, run, options.model, 101, options.seed)
            each = max(1e-3, (read_json(run / "run.json")["seconds"] - fixed) / 100)
            steps = max(100, int(options.minutes * 60 / each))
        began = time.monotonic()
        train(folder, run, options.model, steps, options.seed)
        print(f"{steps:,} steps in {(time.monotonic() - began) / 60:.1f} minutes: {read_json(run / 'metrics.json')}")
        shutil.copytree(run / "model", options.out)


if __name__ == "__main__":
    main()
