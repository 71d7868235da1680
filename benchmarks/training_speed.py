"""How fast a step is: multitask beside Hugging Face's Seq2SeqTrainer, simpletransformers, and what is possible.

    pip install -c constraints.txt -e ".[benchmarks]"
    python benchmarks/training_speed.py --data DIR [--model mini,small] [--rounds 3] [--steps 12] [--precision bf16]

All train the same model from the same weights on the same examples, with the same number of examples a step, AdamW,
the same clipping and no dropout switched off: what is timed is a user's training loop, from the end of one optimizer
step to the end of a later one. The contestants take turns, round by round, each in this process, and what is printed
is the median over rounds of the ratio within a round, with the smallest and the largest.

    multitask          `multitask.train`, with its defaults for this device
    flat               the same with `--execution flat`: unpadded tokens
    grouped            the same with `--execution grouped`: padded micro-batches through the model's own code
    packed             the same with `--execution packed`: on a GPU through torch.compile
    trainer            Seq2SeqTrainer with its defaults (random order, padded to the longest of the batch)
    trainer, grouped   the same with train_sampling_strategy="group_by_length"
    simpletransformers T5Model.train_model with its defaults (padded to 128)
    dense              a bare loop over the same model with batches that have no padding at all: as many examples of
                       the same length as give a step's input and target tokens. What padding costs is measured
                       against it; it is not a limit to a trainer that computes less, or the same more cheaply

All compute in `--precision`, by autocast. On a GPU the first counted step begins, and the last one ends, when the
device has done all that it was given; `--warm` steps before them are not counted (compiling and choosing take some).

Tokens are real ones, input and target. Prints a table for each model and JSON on the last line.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch

from multitask.batching.arrays import micro_batches, unpadded_step
from multitask.batching.step import gather_step
from multitask.config import TrainConfig
from multitask.mixing.prepare import prepare_mixture
from multitask.model.from_scratch import build_model
from multitask.runs.run_data import RunData, scored_examples
from multitask.runs.train import train_run
from multitask.tables.numbers import number_text
from multitask.tables.table import print_table
from multitask.tokenization.tokenize import tokenize_task
from multitask.tokenization.tokenizer import load_tokenizer

AHEAD = 4
"""Steps behind the last one that loaders make before they are told to stop."""


class Case:
    """One model and the examples that everybody trains on."""

    def __init__(self, size: str, options: argparse.Namespace, folder: Path) -> None:
        self.folder, self.steps, self.batch = folder, options.steps + options.warm, options.batch_size
        self.warm, self.bf16 = options.warm, options.precision == "bf16"
        tokenizer = load_tokenizer(options.vocab)
        model = build_model(size, len(tokenizer), seed=0, dropout=0.1, pad=0, eos=1)
        self.parameters = sum(p.numel() for p in model.parameters())
        self.checkpoint = folder / size
        model.save_pretrained(self.checkpoint)
        tokenizer.save_pretrained(self.checkpoint)
        self.config = TrainConfig(
            tasks=options.tasks,
            data=str(options.data) if options.data else None,
            model=str(self.checkpoint),
            optimizer="adamw",
            lr=1e-4,
            batch_size=self.batch,
            validation_rows=4,
            precision=options.precision,
            trainer={"max_steps": self.steps, "enable_progress_bar": False},
        )
        from multitask.interference.execution.runs import resolve_settings

        self.mix = prepare_mixture(resolve_settings(self.config))
        self.tokenizer = tokenizer
        # The rows of the plan's first steps: no more has to be tokenised.
        tasks = list(self.mix.tasks)
        self.rows = [self.mix.plan.step(k) for k in range(self.steps)]
        made = [*self.rows, *(self.mix.plan.step(self.steps + k) for k in range(AHEAD))]
        data, train = {}, {}
        for t in tasks:
            used = np.unique(np.concatenate([r[t] for r in made if t in r]))
            kept = self.mix.data[t].train
            tokens = tokenize_task(
                tokenizer, self.mix.tasks[t], dataclasses.replace(kept, examples=tuple(kept[int(i)] for i in used))
            )
            # At their own places in an array of all rows, so that the plan's numbers stay true.
            train[t] = spread(tokens, used, len(kept))
            data[t] = self.mix.data[t]
        evaluated = {
            t: tokenize_task(tokenizer, self.mix.tasks[t], part)
            for t, part in scored_examples(resolve_settings(self.config), self.mix).items()
        }
        self.prepared = RunData(self.mix, tokenizer, train, evaluated)
        self.examples = [
            {
                "input_ids": train[t].inputs[int(i)].tolist(),
                "labels": train[t].targets[int(i)].tolist(),
                "text": (self.mix.data[t].train[int(i)].inputs, self.mix.data[t].train[int(i)].target),
            }
            for step in self.rows
            for t, rows in step.items()
            for i in rows
        ]
        self.input_tokens = sum(len(e["input_ids"]) for e in self.examples)
        self.target_tokens = sum(len(e["labels"]) for e in self.examples)

    @property
    def tokens(self) -> float:
        """Real tokens of a step, on average."""
        return (self.input_tokens + self.target_tokens) / self.steps

    def shares(self) -> dict[str, Any]:
        """The share of real tokens among those that are computed, input and target side."""
        tokens = list(self.prepared.train.values())
        made: dict[str, list[tuple[int, int, int, int]]] = {"multitask": [], "grouped": [], "one padded batch": []}
        slots = []
        for step in self.rows:
            rows = {i: step[t] for i, t in enumerate(self.prepared.train) if t in step}
            examples = gather_step(tokens, rows, loss="task", loss_weights=[1.0] * len(tokens), batch_size=1)
            real = int(examples.input_lengths.sum()), int(examples.target_lengths.sum())
            flat = unpadded_step(examples, tokens)
            made["multitask"].append((*real, len(flat.input_ids), len(flat.labels)))
            slots.append(
                (
                    *real,
                    *(sum(len(g) * int(g.max()) for g in side) for side in (flat.input_lengths, flat.target_lengths)),
                )
            )
            for name, group in (("grouped", True), ("one padded batch", False)):
                parts = micro_batches(examples, tokens, pad=0, group=group)
                made[name].append((*real, sum(p.input_ids.size for p in parts), sum(p.labels.size for p in parts)))
        made["multitask, slots of attention"] = slots
        totals = {name: np.array(rows).sum(0) for name, rows in made.items()}
        return {name: [round(float(t[0] / t[2]), 3), round(float(t[1] / t[3]), 3)] for name, t in totals.items()}


def spread(tokens: Any, rows: np.ndarray, size: int) -> Any:
    """The tokens of `rows` as a task's of `size` rows, all others empty."""

    def place(ragged: Any) -> Any:
        lengths = np.zeros(size, np.int64)
        lengths[rows] = ragged.lengths
        return type(ragged)(ragged.ids, np.concatenate([[0], np.cumsum(lengths)]))

    return dataclasses.replace(tokens, inputs=place(tokens.inputs), targets=place(tokens.targets))


