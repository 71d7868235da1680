"""`unpadded_scorer` and `search` through a model's own code: slower, for any encoder-decoder and any precision.

Legend: B inputs, S input tokens, C chains, T their longest, M queries, V vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from multitask.decoding.automaton import Automaton
from multitask.decoding.chains import Chains, DecoderCache
from multitask.model.families import vocabulary_size
from multitask.model.settings import decoding_settings
from multitask.task import Decoding

LOGIT_BYTES = 1 << 28
"""The most that one decoder pass may spend on logits."""


@dataclass(eq=False)
class PaddedScorer:
    """A model that has read a batch of inputs, padded.

    Args:
        model: A Hugging Face encoder-decoder in evaluation mode.
        inputs: [tokens] int64 of each input.
    """

    model: Any
    inputs: Sequence[np.ndarray]

    def __post_init__(self) -> None:
        self.device = next(self.model.parameters()).device
        self.start: int = self.model.config.decoder_start_token_id
        ids = self._padded(self.inputs, self.model.config.pad_token_id)  # [B, S]
        lengths = torch.tensor([len(i) for i in self.inputs])
        self.mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long().to(self.device)
        self.encoded: Tensor = self.model.get_encoder()(input_ids=ids, attention_mask=self.mask).last_hidden_state

    def _padded(self, sequences: Sequence[np.ndarray], pad: int) -> Tensor:
        out = np.full((len(sequences), max(map(len, sequences))), pad, np.int64)
        for row, ids in zip(out, sequences, strict=True):
            row[: len(ids)] = ids
        return torch.from_numpy(out).to(self.device)

    def cacheable(self, tokens: np.ndarray) -> list[np.ndarray]:
        """All inputs together."""
        return [np.arange(len(tokens))]

    def cache(self, room: int, chains: int, width: int) -> None:
        """None: the chains are computed anew as they grow."""

    def log_probabilities(
        self, chains: Chains, cache: DecoderCache | None = None, names: np.ndarray | None = None
    ) -> np.ndarray:
        """[M] log-probability of what is asked along the chains, at least fp32."""
        if not len(chains.owners):
            return np.zeros(0)
        most = LOGIT_BYTES // (4 * vocabulary_size(self.model.config))
        return np.concatenate([self._score(chains.part(*range_)) for range_ in chains.cut(most)])

    def _score(self, chains: Chains) -> np.ndarray:
        from transformers.modeling_outputs import BaseModelOutput

        starts = np.cumsum(chains.lengths) - chains.lengths
        sequences = np.split(chains.tokens, starts[1:])
        owners = torch.from_numpy(chains.owners).to(self.device)
        logits = self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=self.encoded[owners]),
            attention_mask=self.mask[owners],
            decoder_input_ids=self._padded(sequences, self.model.config.pad_token_id),
            use_cache=False,
        ).logits  # [C, T, V]
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        chain = np.searchsorted(starts, chains.rows, side="right") - 1  # of each query
        c, t, asked = (torch.from_numpy(i).to(self.device) for i in (chain, chains.rows - starts[chain], chains.asked))
        told: np.ndarray = (logits[c, t, asked] - logits.logsumexp(2)[c, t]).cpu().numpy()
        return told

    def generate(
        self, decoding: Decoding, *, stops: Sequence[int], sources: Sequence[Automaton] | None = None
    ) -> list[list[int]]:
        """Generate an answer to each input; arguments as in `search.write`."""
        from transformers.modeling_outputs import BaseModelOutput

        allowed: Callable[[int, Tensor], list[int]] | None = None
        if sources is not None:
            eos = stops[0]

            def allowed(batch: int, ids: Tensor) -> list[int]:
                return sources[batch].allowed(sources[batch].state(ids[1:].tolist()), eos)

        settings = decoding_settings(self.model.config, decoding, stops[0])
        with _only(self.model, settings):
            made = self.model.generate(
                encoder_outputs=BaseModelOutput(last_hidden_state=self.encoded),
                attention_mask=self.mask,
                generation_config=settings,
                **({} if allowed is None else {"prefix_allowed_tokens_fn": allowed}),
            )
        return [ids[1:] for ids in made.tolist()]


@contextlib.contextmanager
def _only(model: Any, settings: Any) -> Iterator[None]:
    """The model with no other settings for generation: `generate` takes from its own what it is not told."""
    own = model.generation_config
    model.generation_config = settings
    try:
        yield
    finally:
        model.generation_config = own
