"""A T5 computed on unpadded tokens: no padding in any layer, with the weights of a Hugging Face model as they are.

Only attention needs to know where a sequence begins and ends. All else of a T5 — projections, feed-forward layers,
norms, the output layer — treats tokens one by one, and is given the real ones alone, one behind the other. Attention
gathers them into groups of sequences of similar length and back (`kernels.Layout`).

The result is that of the model's own `forward` on the padded batch, up to rounding, for T5, v1.1 and Flan-T5, mT5,
uMT5 and ByT5; dropout falls on the same places at the same rate, with its own masks.

Legend: N input tokens, M target tokens, D model width, H heads, K width of a head, V vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from multitask.model.families import decoder_inputs
from multitask.model.unpadded.attention import attention
from multitask.model.unpadded.layout import Layout
from multitask.model.unpadded.loss import TiedGradient, embed, token_loss
from multitask.model.unpadded.pointwise import Masks, add_dropped, dropped, relu_dropped, rms_norm

NO_DROPOUT = Masks(0.0)


def layout_of(model: Any, lengths: Sequence[np.ndarray]) -> Layout:
    """Where unpadded tokens of sequences of these lengths, group by group, stand in the model's attention."""
    return Layout.of(lengths, model.config.num_heads, next(model.parameters()).device)


def encoder_states(model: Any, embedded: Tensor, layout: Layout, masks: Masks = NO_DROPOUT) -> Tensor:
    """[N, D] the encoder's output for flat inputs.

    Args:
        model: A Hugging Face encoder-decoder of the T5 family.
        embedded: [N, D] the input tokens' embeddings.
        layout: Of the inputs.
        masks: Dropout.
    """
    stack = model.encoder
    biases = of_layers(stack, lambda own: [relative_bias(own, g.width) for g in layout.groups])
    x = dropped(embedded, masks)
    for block, bias in zip(stack.block, biases, strict=True):
        own = block.layer[0].SelfAttention
        q, k, v = _projections(block.layer[0], x)
        out = attention(q, k, v, heads=own.n_heads, queries=layout, keys=layout, masks=masks, biases=bias)
        x = add_dropped(x, linear(own.o, out), masks)
        x = _feed_forward(block.layer[-1], x, masks)
    return dropped(_norm(stack.final_layer_norm, x), masks)


def decoder_pass(
    model: Any,
    embedded: Tensor,
    among: Callable[[int, Tensor, Tensor, Tensor], Tensor],
    across: Callable[[int, Tensor], Tensor],
    masks: Masks = NO_DROPOUT,
) -> Tensor:
    """[M, D] the decoder's output for unpadded tokens, ready for the output layer; attention is handed in.

    Args:
        model: A Hugging Face encoder-decoder of the T5 family.
        embedded: [M, D] the decoder tokens' embeddings.
        among: (layer, q, k, v [M, H * K]) → self-attention's [M, H * K].
        across: (layer, q [M, H * K]) → cross-attention's [M, H * K].
        masks: Dropout of all but attention's weights.
    """
    stack = model.decoder
    x = dropped(embedded, masks)
    for i, block in enumerate(stack.block):
        own, cross = block.layer[0].SelfAttention, block.layer[1].EncDecAttention
        x = add_dropped(x, linear(own.o, among(i, *_projections(block.layer[0], x))), masks)
        q = linear(cross.q, _norm(block.layer[1].layer_norm, x))
        x = add_dropped(x, linear(cross.o, across(i, q)), masks)
        x = _feed_forward(block.layer[-1], x, masks)
    x = dropped(_norm(stack.final_layer_norm, x), masks)
    return x * model.model_dim**-0.5 if scales_output(model) else x


def _decoder_states(
    model: Any, embedded: Tensor, layout: Layout, encoded: Tensor, inputs: Layout, masks: Masks
) -> Tensor:
    """`decoder_pass` over targets that are given whole: each token sees those before it, and its own input."""
    heads = model.config.num_heads
    biases = of_layers(model.decoder, lambda own: [relative_bias(own, g.width, causal=True) for g in layout.groups])

    def among(i: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q, k, v, heads=heads, queries=layout, keys=layout, masks=masks, biases=biases[i])

    def across(i: int, q: Tensor) -> Tensor:
        own = model.decoder.block[i].layer[1].EncDecAttention
        k, v = linear(own.k, encoded), linear(own.v, encoded)
        none = [None] * len(layout.groups)
        return attention(q, k, v, heads=heads, queries=layout, keys=inputs, masks=masks, biases=none)

    return decoder_pass(model, embedded, among, across, masks)


def unpadded_loss(
    model: Any,
    input_ids: Tensor,
    inputs: Layout,
    labels: Tensor,
    targets: Layout,
    starts: Tensor,
    weights: Tensor,
    masks: Masks = NO_DROPOUT,
) -> tuple[Tensor, Tensor]:
    """The weighted sum of the target tokens' negative log-likelihoods, and each one's [M] in nats, without gradient.

    Args:
        model: A Hugging Face encoder-decoder of the T5 family.
        input_ids: [N] int64.
        inputs: Their layout.
        labels: [M] int64.
        targets: Their layout; group by group the same examples.
        starts: [examples] int64, where each example's labels begin.
        weights: [M] of each token's loss.
        masks: Dropout.
    """
    shared, head = model.get_input_embeddings().weight, model.lm_head.weight
    tied = TiedGradient() if shared is head else None
    given = torch.empty_like(labels)  # what the decoder is given: the labels, one place later
    given[1:] = labels[:-1]
    # Assigning a number by an index waits for a GPU, this does not.
    given.index_fill_(0, starts, model.config.decoder_start_token_id)
    # One look-up for both sides, and so one gradient of [V, D].
    both = embed(shared, torch.cat([input_ids, given]), tied)
    encoded = encoder_states(model, both[: len(input_ids)], inputs, masks)
    hidden = _decoder_states(model, both[len(input_ids) :], targets, encoded, inputs, masks)
    return token_loss(hidden, head, labels, weights, tied)


