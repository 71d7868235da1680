"""From a batch of examples to predicted strings, each kind of output by its own decoder.

Words
    ranking     label tasks: each label's log-likelihood is summed over its tokens and the largest wins (T5's
                `rank_classification`); the output is a label by construction
    span        the output is a contiguous piece of the source's tokens, given back as exact characters by offsets
    generation  free text, greedy or by beams

The encoder runs once per example; the log-likelihood of the target comes from the same encoder output.

Legend: B examples, S input tokens, T target tokens, V vocabulary, n tokens of the text a span is cut from.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from multitask.spans import SourceSpan, align, source_span
from multitask.task import Example, Task
from multitask.tokens import Ragged, Tokenizer, text_of

LOGIT_BYTES = 1 << 28
"""The most that one decoder pass may spend on logits."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says about one row."""

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
    """Whether the output is of the kind asked for: a label, a number, a piece of the source, not empty."""
    generated: str | None = None
    """Where labels are decoded by `both`: what the model writes, after the task's post-processing."""
    normalised: str | None = None
    """There too: the label whose log-likelihood *per token* is largest."""


@dataclass(frozen=True, eq=False)
class Decoder:
    """Decodes rows of one task's split. It holds no model: the same decoder serves while the model trains.

    Args:
        task: The task.
        tokenizer: Its tokenizer.
        examples: The split's examples, prefix included.
        inputs: Token ids of their inputs, cut to length.
        targets: Token ids of their targets; None to predict without targets.
        labels_by: `rank` scores the labels; `generate` lets the model write freely, and a foreign string is wrong;
            `both` scores them and keeps what the model writes beside it.
    """

    task: Task
    tokenizer: Tokenizer
    examples: Sequence[Example]
    inputs: Ragged
    targets: Ragged | None = None
    labels_by: Literal["rank", "generate", "both"] = "rank"

    @torch.inference_mode()
    def __call__(self, model: Any, rows: Sequence[int]) -> list[Prediction]:
        """The predictions of `rows`, in their order. The model is put in evaluation mode and back."""
        was_training = model.training
        model.eval()
        try:
            return self._decode(model, list(rows))
        finally:
            model.train(was_training)

    def _decode(self, model: Any, rows: list[int]) -> list[Prediction]:
        device = next(model.parameters()).device
        index = np.asarray(rows)
        lengths = self.inputs.lengths[index]
        ids = torch.from_numpy(self.inputs.padded(index, self.tokenizer.pad_token_id)).to(device)  # [B, S]
        mask = (torch.arange(ids.shape[1]) < torch.from_numpy(lengths)[:, None]).long().to(device)
        encoded = model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state  # [B, S, D]

        likelihood, target_tokens = self._targets(model, encoded, mask, index)
        kind = self.task.output
        beside: list[tuple[str | None, str | None]] = [(None, None)] * len(rows)
        if kind == "labels" and self.labels_by != "generate":
            scores = self.label_scores(model, encoded, mask)  # [B, labels]
            raw = self._likeliest(scores)
            if self.labels_by == "both":
                tokens = [len(self.tokenizer(label)["input_ids"]) for label in self.task.labels]
                per_token = self._likeliest(scores / torch.tensor(tokens, device=scores.device))
                written = self._generate(model, encoded, mask)
                beside = [
                    (self._answer(text, row), self._answer(label, row))
                    for text, label, row in zip(written, per_token, rows, strict=True)
                ]
        elif kind == "span":
            if self.task.decoding.span == "greedy":
                raw = self._greedy_spans(model, encoded, mask, rows)
            elif self.task.decoding.span == "generate":
                made = self._generate(model, encoded, mask)
                raw = [align(text, self.examples[r].context or "") for text, r in zip(made, rows, strict=True)]
            else:
                raw = [self._best_span(model, encoded[i : i + 1], mask[i : i + 1], r) for i, r in enumerate(rows)]
        else:
            raw = self._generate(model, encoded, mask)
        return [
            Prediction(
                row, self._answer(text, row), text, float(ll), int(n), self._is_valid(text, self.examples[row]), *more
            )
            for row, text, ll, n, more in zip(rows, raw, likelihood, target_tokens, beside, strict=True)
        ]

    def _answer(self, raw: str, row: int) -> str:
        return self.task.postprocess(raw, self.examples[row]) if self.task.postprocess else raw

    def _is_valid(self, raw: str, example: Example) -> bool:
        if self.task.output == "labels":
            return raw in self.task.labels
        if self.task.output == "number":
            try:
                return bool(np.isfinite(float(raw)))
            except ValueError:
                return False
        if self.task.output == "span" and example.context is not None:
            return bool(raw) and raw in example.context
        return bool(raw.strip())

    def _targets(self, model: Any, encoded: Tensor, mask: Tensor, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Summed log-likelihood [B] and number of tokens [B] of the targets."""
        if self.targets is None:
            return np.full(len(index), np.nan), np.zeros(len(index), np.int64)
        labels = self.targets.padded(index, -100)
        return (
            sequence_log_likelihood(model, encoded, mask, torch.from_numpy(labels).to(encoded.device)).cpu().numpy(),
            self.targets.lengths[index],
        )

    def _likeliest(self, scores: Tensor) -> list[str]:
        return [self.task.labels[i] for i in scores.argmax(1).tolist()]

    def label_scores(self, model: Any, encoded: Tensor, mask: Tensor) -> Tensor:
        """[B, labels] summed log-probability of each label, end of sequence included."""
        columns = []
        for label in self.task.labels:
            ids = torch.tensor([self.tokenizer(label)["input_ids"]], device=encoded.device).expand(len(encoded), -1)
            columns.append(sequence_log_likelihood(model, encoded, mask, ids))
        return torch.stack(columns, dim=1)

    def _generate(self, model: Any, encoded: Tensor, mask: Tensor) -> list[str]:
        return [text_of(self.tokenizer, ids) for ids in self._generate_ids(model, encoded, mask)]

    def _generate_ids(self, model: Any, encoded: Tensor, mask: Tensor, **constraint: Any) -> list[list[int]]:
        """Greedy or beam search; without the decoder's start token, up to the end of sequence or padding."""
        from transformers.modeling_outputs import BaseModelOutput

        settings = self.task.decoding
        beams = {"num_beams": settings.num_beams, "length_penalty": settings.length_penalty, "early_stopping": True}
        made = model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
            attention_mask=mask,
            max_new_tokens=settings.max_new_tokens,
            do_sample=False,
            **(beams if settings.num_beams > 1 else {}),
            **constraint,
        )
        ends = (self.tokenizer.eos_token_id, self.tokenizer.pad_token_id)
        return [list(itertools.takewhile(lambda i: i not in ends, ids[1:])) for ids in made.tolist()]

    # ---- spans -------------------------------------------------------------------------------------------------

    def _source(self, row: int) -> SourceSpan:
        return source_span(self.tokenizer, self.examples[row], limit=self.task.max_input_tokens)

    def _best_span(self, model: Any, encoded: Tensor, mask: Tensor, row: int) -> str:
        source = self._source(row)
        n = len(source.ids)
        if n == 0:
            return ""
        start, eos = model.config.decoder_start_token_id, self.tokenizer.eos_token_id
        first, ahead, stop = span_scores(model, encoded, mask, source.ids, start=start, eos=eos)
        if self.task.decoding.span == "likelihood":
            scores = piece_log_likelihoods(first, ahead, stop)  # [n, n]
        else:
            scores = piece_log_probabilities(first, stop)
        top = scores.flatten().topk(min(CANDIDATES, n * (n + 1) // 2) if self.task.decoding.span == "expected" else 1)
        texts = [source.text(begin, begin + more) for begin, more in (divmod(i, n) for i in top.indices.tolist())]
        return texts[most_expected(texts, top.values.exp().tolist())] if len(texts) > 1 else texts[0]

    def _greedy_spans(self, model: Any, encoded: Tensor, mask: Tensor, rows: list[int]) -> list[str]:
        sources = [self._source(r) for r in rows]
        eos = self.tokenizer.eos_token_id

        def allowed(batch: int, ids: Tensor) -> list[int]:
            return sources[batch].continuations(ids[1:].tolist(), eos)  # [0] is the decoder's start token

        made = self._generate_ids(model, encoded, mask, prefix_allowed_tokens_fn=allowed)
        return [source.find(ids) for source, ids in zip(sources, made, strict=True)]


def sequence_log_likelihood(model: Any, encoded: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
    """[B] summed log-probability of `labels` [B, T] (-100 = padding), from the encoder's output.

    The batch is cut so that no pass holds more than `LOGIT_BYTES` of logits.
    """
    rows = max(1, LOGIT_BYTES // (4 * labels.shape[1] * model.config.vocab_size))
    out = []
    for at in range(0, len(labels), rows):
        part = labels[at : at + rows].contiguous()
        logits = model(
            encoder_outputs=(encoded[at : at + rows],),
            attention_mask=mask[at : at + rows],
            decoder_input_ids=model.prepare_decoder_input_ids_from_labels(part),
            use_cache=False,
        ).logits.float()  # [b, T, V]
        counted = part != -100
        chosen = logits.gather(2, part.clamp_min(0)[:, :, None])[:, :, 0] - logits.logsumexp(2)
        out.append((chosen * counted).sum(1))
    return torch.cat(out)


def span_scores(
    model: Any, encoded: Tensor, mask: Tensor, ids: Sequence[int], *, start: int, eos: int
) -> tuple[Tensor, Tensor, Tensor]:
    """What the decoder says along every piece of a source of n tokens.

    Row s of each result belongs to the pieces that begin at token s; column j to the piece s..s+j. Entries beyond the
    source's end are 0. The vocabulary is reduced inside, in passes of at most `LOGIT_BYTES`.

    Args:
        model: An encoder-decoder.
        encoded: [1, S, D] the encoder's output.
        mask: [1, S].
        ids: [n] the source's tokens.
        start: The token that decoding starts with.
        eos: End of sequence.

    Returns:
        `first` [n], log p(token s | nothing yet); `ahead` [n, n], log p(token s+j+1 | s..s+j); `stop` [n, n],
        log p(end | s..s+j).
    """
    n = len(ids)
    device = encoded.device
    source = torch.tensor(list(ids), device=device)
    ahead, stop = torch.zeros(n, n), torch.zeros(n, n)
    first = torch.zeros(n)
    rows = max(1, LOGIT_BYTES // (4 * (n + 1) * model.config.vocab_size))
    for at in range(0, n, rows):
        begins = range(at, min(at + rows, n))
        width = n - at  # the longest piece that begins here
        decoder_ids = torch.full((len(begins), width + 1), eos, device=device)
        decoder_ids[:, 0] = start
        for i, s in enumerate(begins):
            decoder_ids[i, 1 : 1 + n - s] = source[s:]
        b = len(begins)
        logits = model(
            encoder_outputs=(encoded.expand(b, -1, -1),),
            attention_mask=mask.expand(b, -1),
            decoder_input_ids=decoder_ids,
            use_cache=False,
        ).logits.float()  # [b, width + 1, V]
        norm = logits.logsumexp(2)
        if at == 0:
            first = (logits[0, 0, source] - norm[0, 0]).cpu()
        stop_here = (logits[:, 1:, eos] - norm[:, 1:]).cpu()
        following = torch.cat([decoder_ids[:, 2:], torch.full((b, 1), eos, device=device)], dim=1)
        next_here = (logits[:, 1:].gather(2, following[:, :, None])[:, :, 0] - norm[:, 1:]).cpu()
        for i, s in enumerate(begins):
            stop[s, : n - s] = stop_here[i, : n - s]
            ahead[s, : n - s - 1] = next_here[i, : n - s - 1]
    return first, ahead, stop


def piece_log_likelihoods(first: Tensor, ahead: Tensor, stop: Tensor) -> Tensor:
    """[n, n] log-likelihood of the piece s..s+j, end of sequence included; -inf beyond the source's end."""
    n = len(first)
    until = torch.cat([torch.zeros(n, 1), ahead[:, :-1].cumsum(1)], dim=1)
    return (first[:, None] + until + stop).masked_fill(_beyond(n), -torch.inf)


def piece_log_probabilities(first: Tensor, stop: Tensor) -> Tensor:
    """[n, n] log-probability of the piece s..s+j when the output *must* be a piece; -inf beyond the source's end.

    The decoder begins with one of the source's tokens (renormalised over them), and after each token it ends with its
    probability of the end of sequence, or goes on: to the token that stands next, since the constraint leaves no
    other. So a long piece costs no more than the decisions not to stop, while summed likelihood also charges for
    every word that the model is unsure how to repeat. The probabilities of all pieces sum to 1.

    >>> piece_log_probabilities(torch.zeros(2), torch.tensor([[0.25, 1.0], [1.0, 1.0]]).log()).exp()
    tensor([[0.1250, 0.3750],
            [0.5000, 0.0000]])
    """
    n = len(first)
    begin = first - first.logsumexp(0)
    go_on = torch.log1p(-stop.exp().clamp_max(1 - 1e-6))
    last = torch.arange(n)[:, None] + torch.arange(n) == n - 1  # the source's end: nothing is left but to stop
    end = stop.masked_fill(last, 0.0)
    until = torch.cat([torch.zeros(n, 1), go_on[:, :-1].cumsum(1)], dim=1)
    return (begin[:, None] + until + end).masked_fill(_beyond(n), -torch.inf)


CANDIDATES = 20
"""Pieces that `expected` chooses among: with 60 the scores on tweets were the same."""


def most_expected(texts: Sequence[str], probabilities: Sequence[float]) -> int:
    """Which of `texts` shares most words (Jaccard) with what the model believes: minimum Bayes risk.

    Where several overlapping pieces are about as probable, their common part is a safer answer than the first of
    them (Kumar & Byrne 2004, here with the task's own measure as the gain).

    >>> most_expected(["so happy", "so happy today", "today"], [0.3, 0.36, 0.34])
    1
    """
    words = [frozenset(text.lower().split()) for text in texts]
    gains = [sum(p * len(a & b) / max(len(a | b), 1) for b, p in zip(words, probabilities, strict=True)) for a in words]
    return int(np.argmax(gains))


def _beyond(n: int) -> Tensor:
    return torch.arange(n)[:, None] + torch.arange(n) >= n
