"""What the way from the plan to a batch costs, without a model: mixing, gathering the tokens, batching.

    OMP_NUM_THREADS=1 python benchmarks/data_path.py [--data DIR --tokenizer FOLDER] [--only PART] [--quick]

libraries  tokens a second of one process, flat and padded, beside `interleave_datasets` + `DataLoader` +
           `DataCollatorForSeq2Seq` on the same token ids and rates, in turn; the ratio is the median over the turns
tasks      the same rows as 1, 4, … 256 tasks of unequal size; and one training step (made, computed, differentiated,
           applied) of the from-scratch model `mini` with 4 and with 256 tasks, in turn
rows       10^4 … 10^8 rows, a new process for each: time and peak memory; `computed` rows are worked out when they are
           asked for (which takes most of their time) and stand nowhere, `mapped` ones stand in memory-mapped files (the
           ids in a sparse one), whose pages are read as they are needed and are the system's to take back
position   a plan of 10^9 examples over 10^8 computed rows: consecutive steps at places all along it, and the memory so
           far; then every one of its rows is asked for once and their sums compared with that of the whole epochs
processes  one process, two that share each step, two that have a step each, and a loader with one and two workers

With --data the tasks are read from DIR as `multitask train --data` reads them; without, token ids of about the lengths
of tweets and reviews are drawn at random. Tokens are real ones, input and target; padding is not counted. Ratios are of
the processor's time, which other work on the machine changes little. Prints tables, and JSON on the last line.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from multitask.batching.arrays import IGNORED
from multitask.batching.step_maker import StepMaker, as_tensors
from multitask.mixing.plan import MixingPlan
from multitask.tables.table import print_table
from multitask.tokenization.ragged import Ragged
from multitask.tokenization.tokenize import TokenizedTask, tokenize_task
from multitask.training.data_module import MultitaskData, PlanSteps

PARTS = ("libraries", "tasks", "rows", "position", "processes")
VOCABULARY = 8000  # mini's, and that of drawn tokens
INPUTS = np.array([9, 12, 15, 18, 20, 22, 24, 26, 29, 33, 38, 47])  # lengths of computed rows, which repeat
TARGETS = np.array([2, 2, 9, 2, 2, 14, 2, 2, 5, 2, 2, 26])
STEPS = 10**9  # where a step is taken from when it has to stand far from the beginning


# ------------------------------------------------------------------------------------------------------------ the rows


class ComputedStarts:
    """`Ragged.starts` of sequences whose lengths repeat: a sum in closed form."""

    def __init__(self, lengths: np.ndarray, shift: int = 0) -> None:
        self.lengths, self.shift = lengths, shift
        self.sums = np.cumsum(lengths) - lengths

    def __getitem__(self, asked: Any) -> Any:
        if isinstance(asked, slice):
            return ComputedStarts(self.lengths, self.shift + asked.start)
        cycle, place = np.divmod(asked + self.shift, len(self.lengths))
        return cycle * self.lengths.sum() + self.sums[place]


class ComputedIds:
    """`Ragged.ids` that are a function of where they stand, and in place of an array's bytes."""

    @property
    def data(self) -> ComputedIds:
        return self

    def __getitem__(self, asked: slice) -> np.ndarray:
        return (np.arange(asked.start, asked.stop) * 7919 % (VOCABULARY - 3) + 3).astype(np.int32)


def computed() -> TokenizedTask:
    """Rows without end that take no memory."""
    inputs, targets = (Ragged(ComputedIds(), ComputedStarts(lengths)) for lengths in (INPUTS, TARGETS))
    return TokenizedTask(inputs, targets, 0, 0)


def mapped(rows: int, folder: Path) -> TokenizedTask:
    """As `computed`, in files that are mapped as the cache of tokens maps them: the ids are 0 and take no room on the
    disk, 16 bytes a row are written."""

    def side(name: str, lengths: np.ndarray) -> Ragged:
        starts = np.lib.format.open_memmap(folder / f"{name}-starts.npy", "w+", np.int64, (rows + 1,))
        place = ComputedStarts(lengths)
        for at in range(0, rows + 1, 1 << 20):
            starts[at : at + (1 << 20)] = place[np.arange(at, min(at + (1 << 20), rows + 1))]
        ids = np.lib.format.open_memmap(folder / f"{name}-ids.npy", "w+", np.int32, (int(starts[-1]),))
        del starts, ids  # what was written is no longer held
        return Ragged(*(np.asarray(np.load(folder / f"{name}-{x}.npy", mmap_mode="r")) for x in ("ids", "starts")))

    return TokenizedTask(side("inputs", INPUTS), side("targets", TARGETS), 0, 0)


