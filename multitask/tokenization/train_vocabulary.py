"""Training a SentencePiece vocabulary."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from multitask.errors import UserError

if TYPE_CHECKING:
    pass


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
