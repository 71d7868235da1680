"""Which tokenizer a run uses: the pretrained model's, a given one, or one trained on the mixture's own text."""

from __future__ import annotations

import importlib.metadata
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from multitask.cache import KEPT_FROM, Cache
from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.models import SIZES, is_from_scratch
from multitask.prepare import Mix
from multitask.tokens import Tokenizer, load_tokenizer, vocabulary_bytes

KIND = "vocabulary"


def mixture_texts(mix: Mix) -> Iterator[str]:
    """The training inputs and targets, in order; a span's words stand in its input already."""
    for data in mix.data.values():
        for example in data.train:
            yield example.inputs
            if data.task.output != "span":
                yield example.target


def mixture_vocabulary(mix: Mix, size: int, cache: Cache, begin: Callable[[], None] | None = None) -> bytes:
    """The `spiece.model` of a vocabulary of the mixture's text, from the cache if it was trained before.

    Args:
        mix: From `load_mix`.
        size: Pieces, at most.
        cache: Of the bytes, which are the same with and without it.
        begin: Called before training one.
    """
    key = {
        "texts": [[data.train.fingerprint, data.task.output != "span"] for data in mix.data.values()],
        "size": size,
        "sentencepiece": importlib.metadata.version("sentencepiece"),
    }
    worth = sum(mix.sizes.values()) >= KEPT_FROM
    kept = cache.read(KIND, key) if worth else None
    if kept is not None:
        return kept["spiece.model"].tobytes()
    if begin:
        begin()
    made = vocabulary_bytes(mixture_texts(mix), size)
    if worth:
        about = {"task": ",".join(mix.data), "split": "train", "rows": sum(mix.sizes.values()), "pieces": size}
        cache.write(KIND, key, {"spiece.model": np.frombuffer(made, np.uint8)}, about)
    return made


def mixture_tokenizer(
    config: TrainConfig, mix: Mix, cache: Cache | None = None, begin: Callable[[], None] | None = None
) -> Tokenizer:
    """The tokenizer for a new run.

    Args:
        config: The settings.
        mix: From `load_mix`.
        cache: Of vocabularies that were trained here; by default the user's.
        begin: Called before training one.

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
    size = config.vocab_size or SIZES[config.model].vocabulary
    made = mixture_vocabulary(mix, size, cache or Cache(), begin)
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "spiece.model").write_bytes(made)
        return load_tokenizer(name)