def drawn(rows: int, seed: int, target: int) -> TokenizedTask:
    """Random ids; inputs as long as tweets and reviews, `target` tokens or so in a target."""
    draw = np.random.default_rng(seed)

    def side(lengths: np.ndarray) -> Ragged:
        ids = draw.integers(3, VOCABULARY, int(lengths.sum()), np.int32)
        return Ragged(ids, np.concatenate([[0], np.cumsum(lengths)]))

    lengths = np.clip(draw.lognormal(3.0, 0.55, rows), 4, 128).astype(np.int64)
    return TokenizedTask(side(lengths), side(2 + draw.integers(0, max(1, 2 * target - 3), rows)), 0, 0)


def read(data: Path | None, tokenizer: Any, names: Sequence[str], quick: bool) -> dict[str, TokenizedTask]:
    """{task: tokens} of the data, or drawn ones."""
    if data is None:
        rows = 2000 if quick else 50_000
        return {name: drawn(rows, seed, 12 if name == "span" else 2) for seed, name in enumerate(names)}
    import multitask.tasks  # noqa: F401  registers the built-in tasks
    from multitask.examples.loading import load_examples
    from multitask.sources.local_files import files
    from multitask.task import TASKS

    found = {}
    for name in names:
        task = TASKS.get(name)
        examples = load_examples(task, files(data / task.folder), "train", limit=2000 if quick else None)
        found[name] = tokenize_task(tokenizer, task, examples)
    return found


def maker_of(tokens: dict[str, TokenizedTask], rates: Sequence[float], batch_size: int, **settings: Any) -> StepMaker:
    sizes = {name: len(part) for name, part in tokens.items()}
    return made_maker(sizes, tokens, dict(zip(tokens, rates, strict=True)), batch_size, **settings)


def made_maker(sizes, tokens, rates, batch_size, execution="flat") -> StepMaker:
    plan = MixingPlan.from_rates(sizes, rates, batch_size, seed=0)
    names = tuple(tokens)
    return StepMaker(plan, names, tuple(tokens.values()), "task", (1.0,) * len(names), batch_size, 0, execution)


def split(pool: TokenizedTask, parts: int) -> dict[str, TokenizedTask]:
    """The same rows as `parts` tasks, the largest about four times the smallest."""
    shares = np.linspace(1, 4, parts)
    edges = np.round(np.cumsum([0, *shares]) / shares.sum() * len(pool)).astype(np.int64)
    order = np.random.default_rng(0).permutation(len(pool))
    found = {}
    for i, (a, b) in enumerate(itertools.pairwise(edges)):
        rows = order[a:b]
        found[f"task-{i:03}"] = TokenizedTask(pool.inputs.taken(rows), pool.targets.taken(rows), 0, 0)
    return found


def pooled(tokens: dict[str, TokenizedTask]) -> TokenizedTask:
    inputs, targets = (Ragged.joined([getattr(t, side) for t in tokens.values()]) for side in ("inputs", "targets"))
    return TokenizedTask(inputs, targets, 0, 0)


# ------------------------------------------------------------------------------------------------------------ measuring


class Took(NamedTuple):
    seconds: float
    processor: float
    tokens: int

    def rate(self) -> float:
        """Tokens a second of the processor."""
        return self.tokens / self.processor


def timed(batches: Iterable[Any], count: Callable[[Any], int]) -> Took:
    clock, processor = time.perf_counter(), time.process_time()
    counted = sum(map(count, batches))
    return Took(time.perf_counter() - clock, time.process_time() - processor, counted)


def tokens_of(batch: dict[str, Any]) -> int:
    """Real tokens of a batch of ours or of the collator's."""
    if "flat" in batch:
        return len(batch["flat"]["input_ids"]) + len(batch["flat"]["labels"])
    micros = batch.get("micro", [batch])
    return sum(int(m["attention_mask"].sum()) + int((m["labels"] != IGNORED).sum()) for m in micros)


