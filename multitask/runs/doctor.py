"""A self-test of a minute: whether this machine computes what it should, a killed run goes on, how fast a step is.

loss and gradients   each form of a step on the device, against the model's own code in float64
killed and resumed   a short run that is killed in the middle and resumed, against one that was left alone
decoded text         what the trained model answers on the device, against float64 on the CPU
speed                tokens a second of each form, in each precision
largest batch        on a GPU: how many examples of 512 input tokens a step holds
"""

from __future__ import annotations

import copy
import functools
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from multitask.batching.step_maker import Execution
from multitask.config import TrainConfig
from multitask.runs.notices import Notices
from multitask.runs.run_data import RunData, load_run_data
from multitask.runs.settings import prepare_settings
from multitask.tokenization.disk_cache import Cache
from multitask.training.execution import FORMS, device_name, time_of
from multitask.training.precision import computing_in

TOLERANCE = {"fp32": 1e-4, "bf16": 0.1}
"""Of ‖g − g64‖ / ‖g64‖: measured on a CPU are 7e-7 and 0.01; a GPU adds in another order, and TF32 is not allowed."""
TASKS, STEPS, KILLED, ROWS = "span,sst2", 24, 8, 24
LONG, TARGET = 512, 32
"""Tokens of the inputs and targets of the largest batch."""
WAIT = 240.0
"""Seconds that a short run may take."""
Verdict = Literal["ok", "FAILED", "info"]


class Finding(NamedTuple):
    """What a test found."""

    name: str
    verdict: Verdict
    said: str


class Material(NamedTuple):
    """What the tests compute on."""

    config: TrainConfig
    data: RunData
    model: Any
    device: Any


def examine(folder: Path, *, model: str = "tiny", on_cpu: bool = False) -> Iterator[Finding]:
    """Run the tests one after another, each finding as it is there.

    Args:
        folder: An empty one, for what they write.
        model: As `--model`.
        on_cpu: Stay on the CPU though there is a GPU.
    """
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() and not on_cpu else "cpu")
    yield Finding("device", "info", f"{device_name(device)} ({device.type})")
    material = _material(folder, model, device)
    yield from _guarded("loss and gradients", lambda: _gradients(material))
    yield from _guarded("killed and resumed", lambda: _resumed(folder, model, device))
    yield from _guarded("decoded text", lambda: _decoded(folder, material))
    yield from _guarded("speed", lambda: _speed(material))
    yield from _guarded("largest batch", lambda: _largest(material))


