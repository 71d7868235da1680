"""Checks of a model folder before transformers reads it: it may be untrusted.

transformers runs no code that comes with a model unless `trust_remote_code` is true. It must be false, not left out:
then transformers asks whether to run it, and reads the answer from standard input, where `multitask predict` has its
texts. These are the ways that remain.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from multitask.errors import UserError
from multitask.storage.json_files import read_json
from multitask.storage.tensor_files import check_tensor_file


def check_model_folder(folder: Path) -> None:
    """Refuse files that would lead out of a model folder, fill the memory, or fetch code; and an adapter.

    With peft installed transformers puts an adapter on whatever model it names, without it the adapter is passed over.

    Raises:
        UserError: Names the file.
    """
    if (folder / "adapter_config.json").is_file():
        raise UserError(
            f"{folder} holds an adapter (adapter_config.json), and multitask trains whole models: merge it into its "
            "model (peft's merge_and_unload) and save that."
        )
    # Not tokenizer.json: that one is large, and read by a parser that has no way to any of this.
    settings = [folder / name for name in ("config.json", "generation_config.json", "tokenizer_config.json")]
    for path in (*filter(Path.is_file, settings), *sorted(folder.glob("*.index.json"))):
        found = read_json(path)
        if not isinstance(found, dict):
            raise UserError(f"{path} is not what transformers writes: it holds a {type(found).__name__}.")
        if path.name.endswith(".index.json"):
            _check_index(path, found)
    for path in sorted(folder.glob("*.bin")):
        check_tensor_file(path)


def _check_index(path: Path, index: dict[str, Any]) -> None:
    """The list of the files that the weights are spread over."""
    parts = index.get("weight_map")
    names = parts.values() if isinstance(parts, dict) else [parts]
    for name in names:
        if not isinstance(name, str) or name in ("", ".", "..") or Path(name).name != name or "\\" in name:
            raise UserError(f"{path} names {json.dumps(name)}, which is no file beside it: it is not read.")


def check_attention(config: Any, model: str) -> None:
    """Refuse a model that names an implementation of attention on the Hub, which would be downloaded and run.

    Args:
        config: As transformers read it.
        model: Its name, for the error.

    Raises:
        UserError: If it does.
    """
    named = str(getattr(config, "_attn_implementation", None) or "")
    if named and not named.replace("_", "").isalnum():
        raise UserError(
            f"model '{model}' asks for the attention of {named!r}, code that would be fetched from the Hub: "
            "take attn_implementation out of its config.json."
        )
