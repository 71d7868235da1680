"""A T5's own layers on packed rows: attention stays within segments, shapes stay the same, so it can be compiled.

Relative positions are differences, which packing does not change within a segment; all else of a T5 treats tokens one
by one. So the model's own layers give what they give on the padded batch, up to rounding, if no token attends to
another segment.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from multitask.model.unpadded.forward import holds_for, scales_output


def packed_logits(
    model: Any, input_ids: Tensor, input_segments: Tensor, decoder_ids: Tensor, target_segments: Tensor
) -> Tensor:
    """[B, T, V] the logits of packed rows.

    Args:
        model: A Hugging Face encoder-decoder of the T5 family.
        input_ids: [B, S].
        input_segments: [B, S], 0 where no token stands.
        decoder_ids: [B, T].
        target_segments: [B, T], 0 where no token stands.
    """
    dtype = next(model.parameters()).dtype
    depth = decoder_ids.shape[1]
    causal = torch.ones(depth, depth, dtype=torch.bool, device=decoder_ids.device).tril()
    encoded = model.encoder(
        input_ids=input_ids, attention_mask=_allowed(input_segments, input_segments, dtype)
    ).last_hidden_state
    hidden = model.decoder(
        input_ids=decoder_ids,
        attention_mask=_allowed(target_segments, target_segments, dtype, causal),
        encoder_hidden_states=encoded,
        encoder_attention_mask=_allowed(target_segments, input_segments, dtype),
        use_cache=False,
    ).last_hidden_state
    logits: Tensor = model.lm_head(hidden * model.model_dim**-0.5 if scales_output(model) else hidden)
    return logits


def _allowed(queries: Tensor, keys: Tensor, dtype: torch.dtype, also: Tensor | None = None) -> Tensor:
    """[B, 1, Q, K] 0 within a segment and the lowest number elsewhere; empty slots are a segment of their own."""
    same = queries[:, None, :, None] == keys[:, None, None, :]
    if also is not None:
        same = same & also
    # An empty slot may have none of its own on the other side: it attends to all, and nobody looks at it.
    same = same | (queries == 0)[:, None, :, None]
    return torch.zeros((), dtype=dtype, device=queries.device).masked_fill(~same, torch.finfo(dtype).min)


def packed_losses(model: Any, step: Mapping[str, Tensor], *, compiled: bool) -> tuple[Tensor, Tensor]:
    """The weighted sum of a packed step's token losses, and each target token's loss [M] in nats, without gradient.

    Args:
        model: A Hugging Face encoder-decoder of the T5 family.
        step: The tensors of a `PackedStep`.
        compiled: Through torch.compile, once for each shape.
    """
    run = _compiled(model) if compiled else functools.partial(packed_logits, model)
    logits = run(step["input_ids"], step["input_segments"], step["decoder_ids"], step["target_segments"])
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    # Labels of empty slots are -100, which is torch's own mark for none.
    nll = F.cross_entropy(logits.flatten(0, 1), step["labels"].flatten(), reduction="none")
    total = (nll * step["token_weights"].flatten()).sum()
    return total, nll.detach()[step["slots"]]


COMPILED = "_multitask_packed"


def _compiled(model: Any) -> Callable[..., Tensor]:
    """The model's compiled pass, made once for it; of a copy of the model another one."""
    owner, made = getattr(model, COMPILED, (lambda: None, None))
    if made is None or owner() is not model:
        made = torch.compile(functools.partial(packed_logits, model), dynamic=False)
        object.__setattr__(model, COMPILED, (weakref.ref(model), made))
    found: Callable[..., Tensor] = made
    return found


@torch.no_grad()
def packed_agrees(model: Any) -> bool:
    """Whether packed rows give what the model's own `forward` does, tried on three short examples in one row."""
    return holds_for(model, _agrees)


def _agrees(model: Any) -> bool:
    device = next(model.parameters()).device
    draw = np.random.default_rng(0)
    lengths = [3, 5, 9], [4, 1, 3]
    sides = [[torch.from_numpy(draw.integers(3, min(model.config.vocab_size, 250), n)) for n in s] for s in lengths]
    start, pad = model.config.decoder_start_token_id, model.config.pad_token_id
    if start != pad:  # what is packed begins with the padding id
        return False
    given = [torch.cat([torch.tensor([start]), labels[:-1]]) for labels in sides[1]]

    def row(parts: list[Tensor], slots: int) -> tuple[Tensor, Tensor]:
        ids, segments = torch.full((1, slots), pad), torch.zeros(1, slots, dtype=torch.long)
        at = 0
        for i, part in enumerate(parts):
            ids[0, at : at + len(part)], segments[0, at : at + len(part)] = part, i + 1
            at += len(part)
        return ids.to(device), segments.to(device)

    packed = packed_logits(model, *row(sides[0], 20), *row(given, 10))[0]
    at = 0
    for inputs, decoder, n in zip(sides[0], given, lengths[1], strict=True):
        own = model(
            input_ids=inputs[None].to(device), decoder_input_ids=decoder[None].to(device), use_cache=False
        ).logits[0]
        if not torch.allclose(packed[at : at + n].double(), own.double(), rtol=1e-3, atol=1e-3):
            return False
        at += n
    return True
