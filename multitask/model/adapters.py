"""LoRA adapters (Hu et al. 2022) on every matrix of a T5's layers: one for all tasks, or one a task.

Words
    adapter   A [r, in] and B [out, r] beside each matrix W: the layer computes (W + s B A) x with s = 2; B begins at 0
    merged    W + s B A in the place of W, so that code which reads a layer's weight sees the adapter

The layers are PEFT's. Which of several adapters a pass goes through is set before it (`activate`); all of them stay
trainable, for the optimiser holds all. Whatever decodes reads weights, so for it an adapter is merged and the weights
are put back from a copy: subtracting what was added does not give the same bits.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from multitask.errors import UserError
from multitask.model.private_generator import private_generator, seed_of
from multitask.storage.json_files import read_json

MATRICES = (
    *("q", "k", "v", "o", "wi", "wi_0", "wi_1", "wo"),
    *("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    *("out_proj", "fc1", "fc2"),
)
"""Names of the matrices in attention and feed-forward layers; not the embeddings or the output layer."""
SCALING = 2.0
"""s: alpha / r, the usual 16 / 8."""
SHARED = "shared"
"""The name of an adapter that is for all tasks."""
ADAPTERS = "adapters"
"""The folder of a run's adapters, in that of its model."""
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
"""The files of an adapter in PEFT's format."""


def check_peft() -> None:
    """Refuse adapters where PEFT is not installed.

    Raises:
        UserError: Says what to install.
    """
    if importlib.util.find_spec("peft") is None:
        raise UserError("--peft lora needs the package peft: pip install 'multitask-t5[peft]'.")


@dataclass(frozen=True, eq=False)
class Adapters:
    """The adapters of a model."""

    model: Any
    names: tuple[str, ...]
    layers: tuple[tuple[str, Any], ...]
    """(name in the model, PEFT's layer) of each matrix that has them."""
    rank: int

    def name_for(self, task: str) -> str:
        """The adapter that a task uses."""
        return SHARED if self.names == (SHARED,) else task

    def activate(self, name: str) -> None:
        """Have passes go through this adapter."""
        key = [self._key(name)]
        for _, layer in self.layers:
            layer._active_adapter = key  # its own `set_adapter` freezes the others, which the optimiser has too

    def unused(self, names: Sequence[str]) -> Tensor:
        """0, with a graph to the adapters of other names: DDP wants a gradient of every parameter in each pass."""
        keys = [self._key(n) for n in self.names if n not in names]
        own = [w for _, layer in self.layers for key in keys for w in _matrices(layer, key)]
        return torch.stack([w.sum() for w in own]).sum() * 0.0 if own else torch.zeros(())

    @contextlib.contextmanager
    def merged(self, name: str) -> Iterator[None]:
        """A model without adapters, this one merged into it, inside; to the bit as it was afterwards."""
        before = [(w := layer.get_base_layer().weight, w.detach().clone()) for _, layer in self.layers]
        try:
            self._take_off(merge=name)
            yield
        finally:
            with torch.no_grad():
                for weight, kept in before:
                    weight.copy_(kept)
            for path, layer in self.layers:
                self._put(path, layer)

    def state(self, name: str) -> dict[str, Tensor]:
        """An adapter's matrices under the names of PEFT's files."""
        found = {}
        for path, layer in self.layers:
            for part, w in zip("AB", _matrices(layer, self._key(name)), strict=True):
                found[f"base_model.model.{path}.lora_{part}.weight"] = w.detach().cpu().contiguous()
        return found

    def strip(self, merge: str | None) -> None:
        """Take the adapters off the model for good, one of them merged into its weights if it is named."""
        self._take_off(merge)
        if hasattr(self.model, "peft_config"):
            del self.model.peft_config
        del self.model._multitask_adapters
        self.model.requires_grad_(True)

    def _take_off(self, merge: str | None) -> None:
        for path, layer in self.layers:
            base = layer.get_base_layer()
            if merge is not None:
                a, b = _matrices(layer, self._key(merge))
                with torch.no_grad():
                    base.weight += (b @ a) * SCALING
            self._put(path, base)

    def _put(self, path: str, layer: Any) -> None:
        parent, _, child = path.rpartition(".")
        setattr(self.model.get_submodule(parent), child, layer)

    def _key(self, name: str) -> str:
        return f"adapter{self.names.index(name)}"  # PEFT keeps them in a module, whose names have no dots


def _matrices(layer: Any, key: str) -> tuple[Tensor, Tensor]:
    return layer.lora_A[key].weight, layer.lora_B[key].weight


