"""Whether the weights in a file are those of the model that config.json describes.

transformers gives what a file has not from random numbers, leaves out what the model has not, and says so in a table
on standard error. Here both are refused: a run would be called pretrained and be none, or a part of it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from multitask.errors import UserError
from multitask.storage.json_files import read_json
from multitask.storage.tensor_files import load_tensors

SHOWN = 4
"""Names that an error lists of each kind; layers that differ in nothing but their number are one."""

HEAD = "lm_head.weight"
_EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")


def check_weights(
    model: Any, info: Mapping[str, Any], stored: Mapping[str, Any], name: str, revision: str | None = None
) -> None:
    """Refuse weights that are not the model's.

    A tied output layer that is not in the file is no fault, nor is what transformers knows to be left over in the
    first T5's files.

    Args:
        model: As it was loaded.
        info: What `from_pretrained` found: `missing_keys`, `unexpected_keys` and `mismatched_keys`.
        stored: config.json.
        name: The model's folder or id on the Hub.
        revision: On the Hub.

    Raises:
        UserError: With the names, and what to do.
    """
    missing, left_over = sorted(info["missing_keys"]), sorted(info["unexpected_keys"])
    shapes = sorted(info["mismatched_keys"])
    if not missing and not left_over and not shapes:
        _check_head(model, stored, name, revision)
        return
    pattern = added(missing, left_over)
    most = 1 if pattern else SHOWN
    found = [f"{_listed(missing, most)} missing"] if missing else []
    if left_over:
        found.append(f"{_listed(left_over, most)} left over")
    if shapes:
        key, there, wanted = shapes[0]
        more = f" (and {len(shapes) - 1:,} more of another shape)" if len(shapes) > 1 else ""
        found.append(f"{key} is {list(there)} where config.json asks for {list(wanted)}{more}")
    why = (
        _stripped(name, pattern) if pattern else _reason(missing, left_over, shapes, stored, model.state_dict().keys())
    )
    raise UserError(f"the weights of model '{name}' are not those of its config.json: {'; '.join(found)}. {why}")


def _listed(names: Sequence[str], most: int) -> str:
    """The first few, with one for all layers, how many there are, and a verb."""
    if len(names) <= most:
        return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"
    kinds = list(dict.fromkeys(re.sub(r"(?<=\.)\d+(?=\.)", "*", one) for one in names))
    return f"{', '.join(kinds[:most])}{', …' if len(kinds) > most else ''} ({len(names):,} in all) are"


def _reason(
    missing: Sequence[str],
    left_over: Sequence[str],
    shapes: Sequence[Any],
    stored: Mapping[str, Any],
    names: Collection[str],
) -> str:
    """Guess what happened, and say what to do; `names` are all of the model's."""
    if any(".wi_0." in one for one in missing) and any(".wi." in one for one in left_over):
        return f"They are of a T5 without gates: feed_forward_proj {stored.get('feed_forward_proj')!r} is not theirs."
    if any(".wi." in one for one in missing) and any(".wi_0." in one for one in left_over):
        return "They are of a T5 with gates: feed_forward_proj in config.json should be 'gated-gelu', as in v1.1."
    if missing and not left_over and not shapes:
        return _lacking(set(missing), names)
    for side, key in _LAYERS.items():
        more = _blocks(left_over, side)
        if more and not missing and more[0] > max(_blocks(names, side), default=-1):
            return f"They have {_layers(more[-1] + 1, side)}: {key} in config.json is not theirs."
    return "Give the config.json that was saved with these weights, or the weights that were saved with it."


_LAYERS = {"encoder": "num_layers", "decoder": "num_decoder_layers"}


def _lacking(missing: set[str], names: Collection[str]) -> str:
    """Name the part of the model whose weights are missing where all others fit."""
    if missing >= {one for one in names if one.startswith("decoder.block.")} and not _blocks(missing, "encoder"):
        return "They are not those of an encoder-decoder, but of an encoder alone: give the whole model's."
    for side, key in _LAYERS.items():
        first = min(_blocks(missing, side), default=0)
        late = {one for one in names if any(block >= first for block in _blocks([one], side))}
        if first and missing == late:
            return f"They have {_layers(first, side)}: {key} in config.json is not theirs."
    return "They are a part of the model's: give them all."


def _layers(count: int, side: str) -> str:
    return f"{count:,} {side} layer{'' if count == 1 else 's'}"


def _blocks(names: Iterable[str], side: str) -> list[int]:
    """The layers of a side that names speak of, rising."""
    found = (re.match(rf"{side}\.block\.(\d+)\.", one) for one in names)
    return sorted({int(one[1]) for one in found if one})