def steps(maker: StepMaker, start: int, number: int, rank: int = 0, world: int = 1) -> Iterator[dict[str, Any]]:
    """As training gets them, but for Lightning."""
    return itertools.islice(PlanSteps(maker, start=start, rank=rank, world=world, accumulate=1), number)


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def interval(values: Sequence[float]) -> dict[str, float]:
    """As `spread`, but 95 % for the median, whatever the distribution: two of the values in order (binomial)."""
    ordered, count = sorted(values), len(values)
    low = max(0, int(count / 2 - 0.98 * count**0.5))
    return {"median": statistics.median(values), "low": ordered[low], "high": ordered[count - 1 - low]}


def memory() -> dict[str, float]:
    """MB: the most that this process has held, and how much of what it holds now is files that are mapped.

    From Linux's own account where there is one: `ru_maxrss` of a new process begins with that of its parent.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        kept = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
        return {"peak": int(kept["VmHWM"][0]) / 1024, "files": int(kept["RssFile"][0]) / 1024}
    except (OSError, KeyError):
        unit = 2**20 if sys.platform == "darwin" else 1024
        return {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, "files": float("nan")}


def apart(cases: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each of them measures in a new process, at the same time; its memory begins with the libraries'."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["multitask.training.data_module"])
    with ProcessPoolExecutor(len(cases), mp_context=context, max_tasks_per_child=1) as pool:
        return list(pool.map(measured, cases))


# ------------------------------------------------------------------------------------------------------------ the parts


def libraries(tokens: dict[str, TokenizedTask], *, batch_size: int, rounds: int, number: int) -> dict[str, Any]:
    """Ours beside the usual libraries, by turns."""
    from datasets import Dataset, interleave_datasets
    from torch.utils.data import DataLoader
    from transformers import DataCollatorForSeq2Seq

    sizes = [len(part) for part in tokens.values()]
    rates = [size / sum(sizes) for size in sizes]
    rows = [
        {
            "input_ids": [p.inputs[i].tolist() for i in range(len(p))],
            "attention_mask": [[1] * len(p.inputs[i]) for i in range(len(p))],  # as a tokenizer gives it
            "labels": [p.targets[i].tolist() for i in range(len(p))],
        }
        for p in tokens.values()
    ]
    began = time.perf_counter()
    mixed = interleave_datasets(
        [Dataset.from_dict(part) for part in rows], probabilities=rates, seed=0, stopping_strategy="all_exhausted"
    )
    prepared = time.perf_counter() - began
    collate = DataCollatorForSeq2Seq(padding_tokenizer(), label_pad_token_id=IGNORED)
    loader = DataLoader(mixed, batch_size=batch_size, collate_fn=collate)
    batches = (batch for _ in itertools.count() for batch in loader)
    makers = {name: maker_of(tokens, rates, batch_size, execution=name) for name in ("flat", "grouped")}
    for maker in makers.values():
        list(steps(maker, 0, 20))
    list(itertools.islice(batches, 3))
    found: dict[str, list[Took]] = {"flat": [], "grouped": [], "libraries": []}
    for turn in range(rounds):
        for name, maker in makers.items():
            found[name].append(timed(steps(maker, 20 + turn * number, number), tokens_of))
        found["libraries"].append(timed(itertools.islice(batches, max(2, number // 10)), tokens_of))
    result: dict[str, Any] = {"batch_size": batch_size, "rounds": rounds, "libraries_preparation_seconds": prepared}
    for name, took in found.items():
        result[name] = {
            "tokens_per_processor_second": spread([t.rate() for t in took]),
            "tokens_per_second": spread([t.tokens / t.seconds for t in took]),
            "ratio": spread([t.rate() / other.rate() for t, other in zip(took, found["libraries"], strict=True)]),
        }
    table = [
        (
            name,
            *(f"{result[name][k]['median'] / 1e6:.3f}" for k in ("tokens_per_processor_second", "tokens_per_second")),
            *(f"{result[name]['ratio'][k]:.1f}" for k in ("median", "low", "high")),
        )
        for name in found
    ]
    columns = ("made by", "M tokens/s of processor", "M tokens/s", "× libraries", "lowest", "highest")
    print_table(f"{batch_size} examples a step, {rounds} turns", columns, table)
    return result


def padding_tokenizer() -> Any:
    """What a collator needs of a tokenizer: the padding."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<pad>": 0}, "<pad>")), pad_token="<pad>"
    )


