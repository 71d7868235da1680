"""How steps are computed: on unpadded tokens, or by the model's own code in padded micro-batches or packed rows.

On a CPU unpadded tokens are the faster, which was measured. On another device which is depends on the device, the
model and the lengths, so there the first run of a kind times each on steps of its own plan and keeps the answer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.storage.json_files import read_json, write_json
from multitask.storage.locking import locked
from multitask.version import __version__

if TYPE_CHECKING:  # it imports torch, which who only asks for a name here does not need
    from multitask.batching.step_maker import Execution

FORMS: tuple[Execution, ...] = ("flat", "grouped", "packed")
WARM, TIMED = 2, 6
"""Steps of each that are not timed, and that are."""
FOLDER, FILE = "execution", "executions.json"
COMPILING = 60.0
"""Seconds below which what is left of a run cannot win by compiling packed rows, which takes about as long on a GPU."""
NEVER = 1e9
"""Seconds that stand for a form that fails on a device."""


def choose_execution(
    config: TrainConfig,
    model: Any,
    device: str,
    strategy: str = "SingleDeviceStrategy",
    *,
    measure: Callable[[Sequence[Execution]], Execution] | None = None,
) -> Execution:
    """Choose how steps are computed; see `TrainConfig.execution`.

    Args:
        config: The settings.
        model: As training begins with it.
        device: Its kind, e.g. cpu.
        strategy: Lightning's, by its class.
        measure: Times those that are possible on a device for which no rule is known; without it `grouped`.

    Raises:
        UserError: If one is asked for that cannot be had.
    """
    asked = config.execution
    if asked == "grouped":
        return "grouped"
    if asked == "auto" and (config.precision == "bf16" if device == "cpu" else measure is None):
        return "grouped"
    if asked == "packed" or (asked == "flat" or device == "cpu"):
        form: Execution = "packed" if asked == "packed" else "flat"
        reason = _against(form, config, model, strategy)
        if reason and asked == form:
            raise UserError(f"--execution {form}: {reason}; use --execution grouped, or auto.")
        return "grouped" if reason else form
    possible = [form for form in FORMS if not _against(form, config, model, strategy)]
    return "grouped" if measure is None or possible == ["grouped"] else measure(possible)


def _against(form: Execution, config: TrainConfig, model: Any, strategy: str) -> str:
    """Why a form cannot be had; empty if it can."""
    from multitask.model.packed import packed_agrees
    from multitask.model.unpadded.forward import agrees

    if form == "grouped":
        return ""
    if strategy not in ("SingleDeviceStrategy", "DDPStrategy"):
        return f"it has not been tried with {strategy}"
    if form == "flat" and "precision" in config.trainer:
        return "it runs in fp32, and in bf16 by autocast alone"
    if form == "flat" and config.gradient_checkpointing:
        return "it has no gradient checkpointing"
    if not (agrees if form == "flat" else packed_agrees)(model):
        return f"it does not give what the code of {type(model).__name__} gives"
    return ""


# ------------------------------------------------------------------------------------------------------------ measuring


def measured_execution(
    maker: Any,
    model: Any,
    device: Any,
    context: Callable[[], contextlib.AbstractContextManager[Any]],
    possible: Sequence[Execution] = FORMS,
    *,
    precision: str,
    steps: int,
    cache: Path | None,
    say: Callable[[str], None],
) -> Execution:
    """The faster form on this device, timed on the first steps of a plan, or as it was measured before.

    Neither the model nor any random state is changed. Runs that begin together on one machine wait for the first one's
    answer. Packed rows are left untimed where compiling them takes longer than the run.

    Args:
        maker: The run's `StepMaker`.
        model: Moved to the device.
        device: Of torch.
        context: In which a forward pass is made: autocast for bf16.
        possible: The forms to choose from.
        precision: fp32 or bf16.
        steps: How many are to be made.
        cache: The folder that answers are kept in; None for none.
        say: Told what was found.
    """
    name = device_name(device)
    key = f"{name}, {precision}, {_shape(model, maker)}"
    with _kept_in(cache) as path:
        known = _read(path)
        before = known.get(key, {})
        seconds: dict[Execution, float] = {form: before[form] for form in possible if form in before}
        for form in (f for f in possible if f not in seconds):
            if form == "packed" and steps * min(seconds.values(), default=NEVER) < COMPILING:
                continue
            seconds[form] = time_of(maker, form, model.to(device), device, context)
        if path is not None and seconds != before:
            # What failed is as slow as can be: JSON has no infinity.
            with contextlib.suppress(OSError):
                write_json(path, {**known, key: {form: min(s, NEVER) for form, s in seconds.items()}})
    best = min(seconds, key=lambda form: seconds[form])
    times = ", ".join(
        f"{form} {'not tried, the run is short' if form not in seconds else _told(seconds[form])}" for form in possible
    )
    say(f"a step on {name}: {times}; {best} is used (--execution chooses)")
    return best


def _told(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms" if seconds < NEVER else "fails"


@contextlib.contextmanager
def _kept_in(cache: Path | None) -> Iterator[Path | None]:
    """The file of answers, held against other processes; None where nothing can be kept, which ends no run."""
    with contextlib.ExitStack() as stack:
        path = None
        if cache is not None:
            with contextlib.suppress(UserError, OSError):
                stack.enter_context(locked(cache / FOLDER, "measurement of executions", wait=600))
                path = cache / FOLDER / FILE
        yield path


def device_name(device: Any) -> str:
    """What the device is called."""
    import torch

    device = torch.device(device)
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _shape(model: Any, maker: Any) -> str:
    """What the answer depends on besides the device: the model's shape, the step's size, the versions."""
    import torch

    config = model.config
    shape = {n: getattr(config, n, None) for n in ("d_model", "d_kv", "d_ff", "num_layers", "num_heads", "vocab_size")}
    parts = {
        "shape": shape,
        "class": type(model).__name__,
        "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "batch": float(maker.batch_size),
        "torch": torch.__version__,
        "multitask": __version__,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _read(path: Path | None) -> dict[str, dict[str, float]]:
    with contextlib.suppress(UserError):
        if path is not None and path.is_file():
            found: dict[str, dict[str, float]] = read_json(path, dict[str, dict[str, float]])
            return {key: value for key, value in found.items() if set(value) <= set(FORMS)}
    return {}


def time_of(maker: Any, form: Execution, model: Any, device: Any, context: Callable[[], Any]) -> float:
    """Median seconds of a forward and backward pass over a step of the plan; infinite if it fails."""
    import torch

    own = dataclasses.replace(maker, execution=form)
    batches = [moved(own.batch(step), device) for step in range(WARM + TIMED)]
    seconds: list[float] = []
    with _as_it_was(model, device):
        for i, batch in enumerate(batches):
            _wait(device)
            began = time.perf_counter()
            try:
                with context():
                    total = _loss(model, batch, i)
                torch.autograd.backward(total)
                _wait(device)
            except Exception:  # out of memory, an operation that the device has not, a compiler that is not there
                return NEVER
            seconds.append(time.perf_counter() - began)
            model.zero_grad(set_to_none=True)
    return statistics.median(seconds[WARM:])


def _loss(model: Any, batch: dict[str, Any], seed: int) -> Any:
    from multitask.training.module import step_loss

    return step_loss(model, batch, seed)[0]


def moved(batch: dict[str, Any], device: Any) -> Any:
    """A batch on the device, as Lightning moves it."""
    from lightning_fabric.utilities.apply_func import move_data_to_device

    return move_data_to_device(batch, device)


@contextlib.contextmanager
def _as_it_was(model: Any, device: Any) -> Iterator[None]:
    """Training inside; the mode, the gradients and the random generators are what they were after it."""
    import torch

    devices: Sequence[Any] = [device] if torch.device(device).type == "cuda" else []
    before = model.training
    with torch.random.fork_rng(devices):
        model.train()
        try:
            yield
        finally:
            model.train(before)
            model.zero_grad(set_to_none=True)


def _wait(device: Any) -> None:
    import torch

    if torch.device(device).type != "cpu":
        torch.accelerator.synchronize(device)
