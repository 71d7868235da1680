"""Both scorers give what one forward pass a question gives, whatever is shared, grown or cut."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.mt5 import modeling_mt5
from transformers.models.t5 import modeling_t5

from multitask.decoding import cross_attention, padded_scorer, unpadded_scorer
from multitask.decoding.chains import Chains
from multitask.decoding.cross_attention import log_normalisers
from multitask.decoding.decoder import is_unpadded, scorer_of
from multitask.decoding.label_ranking import LabelTree, label_scores, log_likelihoods
from multitask.decoding.padded_scorer import PaddedScorer
from multitask.decoding.unpadded_scorer import UnpaddedScorer

reference = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "reference_decoding.py")))

LABELS = [[5, 6, 1], [5, 1], [5, 6, 7, 1], [8, 1], [8, 1], [1], [6, 5, 1]]
"""Shared beginnings, one label the beginning of another, two alike, an empty one."""


@pytest.fixture
def exact(model, monkeypatch):
    """A model in fp64 throughout: transformers' own norm works in fp32."""
    for layer in (modeling_t5.T5LayerNorm, modeling_mt5.MT5LayerNorm):
        monkeypatch.setattr(
            layer,
            "forward",
            lambda self, x: x * (x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon).rsqrt() * self.weight,
        )
    return model.double().eval()


def inputs_of(count, seed, longest=12):
    draw = np.random.default_rng(seed)
    return [draw.integers(3, 300, draw.integers(1, longest + 1)) for _ in range(count)]


@pytest.mark.parametrize("kind", [UnpaddedScorer, PaddedScorer])
@pytest.mark.parametrize("count", [1, 5])
@torch.inference_mode()
def test_label_scores_are_those_of_a_pass_a_label(exact, kind, count):
    inputs = inputs_of(count, 0)
    wanted = [[reference.log_likelihood(exact, i, label) for label in LABELS] for i in inputs]
    found = label_scores(kind(exact, inputs), LABELS)
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    assert (found[:, 3] == found[:, 4]).all()  # labels of the same tokens tie exactly


@pytest.mark.parametrize("kind", [UnpaddedScorer, PaddedScorer])
@torch.inference_mode()
def test_log_likelihoods_are_those_of_a_pass_a_target(exact, kind, monkeypatch):
    inputs = inputs_of(5, 1)
    targets = [[*t, 1] for t in ([], [9, 9, 9], [4], [20, 21, 22, 23, 24, 25], [7, 8])]
    wanted = [reference.log_likelihood(exact, i, t) for i, t in zip(inputs, targets, strict=True)]
    scorer = kind(exact, inputs)
    np.testing.assert_allclose(log_likelihoods(scorer, targets), wanted, rtol=1e-10)
    some = np.array([1, 4])
    np.testing.assert_allclose(log_likelihoods(scorer, [targets[i] for i in some], some), np.array(wanted)[some])
    for module, name in (
        (unpadded_scorer, "PASS_TOKENS"),
        (cross_attention, "LOGITS"),
        (cross_attention, "COLUMNS"),
        (padded_scorer, "LOGIT_BYTES"),
    ):
        monkeypatch.setattr(module, name, 7)
    np.testing.assert_allclose(log_likelihoods(scorer, targets), wanted, rtol=1e-10)


@torch.inference_mode()
def test_chains_that_grow_in_a_cache_say_what_whole_ones_say(exact):
    scorer = UnpaddedScorer(exact, inputs_of(3, 2))
    owners = np.array([0, 0, 2])
    whole = [[0, 5, 6, 7, 8], [0, 9], [0, 5, 5, 5]]

    def chains(sizes, known):
        tokens = [t[:size] for t, size in zip(whole, sizes, strict=True)]
        starts = np.cumsum([0, *sizes[:-1]])
        rows = np.concatenate([at + np.arange(k, size) for at, k, size in zip(starts, known, sizes, strict=True)])
        return Chains(owners, np.array(sizes), np.concatenate(tokens), rows, np.full(len(rows), 4))

    full = scorer.log_probabilities(chains([5, 2, 4], [0, 0, 0]))
    cache = scorer.cache(20, 4, 5)
    assert cache is not None
    names = np.array([3, 0, 1])
    first = scorer.log_probabilities(chains([2, 1, 2], [0, 0, 0]), cache, names)
    then = scorer.log_probabilities(chains([5, 2, 4], [2, 1, 2]), cache, names)
    np.testing.assert_allclose(first, full[[0, 1, 5, 7, 8]], rtol=1e-10)
    np.testing.assert_allclose(then, full[[2, 3, 4, 6, 9, 10]], rtol=1e-10)


@given(st.integers(1, 9), st.integers(1, 30), st.integers(1, 40), st.integers(1, 40))
def test_log_normalisers_are_those_of_all_logits(rows, vocabulary, block, columns):
    draw = torch.Generator().manual_seed(rows * 100 + vocabulary)
    states, head = (10 * torch.randn(n, 4, dtype=torch.float64, generator=draw) for n in (rows, vocabulary))
    before = cross_attention.LOGITS, cross_attention.COLUMNS
    cross_attention.LOGITS, cross_attention.COLUMNS = block, columns
    try:
        found = log_normalisers(states, head)
    finally:
        cross_attention.LOGITS, cross_attention.COLUMNS = before
    torch.testing.assert_close(found, (states @ head.T).logsumexp(1))


@given(st.lists(st.lists(st.integers(2, 4), max_size=4).map(lambda ids: [*ids, 1]), min_size=1, max_size=6))
def test_a_label_tree_has_every_beginning_once_and_spells_every_label(labels):
    tree = LabelTree.of(labels, start=0)
    beginnings = {tuple(ids[:k]) for ids in labels for k in range(len(ids))}
    assert len(tree.tokens) == len(beginnings)
    said = {tuple(tree.tokens[s][1:]) for s in tree.sees}
    assert said == beginnings
    for ids, path in zip(labels, tree.paths, strict=True):
        steps = sorted(np.flatnonzero(path), key=lambda e: tree.positions[tree.rows[e]])
        assert [tree.asked[e] for e in steps] == ids
        assert [tree.positions[tree.rows[e]] for e in steps] == list(range(len(ids)))


def test_the_flat_way_is_taken_where_it_is_exact(model):
    assert is_unpadded(model)
    inputs = inputs_of(2, 3)
    assert isinstance(scorer_of(model, inputs), UnpaddedScorer)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not is_unpadded(model)
        assert isinstance(scorer_of(model, inputs), PaddedScorer)
    assert not is_unpadded(model.to(torch.bfloat16))


def test_a_model_that_was_changed_goes_the_plain_way(t5):
    class Adapter(torch.nn.Linear):
        pass

    class Other(type(t5)):
        pass

    t5.encoder.block[0].layer[0].SelfAttention.q = Adapter(16, 16, bias=False)
    assert not is_unpadded(t5)
    other = Other(t5.config)
    assert not is_unpadded(other)


def test_settings_of_its_own_for_generation_do_not_change_a_models_way(t5):
    t5.generation_config.no_repeat_ngram_size = 2
    t5.generation_config.eos_token_id = [1, 3]
    assert is_unpadded(t5)