def tasks(
    pool: TokenizedTask, *, counts: Sequence[int], batch_size: int, rounds: int, number: int, training: int
) -> dict:
    """Growth with the number of tasks, made and trained."""
    makers = {n: split_maker(pool, n, batch_size) for n in counts}
    found: dict[int, list[Took]] = {n: [] for n in counts}
    for turn in range(-1, rounds):
        for n, maker in makers.items():
            took = timed(steps(maker, STEPS + turn * number, number), tokens_of)
            if turn >= 0:
                found[n].append(took)
    ms = {n: spread([1e3 * t.processor / number for t in took]) for n, took in found.items()}
    rates = {n: spread([t.rate() for t in took]) for n, took in found.items()}
    result: dict[str, Any] = {"batch_size": batch_size, "make_ms": ms, "tokens_per_processor_second": rates}
    step = None
    if training:
        result["training"] = trained(makers[4], makers[256], rounds=training)
        step = result["training"]["ms_with_4"]["median"]
    table = [
        (
            f"{n}",
            f"{ms[n]['median']:.2f}",
            f"{ms[n]['low']:.2f} – {ms[n]['high']:.2f}",
            f"{rates[n]['median'] / 1e6:.2f}",
            f"{100 * ms[n]['median'] / step:.2f}" if step else "·",
        )
        for n in counts
    ]
    columns = ("tasks", "ms a step made", "over the turns", "M tokens/s", "% of a training step of mini")
    print_table(f"{batch_size} examples a step, flat, the processor's time", columns, table)
    if training:
        t = result["training"]
        table = [(f"{n}", f"{t[f'ms_with_{n}']['median']:.1f}", f"{t[f'tokens_with_{n}']:.0f}") for n in (4, 256)]
        table.append(
            (
                "256 / 4, for a token, 95 % for the median",
                f"{t['ratio']['median']:.3f}",
                f"{t['ratio']['low']:.3f} – {t['ratio']['high']:.3f}",
            )
        )
        print_table(f"A training step of mini, {training} turns", ("tasks", "ms (ratio)", "tokens (spread)"), table)
    return result


def split_maker(pool: TokenizedTask, parts: int, batch_size: int) -> StepMaker:
    tokens = split(pool, parts)
    return maker_of(tokens, [len(part) for part in tokens.values()], batch_size)


def trained(few: StepMaker, many: StepMaker, *, rounds: int, number: int = 2) -> dict[str, Any]:
    """A whole step of `mini` on a CPU for two makers, by turns; ids are folded into its vocabulary.

    The turns are short, for a machine's speed drifts, and many; the interval is that of their median.
    """
    from multitask.model.from_scratch import build_model
    from multitask.training.module import step_loss
    from multitask.training.optim import OptimizerSettings, configure

    model = build_model("mini", VOCABULARY, seed=0, dropout=0.1, pad=0, eos=1).train()
    optimizer = configure(model.parameters(), OptimizerSettings("adamw-scaled", 1e-3))["optimizer"]

    def step(maker: StepMaker, k: int) -> int:
        batch = as_tensors(maker.make(k))
        flat = batch["flat"]
        flat["input_ids"], flat["labels"] = flat["input_ids"] % VOCABULARY, flat["labels"] % VOCABULARY
        loss, _ = step_loss(model, batch, k)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return len(flat["input_ids"]) + len(flat["labels"])

    found: dict[str, list[tuple[float, int]]] = {"few": [], "many": []}
    for turn in range(-1, rounds):
        for name, maker in (("few", few), ("many", many)):
            began = time.process_time()
            counted = sum(step(maker, STEPS + turn * number + i) for i in range(number))
            if turn >= 0:
                found[name].append((time.process_time() - began, counted))
    ratios = [(b / m) / (a / n) for (a, n), (b, m) in zip(found["few"], found["many"], strict=True)]
    result: dict[str, Any] = {"ratio": interval(ratios)}
    for label, name in (("4", "few"), ("256", "many")):
        result[f"ms_with_{label}"] = spread([1e3 * seconds / number for seconds, _ in found[name]])
        result[f"tokens_with_{label}"] = sum(n for _, n in found[name]) / (rounds * number)
    return result


def rows(*, sizes: Sequence[int], sources: Sequence[str], number: int) -> list[dict[str, Any]]:
    """Growth with the number of rows, a process for each."""
    found = []
    for source, size in itertools.product(sources, sizes):
        what = {"do": "steps", "source": source, "rows": size, "number": number}
        found.append({**what, **apart([what])[0]})
    table = [
        (
            r["source"],
            f"{r['rows']:,}",
            f"{r['ms']:.3f}",
            f"{r['rate'] / 1e6:.2f}",
            f"{r['peak']:.0f}",
            f"{r['files']:.0f}",
        )
        for r in found
    ]
    columns = ("rows", "how many", "ms a step", "M tokens/s", "peak MB", "mapped files at the end, MB")
    print_table(f"{number:,} steps of 64 examples, the processor's time", columns, table)
    return found


