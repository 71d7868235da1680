"""Greedy and beam search write what transformers' `generate` writes, for each input alone."""

from __future__ import annotations

import itertools
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from multitask.decoding import search
from multitask.decoding.automaton import Automaton
from multitask.decoding.padded_scorer import PaddedScorer
from multitask.decoding.search import write
from multitask.decoding.unpadded_scorer import UnpaddedScorer
from multitask.task import Decoding
from multitask.tokenization.spans import SourceSpan

reference = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "reference_decoding.py")))

ENDS = (1, 0)


def settings_of(decoding):
    beams = {"num_beams": decoding.num_beams, "length_penalty": decoding.length_penalty, "early_stopping": True}
    return {"max_new_tokens": decoding.max_new_tokens, **(beams if decoding.num_beams > 1 else {})}


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize(("beams", "penalty"), [(1, 1.0), (2, 1.0), (3, 0.5)])
@pytest.mark.parametrize("most", [1, 20])
@torch.inference_mode()
def test_what_is_written_is_what_generate_writes(model, constrained, beams, penalty, most):
    model.double().eval()
    draw = np.random.default_rng(beams)
    inputs = [draw.integers(3, 300, n) for n in (9, 4, 1, 6, 7)]
    sources = [[7], [5, 6, 5, 6, 5], [9, 9, 9, 9], draw.integers(3, 300, 12).tolist(), []]
    decoding = Decoding(max_new_tokens=most, num_beams=beams, length_penalty=penalty)
    automata = [Automaton(ids) for ids in sources] if constrained else None
    flat = write(UnpaddedScorer(model, inputs), decoding, stops=ENDS, sources=automata)
    plain = PaddedScorer(model, inputs).generate(decoding, stops=ENDS, sources=automata)
    for ids, source, one, other in zip(inputs, sources, flat, plain, strict=True):
        span = SourceSpan("", source, [(0, 1)] * len(source)) if constrained else None
        wanted = reference.generate(model, ids, ends=ENDS, source=span, **settings_of(decoding))
        assert list(itertools.takewhile(lambda i: i not in ENDS, one)) == wanted
        assert list(itertools.takewhile(lambda i: i not in ENDS, other)) == wanted


@pytest.mark.parametrize("beams", [1, 2, 3])
@torch.inference_mode()
def test_answers_of_any_length_are_what_generate_writes(tiny_model, beams):
    draw = np.random.default_rng(0)
    decoding = Decoding(max_new_tokens=12, num_beams=beams, length_penalty=0.7)
    lengths = set()
    for kind, vocabulary, seed in (("t5", 8, 3), ("byt5", 8, 1), ("gated", 16, 2), ("mt5", 8, 1)):
        # Of few tokens, the end of sequence is often the likeliest; the padding too, after which beams go on.
        model = tiny_model(kind, vocabulary=vocabulary, seed=seed).double().eval()
        inputs = [draw.integers(2, vocabulary, n) for n in (9, 4, 1, 6, 7, 12, 3, 2)]
        for ids, one in zip(inputs, write(UnpaddedScorer(model, inputs), decoding, stops=ENDS), strict=True):
            wanted = reference.generate(model, ids, ends=ENDS, **settings_of(decoding))
            assert list(itertools.takewhile(lambda i: i not in ENDS, one)) == wanted
            lengths.add(len(one))
    assert len(lengths) > 2  # some at once, some later, some cut


@pytest.mark.parametrize("few", [0, 1000])
@torch.inference_mode()
def test_few_allowed_tokens_are_looked_at_one_by_one_and_many_together(t5, few, monkeypatch):
    monkeypatch.setattr(search, "FEW", few)
    draw = np.random.default_rng(0)
    inputs = [draw.integers(3, 300, 8) for _ in range(4)]
    sources = [draw.integers(3, 300, 30).tolist() for _ in range(4)]
    decoding = Decoding(max_new_tokens=10)
    made = write(UnpaddedScorer(t5, inputs), decoding, stops=ENDS, sources=[Automaton(s) for s in sources])
    for ids, source, one in zip(inputs, sources, made, strict=True):
        span = SourceSpan("", source, [(0, 1)] * len(source))
        wanted = reference.generate(t5, ids, ends=ENDS, source=span, max_new_tokens=10)
        assert list(itertools.takewhile(lambda i: i not in ENDS, one)) == wanted


@torch.inference_mode()
def test_finished_answers_leave_the_batch(t5, monkeypatch):
    rows = []
    step = search.DecodingSteps.__call__
    monkeypatch.setattr(search.DecodingSteps, "__call__", lambda self, ids: rows.append(len(ids)) or step(self, ids))
    sources = [[5] * n for n in (1, 2, 3, 9)]
    inputs = [np.arange(3, 9)] * 4
    made = write(
        UnpaddedScorer(t5, inputs), Decoding(max_new_tokens=20), stops=(2, 0), sources=[Automaton(s) for s in sources]
    )
    assert all(len(one) <= len(source) + 1 for one, source in zip(made, sources, strict=True))
    assert rows == sorted(rows, reverse=True)
    assert len(rows) == max(map(len, made))
