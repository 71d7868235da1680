"""The score that a perfect model could reach, given what the tokenizer loses.

Words
    round trip  a string to token ids and back; a vocabulary without backticks, emoji or repeated spaces loses them
    way         how an answer comes about: `generated` (the target's tokens decoded), `aligned` (that, found again in
                the source text), `pieces` (the best run of whole source tokens), `ranked` (the best of the labels)
    ceiling     the score of the best answer that a way can give
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from multitask.examples.misfits import answer_outputs
from multitask.metrics.builtin import LIKELIHOOD_METRICS
from multitask.metrics.metric import METRICS, Metric
from multitask.tokenization.special_tokens import encode_targets
from multitask.tokenization.tokenizer import text_of
from multitask.tokenization.unwritable import label_winners

if TYPE_CHECKING:
    from multitask.task import Example, Task
    from multitask.tokenization.spans import SourceSpan
    from multitask.tokenization.tokenizer import Tokenizer

NEAR = 4
"""How many tokens around the gold's own edges are tried as edges of the best piece. On 600 tweets 4 is as good as all
pieces; 2 misses 2 of them."""
MAX_PLACES = 8
"""At how many of its places in the text a short gold is tried."""


@dataclass(frozen=True)
class RoundTrip:
    """One split's targets after encoding and decoding."""

    survive: float
    """Share of targets that encoding and decoding leave unchanged, 0..1; NaN without examples."""
    metric: str
    """What the ceilings are in: the first of the task's metrics that looks at strings; empty if none does."""
    perfect: float
    """That metric for the references themselves; NaN without such a metric."""
    ceilings: dict[str, float]
    """{way: that metric for the best answers the way can give}; the way that the task's decoder goes is the last."""
    scale: float = 100.0
    """The metric's own: ceiling × scale = points."""

    @property
    def lost(self) -> float:
        """Points between perfect and the ceiling of the task's own way; NaN if there is no ceiling."""
        if not self.ceilings:
            return float("nan")
        return abs(self.perfect - [*self.ceilings.values()][-1]) * self.scale


def decoded(tokenizer: Tokenizer, strings: Sequence[str], limit: int | None = None) -> list[str]:
    """Each string after a round trip; tokens beyond the first `limit` are lost."""
    kinds = list(dict.fromkeys(strings))  # labels and numbers are few kinds, many times
    ids = [i[:limit] for i in encode_targets(tokenizer, kinds)]
    known = dict(zip(kinds, (text_of(tokenizer, i) for i in ids), strict=True))
    return [known[s] for s in strings]


def round_trip(task: Task, examples: Sequence[Example], tokenizer: Tokenizer) -> RoundTrip:
    """Encode and decode the targets, and give the ceilings that this puts on the task's score.

    Targets longer than `decoding.max_new_tokens` are cut, since generation stops there; with ranked labels and with
    pieces of the source there is no such limit, but a piece must lie within `max_input_tokens`.

    Raises:
        UserError: For a span task whose examples have no source text, or a tokenizer without offsets.
    """
    targets = [e.target for e in examples]
    same = [a == b for a, b in zip(decoded(tokenizer, targets), targets, strict=True)]
    survive = sum(same) / len(same) if same else float("nan")
    metric = next((m for m in task.metrics if m.name not in LIKELIHOOD_METRICS), None)
    if metric is None or not examples:
        return RoundTrip(survive, "", float("nan"), {})

    generated = decoded(tokenizer, targets, task.decoding.max_new_tokens)
    ways: dict[str, list[str]] = {"generated": generated}
    if task.output == "labels":
        winners = label_winners(tokenizer, task.labels)
        ways["ranked"] = [winners.get(t, t) for t in targets]
    elif task.output == "span":
        from multitask.tokenization.spans import align

        ways["aligned"] = [align(g, e.context or "") for g, e in zip(generated, examples, strict=True)]
        ways["pieces"] = best_spans(task, examples, tokenizer, metric)
    perfect = _score(task, metric, examples, [e.references[0] for e in examples])
    ceilings = {way: _score(task, metric, examples, answers) for way, answers in ways.items()}
    return RoundTrip(survive, metric.name, perfect, ceilings, metric.scale)


def best_spans(task: Task, examples: Sequence[Example], tokenizer: Tokenizer, metric: Metric) -> list[str]:
    """For each example the best run of whole source tokens, by `metric` (by Jaccard if it has no per-example part).

    Tried are the edges up to `NEAR` tokens around those of the gold, at each of its first `MAX_PLACES` places; nothing,
    where it may be the answer; and the whole source, where there is no such piece.
    """
    from multitask.tokenization.spans import source_spans

    candidates = []
    for e, source in zip(examples, source_spans(tokenizer, examples, limit=task.max_input_tokens), strict=True):
        pieces = [*([""] if task.decoding.no_answer else []), *dict.fromkeys(_pieces(source, e))]
        candidates.append(pieces or [source.text(0, len(source.ids) - 1) if source.ids else ""])
    judge = metric if metric.per_example is not None else METRICS.get("jaccard")
    flat = [c for several in candidates for c in several]
    owners = [e for e, several in zip(examples, candidates, strict=True) for _ in several]
    scores = judge.scores(answer_outputs(task, owners, flat)) * (1 if judge.higher_is_better else -1)
    best, at = [], 0
    for several in candidates:
        best.append(several[int(np.argmax(scores[at : at + len(several)]))])
        at += len(several)
    return best


def _pieces(source: SourceSpan, example: Example) -> list[str]:
    from multitask.tokenization.spans import align

    n = len(source.ids)
    pieces = []
    for gold in example.references:
        gold = gold if gold and gold in source.context else align(gold, source.context)
        for begin in _places(gold, source.context) if gold else []:
            end = begin + len(gold)
            first = next((i for i in range(n) if source.edges[i][1] > begin), n - 1)
            last = next((i for i in reversed(range(n)) if source.edges[i][0] < end), 0)
            for i in range(max(first - NEAR, 0), min(first + NEAR, n - 1) + 1):
                for j in range(max(last - NEAR, i), min(last + NEAR, n - 1) + 1):
                    pieces.append(source.text(i, j))  # noqa: PERF401  (four loops deep reads better so)
    return pieces


def _places(gold: str, context: str) -> list[int]:
    places = [context.find(gold)]
    while len(places) < MAX_PLACES and (at := context.find(gold, places[-1] + 1)) >= 0:
        places.append(at)
    return places


def _score(task: Task, metric: Metric, examples: Sequence[Example], answers: Sequence[str]) -> float:
    post = task.postprocess
    said = [post(a, e) for a, e in zip(answers, examples, strict=True)] if post else answers
    return metric.compute(answer_outputs(task, examples, said))
