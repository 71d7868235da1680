"""What encoder-decoders differ in: where their dropout stands, how many tokens they can read, what begins an answer.

T5, v1.1, Flan-T5, mT5, uMT5 and ByT5 have forms of a step of their own (`model/unpadded`, `model/packed`). All others
are computed by their own code in padded groups, and a run tries first whether that is what it has to be
(`runs/fitness.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from multitask.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from multitask.task import Task


class Family(NamedTuple):
    """What is known of a `model_type`."""

    name: str
    """As papers and model cards write it."""
    rates: tuple[str, ...] = ("dropout",)
    """Where config.json says the rate of dropout; the first is what `--dropout` sets, all of them what 0 does."""
    positions: bool = True
    """Whether `max_position_embeddings` is the most tokens that an input or an answer can have."""
    start: Literal["pad", "bos"] | None = None
    """What an answer begins with where config.json does not say."""


_T5 = Family("T5", ("dropout_rate",), positions=False, start="pad")
_GEMMA = Family("T5Gemma", ("dropout_rate", "attention_dropout"), positions=False, start="bos")
_BART_RATES = ("dropout", "attention_dropout", "activation_dropout")

T5_TYPES = ("t5", "mt5", "umt5", "longt5")
"""ByT5, Flan-T5 and v1.1 checkpoints are `t5` or `mt5` by type. LongT5's encoder looks at its neighbourhood alone, or
at that and a summary of the rest, so its steps are computed by its own code."""

FAMILIES: Mapping[str, Family] = {
    **dict.fromkeys(T5_TYPES, _T5),
    "t5gemma": _GEMMA,
    "t5gemma2": _GEMMA._replace(name="T5Gemma 2"),
    "bart": Family("BART", _BART_RATES),
    "mbart": Family("mBART", _BART_RATES),
    "pegasus": Family("Pegasus", _BART_RATES),
    "marian": Family("Marian", _BART_RATES),
    # Its table of sinusoidal positions grows with what is read.
    "m2m_100": Family("M2M100 or NLLB", _BART_RATES, positions=False),
}
"""The types that tests train, evaluate and compare with plain transformers."""


def family_of(config: Any) -> Family:
    """What is known of a model's family; of one that is not in `FAMILIES`, what its config.json shows."""
    known = FAMILIES.get(config.model_type)
    if known is not None:
        return known
    rates = tuple(name for name in (*_BART_RATES, "dropout_rate") if isinstance(getattr(config, name, None), float))
    return Family(config.model_type, rates, positions=isinstance(getattr(config, "max_position_embeddings", None), int))


def is_encoder_decoder(config: Any) -> bool:
    """Whether transformers has a text-to-text model of this type."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES

    # A config.json may say otherwise of a type that is known; see `settle_config`.
    own = config.model_type in FAMILIES or bool(config.is_encoder_decoder)
    return own and config.model_type in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES


def set_dropout(config: Any, rate: float, model: str) -> None:
    """Set the rate of dropout in a configuration and its encoder's and decoder's; 0 takes out every kind of it.

    Raises:
        UserError: If it has no rate that is known.
    """
    rates = family_of(config).rates
    if not rates:
        raise UserError(
            f"--dropout: a {config.model_type} says its rate in another way, and --model {model} keeps the one in its "
            "config.json; leave --dropout out."
        )
    text = [getattr(config, side, None) for side in ("encoder", "decoder")]
    for part in (config, *text, *(getattr(one, "text_config", None) for one in text)):
        for name in rates if rate == 0 else rates[:1]:
            if hasattr(part, name):
                setattr(part, name, rate)


def vocabulary_size(config: Any) -> int:
    """How many ids the decoder's output layer knows."""
    own = config if config.model_type in T5_TYPES else config.get_text_config(decoder=True)
    found: int = own.vocab_size
    return found


def check_lengths(config: Any, tasks: Mapping[str, Task], model: str) -> None:
    """Refuse tasks with longer texts than the model has positions for: it would end in an index out of range.

    Raises:
        UserError: Names the task, and which of its limits to lower.
    """
    if not family_of(config).positions:
        return
    most: int = config.max_position_embeddings
    for name, task in tasks.items():
        limits = {
            "max_input_tokens": task.max_input_tokens,
            "max_target_tokens": task.max_target_tokens,
            "decoding.max_new_tokens": task.decoding.max_new_tokens,
        }
        for limit, tokens in limits.items():
            if tokens > most:
                raise UserError(
                    f"task '{name}' has {limit} {tokens:,}, and model '{model}' has {most:,} positions: "
                    f"lower it in the task's register_task, or take another model."
                )


def decoder_inputs(config: Any, labels: Tensor) -> Tensor:
    """[B, T] what the decoder is given for these labels: the same, one place later, behind the id that begins.

    Some families have no method for it, and one of another family takes its last token to the front. Padding, -100 in
    labels, becomes the padding id.
    """
    given = labels.new_full(labels.shape, config.decoder_start_token_id)
    given[:, 1:] = labels[:, :-1]
    return given.masked_fill(given == -100, config.pad_token_id)
