"""A step cut into micro-batches: every example once, the cheapest cut, and the gradient of the plain padded batch."""

from __future__ import annotations

import functools
import itertools
import warnings
from types import MethodType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multitask.batching import grouping
from multitask.batching.arrays import IGNORED, flat_tokens, micro_batches, unpadded_step
from multitask.batching.grouping import attention_groups, group_by_length
from multitask.batching.packing import packed_step, row_shape
from multitask.batching.step import gather_step, share_of
from multitask.batching.step_maker import as_tensors
from multitask.model.packed import packed_agrees, packed_losses
from multitask.tokenization.ragged import Ragged
from multitask.tokenization.tokenize import TokenizedTask
from multitask.training.module import step_loss

LOSSES = ("task", "token", "example")
FAMILY = ("t5", "gated", "untied", "mt5", "umt5", "byt5")


def made_tokens(seed: int, tasks: int = 3, rows: int = 20) -> list[TokenizedTask]:
    """Tasks of different lengths, of random ids that end with 1."""
    draw = np.random.default_rng(seed)

    def sequences(longest: int) -> Ragged:
        return Ragged.of([[*draw.integers(3, 300, draw.integers(0, longest)), 1] for _ in range(rows)])

    return [TokenizedTask(sequences(4 + 12 * t), sequences(2 + 6 * (tasks - t)), 0, 0) for t in range(tasks)]


def made_step(tokens, counts, loss="task", weights=(0.5, 0.3, 0.2)):
    rows = {t: np.arange(n) for t, n in enumerate(counts)}
    return gather_step(tokens, rows, loss=loss, loss_weights=weights, batch_size=4)


def in_double(model):
    """The model in float64, also where transformers computes in float32 whatever the model is."""

    def norm(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))

    model = model.double()
    for module in model.modules():
        if type(module).__name__ in ("T5LayerNorm", "MT5LayerNorm", "UMT5LayerNorm"):
            module.forward = MethodType(norm, module)
    return model


