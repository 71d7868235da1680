"""The slow references of decoding: a forward pass a question by the model's own code, nothing shared or pruned."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from multitask.tokenization.spans import SourceSpan


@torch.no_grad()
def log_likelihood(model: Any, inputs: Sequence[int], target: Sequence[int]) -> float:
    """Of one target after one input: one padded-with-nothing forward pass."""
    labels = torch.tensor([list(target)])
    said = torch.cat([torch.tensor([[model.config.decoder_start_token_id]]), labels[:, :-1]], 1)
    logits = model(input_ids=torch.tensor([list(inputs)]), decoder_input_ids=said).logits
    return float(logits.log_softmax(-1).gather(2, labels[:, :, None]).sum())


@torch.no_grad()
def span_scores(
    model: Any, inputs: Sequence[int], ids: Sequence[int], eos: int, lead: Sequence[int] = ()
) -> tuple[np.ndarray, ...]:
    """`first` [n], log p(token s | `lead` alone); `ahead` [n, n], log p(token s+j+1 | s..s+j); `stop` [n, n]."""
    n, at = len(ids), len(lead)
    first, ahead, stop = np.zeros(n), np.zeros((n, n)), np.zeros((n, n))
    for s in range(n):
        said = torch.tensor([[model.config.decoder_start_token_id, *lead, *ids[s:]]])
        told = model(input_ids=torch.tensor([list(inputs)]), decoder_input_ids=said).logits[0].log_softmax(-1)
        first[s] = told[at, ids[s]]
        for j in range(n - s):
            stop[s, j] = told[at + 1 + j, eos]
            if s + j + 1 < n:
                ahead[s, j] = told[at + 1 + j, ids[s + j + 1]]
    return first, ahead, stop


def piece_scores(
    first: np.ndarray, ahead: np.ndarray, stop: np.ndarray, by: str, nothing: float | None = None
) -> dict[tuple[int, int], float]:
    """{(s, e): log-probability or log-likelihood of the piece s..e}, of all pieces; (-1, -1) is nothing.

    `nothing` is the log-probability of the end of sequence where a piece begins; None if "" is no answer.
    """
    n = len(first)
    ways = first if nothing is None else np.append(first, nothing)
    total = np.logaddexp.reduce(ways) if by == "probability" and len(ways) else 0.0
    begin = first - total
    scores = {} if nothing is None else {(-1, -1): float(nothing - total)}
    for s in range(n):
        total = begin[s]
        for e in range(s, n):
            if by == "likelihood":
                scores[s, e] = float(total + stop[s, e - s])
                total += ahead[s, e - s]
            else:  # at the source's end nothing is left but to stop
                scores[s, e] = float(total + (0 if e == n - 1 else stop[s, e - s]))
                total += np.log1p(-min(np.exp(stop[s, e - s]), 1 - 1e-6))
    return scores


def expected_overlaps(texts: Sequence[str], probabilities: Sequence[float]) -> list[float]:
    """Of each text, its mean word overlap with all of them."""
    words = [frozenset(text.lower().split()) if text else frozenset({""}) for text in texts]
    return [sum(p * len(a & b) / max(len(a | b), 1) for b, p in zip(words, probabilities, strict=True)) for a in words]


def continuations(source: SourceSpan, ids: Sequence[int], eos: int) -> list[int]:
    """The tokens that keep `ids` a piece of the source, and the end of sequence once there is a piece."""
    if not ids:
        return sorted(set(source.ids)) or [eos]
    after = {source.ids[i + len(ids)] for i in source.matches(ids) if i + len(ids) < len(source.ids)}
    return sorted([*after, eos])


@torch.no_grad()
def generate(
    model: Any, inputs: Sequence[int], *, ends: Sequence[int], source: SourceSpan | None = None, **settings: Any
) -> list[int]:
    """What transformers writes for one input, up to one of `ends`; under the constraint of a source if there is one."""
    if source is not None:
        eos = ends[0]
        settings["prefix_allowed_tokens_fn"] = lambda _, said: continuations(source, said[1:].tolist(), eos)
    ids = torch.tensor([list(inputs)])
    made = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, **settings)
    return list(itertools.takewhile(lambda i: i not in ends, made[0, 1:].tolist()))
