"""What each way of choosing a span scores, for one finished run.

    python benchmarks/span_decoding.py RUN --data DIR [--task span] [--rows 1000]

RUN is a run folder with a span task (benchmarks/from_scratch.py makes one). Prints a table and JSON: the metric,
the share of empty answers and the time, for each way of `Decoding.span`, on the first rows of the validation split.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path

from multitask.evaluation.baselines import WHOLE, baseline_answers
from multitask.evaluation.scores import evaluate_task
from multitask.examples.loading import load_examples
from multitask.runs.inference import load_run
from multitask.sources.local_files import files
from multitask.tables.numbers import number_text
from multitask.tables.table import print_table
from multitask.task import TASKS
from multitask.tokenization.tokenize import tokenize_task

WAYS = ("likelihood", "best", "expected", "greedy", "generate")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--task", default="span")
    parser.add_argument("--rows", type=int, default=1000)
    options = parser.parse_args()
    task = TASKS.get(options.task)
    model, tokenizer, _ = load_run(options.run)
    examples = load_examples(task, files(options.data / task.folder), "validation", limit=options.rows)
    tokens = tokenize_task(tokenizer, task, examples)
    result: dict[str, dict[str, float]] = {}
    for way in WAYS:
        chosen = task.replace(decoding=dataclasses.replace(task.decoding, span=way))
        began = time.monotonic()
        scores = evaluate_task(model, tokenizer, chosen, examples, tokens)
        seconds = time.monotonic() - began
        result[way] = {"score": scores.metrics[task.primary.name], "empty": scores.invalid_rate, "seconds": seconds}
    whole = baseline_answers(task, (), examples)[WHOLE]
    references = [e.references for e in examples]
    result["the whole text"] = {"score": task.primary(whole, [e.target for e in examples], references=references)}
    rows = [
        (way, number_text(r["score"]), number_text(r.get("empty")), number_text(r.get("seconds"), 1))
        for way, r in result.items()
    ]
    print_table(f"{len(examples):,} rows of {task.name}", ("way", task.primary.name, "empty", "seconds"), rows)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
