"""A SentencePiece tokenizer: loading, character offsets of tokens, text of tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multitask.errors import UserError
from multitask.model.configuration import read_configuration
from multitask.model.untrusted import check_model_folder
from multitask.tokenization.special_tokens import (
    START,
    add_end,
    begins_targets,
    check_special_tokens,
    dropped_tokens,
    encode,
    first_tokens,
    with_end,
)

if TYPE_CHECKING:
    pass


Tokenizer = Any
"""A Hugging Face tokenizer (typed loosely: importing transformers takes seconds, and `--help` must not wait)."""


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
        "use a model with a fast tokenizer, or ByT5."
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
    except Exception as error:  # a KeyError, an AttributeError: whatever is wrong with untrusted files
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"no tokenizer could be loaded from '{folder_or_id}': {reason}") from error
    ids = tokenizer("a e i o u", add_special_tokens=False)["input_ids"]
    if ids and all(i == tokenizer.unk_token_id for i in ids):
        raise UserError(f"the tokenizer of '{folder_or_id}' maps every letter to <unk>: its vocabulary was not read.")
    if getattr(tokenizer, "tgt_lang", "") is None:  # NLLB's: one language is said, and an answer is in it too
        tokenizer.tgt_lang = tokenizer.src_lang
    check_special_tokens(tokenizer, folder_or_id)
    add_end(tokenizer)
    if not bare and begins_targets(tokenizer):
        setattr(tokenizer, START, _decoder_start(folder_or_id, revision))
    return tokenizer


def _decoder_start(folder_or_id: str, revision: str | None) -> int | None:
    """With which id the model beside a tokenizer begins an answer; None if there is none."""
    if Path(folder_or_id).is_dir() and not (Path(folder_or_id) / "config.json").is_file():
        return None
    start: int = read_configuration(folder_or_id, revision)[0].decoder_start_token_id
    return start
