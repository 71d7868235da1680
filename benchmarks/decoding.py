"""What evaluating label tasks and spans takes, beside `generate` as transformers' Seq2SeqTrainer runs it.

    python benchmarks/decoding.py [--run RUN] [--data DIR] [--tasks sst2,tweet_sentiment,span] [--rows 256] [--rounds 5]

Without --run a small model is trained first, long enough that it ends its answers (--model, --steps, --vocab; into
--out). Both sides get the same model and rows. `Seq2SeqTrainer` with `predict_with_generate` does, for each batch in
the order of the data, padded to its longest row: `generate` up to the task's length, and a forward pass for the loss.
What it writes for a span is scored both as it is and aligned with the source, and the better of the two is shown.
multitask's `evaluate_task` gives predictions, log-likelihoods, scores and the frame of predictions. The rounds take
turns; a round's ratio is between two neighbours in time. Times are CPU seconds, so that a busy machine changes them
little.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import multitask
from multitask.evaluation.scores import evaluate_task
from multitask.examples.choose_source import resolve_source
from multitask.examples.dataset import Examples
from multitask.examples.loading import load_task
from multitask.runs.inference import load_run
from multitask.tables.numbers import number_text
from multitask.tables.table import print_table
from multitask.task import TASKS, Task
from multitask.tokenization.spans import align
from multitask.tokenization.tokenize import TokenizedTask, tokenize_task
from multitask.tokenization.tokenizer import text_of


def generated(model: Any, tokenizer: Any, task: Task, tokens: TokenizedTask, batch_size: int) -> list[str]:
    """The strings that `Seq2SeqTrainer.predict` with `predict_with_generate` makes (`prediction_step`)."""
    answers = []
    for at in range(0, len(tokens), batch_size):
        rows = np.arange(at, min(at + batch_size, len(tokens)))
        ids = torch.from_numpy(tokens.inputs.padded(rows, tokenizer.pad_token_id))
        mask = (torch.arange(ids.shape[1]) < torch.from_numpy(tokens.inputs.lengths_of(rows))[:, None]).long()
        labels = torch.from_numpy(tokens.targets.padded(rows, -100))
        with torch.no_grad():
            made = model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=task.decoding.max_new_tokens,
                num_beams=1,
                do_sample=False,
            )
            float(model(input_ids=ids, attention_mask=mask, labels=labels).loss)
        answers += [text_of(tokenizer, ids) for ids in made.tolist()]
    return answers


def seconds(work: Callable[[], Any]) -> float:
    """CPU seconds of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def compare(
    model: Any,
    tokenizer: Any,
    task: Task,
    examples: Examples,
    *,
    batch_sizes: list[int],
    rounds: int,
) -> list[dict[str, Any]]:
    """A row a batch size of `generate`: milliseconds an example of both, their ratio, and the scores."""
    tokens = tokenize_task(tokenizer, task, examples)
    targets, references = [e.target for e in examples], [e.references for e in examples]
    kept: dict[Any, Any] = {}

    def ours() -> None:
        # A decoder remembers the sources it has cut out; each round starts without.
        kept["ours"] = evaluate_task(model, tokenizer, task, examples, tokens)

    def theirs(batch_size: int) -> None:
        said = generated(model, tokenizer, task, tokens, batch_size)
        kept[batch_size] = task.primary(said, targets, references=references)
        if task.output == "span":
            aligned = [align(text, e.context or "") for text, e in zip(said, examples, strict=True)]
            kept[batch_size] = max(kept[batch_size], task.primary(aligned, targets, references=references))

    times: dict[int, list[tuple[float, float]]] = {size: [] for size in batch_sizes}
    ours()  # once without a clock: the first pass pays for memory
    for _ in range(rounds):
        for size in batch_sizes:
            theirs_took = seconds(lambda size=size: theirs(size))
            times[size].append((theirs_took, seconds(ours)))
    result = []
    for size, pairs in times.items():
        ratios = sorted(a / b for a, b in pairs)
        result.append(
            {
                "task": task.name,
                "metric": task.primary.name,
                "batch_size": size,
                "generate_ms": 1e3 * statistics.median(a for a, _ in pairs) / len(examples),
                "multitask_ms": 1e3 * statistics.median(b for _, b in pairs) / len(examples),
                "ratio": statistics.median(ratios),
                "lowest": ratios[0],
                "highest": ratios[-1],
                "generate_score": kept[size],
                "multitask_score": kept["ours"].metrics[task.primary.name],
            }
        )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path)
    parser.add_argument("--data")
    parser.add_argument("--tasks", default="sst2,tweet_sentiment,span")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-sizes", default="8,64")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--vocab")
    parser.add_argument("--span", help="the way that multitask chooses spans, by default the task's own")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("runs/decoding"))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = options.data or "sample"
    run = options.run or options.out
    if not (run / "metrics.json").is_file():
        multitask.train(
            tasks=options.tasks,
            data=data,
            model=options.model,
            vocab=options.vocab,
            out=str(run),
            trainer={"max_steps": options.steps},
        )
    model, tokenizer, _ = load_run(run)
    rows: list[dict[str, Any]] = []
    for name in options.tasks.split(","):
        task = TASKS.get(name)
        if task.output == "span" and options.span:
            task = task.replace(decoding=dataclasses.replace(task.decoding, span=options.span))
        held = load_task(task, resolve_source(task, data), seed=0).validation
        examples = dataclasses.replace(held, examples=tuple(held[: options.rows]))
        sizes = [int(size) for size in options.batch_sizes.split(",")]
        rows += compare(model, tokenizer, task, examples, batch_sizes=sizes, rounds=options.rounds)
    print_table(
        f"CPU milliseconds an example, {options.rows} rows, {options.rounds} rounds",
        ("task", "batch", "generate", "multitask", "ratio", "lowest", "highest", "metric", "generate", "multitask"),
        [
            (
                r["task"],
                str(r["batch_size"]),
                number_text(r["generate_ms"], 2),
                number_text(r["multitask_ms"], 2),
                *(number_text(r[key], 2) for key in ("ratio", "lowest", "highest")),
                r["metric"],
                number_text(r["generate_score"]),
                number_text(r["multitask_score"]),
            )
            for r in rows
        ],
    )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
