"""Strings to token ids, kept flat (`token_cache` keeps them on disk too).

Words
    ragged     many sequences of different lengths in one flat array and an array of where each begins; a step gathers
               its rows from it without touching Python objects
    offsets    for each token of a string, the characters it stands for: what makes a span exact
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from multitask.tokenization.ragged import Ragged
from multitask.tokenization.special_tokens import encode, encode_targets, target_texts
from multitask.tokenization.tokenizer import Tokenizer

if TYPE_CHECKING:
    from multitask.examples.dataset import Examples
    from multitask.task import Task


_CHUNK = 4096  # strings a call of the tokenizer: enough for its own threads, small enough for a progress bar


@dataclass(frozen=True, eq=False)
class TokenizedTask:
    """The token ids of one split of one task, and what cutting to length cost."""

    inputs: Ragged
    targets: Ragged
    cut_inputs: int
    """Inputs that were longer than `max_input_tokens`."""
    cut_targets: int
    """Targets that were longer than `max_target_tokens`."""

    def __len__(self) -> int:
        return len(self.inputs)


def tokenize_task(
    tokenizer: Tokenizer, task: Task, examples: Examples, advance: Callable[[int], None] | None = None
) -> TokenizedTask:
    """Tokenise a split; `advance(n)` is called as rows are done, for a progress bar.

    A sequence that is too long is cut before its end-of-sequence token, which stays: a target without it would teach
    the model never to stop.
    """
    inputs, cut_inputs = _tokenize(
        functools.partial(encode, tokenizer), [e.inputs for e in examples], task.max_input_tokens, advance
    )
    targets, cut_targets = _tokenize(
        functools.partial(encode_targets, tokenizer),
        target_texts(tokenizer, task, examples),
        task.max_target_tokens,
        None,
    )
    return TokenizedTask(inputs, targets, cut_inputs, cut_targets)


def _tokenize(
    ids_of: Callable[[Sequence[str]], list[list[int]]],
    strings: Sequence[str],
    limit: int,
    advance: Callable[[int], None] | None,
) -> tuple[Ragged, int]:
    different = list(dict.fromkeys(strings))  # the targets of a task with labels are a few strings
    parts: list[Ragged] = []
    too_long: list[bool] = []
    said = 0
    for at in range(0, len(different), _CHUNK):
        chunk = different[at : at + _CHUNK]
        sequences = ids_of(chunk)
        too_long += [len(ids) > limit for ids in sequences]
        parts.append(Ragged.of([*ids[: limit - 1], ids[-1]] if len(ids) > limit else ids for ids in sequences))
        if advance:
            done = len(strings) * (at + len(chunk)) // len(different)
            advance(done - said)
            said = done
    ragged, cut = Ragged.joined(parts), np.array(too_long, dtype=bool)
    if len(different) < len(strings):
        place = {string: i for i, string in enumerate(different)}
        rows = np.fromiter((place[string] for string in strings), np.int64, count=len(strings))
        ragged, cut = ragged.taken(rows), cut[rows]
    return ragged, int(cut.sum())
