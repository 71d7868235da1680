"""Greedy and beam search with a T5 on unpadded tokens: what `generate` of transformers writes, without its overhead.

Words
    sources     where an answer must be a piece of a text: an automaton of each input's source (`spans.Automaton`)
    cache       self-attention's keys and values of what was written so far

An input whose answer is finished leaves the batch. Under a constraint greedy search looks only at the logits of the
tokens that are allowed: mostly the next one of the source, and the end of sequence.

Legend: B inputs, W beams an input, R = B * W rows, T tokens written, D model width, H heads, K width of a head,
V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from multitask.decoding.automaton import Automaton
from multitask.decoding.cross_attention import CrossAttentionCache, attend
from multitask.decoding.unpadded_scorer import UnpaddedScorer
from multitask.model.unpadded.forward import decoder_pass
from multitask.task import Decoding

SMALLER = 0.8
"""The batch is cut when at most this share of its rows is unfinished: to cut it is to copy its keys and values."""

FEW = 64
"""Up to so many allowed tokens a row, their logits are worked out one by one; above, those of the whole vocabulary."""


def write(
    scorer: UnpaddedScorer, decoding: Decoding, *, stops: Sequence[int], sources: Sequence[Automaton] | None = None
) -> list[list[int]]:
    """Generate an answer to each input: token ids, up to the end of sequence or of the budget.

    Args:
        scorer: The model and its inputs.
        decoding: `max_new_tokens`, `num_beams` and `length_penalty`.
        stops: The end of sequence, and other tokens after which nothing more is wanted.
        sources: If the answers must be pieces of a source, of each input.
    """
    if decoding.num_beams > 1:
        return _Beams(scorer, decoding, stops, sources).search()
    return _greedy(scorer, decoding.max_new_tokens, stops, sources)


class DecodingSteps:
    """The decoder, one token of every row at a time.

    Args:
        model: The model.
        memory: Of the rows.
        biases: Of each layer [H, at least `most`] by distance.
        rows: R.
        most: The largest number of steps.
    """

    def __init__(self, model: Any, memory: CrossAttentionCache, biases: Sequence[Tensor], rows: int, most: int) -> None:
        self.model, self.memory, self.done, self.most = model, memory, 0, most
        flipped = {id(b): b[:, :most].flip(1).contiguous() for b in biases}
        self.biases = [flipped[id(b)] for b in biases]  # the key of this very step stands last
        heads, width = model.config.num_heads, model.config.d_kv
        like = memory.keys[0]
        size = min(most, 16)
        self.keys, self.values = (
            [like.new_empty(rows, heads, size, width) for _ in self.memory.keys] for _ in range(2)
        )

    def __call__(self, ids: Tensor) -> Tensor:
        """[R, D] the decoder's output after one more token `ids` [R] of each row."""
        at, room = self.done, self.keys[0].shape[2]
        if at == room:
            more = min(room, self.most - room)
            for cache in (self.keys, self.values):
                cache[:] = [torch.cat([c, c.new_empty(*c.shape[:2], more, c.shape[3])], 2) for c in cache]
        self.done += 1
        heads = self.keys[0].shape[1]

        def among(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self.keys[layer], self.values[layer]
            keys[:, :, at] = k.view(len(k), heads, -1)
            values[:, :, at] = v.view(len(v), heads, -1)
            bias = self.biases[layer][:, None, self.most - at - 1 :]  # [H, 1, at + 1]
            return attend(q.view(len(q), heads, 1, -1), keys[:, :, : at + 1], values[:, :, : at + 1], bias).flatten(1)

        def across(layer: int, q: Tensor) -> Tensor:
            return self.memory.attend(layer, q.view(len(q), heads, 1, -1)).flatten(1)

        return decoder_pass(self.model, F.embedding(ids, self.model.decoder.embed_tokens.weight), among, across)

    def reorder(self, rows: Tensor) -> None:
        """Go on with these rows' caches, in this order; the memory stays."""
        for cache in (self.keys, self.values):
            cache[:] = [c.index_select(0, rows) for c in cache]

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows alone."""
        self.reorder(rows)
        self.memory = self.memory.of_rows(rows)


def _greedy(
    scorer: UnpaddedScorer, most: int, stops: Sequence[int], sources: Sequence[Automaton] | None
) -> list[list[int]]:
    model, count = scorer.model, len(scorer.inputs)
    head = model.lm_head.weight
    written: list[list[int]] = [[] for _ in range(count)]
    rows = list(range(count))  # the input of each row
    states = [0] * count if sources is None else [source.start for source in sources]
    steps = DecodingSteps(model, scorer.memory, scorer.biases(most), count, most)
    ids = torch.full((count,), scorer.start, device=scorer.device)
    over = [False] * count  # of each row
    for _ in range(most):
        hidden = steps(ids)  # [R, D]
        if sources is None:
            ids = _largest(hidden, head)
        else:
            allowed = [sources[i].allowed(s, stops[0]) for i, s in zip(rows, states, strict=True)]
            ids = _largest_allowed(hidden, head, allowed)
        for row, token in enumerate(ids.tolist()):
            if not over[row]:
                written[rows[row]].append(token)
                if sources is not None:
                    states[row] = sources[rows[row]].step(states[row], token)
                over[row] = token in stops
        left = [row for row, is_over in enumerate(over) if not is_over]
        if not left:
            break
        if len(left) <= SMALLER * len(rows):
            kept = torch.tensor(left, device=scorer.device)
            steps.keep(kept)
            ids = ids[kept]
            rows, states, over = [rows[i] for i in left], [states[i] for i in left], [False] * len(left)
    return written


def _largest(hidden: Tensor, head: Tensor) -> Tensor:
    """[R] the token with the largest logit."""
    return F.linear(hidden, head).argmax(1)


def _largest_allowed(hidden: Tensor, head: Tensor, allowed: Sequence[Sequence[int]]) -> Tensor:
    """[R] the allowed token with the largest logit, the first of several."""
    width = max(map(len, allowed))
    columns = torch.tensor([[*a, *[a[-1]] * (width - len(a))] for a in allowed], device=head.device)  # [R, width]
    if width > FEW:
        logits = F.linear(hidden, head).gather(1, columns)
    else:
        logits = torch.matmul(head[columns], hidden[:, :, None])[:, :, 0]
    return columns.gather(1, logits.argmax(1, keepdim=True))[:, 0]


NEVER = -1e9
"""Added to the score of what must not be chosen, as transformers does."""


class _Beams:
    """Beam search as transformers 5 does it with `early_stopping=True` (`GenerationMixin._beam_search`).

    Every input's search depends on its own rows alone, so one that has ended can leave. Scores are fp32 as there.
    """

    def __init__(
        self, scorer: UnpaddedScorer, decoding: Decoding, stops: Sequence[int], sources: Sequence[Automaton] | None
    ) -> None:
        self.scorer, self.sources, self.eos = scorer, sources, stops[0]
        self.beams, self.most, self.penalty = decoding.num_beams, decoding.max_new_tokens, decoding.length_penalty
        self.device = scorer.device

    def search(self) -> list[list[int]]:
        """The best sequence of each input."""
        scorer, beams, most = self.scorer, self.beams, self.most
        count = len(scorer.inputs)
        answers: list[list[int]] = [[] for _ in range(count)]
        inputs = np.arange(count)  # those still searched
        memory = scorer.memory.of_rows(torch.arange(count, device=self.device).repeat_interleave(beams))
        steps = DecodingSteps(scorer.model, memory, scorer.biases(most), count * beams, most)
        running = torch.zeros(count, beams, most, dtype=torch.long, device=self.device)
        finished = running.clone()
        running_scores = torch.full((count, beams), NEVER, device=self.device)
        running_scores[:, 0] = 0
        finished_scores = torch.full((count, beams), NEVER, device=self.device)
        is_finished = torch.zeros(count, beams, dtype=torch.bool, device=self.device)
        improvable = torch.ones(count, 1, dtype=torch.bool, device=self.device)
        lengths = torch.zeros(count, beams, dtype=torch.long, device=self.device)  # of the finished
        states = np.zeros((count, beams), np.int64)
        if self.sources is not None:
            states += np.array([[source.start] for source in self.sources])
        ids = torch.full((count * beams,), scorer.start, device=self.device)
        for done in range(most):
            told = F.linear(steps(ids), scorer.model.lm_head.weight).float().log_softmax(-1)  # [R, V]
            if self.sources is not None:
                told = self._constrained(told, inputs, states)
            vocabulary = told.shape[1]
            b = len(inputs)
            total = (told.view(b, beams, -1) + running_scores[:, :, None]).view(b, -1)
            scores, index = total.topk(2 * beams)  # as many, so that enough go on if half of them end
            parent, token = index // vocabulary, index % vocabulary
            ends = (token == self.eos) | (done + 1 == most)
            candidates = _taken(running, parent)
            candidates[:, :, done] = token

            going_on = scores + ends.float() * NEVER
            on = going_on.topk(beams)[1]
            running, running_scores = _taken(candidates, on), going_on.gather(1, on)

            ended = ends.clone()
            ended[:, beams:] = False
            scores = scores / ((done + 1) ** self.penalty)
            scores = scores + is_finished.all(1, keepdim=True).float() * NEVER + (~improvable).float() * NEVER
            scores = scores + (~ended).float() * NEVER
            merged = torch.cat([finished_scores, scores], 1)
            best = merged.topk(beams)[1]
            finished = _taken(torch.cat([finished, candidates], 1), best)
            finished_scores = merged.gather(1, best)
            is_finished = torch.cat([is_finished, ended], 1).gather(1, best)
            lengths = torch.cat([lengths, torch.full_like(scores, done + 1, dtype=torch.long)], 1).gather(1, best)

            worst = torch.where(is_finished, finished_scores.amin(1, keepdim=True), NEVER)
            hope = running_scores[:, :1] / ((done + 1) ** self.penalty)
            improvable = improvable & (hope > worst).any(1, keepdim=True)
            over = ~improvable[:, 0] | is_finished.all(1) | ends.all(1)  # [B]
            came_from = parent.gather(1, on)  # [B, W]
            ids = running[:, :, done].flatten()
            if self.sources is not None:
                states = self._moved(states, inputs, came_from.tolist(), running[:, :, done].tolist())
            for row in torch.nonzero(over)[:, 0].tolist():
                # Where nothing has ended, what transformers returns is empty too.
                answers[inputs[row]] = finished[row, 0, : int(lengths[row, 0])].tolist()
            rows = (torch.arange(b, device=self.device)[:, None] * beams + came_from).view(b, beams)
            if bool(over.all()):
                break
            if bool(over.any()):
                left = torch.nonzero(~over)[:, 0]
                kept = left.tolist()
                inputs, states = inputs[kept], states[kept]
                running, finished = running[left], finished[left]
                running_scores, finished_scores = running_scores[left], finished_scores[left]
                is_finished, improvable, lengths = is_finished[left], improvable[left], lengths[left]
                ids = ids.view(b, beams)[left].flatten()
                rows = rows[left]
                all_rows = (left[:, None] * beams + torch.arange(beams, device=self.device)).flatten()
                steps.memory = steps.memory.of_rows(all_rows)
            steps.reorder(rows.flatten())
        return answers

    def _constrained(self, told: Tensor, inputs: np.ndarray, states: np.ndarray) -> Tensor:
        assert self.sources is not None
        masked = torch.full_like(told, -torch.inf)
        for row, (i, state) in enumerate(zip(np.repeat(inputs, self.beams).tolist(), states.flat, strict=True)):
            allowed = torch.tensor(self.sources[i].allowed(int(state), self.eos), device=told.device)
            masked[row, allowed] = told[row, allowed]
        return masked

    def _moved(
        self, states: np.ndarray, inputs: np.ndarray, parents: list[list[int]], tokens: list[list[int]]
    ) -> np.ndarray:
        assert self.sources is not None
        moved = np.empty_like(states)
        for b, (i, ways, said) in enumerate(zip(inputs.tolist(), parents, tokens, strict=True)):
            moved[b] = [self.sources[i].step(int(states[b, p]), t) for p, t in zip(ways, said, strict=True)]
        return moved


def _taken(sequences: Tensor, index: Tensor) -> Tensor:
    """[B, W, T] the sequences that `index` [B, W] names."""
    return sequences.gather(1, index[:, :, None].expand(-1, -1, sequences.shape[2]))
