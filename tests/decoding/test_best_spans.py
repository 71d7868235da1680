"""The search finds the best pieces of all, and looks at fewer."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multitask.decoding import unpadded_scorer
from multitask.decoding.best_spans import best_spans
from multitask.decoding.padded_scorer import PaddedScorer
from multitask.decoding.unpadded_scorer import UnpaddedScorer

reference = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "reference_decoding.py")))


class Told:
    """A scorer that knows each answer beforehand: log p(token | what was said), by a table of random numbers."""

    def __init__(self, count, seed, sharpness):
        self.inputs, self.start, self.asked = range(count), 0, 0
        self.seed, self.sharpness = seed, sharpness

    def cacheable(self, tokens):
        return [np.arange(len(tokens))]

    def cache(self, room, chains, width):
        return None

    def says(self, owner, said):
        draw = np.random.default_rng([self.seed, owner, *said])
        logits = self.sharpness * draw.standard_normal(8)
        return logits - np.logaddexp.reduce(logits)

    def log_probabilities(self, chains, cache=None, names=None):
        starts = np.cumsum(chains.lengths) - chains.lengths
        self.asked += len(np.unique(chains.rows))
        told = []
        for row, token in zip(chains.rows, chains.asked, strict=True):
            chain = np.searchsorted(starts, row, side="right") - 1
            told.append(self.says(chains.owners[chain], chains.tokens[starts[chain] : row + 1])[token])
        return np.array(told)

    def table(self, owner, ids, lead=()):
        n = len(ids)
        start = [0, *lead]
        first, ahead, stop = np.zeros(n), np.zeros((n, n)), np.zeros((n, n))
        for s in range(n):
            first[s] = self.says(owner, start)[ids[s]]
            for j in range(n - s):
                says = self.says(owner, [*start, *ids[s : s + j + 1]])
                stop[s, j] = says[1]
                if s + j + 1 < n:
                    ahead[s, j] = says[ids[s + j + 1]]
        return first, ahead, stop


@settings(max_examples=150)
@given(
    st.lists(st.lists(st.integers(2, 7), max_size=12), min_size=1, max_size=4),
    st.sampled_from(["probability", "likelihood"]),
    st.sampled_from([1, 2, 20]),
    st.sampled_from([0.0, 1.0, 6.0]),  # 0: all pieces of a length tie
    st.integers(0, 999),
    st.sampled_from([(), (3,), (2, 5)]),
    st.booleans(),
)
def test_the_best_pieces_are_those_of_all(sources, by, count, sharpness, seed, lead, nothing):
    scorer = Told(len(sources), seed, sharpness)
    found, told = best_spans(scorer, sources, eos=1, by=by, count=count, first=lead, nothing=nothing)
    assert told is None
    for owner, (ids, pieces) in enumerate(zip(sources, found, strict=True)):
        end = scorer.says(owner, [0, *lead])[1] if nothing else None
        scores = reference.piece_scores(*scorer.table(owner, ids, lead), by, end) if ids or nothing else {}
        np.testing.assert_allclose(pieces.scores, sorted(scores.values(), reverse=True)[:count], atol=1e-9)
        places = list(zip(pieces.firsts.tolist(), pieces.lasts.tolist(), strict=True))
        np.testing.assert_allclose(pieces.scores, [scores[place] for place in places], atol=1e-9)
        assert len(set(places)) == len(places)


@pytest.mark.parametrize(("by", "count"), [("probability", 1), ("likelihood", 1), ("probability", 20)])
def test_a_sure_model_is_asked_little(by, count):
    ids = list(np.random.default_rng(0).integers(2, 8, 40))
    scorer = Told(1, 3, 12.0)
    best_spans(scorer, [ids], eos=1, by=by, count=count)
    assert scorer.asked < 40 * 41 / 2 / 4


@pytest.mark.parametrize("kind", [UnpaddedScorer, PaddedScorer])
@pytest.mark.parametrize("by", ["probability", "likelihood"])
@pytest.mark.parametrize(
    ("room", "lead", "nothing"),  # all sources in one cache, in several, none
    [(1 << 29, (), False), (20_000, (), False), (1, (), True), (20_000, (8, 9), True)],
)
@torch.inference_mode()
def test_the_best_pieces_of_a_batch_are_those_of_each_source_alone(model, kind, by, room, lead, nothing, monkeypatch):
    monkeypatch.setattr(unpadded_scorer, "CACHE_BYTES", room)
    model.double().eval()
    draw = np.random.default_rng(4)
    inputs = [draw.integers(3, 300, n) for n in (9, 4, 1, 6, 7)]
    sources = [[7], [5, 6, 5, 6, 5, 6, 5], [], [9, 9, 9, 9], list(range(10, 19))]
    targets = [[7, 1], [5, 6, 1], [1], [30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 1], [12, 13, 14, 1]]
    targets = [[*lead, *t] for t in targets]
    found, told = best_spans(
        kind(model, inputs), sources, eos=1, by=by, count=5, targets=targets, first=lead, nothing=nothing
    )
    wanted = [reference.log_likelihood(model, i, t) for i, t in zip(inputs, targets, strict=True)]
    np.testing.assert_allclose(told, wanted, rtol=1e-6)  # transformers' own norm works in fp32
    for ids, source, pieces in zip(inputs, sources, found, strict=True):
        end = reference.log_likelihood(model, ids, [*lead, 1])
        end -= reference.log_likelihood(model, ids, lead) if lead else 0
        table = reference.span_scores(model, ids, source, 1, lead)
        scores = reference.piece_scores(*table, by, end if nothing else None) if source or nothing else {}
        np.testing.assert_allclose(pieces.scores, sorted(scores.values(), reverse=True)[:5], rtol=1e-6, atol=1e-6)
