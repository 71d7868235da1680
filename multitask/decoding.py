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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from multitask.spans import SourceSpan, source_span
from multitask.task import Example, Task
from multitask.tokens import Ragged, Tokenizer

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


@dataclass(frozen=True, eq=False)
class Decoder:
    """Decodes rows of one task's split. It holds no model: the same decoder serves while the model trains.

    Args:
        task: The task.
        tokenizer: Its tokenizer.
        examples: The split's examples, prefix included.
        inputs: Token ids of their inputs, cut to length.
        targets: Token ids of their targets; None to predict without targets.
        labels_by: `rank` scores the labels; `generate` lets the model write freely, and a foreign string is wrong.
    """

    task: Task
    tokenizer: Tokenizer
    examples: Sequence[Example]
    inputs: Ragged
    targets: Ragged | None = None
    labels_by: Literal["rank", "generate"] = "rank"

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
        if kind == "labels" and self.labels_by == "rank":
            raw = self._rank(model, encoded, mask)
        elif kind == "span":
            if self.task.decoding.span == "greedy":
                raw = self._greedy_spans(model, encoded, mask, rows)
            else:
                raw = [self._best_span(model, encoded[i : i + 1], mask[i : i + 1], r) for i, r in enumerate(rows)]
        else:
            raw = self._generate(model, encoded, mask)
        return [
            self._finish(row, text, float(ll), int(n))
            for row, text, ll, n in zip(rows, raw, likelihood, target_tokens, strict=True)
        ]

    def _finish(self, row: int, raw: str, likelihood: float, target_tokens: int) -> Prediction:
        example = self.examples[row]
        text = self.task.postprocess(raw, example) if self.task.postprocess else raw
        return Prediction(row, text, raw, likelihood, target_tokens, self._is_valid(raw, example))

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

    def _rank(self, model: Any, encoded: Tensor, mask: Tensor) -> list[str]:
        scores = self.label_scores(model, encoded, mask)  # [B, labels]
        return [self.task.labels[i] for i in scores.argmax(1).tolist()]

    def label_scores(self, model: Any, encoded: Tensor, mask: Tensor) -> Tensor:
        """[B, labels] summed log-probability of each label, end of sequence included."""
        columns = []
        for label in self.task.labels:
            ids = torch.tensor([self.tokenizer(label)["input_ids"]], device=encoded.device).expand(len(encoded), -1)
            columns.append(sequence_log_likelihood(model, encoded, mask, ids))
        return torch.stack(columns, dim=1)

    def _generate(self, model: Any, encoded: Tensor, mask: Tensor, **constraint: Any) -> list[str]:
        from transformers.modeling_outputs import BaseModelOutput

        settings = self.task.decoding
        beams = {"num_beams": settings.num_beams, "length_penalty": settings.length_penalty, "early_stopping": True}
        out = model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
            attention_mask=mask,
            max_new_tokens=settings.max_new_tokens,
            do_sample=False,
            **(beams if settings.num_beams > 1 else {}),
            **constraint,
        )
        if constraint:
            return [self._tokens_text(ids) for ids in out.tolist()]
        return [self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) for ids in out]

    def _tokens_text(self, ids: list[int]) -> str:
        return " ".join(map(str, ids))

    # ---- spans -------------------------------------------------------------------------------------------------

    def _source(self, row: int) -> SourceSpan:
        return source_span(self.tokenizer, self.examples[row], limit=self.task.max_input_tokens)

    def _best_span(self, model: Any, encoded: Tensor, mask: Tensor, row: int) -> str:
        source = self._source(row)
        n = len(source.ids)
        if n == 0:
            return ""
        start, eos = model.config.decoder_start_token_id, self.tokenizer.eos_token_id
        likelihoods = span_scores(model, encoded, mask, source.ids, start=start, eos=eos)
        by = piece_log_likelihoods if self.task.decoding.span == "likelihood" else piece_log_probabilities
        scores = by(*likelihoods)  # [n, n]
        begin, more = divmod(int(scores.argmax()), n)
        return source.text(begin, begin + more)

    def _greedy_spans(self, model: Any, encoded: Tensor, mask: Tensor, rows: list[int]) -> list[str]:
        sources = [self._source(r) for r in rows]
        eos = self.tokenizer.eos_token_id

        def allowed(batch: int, ids: Tensor) -> list[int]:
            return sources[batch].continuations(ids[1:].tolist(), eos)  # [0] is the decoder's start token

        texts = self._generate(model, encoded, mask, prefix_allowed_tokens_fn=allowed)
        answers = []
        for source, text in zip(sources, texts, strict=True):
            ids = [int(i) for i in text.split()][1:]
            ids = ids[: ids.index(eos)] if eos in ids else [i for i in ids if i != self.tokenizer.pad_token_id]
            answers.append(source.find(ids))
        return answers


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


def piece_log_probabilities(first: Tensor, ahead: Tensor, stop: Tensor) -> Tensor:
    """[n, n] log-probability of the piece s..s+j under the constraint that the output *is* a piece; -inf beyond.

    The decoder's choices are renormalised over what the constraint leaves: first over the source's tokens, then
    between the token that comes next in the source and the end of sequence (at the source's end nothing is left to
    choose). Summed likelihood prefers short pieces whenever the model is unsure of words it only has to repeat; here
    a long piece costs no more than the decision to go on. The probabilities of all pieces sum to 1.
    """
    n = len(first)
    begin = first - first.logsumexp(0)
    either = torch.logaddexp(ahead, stop)
    go_on, end = ahead - either, stop - either
    last = torch.arange(n)[:, None] + torch.arange(n) == n - 1
    end = end.masked_fill(last, 0.0)
    until = torch.cat([torch.zeros(n, 1), go_on[:, :-1].cumsum(1)], dim=1)
    return (begin[:, None] + until + end).masked_fill(_beyond(n), -torch.inf)


def _beyond(n: int) -> Tensor:
    return torch.arange(n)[:, None] + torch.arange(n) >= n
