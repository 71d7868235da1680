"""From a batch of examples to predicted strings, each kind of output by its own decoder.

Words
    ranking     label tasks: each label's log-likelihood is summed over its tokens and the largest wins (T5's
                `rank_classification`); the output is a label by construction
    span        the output is a contiguous piece of the source's tokens, given back as exact characters by offsets
    generation  free text, greedy or by beams
    scorer      the model that has read the batch's inputs: the encoder runs once an example, and the log-likelihood of
                the target comes from the same encoder output

Legend: B examples, L labels.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch

from multitask.decoding.automaton import Automaton
from multitask.decoding.best_spans import BestSpans, best_spans
from multitask.decoding.label_ranking import label_scores, log_likelihoods
from multitask.decoding.padded_scorer import PaddedScorer
from multitask.decoding.search import write
from multitask.decoding.unpadded_scorer import UnpaddedScorer
from multitask.metrics.regression import as_number
from multitask.task import Example, Task
from multitask.tokenization.ragged import Ragged
from multitask.tokenization.spans import SourceSpan, align, source_spans
from multitask.tokenization.special_tokens import encode_targets, first_tokens, target_texts
from multitask.tokenization.tokenizer import Tokenizer, text_of


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's answer to one row."""

    row: int
    text: str
    """The answer, after the task's post-processing."""
    raw: str
    """The string as decoded."""
    log_likelihood: float
    """Of the target, summed over its tokens, in nats; NaN if there is no target."""
    target_tokens: int
    """Of the target, end of sequence included."""
    valid: bool
    """Whether the output is of the kind asked for: a label, a number, a piece of the source; not empty, unless the
    task has such answers (`Decoding.no_answer`)."""
    generated: str | None = None
    """Where labels are decoded by `both`: what the model writes, after the task's post-processing."""
    normalised: str | None = None
    """There too: the label whose log-likelihood *per token* is largest."""
    answer_log_likelihood: float = math.nan
    """With `scored`: of the answer as decoded, summed over its tokens and the end of sequence, in nats."""
    label_log_likelihoods: tuple[float, ...] = ()
    """With `scored`, for labels: the same of each label, in the task's order."""


