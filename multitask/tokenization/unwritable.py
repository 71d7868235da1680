"""Labels and targets that a vocabulary cannot write or tell apart; all of it a look at tokens that are there anyway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from multitask.tokenization.ragged import Ragged
from multitask.tokenization.special_tokens import encode_targets
from multitask.tokenization.tokenizer import Tokenizer

if TYPE_CHECKING:
    from multitask.task import Task

SHARE = 0.01
"""The share of a split from which on targets that cannot be written are worth a warning."""


def label_winners(tokenizer: Tokenizer, labels: Sequence[str]) -> dict[str, str]:
    """{label: the label that ranking gives where this one is right}: the first of those with the same token ids."""
    return _winners(labels, encode_targets(tokenizer, labels))


def _winners(labels: Sequence[str], ids: Sequence[list[int]]) -> dict[str, str]:
    first: dict[tuple[int, ...], str] = {}
    return {label: first.setdefault(tuple(tokens), label) for label, tokens in zip(labels, ids, strict=True)}


def alike(task: str, label: str, winner: str) -> str:
    """The sentence on a label whose tokens are those of an earlier one."""
    return (
        f"{task}: labels '{winner}' and '{label}' have the same tokens, so '{label}' can never be predicted; write one "
        f"of them another way."
    )


def unknown(task: str, label: str) -> str:
    """The sentence on a label that the vocabulary cannot write."""
    return f"{task}: label '{label}' holds tokens that the vocabulary lacks; write it another way."


def label_cautions(task: Task, tokenizer: Tokenizer) -> list[str]:
    """Sentences on a label task's labels."""
    if task.output != "labels":
        return []
    ids = encode_targets(tokenizer, task.labels)
    winners = _winners(task.labels, ids)
    return [
        alike(task.name, label, winners[label]) if winners[label] != label else unknown(task.name, label)
        for label, tokens in zip(task.labels, ids, strict=True)
        if winners[label] != label or tokenizer.unk_token_id in tokens
    ]


def is_written(task: Task) -> bool:
    """Whether an answer is written token by token: labels are ranked, and spans chosen among those of the source."""
    return task.output in ("text", "number") or (task.output == "span" and task.decoding.span == "generate")


def with_unknown(targets: Ragged, tokenizer: Tokenizer) -> int:
    """How many targets hold <unk>.

    >>> from types import SimpleNamespace
    >>> with_unknown(Ragged.of([[5, 2, 2, 1], [5, 1], [2, 1]]), SimpleNamespace(unk_token_id=2))
    2
    """
    at = np.flatnonzero(targets.ids == tokenizer.unk_token_id)
    return len(np.unique(np.searchsorted(targets.starts, at, side="right")))


def unwritten(task: str, count: int, rows: int, which: str) -> str:
    """The sentence on targets that hold <unk>."""
    return (
        f"{task}: {count:,} of {rows:,} {which} targets ({100 * count / rows:.1f} %) hold <unk>: the vocabulary lacks "
        f"a part of them, so no model can write them."
    )