# ------------------------------------------------------------------------------------------------------------- turns


@contextlib.contextmanager
def step_times(case: Case) -> Iterator[list[float]]:
    """When each optimizer step ended, whoever makes it; a GPU is waited for only where counting begins and ends."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    ends: list[float] = []

    def ended(*_: Any) -> None:
        if torch.cuda.is_available() and len(ends) + 1 in (case.warm, case.steps):
            torch.cuda.synchronize()
        ends.append(time.perf_counter())

    hook = register_optimizer_step_post_hook(ended)
    try:
        yield ends
    finally:
        hook.remove()


def ours(case: Case, execution: str) -> None:
    config = dataclasses.replace(case.config, execution=execution, out=str(case.folder / "run"), overwrite=True)
    train_run(config, quiet=True, prepared=case.prepared)


def trainer(case: Case, order: str) -> None:
    from torch.utils.data import Dataset
    from transformers import (
        AutoModelForSeq2SeqLM,
        DataCollatorForSeq2Seq,
        Seq2SeqTrainer,
        Seq2SeqTrainingArguments,
    )

    class Examples(Dataset[dict[str, Any]]):
        def __len__(self) -> int:
            return len(case.examples)

        def __getitem__(self, i: int) -> dict[str, Any]:
            return {n: case.examples[i][n] for n in ("input_ids", "labels")}

    model = AutoModelForSeq2SeqLM.from_pretrained(case.checkpoint)
    arguments = Seq2SeqTrainingArguments(
        str(case.folder / "trainer"),
        per_device_train_batch_size=case.batch,
        max_steps=case.steps,
        learning_rate=1e-4,
        train_sampling_strategy=order,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        bf16=case.bf16,
    )
    collator = DataCollatorForSeq2Seq(case.tokenizer, model=model)
    Seq2SeqTrainer(model, arguments, train_dataset=Examples(), data_collator=collator).train()


def simple(case: Case) -> None:
    import pandas as pd
    from simpletransformers.t5 import T5Args, T5Model

    out = str(case.folder / "simple")
    arguments = T5Args(
        train_batch_size=case.batch,
        num_train_epochs=1,
        learning_rate=1e-4,
        optimizer="AdamW",
        fp16=False,
        output_dir=out,
        best_model_dir=out,
        cache_dir=out,
        tensorboard_dir=out,
        overwrite_output_dir=True,
        no_save=True,
        no_cache=True,
        save_model_every_epoch=False,
        save_eval_checkpoints=False,
        save_steps=-1,
        use_multiprocessing=False,
        silent=True,
    )
    model = T5Model("t5", str(case.checkpoint), args=arguments, use_cuda=torch.cuda.is_available())
    frame = pd.DataFrame(
        [{"prefix": "", "input_text": e["text"][0], "target_text": e["text"][1]} for e in case.examples]
    )
    model.train_model(frame)


def dense(case: Case) -> None:
    from transformers import AutoModelForSeq2SeqLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForSeq2SeqLM.from_pretrained(case.checkpoint).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    inputs, targets = dense_lengths(case)
    draw = torch.Generator().manual_seed(0)
    for _ in range(case.steps):
        ids, labels = (torch.randint(3, 30_000, (case.batch, n), generator=draw).to(device) for n in (inputs, targets))
        with torch.autocast(device, torch.bfloat16, enabled=case.bf16):
            loss = model(input_ids=ids, labels=labels, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()


def dense_lengths(case: Case) -> tuple[int, int]:
    count = len(case.examples)
    return round(case.input_tokens / count), round(case.target_tokens / count)


def contestants(names: list[str]) -> dict[str, Callable[[Case], None]]:
    known: dict[str, Callable[[Case], None]] = {
        "multitask": lambda case: ours(case, "auto"),
        "flat": lambda case: ours(case, "flat"),
        "grouped": lambda case: ours(case, "grouped"),
        "packed": lambda case: ours(case, "packed"),
        "trainer": lambda case: trainer(case, "random"),
        "trainer, grouped": lambda case: trainer(case, "group_by_length"),
        "simpletransformers": simple,
        "dense": dense,
    }
    needs = {"trainer": "accelerate", "trainer, grouped": "accelerate", "simpletransformers": "simpletransformers"}
    chosen = {}
    on_gpu = torch.cuda.is_available()
    for name, turn in known.items():
        if name not in names if names else name in ("flat", "packed") and not on_gpu:
            continue
        package = needs.get(name)
        if package and importlib.util.find_spec(package) is None:
            print(f"{name}: left out, {package} is not installed (pip install -e '.[benchmarks]')")
            continue
        chosen[name] = turn
    return chosen


def speed(case: Case, name: str, turn: Callable[[Case], None]) -> float:
    """Real tokens a second."""
    with step_times(case) as ends, Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
        turn(case)
    if len(ends) != case.steps:
        raise RuntimeError(f"{name} made {len(ends)} optimizer steps instead of {case.steps}")
    tokens = case.batch * sum(dense_lengths(case)) if name == "dense" else case.tokens
    return tokens * (len(ends) - case.warm) / (ends[-1] - ends[case.warm - 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="DIR with DIR/TASK/SPLIT.EXT; the generated sample without it")
    parser.add_argument("--tasks", default="span,sst2,tweet_sentiment")
    parser.add_argument("--model", default="mini,small", help="sizes from scratch, with commas")
    parser.add_argument("--vocab", required=True, help="folder with T5's spiece.model")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=12, help="counted, a turn")
    parser.add_argument("--warm", type=int, default=2, help="steps at the beginning of a turn that are not counted")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contestants", default="", help="some of them, with semicolons; all without it")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    turns = contestants([n.strip() for n in options.contestants.split(";") if n.strip()])
    if options.precision == "bf16" and turns.pop("simpletransformers", None):
        print("simpletransformers: left out, it knows fp32 and fp16")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    result: dict[str, Any] = {"threads": torch.get_num_threads(), "batch_size": options.batch_size}
    result |= {"device": device, "precision": options.precision}
    with tempfile.TemporaryDirectory() as name:
        for size in options.model.split(","):
            case = Case(size, options, Path(name))
            found: dict[str, list[float]] = {n: [] for n in turns}
            for _ in range(options.rounds):
                for contestant, turn in turns.items():
                    found[contestant].append(speed(case, contestant, turn))
            result[size] = summary(case, found)
            show(size, case, found, result[size])
    print(json.dumps(result))


def summary(case: Case, found: dict[str, list[float]]) -> dict[str, Any]:
    ours = found.get("multitask", [])
    ratios = {
        name: [a / b for a, b in zip(ours, speeds, strict=True)]
        for name, speeds in found.items()
        if ours and name != "multitask"
    }
    return {
        "parameters": case.parameters,
        "tokens_a_step": round(case.tokens, 1),
        "tokens_a_second": {n: [round(s, 1) for s in speeds] for n, speeds in found.items()},
        "multitask_is_faster_by": {
            n: {"median": round(statistics.median(r), 3), "from": round(min(r), 3), "to": round(max(r), 3)}
            for n, r in ratios.items()
        },
        "real_tokens_share": case.shares(),
    }


def show(size: str, case: Case, found: dict[str, list[float]], made: dict[str, Any]) -> None:
    rows = []
    for name, speeds in found.items():
        ratio = made["multitask_is_faster_by"].get(name)
        shown = f"{ratio['median']:.2f} ({ratio['from']:.2f}–{ratio['to']:.2f})" if ratio else "1"
        rows.append((name, f"{statistics.median(speeds):,.0f}", f"{min(speeds):,.0f}–{max(speeds):,.0f}", shown))
    numbers = "bf16" if case.bf16 else "fp32"
    a_step = f"{case.batch} examples and {case.tokens:,.0f} real tokens a step"
    title = f"{size}: {case.parameters:,} parameters, {numbers}, {a_step}"
    print_table(title, ("", "real tokens/s", "from – to", "multitask is faster by"), rows, left=1)
    shares = [(n, number_text(a, 2), number_text(b, 2)) for n, (a, b) in made["real_tokens_share"].items()]
    print_table("Real tokens among those computed", ("", "input side", "target side"), shares, left=1)


if __name__ == "__main__":
    main()
