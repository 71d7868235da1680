"""A pretrained model from the Hub or a folder: what it must be, and loading it without running any code of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from multitask.errors import UserError
from multitask.model.configuration import first_line, read_configuration, report_to_us
from multitask.model.families import T5_TYPES, set_dropout
from multitask.model.private_generator import making
from multitask.model.settings import generation_settings
from multitask.model.weights import check_weights, compared, stored_shapes
from multitask.storage.tensor_files import NOT_TENSORS


def load_pretrained(
    name: str,
    *,
    revision: str | None = None,
    dropout: float | None = None,
    say: Callable[[str], None] | None = None,
) -> Any:
    """A pretrained encoder-decoder from a folder or the Hub, in fp32, from safetensors or a `weights_only` file.

    Of its generation settings the special ids alone are kept; see `model_settings`.

    Args:
        name: The folder or id.
        revision: On the Hub.
        dropout: In place of the rate in config.json.
        say: Told what config.json does not say and is taken as in all of the family.

    Raises:
        UserError: If there is none, it is none that can be trained, or the weights are not those of its config.json.
    """
    import pickle

    import torch
    from transformers import AutoModelForSeq2SeqLM

    from multitask.model.unpadded.forward import scales_output

    config, stored, said = read_configuration(name, revision)
    if dropout is not None:
        set_dropout(config, dropout, name)
    try:
        with making, report_to_us():
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
        raise UserError(f"the weights of model '{name}' could not be read: {first_line(error)}") from error
    check_weights(model, info, stored, name, revision)
    if config.model_type in T5_TYPES and model.lm_head.weight is not model.shared.weight and not scales_output(model):
        # transformers 5 says that they are tied, and ties them in the next file that has no output layer.
        config.tie_word_embeddings = model.config.tie_word_embeddings = False
    _keep_positions(model)
    for line in said:
        if say:
            say(line)
    return model.train()  # `from_pretrained` gives it in evaluation mode: fine-tuning would go without dropout


def _keep_positions(model: Any) -> None:
    """Train no table of sinusoidal positions: it is a constant, and Marian's is not saved with its model's weights.

    transformers 5 gives it a gradient once it is loaded.
    """
    for module in model.modules():
        if "SinusoidalPositional" in type(module).__name__:
            module.requires_grad_(False)


def check_pretrained(name: str) -> None:
    """Refuse a model folder that `load_pretrained` would, from its settings and its weights' names and shapes alone.

    For what takes long before the model is wanted: its rows are read, written anew as examples and tokenised.

    Args:
        name: The folder. Of an id on the Hub nothing is looked at, and of weights that are not in safetensors or of
            another family than T5's only config.json.

    Raises:
        UserError: As `load_pretrained`.
    """
    if not Path(name).is_dir():
        return
    import torch
    from transformers import AutoModelForSeq2SeqLM

    config, stored, _ = read_configuration(name, None)
    if config.model_type not in T5_TYPES:  # transformers gives names in others' files new ones as it loads them
        return
    try:
        shapes = stored_shapes(Path(name))
    except Exception as error:  # as above
        raise UserError(f"the weights of model '{name}' could not be read: {first_line(error)}") from error
    if shapes is not None:
        try:
            with making, report_to_us(), torch.device("meta"):
                model = AutoModelForSeq2SeqLM.from_config(config)  # type: ignore[no-untyped-call]
        except Exception as error:  # of a rate above 1, of an attention that there is not
            raise UserError(f"the config.json of model '{name}' makes no model: {first_line(error)}") from error
        check_weights(model, compared(model, shapes), stored, name)


def checkpoint_activations(model: Any) -> None:
    """Compute activations twice instead of keeping them; transformers is renaming the switch between 5.0 and 6.0."""
    settings = {"use_reentrant": False}  # the reentrant kind does not go with a graph of several micro-batches
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=settings)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=settings)
