"""The warnings of a check of tasks and data, and the figures from which on they are given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from multitask.checks.overlap import Overlap
from multitask.checks.report import SplitReport, TaskReport
from multitask.examples.bad_rows import BAD
from multitask.tokenization.unwritable import SHARE, alike, unknown, unwritten

if TYPE_CHECKING:
    from multitask.task import Task


POINTS = 0.5
"""A ceiling that is less than this below perfect is not worth a sentence."""


PARTS = 0.05
"""The share of validation examples from which on shared phrases are."""


Warning_ = tuple[int, float, str]
"""How serious (0 is the most), minus the share that is affected, and the sentence."""


def warnings_of(
    tasks: Mapping[str, Task], reports: Mapping[str, TaskReport], overlaps: list[Overlap], of_data: list[Warning_]
) -> list[str]:
    """The warnings of a check as sentences, the most serious first."""
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
    """Name evaluated texts that stand in a training; shared phrases, which prove little, are left out."""
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
