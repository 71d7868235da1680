"""Strings to token ids, kept flat (`token_cache` keeps them on disk too).

Words
    ragged     many sequences of different lengths in one flat array and an array of where each begins; a step gathers
               its rows from it without touching Python objects
    offsets    for each token of a string, the characters it stands for: what makes a span exact
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from multitask.errors import UserError
from multitask.model_folder import check_model_folder
from multitask.special_tokens import (
    add_end,
    check_special_tokens,
    dropped_tokens,
    encode,
    first_tokens,
    target_texts,
    with_end,
)

if TYPE_CHECKING:
    from multitask.examples import Examples
    from multitask.task import Task

Tokenizer = Any
"""A Hugging Face tokenizer (typed loosely: importing transformers takes seconds, and `--help` must not wait)."""

_CHUNK = 4096  # strings a call of the tokenizer: enough for its own threads, small enough for a progress bar


@dataclass(frozen=True, eq=False)
class Ragged:
    """Sequences of token ids, one behind the other.

    >>> two = Ragged.of([[5, 6, 1], [7, 1]])
    >>> two[1].tolist(), two.lengths.tolist()
    ([7, 1], [3, 2])
    """

    ids: np.ndarray
    """[sum of lengths] int32."""
    starts: np.ndarray
    """[N + 1] int64; sequence i is `ids[starts[i]:starts[i + 1]]`."""

    @classmethod
    def of(cls, sequences: Iterable[Sequence[int]]) -> Ragged:
        """From lists of ids."""
        kept = list(sequences)
        starts = np.zeros(len(kept) + 1, dtype=np.int64)
        np.cumsum([len(s) for s in kept], out=starts[1:])
        return cls(np.fromiter(itertools.chain.from_iterable(kept), np.int32, count=int(starts[-1])), starts)

    @classmethod
    def joined(cls, parts: Sequence[Ragged]) -> Ragged:
        """The sequences of each part in turn."""
        lengths = np.concatenate([np.zeros(1, np.int64), *(part.lengths for part in parts)])
        return cls(np.concatenate([np.zeros(0, np.int32), *(part.ids for part in parts)]), np.cumsum(lengths))

    def taken(self, rows: np.ndarray) -> Ragged:
        """Those sequences in that order; a row may be named again and again.

        >>> Ragged.of([[5, 6, 1], [7, 1]]).taken(np.array([1, 0, 1])).ids.tolist()
        [7, 1, 5, 6, 1, 7, 1]
        """
        lengths = self.lengths_of(rows)
        starts = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(lengths, out=starts[1:])
        return Ragged(self.ids[np.arange(starts[-1]) + np.repeat(self.starts[rows] - starts[:-1], lengths)], starts)

    def __getitem__(self, i: int) -> np.ndarray:
        return self.ids[self.starts[i] : self.starts[i + 1]]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        """[N] int64."""
        return np.diff(self.starts)

    def lengths_of(self, rows: np.ndarray) -> np.ndarray:
        """[len(rows)] int64."""
        return np.asarray(self.starts[rows + 1] - self.starts[rows])

    def padded(self, rows: np.ndarray, pad: int) -> np.ndarray:
        """[len(rows), longest of them] int64, filled up with `pad` on the right."""
        starts, lengths = self.starts[rows], self.lengths_of(rows)
        columns = np.arange(max(int(lengths.max(initial=0)), 1))
        inside = columns < lengths[:, None]
        out = np.full(inside.shape, pad, dtype=np.int64)
        out[inside] = self.ids[(starts[:, None] + columns)[inside]]
        return out


@dataclass(frozen=True, eq=False)
class TokenizedTask:
    """The token ids of one split of one task, and what cutting to length cost."""

    inputs: Ragged
    targets: Ragged
    cut_inputs: int
    """Inputs that were longer than `max_input_tokens`."""
    cut_targets: int
    """Targets that were longer than `max_target_tokens`."""

    def __len__(self) -> int:
        return len(self.inputs)


def tokenize_task(
    tokenizer: Tokenizer, task: Task, examples: Examples, advance: Callable[[int], None] | None = None
) -> TokenizedTask:
    """Tokenise a split; `advance(n)` is called as rows are done, for a progress bar.

    A sequence that is too long is cut before its end-of-sequence token, which stays: a target without it would teach
    the model never to stop.
    """
    inputs, cut_inputs = _tokenize(tokenizer, [e.inputs for e in examples], task.max_input_tokens, advance)
    targets, cut_targets = _tokenize(tokenizer, target_texts(tokenizer, task, examples), task.max_target_tokens, None)
    return TokenizedTask(inputs, targets, cut_inputs, cut_targets)


def _tokenize(
    tokenizer: Tokenizer, strings: Sequence[str], limit: int, advance: Callable[[int], None] | None
) -> tuple[Ragged, int]:
    different = list(dict.fromkeys(strings))  # the targets of a task with labels are a few strings
    parts: list[Ragged] = []
    too_long: list[bool] = []
    said = 0
    for at in range(0, len(different), _CHUNK):
        chunk = different[at : at + _CHUNK]
        sequences = encode(tokenizer, chunk)
        too_long += [len(ids) > limit for ids in sequences]
        parts.append(Ragged.of([*ids[: limit - 1], ids[-1]] if len(ids) > limit else ids for ids in sequences))
        if advance:
            done = len(strings) * (at + len(chunk)) // len(different)
            advance(done - said)
            said = done
    ragged, cut = Ragged.joined(parts), np.array(too_long, dtype=bool)
    if len(different) < len(strings):
        place = {string: i for i, string in enumerate(different)}
        rows = np.fromiter((place[string] for string in strings), np.int64, count=len(strings))
        ragged, cut = ragged.taken(rows), cut[rows]
    return ragged, int(cut.sum())


def offsets(tokenizer: Tokenizer, text: str) -> list[tuple[int, int]]:
    """[begin, end) in characters of `text` for each of its tokens; what is no part of the text has (0, 0).

    As many as `encode` gives ids: the end of sequence, which the tokenizer itself may not add, is the last.

    Raises:
        UserError: If the tokenizer cannot say (neither a fast one nor a byte-level one).
    """
    if getattr(tokenizer, "is_fast", False):
        return encode_with_offsets(tokenizer, [text])[1][0]
    if type(tokenizer).__name__ == "ByT5Tokenizer":
        tokens = tokenizer.tokenize(text)
        if tokens and tokens[-1] == tokenizer.eos_token:  # the tokenizer does not add a second one
            tokens = tokens[:-1]
        return _byte_offsets(tokens, text)
    raise UserError(
        f"a span needs a tokenizer that knows character offsets, and {type(tokenizer).__name__} does not: "
        "use a model of the T5 family with a fast tokenizer, or ByT5."
    )


def encode_with_offsets(
    tokenizer: Tokenizer, texts: Sequence[str]
) -> tuple[list[list[int]], list[list[tuple[int, int]]]]:
    """As `encode`, and the offsets of each id."""
    if not getattr(tokenizer, "is_fast", False):
        return encode(tokenizer, texts), [offsets(tokenizer, text) for text in texts]
    if not texts:
        return [], []
    made = tokenizer(list(texts), return_offsets_mapping=True, truncation=False, verbose=False)
    ids = with_end(tokenizer, made["input_ids"])
    return ids, [s if len(s) == len(i) else [*s, (0, 0)] for s, i in zip(made["offset_mapping"], ids, strict=True)]


def _byte_offsets(tokens: Sequence[str], text: str) -> list[tuple[int, int]]:
    """ByT5: a token a byte, so a character is one to four tokens; `tokens` are the bytes as Latin-1 characters.

    Special tokens that stand in the text (`</s>`) are one token, and the tokenizer drops the spaces around them: so
    the bytes are looked for, not counted.
    """
    characters = [i for i, c in enumerate(text) for _ in c.encode()]  # of each byte
    raw, at = text.encode(), 0
    spots = []
    for token in tokens:
        piece = token.encode("latin-1") if len(token) == 1 else token.encode()
        at = raw.index(piece, at)
        spots.append((characters[at], characters[at + len(piece) - 1] + 1))
        at += len(piece)
    return [*spots, (0, 0)]


def text_of(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The string of generated ids, without first tokens, end of sequence, padding and unknown characters.

    Sentinels (`<extra_id_0>`) stay, which `skip_special_tokens` would drop: span corruption asks for them, and
    anywhere else they are wrong. The tokenizer loses the space in front of them.
    """
    first, dropped = list(first_tokens(tokenizer)), dropped_tokens(tokenizer)
    if first and list(ids[: len(first)]) == first:
        ids = ids[len(first) :]
    kept = [i for i in ids if i not in dropped]
    text = tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return re.sub(r"\s*(<extra_id_\d+>)", r" \1", text).strip()