def processes(*, rows: int, number: int, rounds: int) -> dict[str, Any]:
    """From one process to two."""
    one = {"do": "steps", "source": "mapped", "rows": rows, "number": number}
    cases = {
        "one process": [one],
        "two, each a half of every step": [{**one, "rank": r, "world": 2} for r in (0, 1)],
        "two, each a half of steps of 128": [{**one, "rank": r, "world": 2, "batch_size": 128} for r in (0, 1)],
        "a loader with one worker": [{**one, "do": "loader", "workers": 1}],
        "a loader with two workers": [{**one, "do": "loader", "workers": 2}],
    }
    found: dict[str, list[list[dict[str, Any]]]] = {name: [] for name in cases}
    for _, (name, case) in itertools.product(range(rounds), cases.items()):
        found[name].append(apart(case))
    result = {}
    for name, turns in found.items():
        result[name] = {
            "tokens_per_second": spread([sum(p["tokens"] / p["seconds"] for p in turn) for turn in turns]),
            "tokens_per_processor_second": spread([p["rate"] for turn in turns for p in turn]),
            "peak": max(p["peak"] for turn in turns for p in turn),
        }
    table = [
        (
            name,
            f"{r['tokens_per_second']['median'] / 1e6:.2f}",
            f"{r['tokens_per_processor_second']['median'] / 1e6:.2f}" if "loader" not in name else "·",
            f"{r['peak']:.0f}",
        )
        for name, r in result.items()
    ]
    columns = ("processes", "M tokens/s together", "M tokens/s of processor, each", "peak MB, each")
    print_table(f"{number:,} steps, {rounds} turns", columns, table)
    return result


