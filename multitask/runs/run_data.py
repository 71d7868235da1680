"""The data of a run: its mixture, its tokenizer and the token ids of its examples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from multitask.config import TrainConfig
from multitask.examples.dataset import Examples
from multitask.mixing.prepare import PlannedMixture, prepare_mixture
from multitask.model.configuration import read_configuration
from multitask.model.families import check_lengths
from multitask.model.from_scratch import is_from_scratch
from multitask.model.pretrained import check_pretrained
from multitask.runs.notices import Notices
from multitask.terminal.counting import counting
from multitask.tokenization.disk_cache import Cache
from multitask.tokenization.token_cache import TokenCache
from multitask.tokenization.tokenize import TokenizedTask
from multitask.tokenization.tokenizer import Tokenizer, load_tokenizer
from multitask.tokenization.vocabulary import mixture_tokenizer


class RunData(NamedTuple):
    """Data that runs can share: the runs of a study load and tokenise it once."""

    mix: PlannedMixture
    tokenizer: Tokenizer
    train: dict[str, TokenizedTask]
    evaluated: dict[str, TokenizedTask] | None = None
    """Of the rows that are scored at the end; None if they are tokenised then."""

    @property
    def mean_tokens(self) -> dict[str, tuple[float, float]]:
        """{task: (mean input tokens, mean target tokens)} of the training examples."""
        return {n: (float(t.inputs.lengths.mean()), float(t.targets.lengths.mean())) for n, t in self.train.items()}


def load_run_data(config: TrainConfig, cache: Cache, notices: Notices, *, vocabulary: Path | None = None) -> RunData:
    """Load a run's examples, find or train its vocabulary, and tokenise what it trains on.

    Args:
        config: With its defaults filled in.
        cache: Has vocabularies and token ids of earlier runs.
        notices: Told what takes long, and what came from the cache.
        vocabulary: The folder of the tokenizer of a run that is resumed.

    Raises:
        UserError: Whatever is wrong with model, tasks, files, rows or rates.
    """
    if not is_from_scratch(config.model):
        check_pretrained(config.model)
    mix = prepare_mixture(config)
    if not is_from_scratch(config.model):
        check_lengths(read_configuration(config.model, config.revision)[0], mix.tasks, config.model)
    if vocabulary is not None:
        tokenizer = load_tokenizer(str(vocabulary))
    else:
        # Every process makes its own from the same text in the same order, and so gets the same one.
        tokenizer = mixture_tokenizer(
            config, mix, cache, lambda: notices.say("training a vocabulary on the mixture's text …")
        )
    token_cache = TokenCache(cache, tokenizer)
    train = tokenize_parts({name: d.train for name, d in mix.data.items()}, mix, token_cache)
    summary = token_cache.summary()
    if summary:
        notices.say(summary)
    return RunData(mix, tokenizer, train)


def tokenize_parts(parts: Mapping[str, Examples], mix: PlannedMixture, cache: TokenCache) -> dict[str, TokenizedTask]:
    """Tokenise {task: examples}, as far as the cache does not have them."""
    with counting("tokenising", sum(map(len, parts.values()))) as counter:
        return {name: cache.tokenized(mix.tasks[name], part, counter.advance) for name, part in parts.items()}


def scored_examples(config: TrainConfig, mix: PlannedMixture) -> dict[str, Examples]:
    """The rows of each task that a run is scored on at its end."""
    parts = {}
    for name in mix.evaluated:
        data = mix.data[name]
        chosen = data.validation if config.evaluate_on == "validation" else data.selection
        assert chosen is not None  # `selection_size` says that there is one
        parts[name] = chosen
    return parts
