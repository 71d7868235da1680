"""The models: a pretrained one of the T5 family, or a small one from random weights."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from multitask.errors import UserError
from multitask.generators import private_generator
from multitask.model_folder import check_attention, check_model_folder
from multitask.model_settings import generation_settings, settle_config
from multitask.model_weights import check_weights, compared, stored_shapes
from multitask.registry import did_you_mean
from multitask.tensor_files import NOT_TENSORS


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

FAMILY = ("t5", "mt5", "umt5")
"""`model_type`s that are accepted: ByT5, Flan and v1.1 checkpoints are `t5` or `mt5` by type."""

_making = threading.Lock()
"""While transformers loads a model, `torch.nn.init` does nothing, in any thread: a model of random weights that another
one makes then would be left as the memory was."""


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
    with _making, private_generator(seed):
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


def load_pretrained(
    name: str,
    *,
    revision: str | None = None,
    dropout: float | None = None,
    say: Callable[[str], None] | None = None,
) -> Any:
    """A pretrained model of the T5 family from a folder or the Hub, in fp32, from safetensors or a `weights_only` file.

    Of its generation settings the special ids alone are kept; see `model_settings`.

    Args:
        name: The folder or id.
        revision: On the Hub.
        dropout: In place of the rate in config.json.
        say: Told what config.json does not say and is taken as in all of the family.

    Raises:
        UserError: If there is none, it is of another family, or the weights are not those of its config.json.
    """
    import pickle

    import torch
    from transformers import AutoModelForSeq2SeqLM

    from multitask.flat import scales_output

    config, stored, said = _configuration(name, revision)
    if dropout is not None:
        config.dropout_rate = dropout
    try:
        with _making, _report_to_us():
            model, info = AutoModelForSeq2SeqLM.from_pretrained(
                name,
                config=config,
                # Otherwise it is read from generation_config.json or, if there is none, from config.json's old keys.
                generation_config=generation_settings(config),
                revision=revision,
                dtype=torch.float32,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are in the report
            )
    except pickle.UnpicklingError as error:
        raise UserError(f"a weights file of model '{name}' {NOT_TENSORS}") from error
    except Exception as error:  # as above: safetensors has exceptions of its own, and so has each library
        raise UserError(f"the weights of model '{name}' could not be read: {_first_line(error)}") from error
    check_weights(model, info, stored, name, revision)
    if model.lm_head.weight is not model.shared.weight and not scales_output(model):
        # transformers 5 says that they are tied, and ties them in the next file that has no output layer.
        config.tie_word_embeddings = model.config.tie_word_embeddings = False
    for line in said:
        if say:
            say(line)
    return model.train()  # `from_pretrained` gives it in evaluation mode: fine-tuning would go without dropout


def check_pretrained(name: str) -> None:
    """Refuse a model folder that `load_pretrained` would, from its settings and its weights' names and shapes alone.

    For what takes long before the model is wanted: its rows are read, written anew as examples and tokenised.

    Args:
        name: The folder. Of an id on the Hub, and of weights that are not in safetensors, nothing is looked at.

    Raises:
        UserError: As `load_pretrained`.
    """
    if not Path(name).is_dir():
        return
    import torch
    from transformers import AutoModelForSeq2SeqLM

    config, stored, _ = _configuration(name, None)
    try:
        shapes = stored_shapes(Path(name))
    except Exception as error:  # as above
        raise UserError(f"the weights of model '{name}' could not be read: {_first_line(error)}") from error
    if shapes is not None:
        try:
            with _making, _report_to_us(), torch.device("meta"):
                model = AutoModelForSeq2SeqLM.from_config(config)  # type: ignore[no-untyped-call]
        except Exception as error:  # of a rate above 1, of an attention that there is not
            raise UserError(f"the config.json of model '{name}' makes no model: {_first_line(error)}") from error
        check_weights(model, compared(model, shapes), stored, name)


def _configuration(name: str, revision: str | None) -> tuple[Any, dict[str, Any], list[str]]:
    """What a model's config.json means, what it says, and what is to be said of it."""
    from transformers import AutoConfig, PreTrainedConfig

    if Path(name).is_dir():
        check_model_folder(Path(name))
    known = f"{name!r} is not a folder, nor a size to start from scratch ({', '.join(SIZES)})"
    try:
        stored, _ = PreTrainedConfig.get_config_dict(name, revision=revision)
        with _making, _report_to_us():
            config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
    except Exception as error:  # a folder or a Hub: whatever is in a stranger's file
        if "/" not in name and not Path(name).exists():
            raise UserError(f"model {known}: {did_you_mean(name, list(SIZES))}") from error
        if Path(name).is_dir():
            raise UserError(f"the config.json of model '{name}' could not be read: {_first_line(error)}") from error
        raise UserError(
            f"model {known}, and the Hub did not give it either (no network, or no such id): {_first_line(error)}"
        ) from error
    if config.model_type not in FAMILY:
        raise UserError(
            f"model '{name}' is of type {config.model_type!r}; multitask trains the T5 family: "
            "T5, v1.1, Flan-T5, mT5 and ByT5."
        )
    check_attention(config, name)
    return config, stored, settle_config(config, stored, name)


@contextlib.contextmanager
def _report_to_us() -> Iterator[None]:
    """What transformers writes to standard error of ids and weights that do not fit is said here, by an error."""
    from transformers.utils.logging import get_verbosity, set_verbosity

    level = get_verbosity()
    set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        set_verbosity(level)


def _first_line(error: Exception) -> str:
    if "trust_remote_code" in str(error):  # what transformers says then is how to run it
        return "it needs Python code of its own (auto_map), and no code that comes with a model is run."
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return " ".join(line.strip() for line in lines[: 2 if lines[0].endswith(":") else 1])


def checkpoint_activations(model: Any) -> None:
    """Compute activations twice instead of keeping them; transformers is renaming the switch between 5.0 and 6.0."""
    settings = {"use_reentrant": False}  # the reentrant kind does not go with a graph of several micro-batches
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=settings)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=settings)


_SUPERVISED = ("t5-small", "t5-base", "t5-large", "t5-3b", "t5-11b")
_GLUE_FAMILY = (
    *("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"),
    *("boolq", "cb", "copa", "multirc", "record", "wic", "wsc", "squad", "cnn_dailymail", "wmt_en_de"),
)
"""Of the built-in tasks, those that the released t5-small … t5-11b saw in supervised form."""


def contamination(model: str, tasks: tuple[str, ...]) -> str | None:
    """A warning if the checkpoint was already trained on some of the tasks, else None.

    >>> contamination("google-t5/t5-small", ("span", "sst2"))[:47]
    "the released 't5-small' was already trained on "
    """
    base = model.rstrip("/").split("/")[-1].lower()
    if base not in _SUPERVISED:
        return None
    seen = [t for t in tasks if t in _GLUE_FAMILY]
    if not seen:
        return None
    return (
        f"the released '{base}' was already trained on {', '.join(seen)} (Raffel et al. 2020, section 3.7): "
        "its scores there are not those of a model that learns the task here. t5-v1_1 and LM-adapted checkpoints "
        "saw C4 only."
    )