def gradients(model, batches) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients as `MultitaskModule.training_step` works them out; `batches` are (scale, made step)."""
    model.zero_grad()
    loss = 0.0
    for scale, made in batches:
        total, _ = step_loss(model, as_tensors(made))
        (total * scale / len(batches)).backward()
        loss += float(total.detach()) * scale / len(batches)
    return loss, {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def assert_same(one, other, tolerance=1e-10):
    assert one[0] == pytest.approx(other[0], rel=tolerance)
    assert one[1].keys() == other[1].keys()
    for name in one[1]:
        torch.testing.assert_close(one[1][name], other[1][name], rtol=tolerance, atol=tolerance, msg=name)


# -------------------------------------------------------------------------------------------------------------- groups

lengths = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 30)), min_size=1, max_size=40)


def cost(groups, inputs, targets, overhead, target_cost=2.0):
    return sum(len(g) * (inputs[g].max() + target_cost * targets[g].max()) + overhead for g in groups)


@given(lengths, st.floats(0, 500))
def test_groups_hold_every_example_once(pairs, overhead):
    inputs, targets = np.array(pairs).T
    groups = group_by_length(inputs, targets, overhead=overhead)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(pairs)))


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 30)), min_size=1, max_size=7), st.floats(0, 120))
def test_the_cut_is_the_cheapest_of_all_cuts_of_both_orders(pairs, overhead):
    inputs, targets = np.array(pairs).T
    cheapest = float("inf")
    for order in (np.lexsort((inputs, targets)), np.lexsort((targets, inputs))):
        for cuts in itertools.product((False, True), repeat=len(order) - 1):
            groups = np.split(order, [i + 1 for i, cut in enumerate(cuts) if cut])
            cheapest = min(cheapest, cost(groups, inputs, targets, overhead))
    found = cost(group_by_length(inputs, targets, overhead=overhead), inputs, targets, overhead)
    assert found == pytest.approx(cheapest)


@given(lengths, st.integers(1, 9))
def test_the_cut_does_not_depend_on_how_many_ends_are_looked_at_together(pairs, together):
    inputs, targets = np.array(pairs).T
    whole = group_by_length(inputs, targets, overhead=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouping, "_ROWS", together)
        assert [g.tolist() for g in group_by_length(inputs, targets, overhead=20)] == [g.tolist() for g in whole]


@given(lengths)
def test_grouping_never_costs_more_than_one_padded_batch(pairs):
    inputs, targets = np.array(pairs).T
    groups = group_by_length(inputs, targets)
    assert cost(groups, inputs, targets, 400) <= cost([np.arange(len(pairs))], inputs, targets, 400) + 1e-9


def test_no_examples_make_no_groups():
    assert group_by_length(np.zeros(0, int), np.zeros(0, int)) == []


# --------------------------------------------------------------------------------------------------------------- steps


@given(st.integers(0, 9), st.tuples(*[st.integers(0, 9)] * 3), st.integers(1, 5))
def test_the_parts_of_a_step_are_disjoint_and_together_the_step(seed, counts, parts):
    step = made_step(made_tokens(seed), counts)
    shares = [share_of(step, k, parts) for k in range(parts)]
    assert all(len(s.rows) for s in shares)  # every process has something to compute
    real = [(int(t), int(r)) for s in shares for t, r, here in zip(s.task_ids, s.rows, s.real, strict=True) if here]
    assert sorted(real) == [(t, r) for t, n in enumerate(counts) for r in range(n)]
    assert sum(float(s.weights.sum()) for s in shares) == pytest.approx(float(step.weights.sum()))


@given(st.integers(0, 9), st.tuples(*[st.integers(0, 9)] * 3), st.sampled_from(LOSSES))
def test_micro_batches_hold_the_very_tokens_of_the_step(seed, counts, loss):
    tokens = made_tokens(seed)
    step = made_step(tokens, counts, loss)
    found = []
    for micro in micro_batches(step, tokens, pad=0):
        assert micro.input_ids.shape[1] == micro.attention_mask.sum(1).max()  # no wider than the longest
        for ids, mask, labels, weight, task, real, _ in zip(*micro, strict=True):
            if real:
                found.append((int(task), ids[mask == 1].tolist(), labels[labels != IGNORED].tolist(), float(weight)))
            assert (ids[mask == 0] == 0).all()
    wanted = [
        (int(t), tokens[t].inputs[r].tolist(), tokens[t].targets[r].tolist(), float(np.float32(w)))
        for t, r, w, real in zip(step.task_ids, step.rows, step.weights, step.real, strict=True)
        if real
    ]
    assert sorted(found) == sorted(wanted)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("parts", [1, 2])
def test_an_empty_step_is_one_stand_in_without_weight(loss, parts):
    tokens = made_tokens(0)
    for part in range(parts):
        (micro,) = micro_batches(share_of(made_step(tokens, (0, 0, 0), loss), part, parts), tokens, pad=0)
        assert micro.weights.tolist() == [0.0]
        assert micro.real.tolist() == [False]


def test_a_loss_factor_of_zero_leaves_an_example_real():
    step = made_step(made_tokens(0), (2, 1, 0), weights=(1.0, 0.0, 1.0))
    assert step.real.tolist() == [True, True, True]
    assert step.weights[2] == 0


def test_the_weights_of_each_loss_by_hand():
    # Targets of 2 and 6 tokens in the first task, of 4 in the second.
    tokens = [
        TokenizedTask(Ragged.of([[5], [5]]), Ragged.of([[5] * 2, [5] * 6]), 0, 0),
        TokenizedTask(Ragged.of([[5]]), Ragged.of([[5] * 4]), 0, 0),
    ]
    rows = {0: np.array([0, 1]), 1: np.array([0])}
    made = {
        n: gather_step(tokens, rows, loss=n, loss_weights=(1.0, 1.0), batch_size=5).weights
        for n in ("task", "token", "example")
    }
    np.testing.assert_allclose(made["task"], [2 / 5 / 8, 2 / 5 / 8, 1 / 5 / 4])
    np.testing.assert_allclose(made["token"], [1 / 12] * 3)
    np.testing.assert_allclose(made["example"], [1 / 3 / 2, 1 / 3 / 6, 1 / 3 / 4])


def test_a_wrong_loss_is_refused_by_name():
    with pytest.raises(ValueError, match=r"^loss must be task, token or example\. Got 'mean'\.$"):
        made_step(made_tokens(0), (1, 1, 1), "mean")


# ----------------------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("kind", FAMILY)
@pytest.mark.parametrize("loss", LOSSES)
def test_micro_batches_have_the_gradient_of_the_plain_padded_batch(tiny_model, kind, loss):
    model = in_double(tiny_model(kind).eval())
    tokens = made_tokens(4)
    step = made_step(tokens, (4, 3, 5), loss)
    plain = micro_batches(step, tokens, pad=0, group=False)
    assert len(plain) == 1
    reference = gradients(model, [(1.0, plain)])
    cut = [
        m
        for g in group_by_length(step.input_lengths, step.target_lengths, overhead=5)
        for m in micro_batches(type(step)(*(c[g] for c in step)), tokens, pad=0)
    ]
    assert len(cut) > 2
    assert_same(gradients(model, [(1.0, cut)]), reference)
    # Over processes or accumulated batches, which Lightning averages: hence the scale.
    for parts in (2, 3):
        shares = [(float(parts), micro_batches(share_of(step, k, parts), tokens, pad=0)) for k in range(parts)]
        assert_same(gradients(model, shares), reference)


@pytest.mark.parametrize("kind", FAMILY)
@pytest.mark.parametrize("loss", LOSSES)
def test_flat_tokens_have_the_gradient_of_the_plain_padded_batch(tiny_model, kind, loss):
    model = in_double(tiny_model(kind).eval())
    tokens = made_tokens(5)
    step = made_step(tokens, (4, 3, 5), loss)
    reference = gradients(model, [(1.0, micro_batches(step, tokens, pad=0, group=False))])
    assert_same(gradients(model, [(1.0, unpadded_step(step, tokens))]), reference)
    for parts in (2, 3):
        shares = [(float(parts), unpadded_step(share_of(step, k, parts), tokens)) for k in range(parts)]
        assert_same(gradients(model, shares), reference)


def packed(step, tokens, shape=None):
    return packed_step(step, tokens, shape=shape or row_shape(tokens), pad=0, start=0)


@pytest.mark.parametrize("kind", FAMILY)
@pytest.mark.parametrize("loss", LOSSES)
def test_packed_rows_have_the_gradient_of_the_plain_padded_batch(tiny_model, kind, loss):
    model = in_double(tiny_model(kind).eval())
    assert packed_agrees(model)
    tokens = made_tokens(5)
    step = made_step(tokens, (4, 3, 5), loss)
    reference = gradients(model, [(1.0, micro_batches(step, tokens, pad=0, group=False))])
    made = packed(step, tokens, (40, 16))
    assert made.input_segments.max() > 1  # several examples in a row
    assert_same(gradients(model, [(1.0, made)]), reference)
    shares = [(2.0, packed(share_of(step, k, 2), tokens, (40, 16))) for k in range(2)]
    assert_same(gradients(model, shares), reference)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99), st.tuples(*[st.integers(0, 6)] * 3), st.sampled_from(LOSSES))
def test_every_token_stands_in_a_packed_row_once(seed, counts, loss):
    tokens = made_tokens(seed)
    step = made_step(tokens, counts, loss)
    made = packed(step, tokens)
    assert made.input_ids.shape[1:] + made.labels.shape[1:] == row_shape(tokens)
    assert len(made.input_ids) == len(made.labels) and len(made.input_ids) % 4 == 0
    assert sorted(made.input_ids[made.input_segments > 0]) == sorted(flat_tokens(step, tokens)[0])
    assert made.labels.flatten()[made.slots].tolist() == flat_tokens(step, tokens)[1].tolist()
    assert (made.labels != -100).sum() == len(made.slots) == len(set(made.slots.tolist()))
    assert made.token_weights.sum() == pytest.approx((step.weights * step.target_lengths).sum(), rel=1e-5)


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_compiled_packed_step_has_the_gradient_of_the_model_itself(tiny_model, monkeypatch, backend):
    """Captured as one graph for its shape: another step of that shape captures nothing. The slow form compiles it."""
    model = tiny_model("t5").eval()
    tokens = made_tokens(5)
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))

    def one(counts, compiled):
        step = made_step(tokens, counts, "task")
        tensors = as_tensors(packed(step, tokens, (40, 16)))["packed"]
        model.zero_grad()
        total, nll = packed_losses(model, tensors, compiled=compiled)
        total.backward()
        return nll, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler's own
        torch._dynamo.utils.counters.clear()
        results = [one((4, 3, 5), True), one((3, 4, 4), True)]
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    for (nll, gradient), counts in zip(results, ((4, 3, 5), (3, 4, 4)), strict=True):
        own = one(counts, False)
        assert torch.allclose(nll, own[0], atol=1e-5)
        assert float((gradient - own[1]).norm() / own[1].norm()) < 1e-5
    assert graphs == 1
    torch._dynamo.reset()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 99), st.tuples(*[st.integers(0, 6)] * 3), st.sampled_from(LOSSES), st.integers(1, 4))
def test_the_flat_gradient_is_that_of_the_padded_batch_whatever_the_step(tiny_model, seed, counts, loss, parts):
    model = in_double(tiny_model("t5").eval())
    tokens = made_tokens(seed)
    step = made_step(tokens, counts, loss)
    shares = [(float(parts), unpadded_step(share_of(step, k, parts), tokens)) for k in range(parts)]
    assert_same(gradients(model, shares), gradients(model, [(1.0, micro_batches(step, tokens, pad=0, group=False))]))


def test_flat_tokens_of_long_and_short_examples_are_several_groups_for_attention(tiny_model):
    model = in_double(tiny_model("t5").eval())
    draw = np.random.default_rng(0)
    inputs = Ragged.of([[*draw.integers(3, 300, n), 1] for n in (3, 250, 4, 240, 5)])
    targets = Ragged.of([[*draw.integers(3, 300, n), 1] for n in (1, 2, 30, 1, 2)])
    tokens = [TokenizedTask(inputs, targets, 0, 0)]
    step = gather_step(tokens, {0: np.arange(5)}, loss="task", loss_weights=(1.0,), batch_size=5)
    made = unpadded_step(step, tokens)
    assert len(made.input_lengths) > 1
    assert_same(
        gradients(model, [(1.0, made)]), gradients(model, [(1.0, micro_batches(step, tokens, pad=0, group=False))])
    )


@given(lengths)
def test_attention_groups_hold_every_example_once(pairs):
    inputs, targets = (np.array(column) for column in zip(*pairs, strict=True))
    groups = attention_groups(inputs, targets)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(pairs)))


@given(st.lists(st.tuples(st.integers(1, 200), st.integers(1, 99)), min_size=1, max_size=8))
def test_the_cut_for_attention_is_the_cheapest_of_all(pairs):
    inputs, targets = np.array(pairs).T

    def price(groups):
        sides = [(len(g), inputs[g].max(), targets[g].max()) for g in groups]
        return sum(n * (s * s + s * t + t * t) + grouping.ATTENTION_OVERHEAD for n, s, t in sides)

    order = np.lexsort((targets, inputs))
    cuts = itertools.product((False, True), repeat=len(order) - 1)
    cheapest = min(price(np.split(order, [i + 1 for i, cut in enumerate(c) if cut])) for c in cuts)
    assert price(attention_groups(inputs, targets)) == cheapest


@settings(max_examples=50)
@given(st.integers(0, 99), st.tuples(*[st.integers(0, 6)] * 3).filter(any))
def test_a_flat_step_holds_the_very_tokens_of_the_step_and_nothing_else(seed, counts):
    tokens = made_tokens(seed)
    step = made_step(tokens, counts)
    made = unpadded_step(step, tokens)
    ends_in, ends_out = np.cumsum(np.concatenate(made.input_lengths)), np.cumsum(np.concatenate(made.target_lengths))
    assert len(made.input_ids) == ends_in[-1] == step.input_lengths.sum()
    assert len(made.labels) == ends_out[-1] == step.target_lengths.sum()
    weight_of = {(t, r): w for t, r, w in zip(step.task_ids, step.rows, step.weights, strict=True)}
    cut_in, cut_out = np.split(made.input_ids, ends_in[:-1]), np.split(made.labels, ends_out[:-1])
    cut_weights = np.split(made.token_weights, ends_out[:-1])
    for i, (t, r) in enumerate(zip(made.task_ids, made.rows, strict=True)):
        np.testing.assert_array_equal(cut_in[i], tokens[t].inputs[r])
        np.testing.assert_array_equal(cut_out[i], tokens[t].targets[r])
        np.testing.assert_allclose(cut_weights[i], weight_of.pop((t, r)), rtol=1e-6)
    assert not weight_of
    np.testing.assert_array_equal(made.starts, [0, *ends_out[:-1]])


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 99), st.tuples(*[st.integers(0, 6)] * 3), st.sampled_from(LOSSES), st.integers(1, 4))
def test_the_gradient_does_not_depend_on_the_cut_whatever_the_step(tiny_model, seed, counts, loss, parts):
    model = in_double(tiny_model("t5").eval())
    tokens = made_tokens(seed)
    step = made_step(tokens, counts, loss)
    shares = [(float(parts), micro_batches(share_of(step, k, parts), tokens, pad=0)) for k in range(parts)]
    assert_same(gradients(model, shares), gradients(model, [(1.0, micro_batches(step, tokens, pad=0, group=False))]))


def test_padding_ids_do_not_matter(tiny_model):
    model = in_double(tiny_model("t5").eval())
    tokens = made_tokens(1)
    step = made_step(tokens, (3, 3, 3))
    made = [gradients(model, [(1.0, micro_batches(step, tokens, pad=p, group=False))]) for p in (0, 17)]
    assert_same(*made)


@pytest.mark.parametrize("kind", ["t5", "gated"])
def test_the_token_loss_is_transformers_own(tiny_model, kind):
    model = in_double(tiny_model(kind).eval())
    tokens = made_tokens(2)
    (plain,) = micro_batches(made_step(tokens, (3, 2, 4), "token", (1.0, 1.0, 1.0)), tokens, pad=0, group=False)
    ours = gradients(model, [(1.0, [plain])])[0]
    names = ("input_ids", "attention_mask", "labels")
    theirs = float(model(**{n: torch.from_numpy(getattr(plain, n)) for n in names}).loss.detach())
    assert ours == pytest.approx(theirs, rel=1e-6)  # the weights are float32


def test_the_gradient_of_a_task_alone_is_its_part_of_the_joint_gradient(tiny_model):
    model = in_double(tiny_model("t5").eval())
    tokens = made_tokens(3)
    rows = {0: np.arange(4), 1: np.arange(3), 2: np.arange(5)}
    joint = gather_step(tokens, rows, loss="task", loss_weights=(0.5, 0.3, 0.2), batch_size=12)
    loss, whole = gradients(model, [(1.0, micro_batches(joint, tokens, pad=0))])
    total, summed = 0.0, {n: torch.zeros_like(g) for n, g in whole.items()}
    for t, r in rows.items():
        alone = gather_step(tokens, {t: r}, loss="task", loss_weights=(0.5, 0.3, 0.2), batch_size=12)
        np.testing.assert_array_equal(alone.weights, joint.weights[joint.task_ids == t])
        part, grads = gradients(model, [(1.0, micro_batches(alone, tokens, pad=0))])
        total += part
        summed = {n: s + grads[n] for n, s in summed.items()}
    assert_same((total, summed), (loss, whole))


def test_the_gradient_of_an_empty_step_is_zero(t5):
    tokens = made_tokens(0)
    step = made_step(tokens, (0, 0, 0))
    for made in (micro_batches(step, tokens, pad=0), unpadded_step(step, tokens)):
        loss, grads = gradients(t5, [(1.0, made)])
        assert loss == 0
        assert grads
        assert all(not g.any() for g in grads.values())