def add_adapters(model: Any, names: Sequence[str], *, rank: int, seed: int) -> Adapters:
    """Put adapters on a model in place, and freeze all else of it.

    Args:
        model: A Hugging Face encoder-decoder of the T5 family.
        names: Of the adapters; of one for all, `SHARED`.
        rank: r.
        seed: A of an adapter is drawn by (seed, its name), whatever others there are.
    """
    from peft import LoraConfig, inject_adapter_in_model

    # By kind: layers hold Linear modules of these names, and nothing else does, but T5Gemma's output layer.
    targets = sorted({n.rpartition(".")[2] for n, _ in model.named_modules()} & set(MATRICES))
    targets = [name for name in targets if name != "out_proj" or "o_proj" not in targets]
    for i, name in enumerate(names):
        config = LoraConfig(r=rank, lora_alpha=int(SCALING * rank), target_modules=list(targets), lora_dropout=0.0)
        with private_generator(seed_of(f"{seed}/adapter/{name}")), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Already found a `peft_config`")  # of the adapter before
            inject_adapter_in_model(config, model, adapter_name=f"adapter{i}")
    found = Adapters(model, tuple(names), _layers_of(model), rank)
    for _, layer in found.layers:
        for key in layer.lora_A:
            for w in _matrices(layer, key):
                w.requires_grad_(True)
    model._multitask_adapters = tuple(names)
    found.activate(names[0])
    return found


def find_adapters(model: Any) -> Adapters | None:
    """The adapters that `add_adapters` put on a model; None if it has none."""
    names = getattr(model, "_multitask_adapters", None)
    layers = _layers_of(model) if names and "peft" in sys.modules else ()
    if not names or not layers:
        return None
    return Adapters(model, tuple(names), layers, int(layers[0][1].r["adapter0"]))


def _layers_of(model: Any) -> tuple[tuple[str, Any], ...]:
    from peft.tuners.lora import LoraLayer

    return tuple((name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer))


# ---- files -----------------------------------------------------------------------------------------------------------


def write_adapter(adapters: Adapters, name: str, folder: Path, base: str | None) -> None:
    """Write an adapter in PEFT's format, which `PeftModel.from_pretrained(model, folder)` reads.

    Args:
        adapters: Of the model.
        name: Of the adapter.
        folder: A new one.
        base: What PEFT would load as the model that it belongs to; None where that has no name.
    """
    from peft import LoraConfig
    from safetensors.torch import save_file

    targets = sorted({path.rpartition(".")[2] for path, _ in adapters.layers})
    config = LoraConfig(
        r=adapters.rank,
        lora_alpha=int(SCALING * adapters.rank),
        target_modules=targets,
        lora_dropout=0.0,
        task_type="SEQ_2_SEQ_LM",
        inference_mode=True,
        base_model_name_or_path=base,
    )
    plain: dict[str, Any] = config.to_dict()  # type: ignore[no-untyped-call]
    values = {n: sorted(v) if isinstance(v, set) else v for n, v in plain.items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(adapters.state(name), folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(values, indent=2, default=str) + "\n", encoding="utf-8")


def adapter_of(model_folder: Path, task: str) -> Path | None:
    """The folder of a task's own adapter; None if the model has no adapters, or one for all that is in it already.

    Raises:
        UserError: If other tasks have one each and this one has none.
    """
    there = sorted(p.name for p in (model_folder / ADAPTERS).glob("*") if (p / CONFIG).is_file())
    if not there or there == [SHARED]:
        return None
    if task not in there:
        raise UserError(
            f"{model_folder} has an adapter for each of {', '.join(there)}, and none for '{task}': train it with "
            "--adapters task too."
        )
    return model_folder / ADAPTERS / task


def merge_adapter(model: Any, folder: Path) -> list[tuple[Tensor, Tensor]]:
    """Merge an adapter of PEFT's format into a plain model; gives [(weight, as it was)]. PEFT need not be there.

    Raises:
        UserError: If the files are not those of an adapter of this model.
    """
    from safetensors.torch import load_file

    about = read_json(folder / CONFIG, dict[str, Any])
    try:
        scaling = float(about["lora_alpha"]) / float(about["r"])
        loaded = load_file(folder / WEIGHTS)
        paths = sorted({n.removeprefix("base_model.model.").rpartition(".lora_")[0] for n in loaded})
        pairs = [
            (
                model.get_submodule(path).weight,
                loaded[f"base_model.model.{path}.lora_A.weight"],
                loaded[f"base_model.model.{path}.lora_B.weight"],
            )
            for path in paths
        ]
        if not pairs or any(w.shape != (b.shape[0], a.shape[1]) for w, a, b in pairs):
            raise ValueError("its matrices have other shapes than the model's")
    except Exception as error:  # safetensors has exceptions of its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"the adapter in {folder} does not fit its model: {reason}.") from error
    before = []
    with torch.no_grad():
        for weight, a, b in pairs:
            before.append((weight, weight.detach().clone()))
            # Where the weights are: in training it was multiplied there, and another device has other last bits.
            weight += ((b.to(weight) @ a.to(weight)) * scaling).to(weight)
    return before


@contextlib.contextmanager
def merged_from(model: Any, folder: Path | None) -> Iterator[None]:
    """A plain model with an adapter of PEFT's format merged inside; with None as it is."""
    before = [] if folder is None else merge_adapter(model, folder)
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, kept in before:
                weight.copy_(kept)
