"""The answering settings in a model folder, and how little of them counts.

How an answer is made is a task's `Decoding`, in every run the same. A folder's generation_config.json, and the
generation settings that config.json held before there was such a file, are not read: a minimal length, a forced or
suppressed token, or beams that somebody left there would decide scores without a word.

Words
    special ids    of the tokens that pad, begin and end an answer. The first two are config.json's; the end is the
                   tokenizer's, which writes it behind every target
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from multitask.errors import UserError
from multitask.model.families import family_of, vocabulary_size
from multitask.storage.json_files import read_json
from multitask.task import Decoding

PAD = 0
"""The padding id of the T5 family, with which decoding begins too."""

_OUTPUTS = {
    "is_encoder_decoder": True,
    "return_dict": True,
    "output_attentions": False,
    "output_hidden_states": False,
}
"""What a model's `forward` takes and gives is not a folder's to choose: a tuple has no `.logits`."""

_IDS = ("pad_token_id", "decoder_start_token_id", "eos_token_id")
_NO_DECISIONS = (*_IDS, *_OUTPUTS, "bos_token_id", "transformers_version", "_from_model_config", "use_cache")

_NEUTRAL = {
    **dict.fromkeys(("num_beams", "num_beam_groups", "num_return_sequences", "length_penalty", "guidance_scale"), 1),
    **dict.fromkeys(("repetition_penalty", "encoder_repetition_penalty", "temperature", "top_p", "typical_p"), 1),
    "max_length": 20,
    "top_k": 50,
}
"""What files that transformers 4 wrote say of settings that nobody chose; 0, false or nothing of all others."""


def settle_config(config: Any, stored: dict[str, Any], model: str) -> list[str]:
    """Give a model's configuration its special ids, and `forward` the outputs that are used here.

    Args:
        config: As transformers read it; changed in place.
        stored: config.json itself: transformers fills in what is not there without a word.
        model: Its name, for the words.

    Returns:
        What was filled in, a sentence each.

    Raises:
        UserError: If an id is none of the vocabulary's, or the feed-forward layers contradict themselves.
    """
    for name, value in _OUTPUTS.items():
        setattr(config, name, value)
    said = _settle_ids(config, stored, model)
    for name in ("pad_token_id", "decoder_start_token_id"):
        value = getattr(config, name)
        if type(value) is not int or not 0 <= value < vocabulary_size(config):
            raise UserError(
                f"config.json of model '{model}' says {name} {value!r}, which is no id of its vocabulary "
                f"(0 to {vocabulary_size(config) - 1:,}): correct it there."
            )
    kind = str(getattr(config, "feed_forward_proj", ""))
    if kind and bool(config.is_gated_act) != kind.startswith("gated"):
        raise UserError(
            f"config.json of model '{model}' contradicts itself: feed_forward_proj is {kind!r} and is_gated_act "
            f"{config.is_gated_act}: take is_gated_act and dense_act_fn out of it, or correct feed_forward_proj."
        )
    return said


def _settle_ids(config: Any, stored: dict[str, Any], model: str) -> list[str]:
    """Give a configuration the ids that pad and begin an answer, as its family has them."""
    begins = family_of(config).start
    if begins == "pad":  # the T5 family, where transformers fills in what is not there
        return _settle_t5_ids(config, stored, model)
    for name in _IDS:
        if getattr(config, name, None) is None:
            of_decoder = getattr(getattr(config, "decoder", None), name, None)
            setattr(config, name, of_decoder)
    if config.decoder_start_token_id is None and begins == "bos":
        begin = getattr(config, "bos_token_id", None)
        config.decoder_start_token_id = begin if begin is not None else getattr(config.decoder, "bos_token_id", None)
    for name, what in (("pad_token_id", "pads a text"), ("decoder_start_token_id", "an answer begins with")):
        if getattr(config, name) is None:
            raise UserError(
                f"config.json of model '{model}' names no {name}, and a {config.model_type} has none by itself: "
                f"write there the id that {what}."
            )
    return []


def _settle_t5_ids(config: Any, stored: dict[str, Any], model: str) -> list[str]:
    said = []
    if stored.get("pad_token_id") is None:
        config.pad_token_id = PAD
        said.append(f"config.json of model '{model}' names no pad_token_id: it is {PAD}, as in all of the T5 family.")
    if stored.get("decoder_start_token_id") is None:
        config.decoder_start_token_id = config.pad_token_id
        said.append(
            f"config.json of model '{model}' names no decoder_start_token_id: answers begin with the padding id "
            f"{config.pad_token_id}, as in all of the T5 family."
        )
    return said


def settle_end(model: Any, tokenizer: Any, name: str) -> list[str]:
    """Let answers end with the token that the tokenizer writes behind targets, and leave the model no other settings.

    Args:
        model: The model; its configuration and its generation settings are changed.
        tokenizer: The run's.
        name: The model's, for the words.

    Returns:
        What the model's folder says otherwise, a sentence each.
    """
    said, end = model.config.eos_token_id, tokenizer.eos_token_id
    model.config.eos_token_id = end
    model.generation_config = generation_settings(model.config)
    found = _unused(Path(name), model.config) if Path(name).is_dir() else []
    if said not in (None, end):
        found.append(
            f"config.json of model '{name}' lets an answer end with {said}, but its tokenizer ends texts with {end}: "
            f"answers are trained and decoded to end with {end} alone."
        )
    return found


def generation_settings(config: Any, **settings: Any) -> Any:
    """A `GenerationConfig` of the special ids and nothing else; what a run's model/ is saved with.

    Args:
        config: The model's, with its special ids.
        settings: What else it is to say.
    """
    from transformers import GenerationConfig

    ids = {name: getattr(config, name) for name in _IDS}
    return GenerationConfig(**{**ids, **settings})  # type: ignore[no-untyped-call]


def decoding_settings(config: Any, decoding: Decoding, eos: int) -> Any:
    """Generation settings with how a task's answers are written.

    Args:
        config: The model's.
        decoding: The task's.
        eos: The id after which nothing more is wanted.
    """
    beams = {"num_beams": decoding.num_beams, "length_penalty": decoding.length_penalty, "early_stopping": True}
    return generation_settings(
        config,
        eos_token_id=eos,
        max_new_tokens=decoding.max_new_tokens,
        do_sample=False,
        **(beams if decoding.num_beams > 1 else {}),
    )


def _unused(folder: Path, config: Any) -> list[str]:
    """A sentence that names the generation settings of a model folder, which decide nothing; none if there are none."""
    path, old = folder / "generation_config.json", read_json(folder / "config.json")
    stored = read_json(path) if path.is_file() else {}
    names = [one for one in _IDS if stored.get(one) not in (None, getattr(config, one))]
    names += _deciding(stored)
    names += [one for one in _deciding(old, _known()) if one not in names]
    if not names:
        return []
    return [
        f"the generation settings of model '{folder}' are not used ({', '.join(names)}): "
        "each task's own decoding settings decide."
    ]


def _deciding(stored: dict[str, Any], known: Iterable[str] | None = None) -> list[str]:
    """The names in `stored`, of those that are `known`, with a value that would change an answer."""
    among = stored if known is None else [n for n in known if n in stored]
    usual: tuple[Any, ...] = (None, False, [], {})
    return [n for n in among if n not in _NO_DECISIONS and stored[n] not in (*usual, _NEUTRAL.get(n, 0))]


def _known() -> list[str]:
    """The names of generation settings."""
    from transformers import GenerationConfig

    return [*GenerationConfig().to_dict()]  # type: ignore[no-untyped-call]
