"""Which tokenizer a run uses: the pretrained model's, a given one, or one trained on the mixture's own text."""

from __future__ import annotations

import importlib.metadata
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.examples.dataset import TaskData
from multitask.mixing.prepare import PlannedMixture
from multitask.model.from_scratch import SIZES, is_from_scratch
from multitask.tokenization.disk_cache import KEPT_FROM, Cache
from multitask.tokenization.tokenizer import Tokenizer, load_tokenizer
from multitask.tokenization.train_vocabulary import vocabulary_bytes

KIND = "vocabulary"


def mixture_texts(mix: PlannedMixture) -> Iterator[str]:
    """The training inputs and targets, in order; a span's words stand in its input already."""
    for data in mix.data.values():
        for example in data.train:
            yield example.inputs
            if data.task.output != "span":
                yield example.target


def mixture_vocabulary(mix: PlannedMixture, size: int, cache: Cache, begin: Callable[[], None] | None = None) -> bytes:
    """The `spiece.model` of a vocabulary of the mixture's text, from the cache if it was trained before.

    Args:
        mix: From `prepare_mixture`.
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
    config: TrainConfig, mix: PlannedMixture, cache: Cache | None = None, begin: Callable[[], None] | None = None
) -> Tokenizer:
    """The tokenizer for a new run.

    Args:
        config: The settings.
        mix: From `prepare_mixture`.
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


SEEN = 2000
"""Examples of each task that `tokens_per_word` looks at, evenly over its training rows."""


def tokens_per_word(tokenizer: Tokenizer, data: TaskData) -> tuple[float, float]:
    """(tokens a word, share of tokens that stand for characters which the vocabulary lacks) of a task's training text.

    A word is what stands between spaces; without the end of sequence.
    """
    every = max(1, len(data.train) // SEEN)
    examples = data.train[::every][:SEEN]
    texts = [e.inputs for e in examples] + [e.target for e in examples if data.task.output != "span"]
    ids = [i for one in tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"] for i in one]
    words = sum(len(text.split()) for text in texts)
    return len(ids) / max(1, words), ids.count(tokenizer.unk_token_id) / max(1, len(ids))


def older_vocabulary(tokenizer: Tokenizer, data: Mapping[str, TaskData], trained_on: Sequence[str]) -> str | None:
    """Say what it costs tasks that their vocabulary was trained before they were added; None if none was.

    Args:
        tokenizer: Of that vocabulary.
        data: Of all tasks.
        trained_on: The tasks on whose text it was trained.
    """
    added = [name for name in data if name not in trained_on]
    if not added:
        return None
    cost = {name: tokens_per_word(tokenizer, data[name]) for name in data}

    def listed(names: Sequence[str]) -> str:
        unknown = {n: f" ({100 * cost[n][1]:.1f} % of them unknown characters)" if cost[n][1] else "" for n in names}
        return ", ".join(f"{n} {cost[n][0]:.2f}{unknown[n]}" for n in names)

    before = [name for name in data if name in trained_on]
    return (
        f"the vocabulary was trained on {', '.join(trained_on)}, before {', '.join(added)} "
        f"{'was' if len(added) == 1 else 'were'} added, and stays as it is. Tokens a word under it: {listed(added)}; "
        f"of the tasks that it was trained on: {listed(before) or 'none is left'}."
    )