def position(*, rows: int, examples: int, places: int, number: int, whole: bool) -> dict[str, Any]:
    """Time and memory along a plan."""
    what = {"do": "position", "rows": rows, "examples": examples, "places": places, "number": number, "whole": whole}
    (found,) = apart([what])
    shown = found["places"][:: max(1, len(found["places"]) // 10)]
    table = [(f"{p['example']:,}", f"{p['ms']:.3f}", f"{p['peak']:.0f}") for p in shown]
    print_table(
        f"{number} steps at {places} places of {examples:,} examples", ("example", "ms a step", "peak MB"), table
    )
    if whole:
        print(
            f"every row of the plan, {found['read']:,}: {found['seconds']:.0f} s, peak {found['peak']:.0f} MB, "
            f"{found['epochs']} whole epochs with the right sums: {found['right']}"
        )
    return found


# ---------------------------------------------------------------------------------------------- in a process of its own


def maker_for(what: dict[str, Any], folder: Path) -> StepMaker:
    """Four tasks that read the same rows."""
    size = what["rows"]
    source = mapped(size, folder) if what.get("source") == "mapped" else computed()
    names = [f"task-{i}" for i in range(4)]
    sizes, rates = dict.fromkeys(names, size), {name: i + 1.0 for i, name in enumerate(names)}
    return made_maker(sizes, dict.fromkeys(names, source), rates, what.get("batch_size", 64))


def measured(what: dict[str, Any]) -> dict[str, Any]:
    """One case of `apart`."""
    with tempfile.TemporaryDirectory() as folder:
        maker = maker_for(what, Path(folder))
        return {"steps": at_random_places, "loader": by_loader, "position": along}[what["do"]](maker, what)


def at_random_places(maker: StepMaker, what: dict[str, Any]) -> dict[str, Any]:
    """Runs of ten steps, anywhere in the first epochs."""
    rank, world, number = what.get("rank", 0), what.get("world", 1), what["number"]
    draw = np.random.default_rng(1)
    list(steps(maker, 0, 20, rank, world))
    counted = 0
    clock, processor = time.perf_counter(), time.process_time()
    for start in draw.integers(0, 2 * what["rows"] // 64 + 1, number // 10).tolist():
        counted += sum(tokens_of(batch) for batch in steps(maker, start, 10, rank, world))
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    return {
        "ms": 1e3 * processor / number,
        "tokens": counted,
        "seconds": clock,
        "rate": counted / processor,
        **memory(),
    }


def by_loader(maker: StepMaker, what: dict[str, Any]) -> dict[str, Any]:
    """Through the loader of training, with workers."""
    from types import SimpleNamespace

    import torch

    # Back to the system's own way: workers would begin as this process did, but with the imports before them.
    multiprocessing.set_start_method(None, force=True)
    device = SimpleNamespace(root_device=torch.device("cpu"))
    data = MultitaskData(maker, workers=what["workers"])
    data.trainer = SimpleNamespace(global_rank=0, world_size=1, accumulate_grad_batches=1, strategy=device)
    batches = iter(data.train_dataloader())
    for _ in range(20):  # the workers have begun
        next(batches)
    clock, processor = time.perf_counter(), time.process_time()
    counted = sum(tokens_of(batch) for batch in itertools.islice(batches, what["number"]))
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    del batches
    return {"tokens": counted, "seconds": clock, "rate": counted / processor, **memory()}


def along(maker: StepMaker, what: dict[str, Any]) -> dict[str, Any]:
    """Consecutive steps at places from the first to the last example; then, if `whole`, every row of the plan."""
    list(steps(maker, 0, 20))
    places = []
    for start in np.linspace(0, what["examples"] // 64 - what["number"], what["places"]).astype(np.int64).tolist():
        took = timed(steps(maker, start, what["number"]), tokens_of)
        places.append({"example": start * 64, "ms": 1e3 * took.processor / what["number"], "peak": memory()["peak"]})
    if not what["whole"]:
        return {"places": places, "peak": memory()["peak"]}
    size, plan, chunk = what["rows"], maker.plan, 1 << 20
    began, read, right, epochs = time.process_time(), 0, True, 0
    for task in plan.tasks:
        total = plan.count(task, what["examples"] // 64)
        read += total
        for epoch in range(-(-total // size)):
            stop = min(total, (epoch + 1) * size)
            edges = [*range(epoch * size, stop, chunk), stop]
            summed = sum(int(plan.rows(task, a, b).sum()) for a, b in itertools.pairwise(edges))
            if stop == (epoch + 1) * size:
                right, epochs = right and summed == size * (size - 1) // 2, epochs + 1
    seconds = time.process_time() - began
    return {
        "places": places,
        "peak": memory()["peak"],
        "read": read,
        "epochs": epochs,
        "right": right,
        "seconds": seconds,
    }


# --------------------------------------------------------------------------------------------------------------- output


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--tokenizer", help="a folder or Hub id; needed with --data")
    parser.add_argument("--tasks", default="span,sst2,tweet_sentiment")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--quick", action="store_true", help="small numbers: that it runs, not what it finds")
    options = parser.parse_args(arguments)
    if options.data and not options.tokenizer:
        parser.error("--data needs --tokenizer")
    quick, size = options.quick, options.batch_size
    wanted = (options.only,) if options.only else PARTS
    result: dict[str, Any] = {"cores": os.cpu_count(), "threads": os.environ.get("OMP_NUM_THREADS", "all")}
    if {"libraries", "tasks"} & set(wanted):
        from multitask.tokenization.tokenizer import load_tokenizer

        tokenizer = load_tokenizer(options.tokenizer) if options.data else None
        tokens = read(options.data, tokenizer, options.tasks.split(","), quick)
    if "libraries" in wanted:
        turns = {"rounds": 3, "number": 40} if quick else {"rounds": 15, "number": 300}
        result["libraries"] = libraries(tokens, batch_size=size, **turns)
    if "tasks" in wanted:
        turns = {"rounds": 3, "number": 20, "training": 1} if quick else {"rounds": 15, "number": 200, "training": 60}
        result["tasks"] = tasks(pooled(tokens), counts=(1, 4, 16, 64, 256), batch_size=size, **turns)
    if "rows" in wanted:
        sizes = (10**4, 10**6) if quick else (10**4, 10**5, 10**6, 10**7, 10**8)
        result["rows"] = rows(sizes=sizes, sources=("computed", "mapped"), number=100 if quick else 4000)
    if "position" in wanted:
        far = {"rows": 10**6, "examples": 10**7} if quick else {"rows": 10**8, "examples": 10**9}
        result["position"] = position(**far, places=20 if quick else 200, number=10 if quick else 50, whole=True)
    if "processes" in wanted:
        result["processes"] = processes(rows=10**5, number=200 if quick else 4000, rounds=1 if quick else 5)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
