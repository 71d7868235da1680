"""The model that training begins with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.model.from_scratch import build_model, is_from_scratch
from multitask.model.pretrained import checkpoint_activations, load_pretrained
from multitask.model.settings import settle_end
from multitask.tokenization.tokenizer import Tokenizer


def make_initial_model(config: TrainConfig, tokenizer: Tokenizer, say: Callable[[str], None] | None = None) -> Any:
    """Make the model that training begins with, from random weights or a pretrained one.

    Args:
        config: With its defaults filled in.
        tokenizer: The run's.
        say: Told what a pretrained model's folder leaves open, and what of it is not used.

    Raises:
        UserError: If there is no such model, its weights do not fit, or the tokenizer is another's.
    """
    if is_from_scratch(config.model):
        assert config.dropout is not None
        model = build_model(
            config.model,
            len(tokenizer),
            seed=config.seed,
            dropout=config.dropout,
            pad=tokenizer.pad_token_id,
            eos=tokenizer.eos_token_id,
            gated=config.gated,
            copy_head=config.copy_head,
        )
    else:
        model = load_pretrained(config.model, revision=config.revision, dropout=config.dropout, say=say)
        known = model.get_input_embeddings().num_embeddings
        if len(tokenizer) > known:
            raise UserError(
                f"the tokenizer of '{config.model}' has {len(tokenizer):,} ids and the model "
                f"{known:,} embeddings: they do not belong together."
            )
        for line in settle_end(model, tokenizer, config.model):
            if say:
                say(line)
    if config.gradient_checkpointing:
        checkpoint_activations(model)
    return model
