"""The tokens that a tokenizer puts around a text: T5's an end of sequence behind it, others nothing, or one before too.

Words
    first tokens    what stands before each text: none in T5's own vocabularies, `<s>` in CodeT5's and BART's, a
                    language in NLLB's. A model that was trained on such targets writes them first, so labels, spans
                    and generation begin with them too. But not what decoding begins with anyway, `<bos>` in T5Gemma's
    target          is written as such where a tokenizer has a vocabulary or a language of its own for it
    end             the end of sequence, exactly one behind each text, whether the tokenizer adds it by itself or not:
                    without it a model never learns to stop
    space           a byte-level vocabulary keeps the space before a word in the word's first token ("Ġred"), so a word
                    has other ids at the beginning of a target than within a text
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from multitask.errors import UserError

if TYPE_CHECKING:
    from multitask.task import Example, Task

PROBE = "a e i o u"


def encode(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, with the tokenizer's first tokens and one end of sequence."""
    if not len(texts):
        return []
    made = tokenizer(
        list(texts), truncation=False, verbose=False, return_attention_mask=False, return_token_type_ids=False
    )
    return with_end(tokenizer, made["input_ids"])


def encode_targets(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """As `encode`, of what a model is to write: in the target's language and vocabulary, where those are two."""
    if not len(texts):
        return []
    if _has_targets(tokenizer):
        made = tokenizer(text_target=list(texts), truncation=False, verbose=False, return_attention_mask=False)[
            "input_ids"
        ]
        sequences = with_end(tokenizer, made)
    else:
        sequences = encode(tokenizer, texts)
    begun = _begun(tokenizer)
    return [ids[1:] for ids in sequences] if begun else sequences


def _has_targets(tokenizer: Any) -> bool:
    """Whether it has a vocabulary or a language of its own for targets: Marian's, mBART's, M2M100's, NLLB's."""
    return any(
        "_switch_to_target_mode" in vars(kind) and kind.__module__.startswith("transformers.models.")
        for kind in type(tokenizer).__mro__
    )


@functools.lru_cache(maxsize=16)
def _begun(tokenizer: Any) -> bool:
    """Whether it writes before a target what decoding begins with, which would stand there twice."""
    first = _around(tokenizer, targets=True)[0]
    return bool(first) and first[0] == getattr(tokenizer, START, None)


def begins_targets(tokenizer: Any) -> bool:
    """Whether it writes anything before a target."""
    return bool(_around(tokenizer, targets=True)[0])


START = "multitask_decoder_start"
"""The attribute of a tokenizer that says with which id its model's answers begin; see `tokenizer.load_tokenizer`."""


def with_end(tokenizer: Any, sequences: Sequence[list[int]]) -> list[list[int]]:
    """The sequences, each with an end of sequence: added where the tokenizer did not."""
    eos = getattr(tokenizer, "eos_token_id", None)
    if eos is None:  # one of the user's own; `load_tokenizer` refuses it
        return list(sequences)
    return [ids if ids and ids[-1] == eos else [*ids, eos] for ids in sequences]


@functools.lru_cache(maxsize=16)  # asked for every batch; a tokenizer is not changed once it is in use
def first_tokens(tokenizer: Any) -> tuple[int, ...]:
    """The ids that stand before each target."""
    first = _around(tokenizer, targets=True)[0]
    return first[1:] if _begun(tokenizer) else first


@functools.lru_cache(maxsize=16)
def input_first_tokens(tokenizer: Any) -> tuple[int, ...]:
    """The ids that stand before each input."""
    return _around(tokenizer)[0]


@functools.lru_cache(maxsize=16)
def dropped_tokens(tokenizer: Any) -> frozenset[int]:
    """The ids that are no part of any answer: end, padding, unknown, and what marks a beginning or a separation."""
    names = ("eos", "pad", "unk", "bos", "cls", "sep")
    found = (getattr(tokenizer, f"{name}_token_id", None) for name in names)
    return frozenset(i for i in found if i is not None)


@functools.lru_cache(maxsize=16)
def keeps_spaces(tokenizer: Any) -> bool:
    """Whether a word's first token holds the space before it, so that a word after a space has ids of its own.

    Not ByT5, whose space is a token like any other, nor T5, which takes every text to begin with a space.
    """
    if not getattr(tokenizer, "is_fast", False):
        return False
    plain, spaced = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("a", " a"))
    return bool(plain != spaced)


