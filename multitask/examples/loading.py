"""Rows become the examples of one task: checked, counted, with ids that are stable across runs.

Words
    examples    `Examples`: one split of one task, as strings, prefix in front
    id          "train:17" for what row 17 (from 0) became, "train:17.2" for the third of several; or the formatter's
    skipped     rows' examples that are left out, by reason: nothing after the prefix; in training, no label; rows of
                which the formatter makes no example; and bad rows, if that was asked for (see `bad_rows`)
    held out    a part of the training rows that stands in for a missing validation split
    selection   a part of the training rows for choosing checkpoints, disjoint from what is reported

Which rows are taken out of training rests on a hash of (seed, folder, purpose, id) of each row, or of the first of
those that stay together (see `held_out`). So a row stays on its side when rows are added or others are
removed (as long as the part is not capped and groups are small), and two tasks that read the same folder take out the
same rows (but for rows whose inputs are equal in one task alone): otherwise one would train on the other's evaluation
texts.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping

from multitask.errors import UserError
from multitask.examples.bad_rows import (
    BAD,
    BadRow,
    OnBadRow,
    bad_row,
    bad_row_notes,
    check_example,
    check_some_left,
    check_target,
    formatted_row,
    row_error,
    target_checks,
)
from multitask.examples.dataset import EMPTY, NO_EXAMPLE, NO_LABEL, Examples, TaskData
from multitask.examples.held_out import Unit, examples_of, grouped, share_of, taken_out, without
from multitask.gc_pause import pause_garbage_collection
from multitask.sources.local_files import FileSource
from multitask.sources.protocol import Source
from multitask.sources.split_files import like_validation
from multitask.sources.table import Rows
from multitask.task import UNLABELLED, Task, takes_split


@pause_garbage_collection()
def load_examples(
    task: Task, source: Source, split: str, *, limit: int | None = None, on_bad_row: OnBadRow = "error"
) -> Examples:
    """The examples of one split.

    Left out and counted: examples with nothing after the prefix (or an empty text to cut a span from), and outside
    "test", which is for predicting only, examples without a label.

    Args:
        task: Need not be registered.
        source: See `multitask.examples.choose_source.resolve_source`.
        split: One of the source's.
        limit: Stop after so many examples; `None` for all.
        on_bad_row: What is done about a row of which the task cannot make an example: `error`, or `skip` to leave it
            out; see `Examples.bad_rows`.

    Raises:
        UserError: If a row is bad (with file, row and the formatter's own words), or all are; if an id is given twice.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be 1 or more, or None. Got {limit}.")
    rows = _rows_of(task, source, split)
    skipped: Counter[str] = Counter()
    bad: dict[int, BadRow] | None = {} if on_bad_row == "skip" else None
    units = _units(task, rows, split, as_split=split, skipped=skipped, limit=limit, bad=bad)
    made = tuple(example for unit in units for example in unit.examples)[:limit]
    _check_ids(task, rows, units)
    left_out = _left_out(task, split, bad, len(rows), skipped)
    return Examples(task.name, split, made, rows.origin, source.generated, dict(skipped), left_out, len(rows))


@pause_garbage_collection()
def load_task(
    task: Task,
    source: Source,
    *,
    seed: int,
    holdout: float = 0.1,
    selection: int = 0,
    on_bad_row: OnBadRow = "error",
) -> TaskData:
    """A task's training and validation examples, with parts of the training rows taken out where needed.

    Examples of one group (MultiRC's question), of one row and of equal input stay on one side; see `held_out`. What is
    taken out is formatted as validation rows are (WSC trains on true examples only, but is scored on all).

    Args:
        task: Need not be registered.
        source: Must have the split "train".
        seed: Of the choice. Runs that are compared must share it: their scores are paired by example.
        holdout: The share of training examples held out if there is no validation split, at most `HOLDOUT_MAX` of
            them; between 0 and 1.
        selection: How many training examples to take out for choosing checkpoints, or as near as groups allow.
        on_bad_row: As in `load_examples`; what is left out is said in the notes.

    Raises:
        UserError: If a row is bad; if there are no training examples left, or no validation examples.
    """
    if not 0 < holdout < 1:
        raise ValueError(f"holdout must be between 0 and 1. Got {holdout}.")
    if selection < 0:
        raise ValueError(f"selection must be 0 or more. Got {selection}.")
    splits = source.splits()
    if "validation" not in splits:
        other = like_validation(name for name in splits if name != "train")
        if other is not None:  # holding out would silently leave the rows unused that were meant
            named = f" ({source.file(other)})" if isinstance(source, FileSource) else ""
            or_not = ", or let its name begin with '_' if it is not meant" if named else ""
            raise UserError(
                f"task '{task.name}': {source.description} has a split '{other}'{named} and none named 'validation'; "
                f"rename it{or_not}."
            )
    rows = _rows_of(task, source, "train")
    skipped: Counter[str] = Counter()
    bad: dict[int, BadRow] | None = {} if on_bad_row == "skip" else None
    units = _units(task, rows, "train", as_split="train", skipped=skipped, bad=bad)
    # What is held out is chosen among the rows as they are formatted for evaluation, which may be more than train.
    evaluated = units
    if takes_split(task.formatter):
        evaluated = _units(task, rows, "train", as_split="validation", bad=bad)
        if bad:  # a row may be bad in one of the two ways only, and is left out of both
            units, evaluated = ([u for u in part if u.row not in bad] for part in (units, evaluated))
    left_out = _left_out(task, "train", bad, len(rows), skipped)
    _check_ids(task, rows, units)
    notes: list[str] = []
    # By all of them, also those that are held out: so the seed of that choice has no say in it.
    task = task.with_no_answer(e.target for unit in units for e in unit.examples)
    total = examples_of(units)
    if task.output == "span" and task.decoding.no_answer:
        empty = sum(not e.target.strip() for unit in units for e in unit.examples)
        notes.append(f"{task.name}: {empty:,} of {total:,} training targets are empty, so a span may be (no answer).")
    if not total:
        reasons = "".join(f" ({count} skipped: {reason})" for reason, count in skipped.items())
        raise UserError(f"Task '{task.name}' has 0 training examples{reasons}; a mixture needs one or more.")

    wanted = 0 if "validation" in splits else share_of(evaluated, holdout, f"{seed}/{task.folder}/validation")
    if wanted or selection:
        units, evaluated = grouped(units, evaluated)
    taken: list[Unit] = []
    if not wanted:
        validation = load_examples(task, source, "validation", on_bad_row=on_bad_row)
    else:
        if len({unit.key for unit in evaluated}) == 1:
            what = "s are all of one input or one group" if total != 1 else " is the only one"
            raise UserError(
                f"task '{task.name}' has no validation split, and nothing can be held out for it: its {total:,} "
                f"training example{what}."
            )
        taken = taken_out(evaluated, wanted, f"{seed}/{task.folder}/validation")
        validation = _as_examples(task, source, rows, taken, "validation")
        sentence = (
            f"{len(validation):,} of {total:,} training examples of {rows.origin} are held out for it (seed {seed}; "
            f"those of one input stay together), and train no more."
        )
        validation = dataclasses.replace(validation, held_out=sentence)
        notes.append(f"{task.name}: no validation split in {source.description}; {sentence}")
    chosen: Examples | None = None
    if selection:
        rest = without(evaluated, taken)
        if selection >= examples_of(rest) or len({unit.key for unit in rest}) < 2:
            raise UserError(
                f"task '{task.name}' has {examples_of(rest):,} training examples, so {selection:,} cannot be taken out "
                f"for selection; ask for fewer."
            )
        part = taken_out(rest, selection, f"{seed}/{task.folder}/selection")
        taken = taken + part
        chosen = _as_examples(task, source, rows, part, "selection")
        sentence = f"{len(chosen):,} of {total:,} training examples are for choosing checkpoints."
        chosen = dataclasses.replace(chosen, held_out=sentence)
        notes.append(f"{task.name}: {sentence}")
    train = _as_examples(task, source, rows, without(units, taken), "train", skipped)
    train = dataclasses.replace(train, bad_rows=left_out, total_rows=len(rows))
    for part_name, one in (("training", train), ("validation", validation)):
        for reason, count in one.skipped.items():
            if reason == NO_EXAMPLE:
                notes.append(f"{task.name}: the task makes no example of {count:,} {part_name} row{'s'[: count != 1]}.")
            elif reason != BAD:
                notes.append(f"{task.name}: {count:,} {part_name} example{'s'[: count != 1]} skipped ({reason}).")
        scored = one is validation or "validation" not in splits
        notes += bad_row_notes(task.name, one.split, one.bad_rows, one.total_rows, scored=scored)
    if not len(train):
        raise UserError(f"Task '{task.name}' has 0 training examples; a mixture needs one or more.")
    if not len(validation):
        raise UserError(f"Task '{task.name}' has 0 validation examples; a score needs one or more.")
    return TaskData(task, train, validation, chosen, notes)


def split_examples(examples: Examples, count: int, *, seed: int) -> tuple[Examples, Examples]:
    """(the rest, `count` examples taken out): a seeded choice by a hash of each id; groups stay together.

    Raises:
        ValueError: If `count` is not between 1 and the number of examples less one.
    """
    if not 1 <= count < len(examples):
        raise ValueError(f"count must be from 1 to {len(examples) - 1}. Got {count}.")
    units = [Unit(example.group or example.id, i, [example]) for i, example in enumerate(examples)]
    taken = {id(unit) for unit in taken_out(units, count, f"{seed}/{examples.task}/split")}
    parts = ([u.examples[0] for u in units if (id(u) in taken) is side] for side in (False, True))
    rest, out = (dataclasses.replace(examples, examples=tuple(part), skipped={}) for part in parts)
    return rest, out


# ------------------------------------------------------------------------------------------------ rows to examples


def _rows_of(task: Task, source: Source, split: str) -> Rows:
    """The rows of a split, of a source that anyone may have written."""
    found: object = source.rows(split)
    if not isinstance(found, Rows):
        raise UserError(
            f"task '{task.name}': its source gives a {type(found).__name__} for split '{split}' and not "
            f"multitask.sources.table.Rows; multitask.rows(function) makes a source of a function that gives a list."
        )
    return found


def _units(
    task: Task,
    rows: Rows,
    split: str,
    *,
    as_split: str,
    skipped: Counter[str] | None = None,
    limit: int | None = None,
    bad: dict[int, BadRow] | None = None,
) -> list[Unit]:
    """Format the rows; bad ones go into `bad`, by position, or are an error if there is none."""
    units: list[Unit] = []
    counts: Counter[str] = Counter() if skipped is None else skipped
    made = 0
    checks = target_checks(task)
    for position, row in enumerate(rows):
        if limit is not None and made >= limit:
            break
        try:
            several = formatted_row(task, row, as_split)
            for example in several:
                check_example(example)
                if checks and example.target != UNLABELLED:
                    check_target(example.target, checks)
        except Exception as error:  # the formatter is the user's, so anything may come
            if bad is None:
                raise row_error(task, rows, position, error) from error
            bad.setdefault(position, bad_row(task, rows, split, position, error))
            continue
        kept = []
        if not several:
            counts[NO_EXAMPLE] += 1
        for j, example in enumerate(several):
            if not example.inputs.strip() or (example.context is not None and not example.context.strip()):
                counts[EMPTY] += 1
            elif example.target == UNLABELLED and as_split != "test":
                counts[NO_LABEL] += 1
            else:
                suffix = f".{j}" if len(several) > 1 else ""
                kept.append(example.renewed(task.prefix + example.inputs, example.id or f"{split}:{position}{suffix}"))
        if kept:
            # By position unless the examples say otherwise: ".2" of a row must stay with its ".0".
            own = kept[0].group or (several[0].id or f"{split}:{position}")
            units.append(Unit(own, position, kept))
            made += len(kept)
    return units


def _left_out(
    task: Task, split: str, bad: Mapping[int, BadRow] | None, total: int, skipped: Counter[str]
) -> tuple[BadRow, ...]:
    """The bad rows in order, counted among what is skipped.

    Raises:
        UserError: If nothing else is there.
    """
    if not bad:
        return ()
    found = tuple(bad[position] for position in sorted(bad))
    check_some_left(task, split, found, total)
    skipped[BAD] = len(found)
    return found


def _check_ids(task: Task, rows: Rows, units: list[Unit]) -> None:
    seen: dict[str, int] = {}
    for unit in units:
        for example in unit.examples:
            if example.id in seen:
                raise UserError(
                    f"task '{task.name}' gives the id {example.id!r} twice, at {rows.where(seen[example.id])} and "
                    f"{rows.where(unit.row)}; runs are paired by id, so give each example its own, or none."
                )
            seen[example.id] = unit.row


def _as_examples(
    task: Task, source: Source, rows: Rows, units: list[Unit], split: str, skipped: Mapping[str, int] | None = None
) -> Examples:
    made = tuple(example for unit in sorted(units, key=lambda u: u.row) for example in unit.examples)
    return Examples(task.name, split, made, rows.origin, source.generated, dict(skipped or {}))