@dataclass(frozen=True, eq=False)
class Decoder:
    """Decodes rows of one task's split. It holds no model: the same decoder serves while the model trains.

    Args:
        task: The task.
        tokenizer: Its tokenizer.
        examples: The split's examples, prefix included.
        inputs: Token ids of their inputs, cut to length.
        targets: Token ids of their targets; None to predict without targets.
        labels_by: `rank` scores the labels; `generate` lets the model write, and an out-of-label output is wrong;
            `both` scores them and keeps what the model writes beside it.
        scored: Give the log-likelihood of each answer too, as it would be if the answer were the target; and of labels
            that are scored, all of them.
    """

    task: Task
    tokenizer: Tokenizer
    examples: Sequence[Example]
    inputs: Ragged
    targets: Ragged | None = None
    labels_by: Literal["rank", "generate", "both"] = "rank"
    scored: bool = False
    _sources: dict[int, SourceSpan] = field(default_factory=dict, init=False, repr=False)

    @torch.inference_mode()
    def __call__(self, model: Any, rows: Sequence[int]) -> list[Prediction]:
        """The predictions of `rows`, in their order. The model is put in evaluation mode and back."""
        if not len(rows):
            return []
        was_training = model.training
        model.eval()
        try:
            return self._decode(model, list(rows))
        finally:
            model.train(was_training)

    def _decode(self, model: Any, rows: list[int]) -> list[Prediction]:
        scorer = scorer_of(model, [self.inputs[r] for r in rows])
        targets = None if self.targets is None else [self.targets[r] for r in rows]
        beside: list[tuple[str | None, str | None]] = [(None, None)] * len(rows)
        likelihood: np.ndarray | None = None
        scores: np.ndarray | None = None
        if self.task.output == "labels" and self.labels_by != "generate":
            scores = label_scores(scorer, self._label_ids)  # [B, L]
            raw = self._likeliest(scores)
            likelihood = None if targets is None else self._of_labels(scorer, targets, scores)
            if self.labels_by == "both":
                per_token = self._likeliest(scores / np.array([len(ids) for ids in self._label_ids]))
                beside = [
                    (self._answer(text, row), self._answer(label, row))
                    for text, label, row in zip(self._generated(scorer), per_token, rows, strict=True)
                ]
        elif self.task.output == "span" and self.task.decoding.span not in ("greedy", "generate"):
            raw, likelihood = self._best_spans(scorer, rows, targets)
        elif self.task.output == "span" and self.task.decoding.span == "greedy":
            sources = self._spans_of(rows)
            first = first_tokens(self.tokenizer)
            made = self._written(scorer, [Automaton(s.ids, first=first, nothing=self._nothing) for s in sources])
            raw = [source.find(ids[len(first) :]) for source, ids in zip(sources, made, strict=True)]
        else:
            raw = self._generated(scorer)
            if self.task.output == "span":
                raw = [self._aligned(text, self.examples[r].context or "") for text, r in zip(raw, rows, strict=True)]
        if likelihood is None:
            likelihood = np.full(len(rows), np.nan) if targets is None else log_likelihoods(scorer, targets)
        lengths = [0] * len(rows) if targets is None else [len(t) for t in targets]
        found: list[tuple[Any, ...]] = list(beside)
        if self.scored:
            own = self._answer_likelihoods(scorer, raw, rows) if scores is None else scores.max(1)
            labels = [()] * len(rows) if scores is None else map(tuple, scores.astype(np.float64).tolist())
            found = [(*one, float(ll), of) for one, ll, of in zip(beside, own, labels, strict=True)]
        return [
            Prediction(
                row, self._answer(text, row), text, float(ll), n, self._is_valid(text, self.examples[row]), *more
            )
            for row, text, ll, n, more in zip(rows, raw, likelihood, lengths, found, strict=True)
        ]

    def _answer_likelihoods(
        self, scorer: UnpaddedScorer | PaddedScorer, answers: Sequence[str], rows: Sequence[int]
    ) -> np.ndarray:
        """[B] as evaluation would give them of these answers as targets."""
        told = [
            Example(self.examples[r].inputs, answer, context=self.examples[r].context)
            for answer, r in zip(answers, rows, strict=True)
        ]
        return log_likelihoods(scorer, encode_targets(self.tokenizer, target_texts(self.tokenizer, self.task, told)))

    def _answer(self, raw: str, row: int) -> str:
        return self.task.postprocess(raw, self.examples[row]) if self.task.postprocess else raw

    def _is_valid(self, raw: str, example: Example) -> bool:
        if self.task.output == "labels":
            return raw in self.task.labels
        if self.task.output == "number":
            return as_number(raw) is not None
        if not raw.strip() and (self._nothing or "" in example.references):
            return True
        if self.task.output == "span" and example.context is not None:
            return bool(raw) and raw in example.context
        return bool(raw.strip())

    @property
    def _nothing(self) -> bool:
        """Whether "" can be an answer."""
        return bool(self.task.decoding.no_answer)

    # ---- labels ------------------------------------------------------------------------------------------------

    @functools.cached_property
    def _label_ids(self) -> list[list[int]]:
        return encode_targets(self.tokenizer, self.task.labels)

    def _likeliest(self, scores: np.ndarray) -> list[str]:
        return [self.task.labels[i] for i in scores.argmax(1)]

    def _of_labels(
        self, scorer: UnpaddedScorer | PaddedScorer, targets: Sequence[np.ndarray], scores: np.ndarray
    ) -> np.ndarray:
        """[B] the targets' log-likelihoods: the labels' own, and of what is no label by a pass of its own."""
        places = {tuple(ids): place for place, ids in enumerate(self._label_ids)}
        known = np.array([places.get(tuple(t.tolist()), -1) for t in targets])
        found: np.ndarray = scores[np.arange(len(known)), known].astype(np.float64)
        others = np.flatnonzero(known < 0)
        if len(others):
            found[others] = log_likelihoods(scorer, [targets[i] for i in others.tolist()], others)
        return found

    # ---- generation --------------------------------------------------------------------------------------------

    def _written(
        self, scorer: UnpaddedScorer | PaddedScorer, sources: Sequence[Automaton] | None = None
    ) -> list[list[int]]:
        """Token ids, up to the end of sequence or padding."""
        ends = (self.tokenizer.eos_token_id, self.tokenizer.pad_token_id)
        settings = self.task.decoding
        if isinstance(scorer, UnpaddedScorer):
            made = write(scorer, settings, stops=ends, sources=sources)
        else:
            made = scorer.generate(settings, stops=ends, sources=sources)
        return [list(itertools.takewhile(lambda i: i not in ends, ids)) for ids in made]

    def _generated(self, scorer: UnpaddedScorer | PaddedScorer) -> list[str]:
        return [text_of(self.tokenizer, ids) for ids in self._written(scorer)]

    # ---- spans -------------------------------------------------------------------------------------------------

    def _spans_of(self, rows: Sequence[int]) -> list[SourceSpan]:
        new = [r for r in rows if r not in self._sources]  # while a model trains, the same rows come again and again
        limit = self.task.max_input_tokens
        self._sources.update(
            zip(new, source_spans(self.tokenizer, [self.examples[r] for r in new], limit=limit), strict=True)
        )
        return [self._sources[r] for r in rows]

    def _best_spans(
        self, scorer: UnpaddedScorer | PaddedScorer, rows: Sequence[int], targets: Sequence[np.ndarray] | None
    ) -> tuple[list[str], np.ndarray | None]:
        sources = self._spans_of(rows)
        way = self.task.decoding.span
        found, likelihood = best_spans(
            scorer,
            [source.ids for source in sources],
            eos=self.tokenizer.eos_token_id,
            by="likelihood" if way == "likelihood" else "probability",
            count=CANDIDATES if way == "expected" else 1,
            targets=targets,
            first=first_tokens(self.tokenizer),
            nothing=self._nothing,
        )
        return [_chosen(source, pieces) for source, pieces in zip(sources, found, strict=True)], likelihood

    def _aligned(self, text: str, context: str) -> str:
        """The piece of the context that was meant. What is none of it stays, wrong, where nothing could be right."""
        found = align(text, context)
        return text if self._nothing and not found else found