def scales_output(model: Any) -> bool:
    """Whether the decoder's output is scaled by D^-1/2 before the output layer; each class says so in its own way."""
    config = model.config
    if config.model_type == "mt5":
        return False
    return bool(getattr(config, "scale_decoder_outputs", config.tie_word_embeddings))


@torch.no_grad()
def agrees(model: Any) -> bool:
    """Whether this module computes what the model's own `forward` does, tried on three short examples.

    It stands in for knowing every class and version: a model with other layers or a hook fails here and is run by its
    own code. So does one with weights that this module does not see: those of a fresh adapter change no value, as half
    of them are 0, but they have a gradient.
    """
    return holds_for(model, _agrees)


def holds_for(model: Any, check: Callable[[Any], bool]) -> bool:
    """Whether a check of a model in evaluation mode holds; a model that it does not fit at all fails it."""
    was_training = model.training
    model.eval()
    try:
        return check(model)
    except (AttributeError, TypeError, RuntimeError):
        return False
    finally:
        model.train(was_training)


def _agrees(model: Any) -> bool:
    device = next(model.parameters()).device
    draw = np.random.default_rng(0)
    lengths = np.array([3, 5, 9]), np.array([4, 1, 3])
    rows = [
        [torch.from_numpy(draw.integers(3, min(model.config.vocab_size, 250), n)) for n in side] for side in lengths
    ]
    padded = [torch.nn.utils.rnn.pad_sequence(r, batch_first=True, padding_value=-100).to(device) for r in rows]
    flat = [torch.cat(r).to(device) for r in rows]
    layouts = [layout_of(model, [n]) for n in lengths]
    starts = torch.tensor([0, *np.cumsum(lengths[1])[:-1]], device=device)
    # Decoding has no gradients, and needs none: what it looks at is the values.
    learned = [p for p in model.parameters() if p.requires_grad] if not torch.is_inference_mode_enabled() else []
    with torch.enable_grad() if learned else contextlib.nullcontext():
        own = model(
            input_ids=padded[0].clamp_min(0),
            attention_mask=(padded[0] >= 0).long(),
            decoder_input_ids=decoder_inputs(model.config, padded[1]),
            use_cache=False,
        )
        total, found = unpadded_loss(
            model, flat[0], layouts[0], flat[1], layouts[1], starts, torch.ones(len(flat[1]), device=device)
        )
        sides = (own.logits.sum(), total)
    nll = F.cross_entropy(
        own.logits.detach().flatten(0, 1).double(), padded[1].flatten(), ignore_index=-100, reduction="none"
    )
    if not torch.allclose(found.double(), nll[padded[1].flatten() >= 0], rtol=1e-3, atol=1e-3):
        return False
    if not learned:
        return True
    seen = [[g is not None for g in torch.autograd.grad(side, learned, allow_unused=True)] for side in sides]
    return seen[0] == seen[1]


# -------------------------------------------------------------------------------------------------------------- layers


def linear(layer: Any, x: Tensor) -> Tensor:
    """[N, out] a projection of a layer without bias; one with adapters goes through those that are active."""
    if type(layer) is torch.nn.Linear:  # straight: a module's call costs ten times what this does
        return F.linear(x, layer.weight)
    out: Tensor = layer(x)
    return out


def _norm(layer: Any, x: Tensor) -> Tensor:
    return rms_norm(x, layer.weight, layer.variance_epsilon)


def _projections(layer: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Self-attention's queries, keys and values [N, H * K]."""
    own, normed = layer.SelfAttention, _norm(layer.layer_norm, x)
    return linear(own.q, normed), linear(own.k, normed), linear(own.v, normed)


def _feed_forward(layer: Any, x: Tensor, masks: Masks) -> Tensor:
    own = layer.DenseReluDense
    normed = _norm(layer.layer_norm, x)
    if hasattr(own, "wi_0"):
        inner = dropped(own.act(linear(own.wi_0, normed)) * linear(own.wi_1, normed), masks)
    elif isinstance(own.act, torch.nn.ReLU):
        inner = relu_dropped(linear(own.wi, normed), masks)
    else:
        inner = dropped(own.act(linear(own.wi, normed)), masks)
    return add_dropped(x, linear(own.wo, inner), masks)


T = TypeVar("T")


def of_layers(stack: Any, make: Callable[[Any], T]) -> list[T]:
    """Collect from each layer what `make` gives for its self-attention, or what the layer before has.

    But for uMT5, all layers share the first one's bias of relative positions.
    """
    made: list[T] = []
    for block in stack.block:
        own = block.layer[0].SelfAttention
        made.append(make(own) if own.has_relative_attention_bias else made[-1])
    return made


def relative_bias(layer: Any, width: int, *, causal: bool = False) -> Tensor:
    """[H, width, width] a self-attention layer's bias of relative positions; -inf above the diagonal if causal."""
    bias: Tensor = layer.compute_bias(width, width)[0]
    if not causal:
        return bias
    return bias.masked_fill(torch.ones(width, width, dtype=torch.bool, device=bias.device).triu(1), -torch.inf)
