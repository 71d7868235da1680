"""Whether an encoder-decoder of another family than T5's answers as training and decoding here take it to.

Tried on a few words before a run begins, whatever the family is called: the loss of examples in one padded group is
the model's own of each alone, answers end, the tokenizer gives a text back.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from multitask.errors import UserError
from multitask.model.families import T5_TYPES
from multitask.task import Decoding
from multitask.tokenization.special_tokens import encode, encode_targets
from multitask.tokenization.tokenizer import Tokenizer, text_of

KNOWN = tuple(kind for kind in T5_TYPES if kind != "umt5")
"""Known to be as they must be in every version that is allowed; uMT5's own code in transformers 5.17 lets padding
change the loss of an example, and that of 5.23 does not."""
PROBES = (("a e i o u", "a e"), ("one", "o u i"), ("i o u a e i o u", "u"))
"""(input, target): of different lengths on both sides."""
WRITTEN = 4
"""Tokens that an answer may have."""
CLOSE = 2e-3
"""By how much two losses may differ, as a share: the same numbers in other orders."""


def check_fits(model: Any, tokenizer: Tokenizer, name: str) -> None:
    """Refuse a model that would be trained or read wrongly, with the reason. Neither it nor a random state is changed.

    Args:
        model: With its special ids settled.
        tokenizer: The run's.
        name: `--model`.

    Raises:
        UserError: What is not as it must be.
    """
    if model.config.model_type in KNOWN:
        return
    import torch

    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            reason = _against(model, tokenizer)
    except Exception as error:  # whatever the code of a family that nobody has tried does
        words = " ".join(str(error).split()) or "no reason given"
        reason = f"its own code ends in {type(error).__name__}: {words[:200]}"
    finally:
        model.train(was_training)
    if reason:
        raise UserError(f"model '{name}' is of type {model.config.model_type!r}, and cannot be trained here: {reason}.")


def _against(model: Any, tokenizer: Tokenizer) -> str:
    for text in (text for pair in PROBES for text in pair):
        back = text_of(tokenizer, encode_targets(tokenizer, [text])[0])
        if back.casefold().split() != text.split():
            return f"its tokenizer makes {back!r} of {text!r}"
    return _against_losses(model, tokenizer) or _against_answers(model, tokenizer)


def _against_losses(model: Any, tokenizer: Tokenizer) -> str:
    import torch

    from multitask.training.module import token_losses

    inputs, targets = _ids(tokenizer)
    device = next(model.parameters()).device
    sides = [torch.nn.utils.rnn.pad_sequence([torch.tensor(i) for i in ids], True, -100) for ids in (inputs, targets)]
    group = {
        "input_ids": sides[0].masked_fill(sides[0] == -100, model.config.pad_token_id).to(device),
        "attention_mask": (sides[0] != -100).long().to(device),
        "labels": sides[1].to(device),
    }
    ours = token_losses(model, group)[0].sum(1).tolist()
    for loss, given, wanted in zip(ours, inputs, targets, strict=True):
        ids, labels = (torch.tensor([side], device=device) for side in (given, wanted))
        own = float(model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss) * len(wanted)
        if not math.isclose(own, loss, rel_tol=CLOSE):
            return f"its own loss of an example is {own:.4f} nats, and in a padded group it has {loss:.4f}"
    return ""


def _against_answers(model: Any, tokenizer: Tokenizer) -> str:
    import torch

    from multitask.decoding.padded_scorer import PaddedScorer

    ends = (tokenizer.eos_token_id, tokenizer.pad_token_id)
    for ids in _ids(tokenizer)[0]:
        (made,) = PaddedScorer(model, [np.array(ids)]).generate(Decoding(max_new_tokens=WRITTEN), stops=ends)
        if not 1 <= len(made) <= WRITTEN:
            return f"an answer of at most {WRITTEN} tokens has {len(made)}"
        given = torch.tensor([ids], device=next(model.parameters()).device)
        begin = torch.full_like(given[:, :1], model.config.decoder_start_token_id)
        likeliest = int(model(input_ids=given, decoder_input_ids=begin, use_cache=False).logits[0, -1].argmax())
        if made[0] != likeliest:
            return f"its answers begin with {made[0]}, where its own code finds {likeliest} the most probable"
    return ""


def _ids(tokenizer: Tokenizer) -> tuple[list[list[int]], list[list[int]]]:
    inputs, targets = zip(*PROBES, strict=True)
    return encode(tokenizer, inputs), encode_targets(tokenizer, targets)
