"""Which tokenizer a run uses: the pretrained model's, a given one, or one trained on the mixture's own text."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.models import SIZES, is_from_scratch
from multitask.prepare import Mix
from multitask.tokens import Tokenizer, load_tokenizer, train_vocabulary


def mixture_texts(mix: Mix) -> Iterator[str]:
    """The training inputs and targets, in order; a span's words stand in its input already."""
    for data in mix.data.values():
        for example in data.train:
            yield example.inputs
            if data.task.output != "span":
                yield example.target


def mixture_tokenizer(config: TrainConfig, mix: Mix) -> Tokenizer:
    """The tokenizer for a new run.

    Raises:
        UserError: If a given vocabulary or model cannot be read.
    """
    if not is_from_scratch(config.model):
        return load_tokenizer(config.model, config.revision)
    if config.vocab:
        folder = Path(config.vocab)
        folder = folder.parent if folder.is_file() else folder
        if not (folder / "spiece.model").is_file():
            raise UserError(f"--vocab {config.vocab} holds no spiece.model.")
        return load_tokenizer(str(folder))
    with tempfile.TemporaryDirectory() as name:
        train_vocabulary(mixture_texts(mix), config.vocab_size or SIZES[config.model].vocabulary, Path(name))
        return load_tokenizer(name)