def added(missing: Collection[str], left_over: Collection[str]) -> str | None:
    """Find the pattern that a wrapper put into the names, if without it they are those that are missing.

    >>> added(["shared.weight", "encoder.w"], ["module.shared.weight", "module.encoder.w"])
    '^module[.]'
    >>> added(["encoder.w"], ["encoder._orig_mod.w"])
    '_orig_mod[.]'
    >>> added(["encoder.w"], ["decoder.w"])
    """
    tied = {HEAD, *_EMBEDDINGS}  # of these, one may stand for all
    wanted = set(missing) - tied
    begins = {other.removesuffix(one) for one in sorted(wanted)[:1] for other in left_over if other.endswith(f".{one}")}
    for pattern in (*sorted("^" + begin.replace(".", "[.]") for begin in begins), "_orig_mod[.]", "module[.]"):
        without = {re.sub(pattern, "", one) for one in left_over}
        if wanted and wanted <= without <= wanted | tied:
            return pattern
    return None


def _stripped(name: str, pattern: str) -> str:
    """How to take it out of all names, into a folder beside the model's."""
    text = pattern.removeprefix("^").replace("[.]", ".")
    if not Path(name).is_dir():
        return f"The names in the file have {text!r} too much: they want saving again without it."
    a, b, without = (json.dumps(text) for text in (str(Path(name)), f"{Path(name)}-stripped", pattern))
    code = (
        f"import shutil; from transformers import AutoModelForSeq2SeqLM as M; a, b = {a}, {b}; "
        'shutil.copytree(a, b, ignore=shutil.ignore_patterns("*.safetensors*", "*.bin*")); '
        f'M.from_pretrained(a, key_mapping={{{without}: ""}}).save_pretrained(b, save_original_format=False)'
    )
    return (
        f"The names in the file have {text!r} too much: python -c {shlex.quote(code)} writes the model without it "
        f"for --model {shlex.quote(json.loads(b))}."
    )


def _check_head(model: Any, stored: Mapping[str, Any], name: str, revision: str | None) -> None:
    """Refuse a model whose output layer ought to be its own and is not there: transformers takes the embeddings."""
    # Of other families transformers' own report is all there is: their matrices have other names.
    if stored.get("tie_word_embeddings") is not False or getattr(model, "shared", None) is None:
        return
    if model.lm_head.weight is not model.shared.weight:
        return
    names = _stored_names(name, revision)
    lacking = [HEAD] if HEAD not in names else [_EMBEDDINGS[0]] if not names.intersection(_EMBEDDINGS) else []
    if names and lacking:
        raise UserError(
            f"the weights of model '{name}' are not those of its config.json: {lacking[0]} is missing, and "
            "tie_word_embeddings is false, so that its output layer and its embeddings are two matrices, as in v1.1. "
            "Give the whole weights, or config.json the tie_word_embeddings that they were trained with."
        )


def _stored_names(name: str, revision: str | None) -> set[str]:
    """The names of the weights in the file or files of a model, which was loaded before."""
    from transformers.utils.hub import cached_file

    for file in (
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
    ):
        try:
            path = cached_file(name, file, revision=revision)
        except OSError:  # there is none of that name
            continue
        if path is None:
            continue
        if file.endswith(".index.json"):
            return set(read_json(Path(path))["weight_map"])
        if file.endswith(".bin"):
            return set(load_tensors(Path(path)))
        from safetensors import safe_open

        with safe_open(path, framework="pt") as opened:
            return set(opened.keys())
    return set()


def stored_shapes(folder: Path) -> dict[str, tuple[int, ...]] | None:
    """The shape of each weight in a folder's safetensors, which are not read; None if it has none."""
    from safetensors import safe_open

    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file():
        files = ["model.safetensors"]
    elif index.is_file():
        files = sorted(set(read_json(index)["weight_map"].values()))
    else:
        return None
    shapes = {}
    for file in files:
        with safe_open(folder / file, framework="pt") as opened:
            shapes.update({name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()})  # noqa: SIM118
    return shapes


def compared(model: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Compare weights of these shapes with the model, as `from_pretrained` would.

    Args:
        model: Of the same configuration; its weights may be on no device.
        shapes: Of the weights.
    """
    wanted = {name: tuple(w.shape) for name, w in model.state_dict().items()}
    prefix = f"{model.base_model_prefix}."
    there = {n.removeprefix(prefix) if n.removeprefix(prefix) in wanted else n: shape for n, shape in shapes.items()}
    tied = {HEAD, *_EMBEDDINGS}  # any of them stands for all
    missing = wanted.keys() - there.keys() - (tied if tied & there.keys() else set())
    known = [re.compile(pattern) for pattern in model._keys_to_ignore_on_load_unexpected or ()]
    left_over = {name for name in there.keys() - wanted.keys() if not any(one.search(name) for one in known)}
    shared = wanted.keys() & there.keys()
    return {
        "missing_keys": missing,
        "unexpected_keys": left_over,
        "mismatched_keys": {(name, there[name], wanted[name]) for name in shared if there[name] != wanted[name]},
    }
