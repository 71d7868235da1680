"""A model's config.json: read without running any code of the model's own, and refused if it is of another family."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from multitask.errors import UserError
from multitask.model.families import FAMILIES, T5_TYPES, is_encoder_decoder
from multitask.model.from_scratch import SIZES
from multitask.model.private_generator import making
from multitask.model.settings import settle_config
from multitask.model.untrusted import check_attention, check_model_folder
from multitask.registry import did_you_mean


def read_configuration(name: str, revision: str | None) -> tuple[Any, dict[str, Any], list[str]]:
    """Read a model's config.json: what it means, what it says, and what is to be said of it."""
    from transformers import AutoConfig, PreTrainedConfig

    if Path(name).is_dir():
        check_model_folder(Path(name))
    known = f"{name!r} is not a folder, nor a size to start from scratch ({', '.join(SIZES)})"
    try:
        stored, _ = PreTrainedConfig.get_config_dict(name, revision=revision)
        with making, report_to_us():
            config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
    except Exception as error:  # a folder or a Hub: whatever is in an untrusted file
        if "/" not in name and not Path(name).exists():
            raise UserError(f"model {known}: {did_you_mean(name, list(SIZES))}") from error
        if Path(name).is_dir():
            raise UserError(f"the config.json of model '{name}' could not be read: {first_line(error)}") from error
        raise UserError(
            f"model {known}, and the Hub did not give it either (no network, or no such id): {first_line(error)}"
        ) from error
    if not is_encoder_decoder(config):
        raise UserError(
            f"model '{name}' is of type {config.model_type!r}, which is no text-to-text model with an encoder and a "
            f"decoder: multitask trains T5, v1.1, Flan-T5, mT5, uMT5, ByT5, LongT5, {', '.join(_OTHERS)}."
        )
    check_attention(config, name)
    return config, stored, settle_config(config, stored, name)


_OTHERS = list(dict.fromkeys(family.name for kind, family in FAMILIES.items() if kind not in T5_TYPES))


@contextlib.contextmanager
def report_to_us() -> Iterator[None]:
    """Keep transformers from writing to standard error of ids and weights that do not fit; an error says it here."""
    from transformers.utils.logging import get_verbosity, set_verbosity

    level = get_verbosity()
    set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        set_verbosity(level)


def first_line(error: Exception) -> str:
    """The first words of an error of transformers, without advice to run code that comes with a model."""
    if "trust_remote_code" in str(error):  # what transformers says then is how to run it
        return "it needs Python code of its own (auto_map), and no code that comes with a model is run."
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return " ".join(line.strip() for line in lines[: 2 if lines[0].endswith(":") else 1])