def target_texts(tokenizer: Any, task: Task, examples: Sequence[Example]) -> list[str]:
    """The targets as they are tokenised: those of a span begin as in the text that the span is cut from.

    Otherwise a model would learn to write "red" where the tokens that it may choose from say "Ġred".
    """
    if task.output != "span" or not keeps_spaces(tokenizer):
        return [e.target for e in examples]
    return [f" {e.target}" if _follows_a_space(e) else e.target for e in examples]


def _follows_a_space(example: Example) -> bool:
    if not example.target or example.context is None:
        return False
    before = "" if example.inputs.startswith(example.context) else " "
    return f" {example.target}" in f"{before}{example.context}"


def check_special_tokens(tokenizer: Any, name: str) -> None:
    """Refuse a tokenizer whose texts cannot be ended or begun as they must be.

    Raises:
        UserError: If it has no end of sequence or padding, ends a text with another token, or begins it with these.
    """
    for kind, what in (("eos", "end-of-sequence"), ("pad", "padding")):
        if getattr(tokenizer, f"{kind}_token_id", None) is None:
            raise UserError(
                f"the tokenizer of '{name}' has no {what} token, and a text-to-text model needs one: name it as "
                f"'{kind}_token' in its tokenizer_config.json."
            )
    first, last = _around(tokenizer)
    if last in ((), (tokenizer.eos_token_id,)):
        first, last = _around(tokenizer, targets=True)
    eos = tokenizer.eos_token_id
    if last not in ((), (eos,)):
        raise UserError(
            f"the tokenizer of '{name}' ends a text with {_shown(tokenizer, last)}, but its end of sequence is "
            f"{tokenizer.eos_token!r}: a model would never learn to stop. Correct one of the two."
        )
    if {eos, tokenizer.pad_token_id} & set(first):
        raise UserError(
            f"the tokenizer of '{name}' begins a text with {_shown(tokenizer, first)}, where its end of sequence "
            f"{tokenizer.eos_token!r} or its padding {tokenizer.pad_token!r} ends one: every answer would be empty. "
            "Give it a first token of its own, or none."
        )


def add_end(tokenizer: Any) -> None:
    """Make a fast tokenizer that adds no end of sequence add one, so that those who load it from a run get it too."""
    first, last = _around(tokenizer)
    if last or not getattr(tokenizer, "is_fast", False):
        return
    from tokenizers.processors import TemplateProcessing

    ids = (*first, tokenizer.eos_token_id)
    names = tokenizer.convert_ids_to_tokens(list(ids))
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=[*names[:-1], "$A", names[-1]],
        pair=[*names[:-1], "$A", names[-1], "$B", names[-1]],
        special_tokens=list(zip(names, ids, strict=True)),
    )


def _around(tokenizer: Any, *, targets: bool = False) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ids before and behind each input, or each target, as the tokenizer adds them."""
    name = "text_target" if targets and _has_targets(tokenizer) else "text"
    whole = list(tokenizer(**{name: PROBE})["input_ids"])
    inner = list(tokenizer(**{name: PROBE}, add_special_tokens=False)["input_ids"])
    for at in range(len(whole) - len(inner) + 1):
        if whole[at : at + len(inner)] == inner:
            return tuple(whole[:at]), tuple(whole[at + len(inner) :])
    return (), ()


def _shown(tokenizer: Any, ids: Sequence[int]) -> str:
    return " ".join(map(repr, tokenizer.convert_ids_to_tokens(list(ids))))