def train_vocabulary(texts: Iterable[str], size: int, folder: Path) -> Path:
    """Train a SentencePiece unigram vocabulary on `texts`; gives `folder/spiece.model`; see `vocabulary_bytes`."""
    made = vocabulary_bytes(texts, size)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "spiece.model"
    path.write_bytes(made)
    return path


def vocabulary_bytes(texts: Iterable[str], size: int) -> bytes:
    """The `spiece.model` of a SentencePiece unigram vocabulary that is trained on `texts`.

    The special ids are T5's: pad 0, end of sequence 1, unknown 2 (the 100 sentinels are added by the tokenizer).
    `size` is an upper bound: a small text has fewer pieces to give. One thread, so that the same texts give the same
    vocabulary everywhere.
    """
    import sentencepiece

    written = io.BytesIO()  # in memory: given a path, the file would name it, and be another one in another folder
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=written,
            vocab_size=size,
            hard_vocab_limit=False,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            character_coverage=1.0,
            num_threads=1,
            max_sentence_length=100_000,
            minloglevel=2,
        )
    except RuntimeError as error:  # e.g. fewer pieces than the text has characters
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"no vocabulary of {size:,} pieces could be trained on this text: {reason}") from error
    return written.getvalue()


def load_tokenizer(folder_or_id: str, revision: str | None = None) -> Tokenizer:
    """The tokenizer of a model folder, a Hub id, or a folder with a bare `spiece.model`.

    `T5Tokenizer(vocab_file=…)` of transformers 5 ignores its file and maps everything to `<unk>`; `from_pretrained`
    reads it, and the check below makes sure. A tokenizer that adds no end of sequence is made to.

    Raises:
        UserError: If there is none, or it cannot be used; see `special_tokens.check_special_tokens`.
    """
    from transformers import AutoTokenizer, T5Tokenizer

    folder = Path(folder_or_id)
    if folder.is_dir():
        check_model_folder(folder)
    bare = (folder / "spiece.model").is_file() and not (folder / "config.json").is_file()
    bare = bare and not (folder / "tokenizer_config.json").is_file()
    try:
        if bare:
            tokenizer = T5Tokenizer.from_pretrained(str(folder))
        else:
            tokenizer = AutoTokenizer.from_pretrained(folder_or_id, revision=revision, trust_remote_code=False)
    except Exception as error:  # a KeyError, an AttributeError: whatever is wrong with a stranger's files
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"no tokenizer could be loaded from '{folder_or_id}': {reason}") from error
    ids = tokenizer("a e i o u", add_special_tokens=False)["input_ids"]
    if ids and all(i == tokenizer.unk_token_id for i in ids):
        raise UserError(f"the tokenizer of '{folder_or_id}' maps every letter to <unk>: its vocabulary was not read.")
    check_special_tokens(tokenizer, folder_or_id)
    add_end(tokenizer)
    return tokenizer
