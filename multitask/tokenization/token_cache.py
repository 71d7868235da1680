"""Each split of each task is tokenised once and kept, by its content: see `cache`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from multitask.storage.paths import tilde
from multitask.tokenization.disk_cache import KEPT_FROM, Arrays, Cache, shown_size
from multitask.tokenization.ragged import Ragged
from multitask.tokenization.special_tokens import first_tokens, input_first_tokens, keeps_spaces
from multitask.tokenization.tokenize import TokenizedTask, tokenize_task
from multitask.tokenization.tokenizer import Tokenizer

if TYPE_CHECKING:
    from multitask.examples.dataset import Examples
    from multitask.task import Task

KIND = "tokens"


class TokenCache:
    """Splits as one tokenizer cuts them.

    Args:
        cache: Where they are kept.
        tokenizer: As it is now: what is changed in it later is not noticed.
    """

    def __init__(self, cache: Cache, tokenizer: Tokenizer) -> None:
        self.cache, self.tokenizer = cache, tokenizer
        self._identity = tokenizer_identity(tokenizer)
        self._read = self._kept = self._bytes = 0

    def tokenized(self, task: Task, examples: Examples, advance: Callable[[int], None] | None = None) -> TokenizedTask:
        """Tokenise as `tokenize_task`, or read it from the cache, read-only and memory-mapped.

        Of fewer than `KEPT_FROM` examples nothing is kept, nor of a tokenizer that cannot be told from others.
        """
        if self._identity is None or len(examples) < KEPT_FROM:
            return tokenize_task(self.tokenizer, task, examples, advance)
        key = {
            "task": task.name,
            "version": task.version,
            "examples": examples.fingerprint,
            "tokenizer": self._identity,
            "max_input_tokens": task.max_input_tokens,
            "max_target_tokens": task.max_target_tokens,
        }
        if task.output == "span" and keeps_spaces(self.tokenizer):
            key["targets"] = "as in the source"
        kept = self.cache.read(KIND, key)
        if kept is not None:
            self._read += 1
            self._bytes += _size(kept)
            if advance:
                advance(len(examples))
            return _task_of(kept)
        made = tokenize_task(self.tokenizer, task, examples, advance)
        about = {
            "task": task.name,
            "split": examples.split,
            "rows": len(examples),
            "tokens": len(made.inputs.ids) + len(made.targets.ids),
        }
        arrays = _arrays_of(made)
        kept = self.cache.write(KIND, key, arrays, about)
        if kept is not arrays:
            self._kept += 1
            self._bytes += _size(kept)
        return _task_of(kept)

    def summary(self) -> str | None:
        """A sentence on what was read and kept, where, and how large it is; None if nothing was."""
        read, kept = (f"{n} split{'s'[: n != 1]}" for n in (self._read, self._kept))
        where, size = tilde(str(self.cache.folder)), shown_size(self._bytes)
        if self._read and self._kept:
            return f"tokens of {read} read from {where}, of {kept} kept there for the next run ({size})"
        if self._read:
            return f"tokens of {read} read from {where} ({size})"
        return f"tokens of {kept} kept in {where} for the next run ({size})" if self._kept else None


def _size(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays.values())


def _arrays_of(tokens: TokenizedTask) -> Arrays:
    return {
        "inputs": tokens.inputs.ids,
        "input_starts": tokens.inputs.starts,
        "targets": tokens.targets.ids,
        "target_starts": tokens.targets.starts,
        "cut": np.array([tokens.cut_inputs, tokens.cut_targets], dtype=np.int64),
    }


def _task_of(arrays: Arrays) -> TokenizedTask:
    cut_inputs, cut_targets = arrays["cut"].tolist()
    return TokenizedTask(
        Ragged(arrays["inputs"], arrays["input_starts"]),
        Ragged(arrays["targets"], arrays["target_starts"]),
        cut_inputs,
        cut_targets,
    )


def tokenizer_identity(tokenizer: Tokenizer) -> str | None:
    """SHA-256 of all that determines the ids a tokenizer gives: its state and the code that reads it; in hex.

    Not of where it was loaded from, nor of padding and truncation, which each call sets anew. None for a class that is
    not of transformers, whose code has no version to go by.
    """
    kind = type(tokenizer)
    if not kind.__module__.startswith("transformers."):
        return None
    state: dict[str, Any]
    if getattr(tokenizer, "is_fast", False):
        state = json.loads(tokenizer.backend_tokenizer.to_str())
        del state["truncation"], state["padding"]
    elif kind.__name__ == "ByT5Tokenizer":  # bytes: there is nothing but its special tokens
        state = {"vocabulary": tokenizer.get_vocab()}
    else:
        return None
    import tokenizers
    import transformers

    parts = {
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "versions": [transformers.__version__, tokenizers.__version__],
        "special": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        "split_special_tokens": bool(getattr(tokenizer, "split_special_tokens", False)),
        "state": state,
    }
    if first_tokens(tokenizer) != input_first_tokens(tokenizer):  # the model or the language of the targets decides
        parts["before targets"] = first_tokens(tokenizer)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