def _guarded(name: str, test: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of a test; one that breaks is a finding too, and the others go on."""
    try:
        yield from test()
    except Exception as error:  # whatever a machine that nobody has tried does
        words = " ".join(str(error).split()) or type(error).__name__
        yield Finding(name, "FAILED", f"{type(error).__name__}: {words[:300]}")


def _settings(model: str, device: Any, **more: Any) -> TrainConfig:
    accelerator = "cpu" if device.type == "cpu" else "gpu"
    return TrainConfig(
        tasks=TASKS,
        data="sample",
        model=model,
        batch_size=16,
        validation_rows=ROWS,
        eval_limit=ROWS,
        trainer={"max_steps": STEPS, "enable_progress_bar": False, "accelerator": accelerator},
        **more,
    )


def _material(folder: Path, model: str, device: Any) -> Material:
    from multitask.training.initial_model import make_initial_model

    config = prepare_settings(_settings(model, device, dropout=0.0, out=str(folder / "none"))).config
    data = load_run_data(config, Cache(), Notices(quiet=True))
    return Material(config, data, make_initial_model(config, data.tokenizer), device)


def _maker(material: Material, form: Execution, batch_size: float | None = None) -> Any:
    from multitask.batching.step_maker import StepMaker

    mix, names = material.data.mix, tuple(material.data.mix.tasks)
    tokens = tuple(material.data.train[n] for n in names)
    weights = (1.0,) * len(names)
    size = batch_size or mix.batch_size
    return StepMaker(mix.plan, names, tokens, "task", weights, size, material.data.tokenizer.pad_token_id, form)


# ---------------------------------------------------------------------------------------------------- right and exact


def _gradients(material: Material) -> Iterator[Finding]:

    exact = _loss_and_gradient(material, "grouped", "fp64", material.device)
    for precision in ("fp32", "bf16"):
        for form in FORMS:
            total, gradient = _loss_and_gradient(material, form, precision, material.device)
            off = abs(total - exact[0]) / abs(exact[0])
            far = float((gradient - exact[1]).norm() / exact[1].norm())
            good = off < TOLERANCE[precision] and far < TOLERANCE[precision]
            said = f"{form}, {precision}: loss off by {off:.0e}, gradient by {far:.0e} of float64's"
            yield Finding("loss and gradients", "ok" if good else "FAILED", said)


def _loss_and_gradient(material: Material, form: Execution, precision: str, device: Any) -> tuple[float, Any]:
    import torch

    from multitask.training.execution import moved
    from multitask.training.module import step_loss

    model = copy.deepcopy(material.model)
    model = (model.double() if precision == "fp64" else model).to(device).eval()
    batch = moved(_maker(material, form).batch(0), device)
    with computing_in(precision, device.type):
        total, _ = step_loss(model, batch, 0)
    torch.autograd.backward(total)
    gradient = torch.cat([p.grad.double().cpu().flatten() for p in model.parameters() if p.grad is not None])
    return float(total.detach()), gradient


def _resumed(folder: Path, model: str, device: Any) -> Iterator[Finding]:
    from safetensors.torch import load_file

    whole, broken = folder / "whole", folder / "broken"
    _train(whole, model, device)
    process = _start(broken, model, device)
    until = time.monotonic() + WAIT
    while not list(broken.glob("checkpoints/step-*.ckpt")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait(WAIT)
    was_killed = not (broken / "metrics.json").is_file()
    _finish(_start(broken, model, device, "--resume"))
    first, second = (load_file(run / "model" / "model.safetensors") for run in (whole, broken))
    far = max(float((first[n].float() - second[n].float()).abs().max()) for n in first)
    said = "the same bits" if far == 0 else f"no weight is off by more than {far:.0e}"
    if device.type != "cpu" and far:
        said += " (a GPU adds in any order; --trainer.deterministic true does not)"
    if not was_killed:
        said += "; it ended before it could be killed"
    good = far == 0 or (device.type != "cpu" and far < 1e-2)
    yield Finding("killed and resumed", "ok" if good else "FAILED", said)


def _train(out: Path, model: str, device: Any) -> None:
    _finish(_start(out, model, device))


def _start(out: Path, model: str, device: Any, *more: str) -> subprocess.Popen[str]:
    config = _settings(model, device)
    words = ["--tasks", TASKS, "--data", "sample", "--model", model, "--batch-size", str(config.batch_size)]
    words += ["--execution", "flat"]  # compiling three times would be most of the test
    words += ["--validation-rows", str(ROWS), "--eval-limit", str(ROWS)]
    words += ["--checkpoint-every", str(KILLED), "--out", str(out)]
    words += [w for name, value in config.trainer.items() for w in (f"--trainer.{name}", str(value).lower())]
    command = [sys.executable, "-m", "multitask.cli", "train", *words, *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # noqa: S603


def _finish(process: subprocess.Popen[str]) -> None:
    _, said = process.communicate(timeout=WAIT)
    if process.returncode:
        last = said.strip().splitlines()[-1] if said.strip() else f"code {process.returncode}"
        raise RuntimeError(f"a short training failed: {last}")


def _decoded(folder: Path, material: Material) -> Iterator[Finding]:
    import torch

    from multitask.model.pretrained import load_pretrained
    from multitask.model.settings import settle_end
    from multitask.tokenization.tokenizer import load_tokenizer

    place = str(folder / "whole" / "model")
    tokenizer = load_tokenizer(place)
    answers: list[list[str]] = []
    for where, exact in ((torch.device("cpu"), True), (material.device, False)):
        model = load_pretrained(place)
        settle_end(model, tokenizer, place)
        model = (model.double() if exact else model).to(where).eval()
        answers.append(_answers(model, tokenizer, material.data.mix))
    same = sum(a == b for a, b in zip(*answers, strict=True))
    good = same >= 0.95 * len(answers[0])  # a tie may fall either way
    said = f"{same} of {len(answers[0])} answers (labels ranked, spans searched, text generated) are those of float64"
    yield Finding("decoded text", "ok" if good else "FAILED", said)


def _answers(model: Any, tokenizer: Any, mix: Any) -> list[str]:
    from multitask.decoding.decoder import Decoder
    from multitask.tokenization.tokenize import tokenize_task

    found: list[str] = []
    for name, output in (("sst2", "labels"), ("span", "span"), ("span", "text")):
        task, examples = mix.tasks[name].replace(output=output), mix.data[name].validation
        tokens = tokenize_task(tokenizer, task, examples)
        decoder = Decoder(task, tokenizer, examples, tokens.inputs, tokens.targets)
        made = {p.row: p.text for p in decoder(model, list(range(len(examples))))}
        found += [made[i] for i in range(len(examples))]
    return found


# ------------------------------------------------------------------------------------------------------------ how fast


def _speed(material: Material) -> Iterator[Finding]:
    import numpy as np

    step = _maker(material, "flat").make(0)
    tokens = sum(int(np.concatenate(lengths).sum()) for lengths in (step.input_lengths, step.target_lengths))
    for precision in ("fp32", "bf16"):
        times = {
            form: time_of(
                _maker(material, form),
                form,
                copy.deepcopy(material.model).to(material.device),
                material.device,
                functools.partial(computing_in, precision, material.device.type),
            )
            for form in FORMS
        }
        said = ", ".join(f"{form} {tokens / seconds:,.0f}" for form, seconds in times.items())
        yield Finding("speed", "info", f"real tokens a second, {precision}: {said}")


def _largest(material: Material) -> Iterator[Finding]:
    import torch

    if material.device.type != "cuda":
        yield Finding("largest batch", "info", "not looked for on a CPU")
        return
    low, high = 0, 1
    while high <= 4096 and _fits(material, high):
        low, high = high, 2 * high
    torch.cuda.empty_cache()
    at_least = "at least " if high > 4096 else ""
    model = material.config.model
    yield Finding("largest batch", "info", f"{at_least}{low} examples of {LONG} + {TARGET} tokens of {model}, in bf16")


def _fits(material: Material, size: int) -> bool:
    import torch

    model = copy.deepcopy(material.model).to(material.device).train()
    try:
        ids = torch.ones(size, LONG, dtype=torch.long, device=material.device)
        labels = torch.ones(size, TARGET, dtype=torch.long, device=material.device)
        with computing_in("bf16", material.device.type):
            loss = model(input_ids=ids, attention_mask=ids, labels=labels, use_cache=False).loss
        torch.autograd.backward(loss)
        torch.cuda.synchronize(material.device)
    except torch.OutOfMemoryError:
        return False
    finally:
        del model
        torch.cuda.empty_cache()
    return True