def scorer_of(model: Any, inputs: Sequence[np.ndarray]) -> UnpaddedScorer | PaddedScorer:
    """A model that has read `inputs`: on unpadded tokens where they give what its own code gives, else by that code."""
    return UnpaddedScorer(model, inputs) if is_unpadded(model) else PaddedScorer(model, inputs)


def is_unpadded(model: Any) -> bool:
    """Whether `scoring` and `search` may take the place of the model's own code."""
    weights = next(model.parameters())
    return (
        type(model).__module__.startswith("transformers.models.")
        and type(model).__name__ in _FLAT
        and all(type(m).__module__.startswith(("torch.nn", "transformers.")) for m in model.modules())  # no adapters
        and all(p.dtype is weights.dtype and p.device == weights.device for p in model.parameters())
        and weights.dtype in (torch.float32, torch.float64)
        and not torch.is_autocast_enabled(weights.device.type)
    )


_FLAT = ("T5ForConditionalGeneration", "MT5ForConditionalGeneration", "UMT5ForConditionalGeneration")
"""By name: to import all three takes longer than to decode a small split."""


def _chosen(source: SourceSpan, pieces: BestSpans) -> str:
    """The text of the best piece, or of several the most expected one; empty if there is none, or it is nothing."""
    places = zip(pieces.firsts.tolist(), pieces.lasts.tolist(), strict=True)
    texts = [source.text(s, e) if s >= 0 else "" for s, e in places]
    if len(texts) < 2:
        return "".join(texts)
    scores = pieces.scores
    if "" in texts:
        # A piece that stands in several places is there as often; nothing is there once. So each text once, its best.
        once = {text: i for i, text in reversed([*enumerate(texts)])}
        texts, scores = [*once], scores[[*once.values()]]
    return texts[most_expected(texts, np.exp(scores))]


CANDIDATES = 20
"""Pieces that `expected` chooses among: with 60 the scores on tweets were the same."""


def most_expected(texts: Sequence[str], probabilities: Sequence[float]) -> int:
    """Which of `texts` shares most words (Jaccard) with what the model believes: minimum Bayes risk.

    Where several overlapping pieces are about as probable, their common part is a safer answer than the first of
    them (Kumar & Byrne 2004, here with the task's own measure as the gain).

    >>> most_expected(["so happy", "so happy today", "today"], [0.3, 0.36, 0.34])
    1
    """
    words = [set(text.lower().split()) if text else {""} for text in texts]  # nothing agrees with itself alone
    columns = {word: i for i, word in enumerate(set().union(*words))}
    has = np.zeros((len(texts), len(columns)))
    for row, said in zip(has, words, strict=True):
        row[[columns[word] for word in said]] = 1
    shared, size = has @ has.T, has.sum(1)
    overlap = shared / np.maximum(size[:, None] + size - shared, 1)
    return int(np.argmax(overlap @ np.asarray(probabilities)))
