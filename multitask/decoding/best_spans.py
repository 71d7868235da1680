"""The most probable pieces of a source, found exactly, without looking at all of them.

Words
    piece       tokens s … s+j of a source of n tokens
    beginning   of a piece: its first tokens. What the decoder says after a beginning is asked once, for all the pieces
                that it begins
    mass        of a beginning: an upper bound of the log-probability of every longer piece that begins so; it can
                only fall as the beginning grows
    nothing     the empty piece, where it may be the answer: the decoder ends at once
    first       tokens that stand before every answer (`special_tokens`), none in T5's own vocabularies

Pieces that begin at s are looked at token by token, those of the largest mass first. When the k best pieces found are
at least as probable as every mass that is left, they are the k best of all: n(n + 1)/2 pieces are ranked and a few
looked at.

Legend: B inputs, n tokens of the longest source.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from multitask.decoding.chains import Chains
from multitask.decoding.label_ranking import log_likelihoods, target_chains
from multitask.decoding.padded_scorer import PaddedScorer
from multitask.decoding.unpadded_scorer import UnpaddedScorer

BLOCK = 4
"""Tokens by which a beginning is made longer at first; then it doubles."""

AT_ONCE = 3
"""PrefixStates of a source, those of the largest mass, that are made longer in one pass. One at a time looks at the
fewest tokens (on tweets 83 a source for the 20 best pieces, in up to 47 passes), three at 86 in up to 16, twice as many
every time at 102 in up to 9."""


class BestSpans(NamedTuple):
    """The best pieces of one source, the best first."""

    scores: np.ndarray
    """[k] log-probability or log-likelihood."""
    firsts: np.ndarray
    """[k] int64, each one's first token; -1 of nothing."""
    lasts: np.ndarray
    """[k] int64; -1 of nothing."""


