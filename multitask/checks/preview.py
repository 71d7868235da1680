"""The output of `multitask mix` and `multitask tasks check`: everything that can be known before training."""

from __future__ import annotations

import json

from multitask.config import TrainConfig
from multitask.mixing.prepare import PlannedMixture, prepare_mixture
from multitask.mixing.summary import data_notes, print_mix, token_shares
from multitask.mixing.warnings import find_never_sampled
from multitask.terminal.output import say, say_as_it_is
from multitask.tokenization.vocabulary import mixture_tokenizer


def mean_tokens(mix: PlannedMixture, config: TrainConfig, *, rows: int = 2000) -> dict[str, tuple[float, float]]:
    """{task: (mean input tokens, mean target tokens)} over at most `rows` training examples of each, evenly spread."""
    import dataclasses

    from multitask.tokenization.disk_cache import Cache
    from multitask.tokenization.token_cache import TokenCache
    from multitask.tokenization.tokenize import tokenize_task

    tokenizer = mixture_tokenizer(config, mix)
    cached = TokenCache(Cache(), tokenizer)
    means = {}
    for name, data in mix.data.items():
        every = max(1, len(data.train) // rows)
        if every == 1:  # all of them: the next look at them, or a run, finds them in the cache
            tokens = cached.tokenized(data.task, data.train)
        else:
            some = data.train.examples[::every]
            tokens = tokenize_task(tokenizer, data.task, dataclasses.replace(data.train, examples=some))
        means[name] = (float(tokens.inputs.lengths.mean()), float(tokens.targets.lengths.mean()))
    return means


def print_plan(config: TrainConfig, *, as_json: bool) -> None:
    """Print the planned mixture."""
    from multitask.mixing.plan import planned

    mix = prepare_mixture(config)
    means = mean_tokens(mix, config)
    if not as_json:
        say(*data_notes(mix))
        print_mix(mix, means)
        say(*(f"WARNING: {line}" for line in find_never_sampled(mix.plan, mix.steps)))
        return
    shares = token_shares(mix, means)
    tasks = {
        row.task: {
            "rows": row.size,
            "rate": float(row.rate),
            "examples": row.examples,
            "epochs": float(row.epochs),
            "input_token_share": shares[row.task][0],
            "target_token_share": shares[row.task][1],
        }
        for row in planned(mix.plan, mix.steps)
    }
    say_as_it_is(json.dumps({"steps": mix.steps, "batch_size": mix.batch_size, "tasks": tasks}, indent=2))


def print_check(config: TrainConfig, *, as_json: bool, show: int = 0) -> None:
    """Print the check of tasks and data, and `show` training examples of each task."""
    from multitask.checks.check import check_tasks
    from multitask.checks.show import print_report
    from multitask.examples.example_text import example_lines, spread

    mix = prepare_mixture(config)
    report = check_tasks(mix.tasks, mix.data, mixture_tokenizer(config, mix))
    few = {name: spread(data.train.examples, show) for name, data in mix.data.items()} if show else {}
    if as_json:
        found = report.to_dict()
        if few:
            found["examples"] = {
                name: [{"id": e.id, "input": e.inputs, "target": e.target} for e in some] for name, some in few.items()
            }
        say_as_it_is(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for name, some in few.items():
        train = mix.data[name].train
        say(f"{name}: {len(some)} of {len(train):,} training examples, from {train.source}")
        for example in some:
            say(*example_lines(example), "")
    print_report(report)
