"""What to know of tasks and their data before any training: `multitask tasks check`.

Words
    duplicate    an example with the input of an earlier one of its split
    conflicting  a duplicate whose target is not that of the first example with its input
    cut          longer, in tokens, than the task's limit: in training the end is not seen
    unreachable  a target that generation cannot finish: it is longer than `decoding.max_new_tokens`
    ceiling      what a perfect model could score; see `multitask.ceilings`
    overlap      evaluated texts that stand in training texts; see `multitask.overlap`

`multitask tasks` without `check` is in `multitask.task_list`; its functions can be imported from here too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from multitask.bad_rows import BAD
from multitask.ceilings import round_trip
from multitask.check_report import CheckReport, Labels, Lengths, SplitReport, TaskReport, print_report
from multitask.misfits import data_cautions
from multitask.overlap import Overlap, find_overlaps
from multitask.special_tokens import encode
from multitask.task_list import TaskRow, describe_task, list_tasks, print_tasks
from multitask.unwritable import SHARE, alike, is_written, label_winners, unknown, unwritten

if TYPE_CHECKING:
    from multitask.examples import Examples, TaskData
    from multitask.task import Task
    from multitask.tokens import Tokenizer

__all__ = [
    "CheckReport",
    "Labels",
    "Lengths",
    "SplitReport",
    "TaskReport",
    "TaskRow",
    "check_tasks",
    "describe_task",
    "list_tasks",
    "print_report",
    "print_tasks",
]

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
    return CheckReport(reports, overlaps, _warnings(tasks, reports, overlaps, found))


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
    tokens = dict(zip(kinds, encode(tokenizer, kinds), strict=True))
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
        (ids,) = encode(tokenizer, [label])
        out[label] = Labels(
            counts={split: counts[split][label] for split in parts},
            tokens=len(ids),
            unknown=tokenizer.unk_token_id in ids,
            same_as=winners[label] if winners[label] != label else "",
        )
    return out


# ---------------------------------------------------------------------------------------------------------- warnings

POINTS = 0.5
"""A ceiling that is less than this below perfect is not worth a sentence."""
PARTS = 0.05
"""The share of validation examples from which on shared phrases are."""

Warning_ = tuple[int, float, str]
"""How serious (0 is the most), minus the share that is affected, and the sentence."""


def _warnings(
    tasks: Mapping[str, Task], reports: Mapping[str, TaskReport], overlaps: list[Overlap], of_data: list[Warning_]
) -> list[str]:
    found = list(of_data)
    for name, report in reports.items():
        found += _label_warnings(name, report)
        found += _ceiling_warnings(tasks[name], report)
        for split, s in report.splits.items():
            found += _split_warnings(tasks[name], split, s)
        if report.generated:
            found.append((0, 0.0, f"{name}: the rows are generated; scores on them say nothing about the task."))
    found += (w for o in overlaps for w in _overlap_warnings(o))
    return [sentence for _, _, sentence in sorted(found, key=lambda w: w[:2])]  # stable: else in the order of tasks


def _label_warnings(name: str, report: TaskReport) -> Iterator[Warning_]:
    for label, one in report.labels.items():
        if one.same_as:
            yield 0, -1.0, alike(name, label, one.same_as)
        elif one.unknown:
            yield 1, -1.0, unknown(name, label)
        if not one.counts["train"]:
            seen = one.counts["validation"]
            rows = report.splits["validation"].rows
            end = f", and {seen:,} of {rows:,} validation examples have it" if seen else ""
            yield 1, -seen / max(rows, 1), f"{name}: label '{label}' is never seen in training{end}."


_WAY = {
    "generated": "generated text",
    "pieces": "spans of whole tokens of the source",
    "ranked": "ranking the labels",
}


def _ceiling_warnings(task: Task, report: TaskReport) -> Iterator[Warning_]:
    trip = report.round_trip
    if trip.lost >= POINTS:
        way, ceiling = [*trip.ceilings.items()][-1]
        worst = "at most" if ceiling < trip.perfect else "at least"
        yield (
            *(2, -trip.lost / 100),
            f"{task.name}: {_WAY[way]} can reach a {trip.metric} of {ceiling:.3f} {worst}; perfect is "
            f"{trip.perfect:.3f}, and {_percent(trip.survive)} of the targets survive encoding and decoding.",
        )


def _split_warnings(task: Task, split: str, s: SplitReport) -> Iterator[Warning_]:
    part = "training" if split == "train" else split

    def of(count: int) -> str:
        return f"{count:,} of {s.rows:,} {part} examples ({_percent(count / s.rows)})"

    if not s.rows:
        return
    if s.held_out:
        yield 6, 0.0, f"{task.name}: {'no validation split: ' if split == 'validation' else ''}{s.held_out}"
    if s.unreachable:
        yield (
            *(3, -s.unreachable / s.rows),
            f"{task.name}: the targets of {of(s.unreachable)} are longer than the {task.decoding.max_new_tokens} "
            f"tokens that decoding may generate.",
        )
    if s.unwritable >= SHARE * s.rows:
        yield 3, -s.unwritable / s.rows, unwritten(task.name, s.unwritable, s.rows, part)
    if s.empty_targets:
        never = ""
        if task.output == "span" and task.decoding.no_answer is False:
            never = " No span is empty, so they cannot be answered: give decoding=Decoding(no_answer=True)."
        yield 4, -s.empty_targets / s.rows, f"{task.name}: {of(s.empty_targets)} have an empty target.{never}"
    for kind, lengths in (("inputs", s.inputs), ("targets", s.targets)):
        if lengths.cut >= SHARE * s.rows:
            yield (
                *(5, -lengths.cut / s.rows),
                f"{task.name}: the {kind} of {of(lengths.cut)} are longer than {lengths.limit} tokens and are cut; "
                f"the longest has {lengths.longest:,}.",
            )
    if s.conflicting >= SHARE * s.rows:
        yield (
            *(5, -s.conflicting / s.rows),
            f"{task.name}: {of(s.conflicting)} repeat an input with another target.",
        )
    if s.unknown_tokens >= SHARE:
        yield (
            *(6, -s.unknown_tokens),
            f"{task.name}: {_percent(s.unknown_tokens)} of the {part} inputs' tokens are <unk>.",
        )
    same = s.duplicates - s.conflicting
    if same >= SHARE * s.rows:
        yield 7, -same / s.rows, f"{task.name}: {of(same)} repeat an input and its target."
    for reason, count in s.skipped.items():
        if reason == BAD:
            first = s.bad_rows[0]
            at = f"row {first['row']}" if first["line"] is None else f"line {first['line']}"
            yield (
                *(1, -count / (s.rows + count)),
                f"{task.name}: {count:,} bad {part} row{'s'[: count != 1]} left out; the first, {first['file']}, {at}: "
                f"{first['reason']}",
            )
            continue
        yield (
            8,
            -count / (s.rows + count),
            f"{task.name}: {count:,} {part} example{'s'[: count != 1]} skipped ({reason}).",
        )


def overlap_sentences(overlap: Overlap) -> list[str]:
    """What to say of evaluated texts that stand in a training; shared phrases, which prove little, are left out."""
    return [sentence for rank, _, sentence in _overlap_warnings(overlap) if rank <= LEAKAGE]


LEAKAGE = 3
"""The last kind of overlap that means a shared text and not a phrase."""


def _overlap_warnings(o: Overlap) -> Iterator[Warning_]:
    own = o.train == o.validation
    whose = "its own training" if own else f"the training of {o.train}"
    effect = "its score is partly recall" if own else "what looks like transfer is partly recall"
    # Each kind counts the stronger ones too; it has a sentence of its own where it adds enough to them.
    for count, added, least, what, rank in (
        (o.whole, o.whole, 0.0, "inputs stand in", 2),
        (o.field, o.field - o.whole, SHARE, "inputs share a text with", 3),
        (o.part, o.part - o.field, PARTS, "inputs share a phrase with", 7),
    ):
        if added and added >= least * o.examples:
            yield (
                *(rank, -count / o.examples),
                f"{o.validation}: {count:,} of {o.examples:,} validation {what} {whose} "
                f'({_percent(count / o.examples)}): {effect}; e.g. {o.validation_id}, "{_short(o.text)}".',
            )


def _short(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
