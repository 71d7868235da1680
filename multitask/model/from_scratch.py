"""A small T5 from random weights."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from multitask.model.private_generator import making, private_generator
from multitask.model.settings import generation_settings


class Size(NamedTuple):
    """The shape of a from-scratch model."""

    d_model: int
    d_ff: int
    num_layers: int
    num_decoder_layers: int
    num_heads: int
    vocabulary: int
    """Pieces of the vocabulary that is trained on the mixture's own text."""


SIZES = {
    "tiny": Size(128, 512, 2, 1, 4, 4000),
    "mini": Size(256, 1024, 4, 4, 4, 8000),
    "small": Size(512, 2048, 6, 6, 8, 32000),  # T5-small's shape
}
"""From-scratch models by name. `tiny` trains in minutes on a laptop; none of them knows any language before."""


def is_from_scratch(model: str) -> bool:
    """Whether the name means random weights."""
    return model in SIZES


def build_model(
    size: str,
    vocabulary: int,
    *,
    seed: int,
    dropout: float,
    pad: int,
    eos: int,
    gated: bool = False,
    copy_head: bool = True,
) -> Any:
    """A T5 with random weights, drawn from a private generator.

    Args:
        size: A name in `SIZES`.
        vocabulary: Token ids the tokenizer can give; rounded up to a multiple of 64 for the matrix kernels.
        seed: Of the weights. torch's global generator is not drawn from.
        dropout: The rate.
        pad: Padding id, which T5 also starts decoding with.
        eos: End-of-sequence id.
        gated: v1.1's gated GELU instead of ReLU.
        copy_head: Begin with a head that copies; see `add_copy_head`.
    """
    from transformers import T5Config, T5ForConditionalGeneration

    shape = SIZES[size]
    config = T5Config(
        vocab_size=math.ceil(vocabulary / 64) * 64,
        d_model=shape.d_model,
        d_ff=shape.d_ff,
        d_kv=shape.d_model // shape.num_heads,
        num_layers=shape.num_layers,
        num_decoder_layers=shape.num_decoder_layers,
        num_heads=shape.num_heads,
        dropout_rate=dropout,
        feed_forward_proj="gated-gelu" if gated else "relu",
        pad_token_id=pad,
        eos_token_id=eos,
    )
    config.decoder_start_token_id = pad
    own = generation_settings(config)
    with making, private_generator(seed):
        model = T5ForConditionalGeneration(config)
        if copy_head:
            add_copy_head(model)
        model.generation_config = own
        return model


def add_copy_head(model: Any) -> None:
    r"""Set one head of the first encoder and decoder layer so that the model can copy from its input at once.

    Copying is the circuit of induction heads (Olsson et al. 2022): an encoder head writes each token's predecessor
    beside it, and a cross-attention head looks for the place whose predecessor is the token just written, and writes
    that place's token. A T5 from random weights finds it late or, in minutes on a CPU, never, and without it a span
    is guessed word by word from the whole vocabulary. Starting from weights that have the structure trained models
    arrive at is mimetic initialisation (Trockman & Kolter 2023); everything stays trainable.

    With random $R_{k \times d}$, $M_{d \times k}$ and orthonormal $P_{k \times d}$: the encoder head attends to the
    position before (relative bias 8) with $W_V = R, W_O = M$; the cross-attention head has $W_Q = R$,
    $W_K = \tfrac{k}{2d} M^\top$, $W_V = P$, $W_O = 4 P^\top$.
    """
    import torch

    config = model.config
    d, k = config.d_model, config.d_kv
    with torch.no_grad():
        read = torch.randn(k, d) / math.sqrt(d)
        write = torch.randn(d, k) / math.sqrt(k)
        carry = torch.linalg.qr(torch.randn(d, k))[0].T.contiguous()
        before = model.encoder.block[0].layer[0].SelfAttention
        before.relative_attention_bias.weight[:, 0] = 0
        before.relative_attention_bias.weight[1, 0] = 8  # bucket 1: the key stands one before the query
        before.q.weight[:k] *= 0.1  # so that content does not outweigh the position at first
        before.v.weight[:k] = read
        before.o.weight[:, :k] = write
        look = model.decoder.block[0].layer[1].EncDecAttention
        look.q.weight[:k] = read
        look.k.weight[:k] = write.T * (k / (2 * d))
        look.v.weight[:k] = carry
        look.o.weight[:, :k] = 4 * carry.T