def best_spans(
    scorer: UnpaddedScorer | PaddedScorer,
    sources: Sequence[Sequence[int]],
    *,
    eos: int,
    by: Literal["probability", "likelihood"],
    count: int = 1,
    targets: Sequence[Sequence[int] | np.ndarray] | None = None,
    first: Sequence[int] = (),
    nothing: bool = False,
) -> tuple[list[BestSpans], np.ndarray | None]:
    """The `count` best pieces of each source, and the log-likelihoods [B] of the targets.

    Args:
        scorer: The model and its inputs.
        sources: Token ids of each input's source; one may be empty.
        eos: End of sequence.
        by: See `PrefixStates`.
        count: k.
        targets: Token ids of each input's target, end of sequence included; None for none.
        first: Tokens that stand before every answer, the targets' too.
        nothing: Whether nothing may be the answer.
    """
    if targets is not None and any(list(t[: len(first)]) != list(first) for t in targets):
        # Cut to fewer tokens than that: then the targets have a pass of their own.
        found, _ = best_spans(scorer, sources, eos=eos, by=by, count=count, first=first, nothing=nothing)
        return found, log_likelihoods(scorer, targets)
    start = [*first, eos]
    tokens = np.array([len(s) * (len(s) + 1) // 2 + 1 for s in sources])  # that may be looked at
    if targets is not None:
        tokens += [len(t) for t in targets]
    else:
        tokens += len(start)
    found = []
    told = []
    for part in scorer.cacheable(tokens):
        search = PrefixStates(scorer, part, [sources[i] for i in part], by, count, eos, first, nothing)
        told.append(
            search.first_pass([start if targets is None else targets[i] for i in part], int(tokens[part].sum()))
        )
        while len(todo := search.frontier()):
            search.look(todo)
        found += search.best()
    return found, None if targets is None else np.concatenate(told)


class PrefixStates:
    """The state of the search over the prefixes of a batch of sources.

    By `probability` the output *must* be a piece: the decoder begins with one of the source's tokens (renormalised over
    them), and after each token it ends with its probability of the end of sequence, or goes on: to the token that
    stands next, since the constraint leaves no other; at the source's end nothing is left but to stop. So a long piece
    costs no more than the decisions not to stop, while summed likelihood also charges for every word that the model
    is unsure how to repeat. The probabilities of all pieces sum to 1. By `likelihood` a piece has its tokens' summed
    log-probability, end of sequence included.

    Nothing, where it may be the answer, is one more way to begin: with the end of sequence. So its probability stands
    among those of the tokens that a piece may begin with, and its likelihood is that of the end of sequence alone.
    """

    def __init__(
        self,
        scorer: UnpaddedScorer | PaddedScorer,
        inputs: np.ndarray,
        sources: Sequence[Sequence[int]],
        by: Literal["probability", "likelihood"],
        count: int,
        eos: int,
        first: Sequence[int] = (),
        nothing: bool = False,
    ) -> None:
        self.lengths = np.array([len(s) for s in sources], np.int64)  # [B]
        size, n = len(sources), max(int(self.lengths.max(initial=0)), 1)
        self.ids = np.zeros((size, n), np.int64)
        for row, ids in zip(self.ids, sources, strict=True):
            row[: len(ids)] = ids
        self.scorer, self.inputs, self.by, self.count, self.eos = scorer, inputs, by, count, eos
        self.start = np.array([scorer.start, *first], np.int64)
        """What every chain begins with."""
        self.nothing: np.ndarray | None = np.full(size, -np.inf) if nothing else None
        """[B] log-probability or log-likelihood of nothing; None where it is no answer."""
        self.pieces_from = np.maximum(self.lengths[:, None] - np.arange(n), 0)  # [B, n] pieces that begin at s
        # The last token of the source may be the last that is looked at: by probability it needs no look.
        self.need = np.maximum(self.pieces_from - (by == "probability"), 0)
        self.known = np.zeros((size, n), np.int64)
        """[B, n] tokens looked at from s on."""
        self.scores = np.full((size, n, n), -np.inf)
        """[B, n, n] of the piece s … s+j; -inf where it is not known, or no piece."""
        self.mass = np.full((size, n), -np.inf)
        """[B, n] of the longest known beginning at s."""

    def first_pass(self, targets: Sequence[Sequence[int] | np.ndarray], room: int) -> np.ndarray:
        """Ask for the first tokens of all pieces, and along the targets; their log-likelihoods [B].

        Args:
            targets: Token ids of each.
            room: Tokens that may be looked at in all.
        """
        size, n = self.ids.shape
        chains = target_chains(self.scorer.start, targets, self.inputs)
        begins = np.cumsum(chains.lengths) - chains.lengths
        e, s = np.nonzero(self.pieces_from)
        after = begins + len(self.start) - 1  # the row after which an answer begins
        ends = after[: 0 if self.nothing is None else size]
        rows = np.concatenate([chains.rows, after[e], ends])
        order = np.argsort(rows, kind="stable")
        asked = np.concatenate([chains.asked, self.ids[e, s], np.full(len(ends), self.eos)])
        # Names in the cache: the targets' chains, then (input, s). All begin with the input's one start.
        self.cache = self.scorer.cache(room, size + size * n, max(n + len(self.start), int(chains.lengths.max())))
        told = np.empty(len(rows))
        told[order] = self.scorer.log_probabilities(
            chains._replace(rows=rows[order], asked=asked[order]), self.cache, np.arange(size)
        )
        if self.cache is not None:
            self.cache.adopt(size + e * n + s, e, np.full_like(e, len(self.start)))
        self.mass[e, s] = told[len(chains.rows) : len(chains.rows) + len(e)]
        if self.nothing is not None:
            self.nothing = told[len(chains.rows) + len(e) :]
        if self.by == "probability":
            total = np.logaddexp.reduce(self.mass, axis=1)  # -inf of a source without tokens
            if self.nothing is not None:
                total = np.logaddexp(total, self.nothing)
                self.nothing = self.nothing - total
            self.mass[e, s] -= total[e]
            self._end(*np.nonzero(self.pieces_from == 1))
        return np.add.reduceat(told[: len(chains.rows)], begins)

    def _end(self, e: np.ndarray, s: np.ndarray) -> None:
        """The pieces from s to the source's end are certain to stop there."""
        self.scores[e, s, self.pieces_from[e, s] - 1] = self.mass[e, s]

    def frontier(self) -> np.ndarray:
        """[C, 2] the beginnings (input, s) that are looked at next."""
        flat = self._known_scores()
        size, most = len(flat), self.count
        worst = np.partition(flat, -most, axis=1)[:, -most] if flat.shape[1] >= most else np.full(size, -np.inf)
        open_ = (self.known < self.need) & (self.mass > worst[:, None])
        rank = np.argsort(np.argsort(np.where(open_, -self.mass, np.inf), axis=1, kind="stable"), axis=1, kind="stable")
        return np.argwhere(open_ & (rank < AT_ONCE))

    def look(self, todo: np.ndarray) -> None:
        """Make the beginnings `todo` [C, 2] longer."""
        e, s = todo.T
        size, n = self.ids.shape
        known, need = self.known[e, s], self.need[e, s]
        to = np.minimum(need, np.maximum(BLOCK, 2 * known))  # [C] tokens after the start token
        fresh = to - known
        before = len(self.start)
        lengths = to + before
        starts = np.cumsum(lengths) - lengths
        chain = np.repeat(np.arange(len(e)), to)
        j = np.arange(len(chain)) - np.repeat(np.cumsum(to) - to, to)
        tokens = np.empty(int(lengths.sum()), np.int64)
        tokens[(starts[:, None] + np.arange(before)).ravel()] = np.tile(self.start, len(e))
        tokens[starts[chain] + before + j] = self.ids[e[chain], s[chain] + j]
        new = j >= known[chain]
        chain, j = chain[new], j[new]
        rows = starts[chain] + before + j
        asked = np.full((len(rows), 1), self.eos)
        if self.by == "likelihood":
            following = self.ids[e[chain], np.minimum(s[chain] + j + 1, n - 1)]
            asked = np.stack([asked[:, 0], following], 1)
        width = asked.shape[1]
        told = self.scorer.log_probabilities(
            Chains(self.inputs[e], lengths, tokens, np.repeat(rows, width), asked.ravel()), self.cache, size + e * n + s
        )
        told = told.reshape(-1, width).astype(np.float64)
        stop = told[:, 0]
        go_on = told[:, 1] if self.by == "likelihood" else np.log1p(-np.minimum(np.exp(stop), 1 - 1e-6))
        # The mass before each fresh token: what it was, and all that went on since.
        total = np.concatenate([[0.0], np.cumsum(go_on)])
        ends = np.cumsum(fresh)
        mass = self.mass[e, s][chain] + total[:-1] - np.repeat(total[ends - fresh], fresh)
        self.scores[e[chain], s[chain], j] = mass + stop
        self.mass[e, s] += total[ends] - total[ends - fresh]
        self.known[e, s] = to
        if self.by == "probability":
            over = to == need
            self._end(e[over], s[over])

    def _known_scores(self) -> np.ndarray:
        """[B, n * n] of the pieces s … s+j at s * n + j; and of nothing, behind them, where it may be the answer."""
        flat = self.scores.reshape(len(self.scores), -1)
        return flat if self.nothing is None else np.concatenate([flat, self.nothing[:, None]], 1)

    def best(self) -> list[BestSpans]:
        """The best pieces of each source among those that are known."""
        n = self.mass.shape[1]
        flat = self._known_scores()
        most = min(self.count, flat.shape[1])
        index = np.argpartition(-flat, most - 1, axis=1)[:, :most]
        index = np.take_along_axis(index, np.argsort(-np.take_along_axis(flat, index, 1), 1, kind="stable"), 1)
        found = []
        for row, places in zip(flat, index, strict=True):
            places = places[np.isfinite(row[places])]
            is_piece = places < n * n
            found.append(
                BestSpans(
                    row[places],
                    np.where(is_piece, places // n, -1),
                    np.where(is_piece, places // n + places % n, -1),
                )
            )
        return found
