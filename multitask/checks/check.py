"""The check of tasks and their data before any training: `multitask tasks check`.

Words
    duplicate    an example with the input of an earlier one of its split
    conflicting  a duplicate whose target is not that of the first example with its input
    cut          longer, in tokens, than the task's limit: in training the end is not seen
    unreachable  a target that generation cannot finish: it is longer than `decoding.max_new_tokens`
    ceiling      what a perfect model could score; see `multitask.checks.ceilings`
    overlap      evaluated texts that stand in training texts; see `multitask.checks.overlap`
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from multitask.checks.ceilings import round_trip
from multitask.checks.overlap import find_overlaps
from multitask.checks.report import CheckReport, Labels, Lengths, SplitReport, TaskReport
from multitask.checks.warnings import Warning_, warnings_of
from multitask.examples.misfits import data_cautions
from multitask.tokenization.special_tokens import encode, encode_targets
from multitask.tokenization.unwritable import is_written, label_winners

if TYPE_CHECKING:
    from multitask.examples.dataset import Examples, TaskData
    from multitask.task import Task
    from multitask.tokenization.tokenizer import Tokenizer

_CHUNK = 2048  # strings a call of the tokenizer, and the steps of a progress bar


def check_tasks(
    tasks: Mapping[str, Task],
    data: Mapping[str, TaskData],
    tokenizer: Tokenizer,
    advance: Callable[[int], None] | None = None,
) -> CheckReport:
    """Look at tasks, their examples and what a tokenizer makes of them; no model is needed.

    Args:
        tasks: {name: task}.
        data: {name: its examples}, of the same names.
        tokenizer: The model's.
        advance: Called with the number of examples that are done; in total there are those of all splits.

    Raises:
        ValueError: If `tasks` and `data` have different names.
        UserError: If a metric cannot score the data (`misfits`); if a span task has no source texts, or the tokenizer
            knows no offsets for them.
    """
    if tasks.keys() != data.keys():
        raise ValueError(f"tasks and data must have the same names. Got {sorted(tasks)} and {sorted(data)}.")
    tasks = {name: task.with_no_answer(e.target for e in data[name].train) for name, task in tasks.items()}
    found: list[Warning_] = []
    for name, task in tasks.items():  # first of all: it may be an error
        cautions = data_cautions(task, data[name])
        found += [(0, -1.0, line) for line in cautions.undefined] + [(4, -1.0, line) for line in cautions.one_kind]
    reports = {name: _task_report(task, data[name], tokenizer, advance) for name, task in tasks.items()}
    overlaps = find_overlaps(tasks, data)
    return CheckReport(reports, overlaps, warnings_of(tasks, reports, overlaps, found))


def _task_report(task: Task, data: TaskData, tokenizer: Tokenizer, advance: Callable[[int], None] | None) -> TaskReport:
    parts = {"train": data.train, "validation": data.validation}
    if data.selection is not None:
        parts["selection"] = data.selection
    splits = {split: _split_report(task, examples, tokenizer, advance) for split, examples in parts.items()}
    return TaskReport(
        output=task.output,
        primary=task.primary.name,
        generated=data.train.generated,
        splits=splits,
        labels=_labels(task, parts, tokenizer) if task.output == "labels" else {},
        round_trip=round_trip(task, data.validation, tokenizer),
    )


def _split_report(
    task: Task, examples: Examples, tokenizer: Tokenizer, advance: Callable[[int], None] | None
) -> SplitReport:
    first: dict[str, str] = {}
    duplicates = conflicting = 0
    for e in examples:
        if e.inputs in first:
            duplicates += 1
            conflicting += first[e.inputs] != e.target
        first.setdefault(e.inputs, e.target)

    lengths: list[int] = []
    unknown = 0
    for at in range(0, len(examples), _CHUNK):
        chunk = [e.inputs for e in examples[at : at + _CHUNK]]
        ids = encode(tokenizer, chunk)
        lengths += map(len, ids)
        unknown += sum(i.count(tokenizer.unk_token_id) for i in ids)
        if advance:
            advance(len(chunk))
    kinds = list(dict.fromkeys(e.target for e in examples))
    tokens = dict(zip(kinds, encode_targets(tokenizer, kinds), strict=True))
    sizes = {kind: len(ids) for kind, ids in tokens.items()}
    lacking = {kind for kind, ids in tokens.items() if tokenizer.unk_token_id in ids} if is_written(task) else set()
    target_lengths = [sizes[e.target] for e in examples]
    generates = task.output in ("text", "number") or (task.output == "span" and task.decoding.span == "greedy")
    return SplitReport(
        rows=len(examples),
        source=examples.source,
        skipped=dict(examples.skipped),
        duplicates=duplicates,
        conflicting=conflicting,
        empty_targets=sum(not e.target.strip() for e in examples),
        inputs=Lengths.of(lengths, task.max_input_tokens),
        targets=Lengths.of(target_lengths, task.max_target_tokens),
        # Without the end of sequence: an answer that has no room for it is complete all the same.
        unreachable=sum(n - 1 > task.decoding.max_new_tokens for n in target_lengths) if generates else 0,
        unknown_tokens=unknown / sum(lengths) if lengths else float("nan"),
        bad_rows=[row.listed(task.name) for row in examples.bad_rows],
        held_out=examples.held_out,
        unwritable=sum(e.target in lacking for e in examples),
    )


def _labels(task: Task, parts: Mapping[str, Examples], tokenizer: Tokenizer) -> dict[str, Labels]:
    counts = {split: Counter(e.target for e in examples) for split, examples in parts.items()}
    winners = label_winners(tokenizer, task.labels)
    out = {}
    for label in task.labels:
        (ids,) = encode_targets(tokenizer, [label])
        out[label] = Labels(
            counts={split: counts[split][label] for split in parts},
            tokens=len(ids),
            unknown=tokenizer.unk_token_id in ids,
            same_as=winners[label] if winners[label] != label else "",
        )
    return out
