"""The kernels of flat tokens: their values and gradients are those of the plain expressions; dropout is dropout."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from multitask.model.unpadded import attention, pointwise
from multitask.model.unpadded.forward import NO_DROPOUT, agrees
from multitask.model.unpadded.layout import Layout
from multitask.model.unpadded.loss import TiedGradient, embed, token_loss
from multitask.model.unpadded.pointwise import Masks


def double(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def values_and_gradients(function, *inputs):
    out = function(*inputs)
    down = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return [out.detach(), *torch.autograd.grad((out * down).sum(), inputs)]


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


# ------------------------------------------------------------------------------------------------------------- dropout


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5])
def test_masks_keep_the_share_that_the_rate_leaves_and_the_expectation(rate):
    masks = Masks(rate, 3)
    kept = masks.draw(1000, 1000).double().mean().item()
    assert kept == pytest.approx(1 - rate, abs=5 * (rate * (1 - rate) / 1e6) ** 0.5)
    assert masks.scale == pytest.approx(1 / (1 - rate), rel=1e-4)


def test_masks_depend_on_the_seed_alone_and_neighbours_are_not_alike():
    one, same, other = (Masks(0.5, seed).draw(64, 63) for seed in (7, 7, 8))
    assert torch.equal(one, same)
    agreement = (one == other).double().mean().item()
    assert agreement == pytest.approx(0.5, abs=0.05)
    follow = (one[:, 1:] == one[:, :-1]).double().mean().item()
    assert follow == pytest.approx(0.5, abs=0.05)


def test_a_rate_of_zero_draws_nothing():
    assert Masks(0.0).draw(3) is None
    x = double(4, 6)
    assert pointwise.dropped(x, NO_DROPOUT) is x


class Fixed(Masks):
    """Gives one mask again and again, so that the plain expression can have it too."""

    def like(self, x):
        return (torch.arange(x.numel()) % 3 > 0).to(torch.int8).view(x.shape)


FIXED = Fixed(0.25)


def plain_dropout(x):
    return x * FIXED.like(x) * FIXED.scale


@pytest.mark.parametrize(
    "kernel, plain",
    [
        (lambda x, y: pointwise.add_dropped(x, y, FIXED), lambda x, y: x + plain_dropout(y)),
        (lambda x, y: pointwise.dropped(x, FIXED) + y, lambda x, y: plain_dropout(x) + y),
        (lambda x, y: pointwise.relu_dropped(x, FIXED) * y, lambda x, y: plain_dropout(x.relu()) * y),
        (lambda x, y: pointwise.relu_dropped(x, NO_DROPOUT) * y, lambda x, y: x.relu() * y),
        (lambda x, y: pointwise.add_dropped(x, y, NO_DROPOUT), lambda x, y: x + y),
    ],
    ids=["add", "drop", "relu", "relu without dropout", "add without dropout"],
)
def test_fused_dropout_is_the_plain_expression(kernel, plain):
    inputs = double(5, 8), double(5, 8, seed=1)
    assert_same(values_and_gradients(kernel, *inputs), values_and_gradients(plain, *inputs))


def test_the_norm_is_the_plain_expression():
    x, weight = double(7, 12), double(12, seed=1)

    def plain(x, weight):
        return weight * x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()

    assert_same(
        values_and_gradients(lambda x, w: pointwise.rms_norm(x, w, 1e-6), x, weight),
        values_and_gradients(plain, x, weight),
    )
    assert torch.autograd.gradcheck(lambda x, w: pointwise.rms_norm(x, w, 1e-6), (x, weight))


# ----------------------------------------------------------------------------------------------------------- attention

groups = st.lists(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 5)), min_size=1, max_size=4), min_size=1, max_size=3
)


def split(x, lengths, heads):
    return [part.view(len(part), heads, -1).transpose(0, 1) for part in x.split([int(n) for g in lengths for n in g])]


@given(groups, st.integers(1, 3))
def test_a_layout_says_where_each_token_stands(made, heads):
    lengths = [np.array([pair[0] for pair in g]) for g in made]
    layout = Layout.of(lengths, heads)
    assert layout.tokens == sum(int(n.sum()) for n in lengths)
    slots, places, slot, token = layout.slots.tolist(), layout.places.tolist(), 0, 0
    for part, group in zip(lengths, layout.groups, strict=True):
        assert (group.size, group.width) == (len(part), part.max())
        padding = np.zeros((group.size, group.width), bool) if group.padding is None else group.padding.numpy()
        assert padding.tolist() == [[column >= n for column in range(group.width)] for n in part]
        for n in part.tolist():
            for head in range(heads):
                stands = [(token + i) * heads + head for i in range(n)]
                assert slots[slot : slot + group.width] == stands + stands[:1] * (group.width - n)
                assert [places[i] for i in stands] == list(range(slot, slot + n))
                slot += group.width
            token += n
    assert slot == len(slots)


@settings(max_examples=40)
@given(groups, st.integers(1, 3), st.booleans(), st.integers(0, 9))
def test_attention_is_that_of_each_sequence_alone(made, heads, biased, seed):
    q_lengths, k_lengths = ([np.array([pair[side] for pair in g]) for g in made] for side in (0, 1))
    queries, keys = Layout.of(q_lengths, heads), Layout.of(k_lengths, heads)
    q = double(queries.tokens, 3 * heads, seed=seed)
    k, v = (double(keys.tokens, 3 * heads, seed=seed + i) for i in (10, 20))
    biases = [
        double(heads, a.width, b.width, seed=i)
        for i, (a, b) in enumerate(zip(queries.groups, keys.groups, strict=True))
    ]

    def kernel(q, k, v, *biases):
        return attention.attention(
            q, k, v, heads=heads, queries=queries, keys=keys, masks=NO_DROPOUT, biases=biases or [None] * len(made)
        )

    def plain(q, k, v, *biases):
        outs = []
        group_of = [i for i, g in enumerate(q_lengths) for _ in g]
        parts = zip(*(split(x, n, heads) for x, n in ((q, q_lengths), (k, k_lengths), (v, k_lengths))), strict=True)
        for i, (a, b, c) in zip(group_of, parts, strict=True):
            scores = a @ b.transpose(1, 2)
            if biases:
                scores = scores + biases[i][:, : a.shape[1], : b.shape[1]]
            outs.append((scores.softmax(-1) @ c).transpose(0, 1).reshape(a.shape[1], -1))
        return torch.cat(outs)

    inputs = (q, k, v, *(biases if biased else []))
    assert_same(values_and_gradients(kernel, *inputs), values_and_gradients(plain, *inputs))


def test_dropout_of_attention_is_of_its_weights():
    lengths = [np.array([3, 3])]
    layout = Layout.of(lengths, 2)
    q, k, v = (double(6, 4, seed=i) for i in range(3))

    def kernel(q, k, v):
        return attention.attention(q, k, v, heads=2, queries=layout, keys=layout, masks=FIXED, biases=[None])

    def plain(q, k, v):
        a, b, c = (x.view(2, 3, 2, 2).transpose(1, 2) for x in (q, k, v))
        return (plain_dropout((a @ b.transpose(2, 3)).softmax(-1)) @ c).transpose(1, 2).reshape(6, 4)

    assert_same(values_and_gradients(kernel, q, k, v), values_and_gradients(plain, q, k, v))


# -------------------------------------------------------------------------------------------------------------- losses


@pytest.mark.parametrize("logits", [1 << 24, 50])
def test_the_loss_is_the_weighted_cross_entropy(monkeypatch, logits):
    monkeypatch.setattr("multitask.model.unpadded.loss.LOGITS", logits)  # 50: chunks of two tokens
    hidden, weight = double(9, 6), double(25, 6, seed=1)
    labels = torch.randint(25, (9,), generator=torch.Generator().manual_seed(2))
    weights = torch.rand(9, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

    def plain(hidden, weight):
        return (F.cross_entropy(hidden @ weight.t(), labels, reduction="none") * weights).sum()

    def kernel(hidden, weight):
        return token_loss(hidden, weight, labels, weights)[0]

    assert_same(values_and_gradients(kernel, hidden, weight), values_and_gradients(plain, hidden, weight))
    losses = token_loss(hidden, weight, labels, weights)[1]
    torch.testing.assert_close(losses, F.cross_entropy(hidden @ weight.t(), labels, reduction="none"))


def test_a_label_far_from_likely_has_a_finite_loss():
    hidden, weight = torch.full((1, 2), 100.0), torch.tensor([[10.0, 10.0], [-10.0, -10.0]])
    loss, _ = token_loss(hidden, weight, torch.tensor([1]), torch.ones(1))
    assert float(loss) == pytest.approx(4000)


def test_tied_embeddings_get_the_gradient_of_both_their_uses():
    weight, ids, labels = double(11, 4), torch.tensor([3, 5, 3, 0]), torch.tensor([1, 2, 2, 7])
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    tied = TiedGradient()
    loss, _ = token_loss(embed(weight, ids, tied) * 2, weight, labels, weights, tied)
    (ours,) = torch.autograd.grad(loss, weight)
    plain = (F.cross_entropy(weight[ids] * 2 @ weight.t(), labels, reduction="none") * weights).sum()
    torch.testing.assert_close(ours, *torch.autograd.grad(plain, weight), rtol=1e-12, atol=1e-12)
    assert tied.value is None


def test_a_loss_is_differentiated_once():
    loss, _ = token_loss(double(2, 3), double(4, 3), torch.tensor([0, 1]), torch.ones(2))
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="differentiated twice"):
        loss.backward()


# -------------------------------------------------------------------------------------------------------- whole models


@pytest.mark.parametrize("kind", ["t5", "gated", "untied", "mt5", "umt5", "byt5"])
def test_every_model_of_the_family_is_recognised(tiny_model, kind):
    model = tiny_model(kind, dropout=0.1).train()
    assert agrees(model)
    assert model.training


def test_a_model_with_another_layer_is_not(t5):
    norm = t5.encoder.block[0].layer[0].layer_norm
    t5.encoder.block[0].layer[0].layer_norm = torch.nn.Sequential(norm)
    assert not agrees(t5)


def test_a_projection_that_is_another_module_is_gone_through(t5):
    own = t5.encoder.block[0].layer[0].SelfAttention
    own.o = torch.nn.Sequential(own.o)
    assert agrees(t5)


def test_a_model_that_computes_something_else_is_not(t5):
    t5.decoder.final_layer_norm.register_forward_hook(lambda module, given, out: out * 1.01)
    assert not agrees(t5)
