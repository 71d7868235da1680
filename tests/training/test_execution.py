"""Which form of a step is used: a rule on a CPU, a measurement elsewhere, and what was used before when resuming."""

from __future__ import annotations

import contextlib
import json

import pytest
import torch

from multitask.batching.step_maker import StepMaker
from multitask.config import TrainConfig
from multitask.mixing.plan import MixingPlan
from multitask.runs.fitting import _execution_before
from multitask.tokenization.ragged import Ragged
from multitask.tokenization.tokenize import TokenizedTask
from multitask.training import execution
from multitask.training.execution import choose_execution, measured_execution
from multitask.training.precision import computing_in, settle_precision, tf32, without_cudnn_attention


@pytest.fixture
def maker():
    tokens = TokenizedTask(
        Ragged.of([[5, 6, 1], [7, 8, 9, 1], [4, 1]]), Ragged.of([[4, 1], [4, 5, 6, 1], [3, 1]]), 0, 0
    )
    plan = MixingPlan({"a": 3}, {"a": 2}, 0)
    return StepMaker(plan, ("a",), (tokens,), "task", (1.0,), 2.0, 0)


def test_on_another_device_both_forms_are_timed_once_and_nothing_is_changed(maker, tiny_model, tmp_path):
    model = tiny_model("t5", dropout=0.3).eval()
    weights = [p.clone() for p in model.parameters()]
    torch.manual_seed(5)
    state = torch.get_rng_state()
    said: list[str] = []

    def measure():
        return measured_execution(
            maker, model, "cpu", contextlib.nullcontext, precision="fp32", steps=10**9, cache=tmp_path, say=said.append
        )

    first = measure()
    kept = json.loads((tmp_path / "execution" / "executions.json").read_text())
    ((key, seconds),) = kept.items()
    assert key.startswith("cpu, fp32, ") and set(seconds) == {"flat", "grouped", "packed"}
    assert first == min(seconds, key=seconds.get)
    assert torch.equal(state, torch.get_rng_state()) and not model.training
    assert all(torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())
    (tmp_path / "execution" / "executions.json").write_text(
        json.dumps({key: {"flat": 9.0, "grouped": 1.0, "packed": 1e9}})
    )
    assert measure() == "grouped"
    assert said[-1] == (
        "a step on cpu: flat 9000.0 ms, grouped 1000.0 ms, packed fails; grouped is used (--execution chooses)"
    )
    (tmp_path / "execution" / "executions.json").write_text("not JSON")
    assert measure() in ("flat", "grouped", "packed")


def test_packed_rows_are_not_compiled_for_a_short_run_and_timed_by_the_first_long_one(maker, tiny_model, tmp_path):
    model, said, kept = tiny_model("t5"), [], tmp_path / "execution" / "executions.json"

    def measure(steps):
        return measured_execution(
            maker, model, "cpu", contextlib.nullcontext, precision="fp32", steps=steps, cache=tmp_path, say=said.append
        )

    assert measure(2) in ("flat", "grouped")
    assert "packed not tried, the run is short; " in said[0]
    ((_, first),) = json.loads(kept.read_text()).items()
    assert set(first) == {"flat", "grouped"}
    measure(10**9)
    ((_, second),) = json.loads(kept.read_text()).items()
    assert second == first | {"packed": second["packed"]}


def test_a_cache_that_cannot_be_written_ends_no_run(maker, tiny_model, tmp_path):
    (tmp_path / "file").write_text("no folder")
    found = measured_execution(
        maker,
        tiny_model("t5"),
        "cpu",
        contextlib.nullcontext,
        precision="fp32",
        steps=10**9,
        cache=tmp_path / "file",
        say=lambda line: None,
    )
    assert found in ("flat", "grouped", "packed")


def test_a_form_that_fails_on_the_device_is_not_used(maker, tiny_model, monkeypatch):
    plain = execution._loss

    def loss(model, batch, seed):
        if "flat" in batch:
            raise RuntimeError("an operation that the device has not")
        return plain(model, batch, seed)

    monkeypatch.setattr(execution, "_loss", loss)
    said: list[str] = []
    found = measured_execution(
        maker,
        tiny_model("t5"),
        "cpu",
        contextlib.nullcontext,
        ["flat", "grouped"],
        precision="fp32",
        steps=10**9,
        cache=None,
        say=said.append,
    )
    assert found == "grouped" and "flat fails" in said[0]


def test_the_measurement_is_asked_only_where_no_rule_is_known(tiny_model):
    model = tiny_model("t5")
    asked: list[list[str]] = []

    def measure(possible):
        asked.append(list(possible))
        return "grouped"

    assert choose_execution(TrainConfig(), model, "cpu", measure=measure) == "flat"
    assert choose_execution(TrainConfig(precision="bf16"), model, "cpu", measure=measure) == "grouped"
    assert choose_execution(TrainConfig(), model, "cuda") == "grouped"
    assert choose_execution(TrainConfig(execution="grouped"), model, "cuda", measure=measure) == "grouped"
    assert not asked
    assert choose_execution(TrainConfig(execution="flat", precision="bf16"), model, "cpu") == "flat"
    assert choose_execution(TrainConfig(execution="packed"), model, "cpu") == "packed"
    assert choose_execution(TrainConfig(precision="bf16"), model, "cuda", measure=measure) == "grouped"
    checkpointed = TrainConfig(gradient_checkpointing=True)
    assert choose_execution(checkpointed, model, "cuda", measure=measure) == "grouped"
    assert asked == [["flat", "grouped", "packed"], ["grouped", "packed"]]
    model.decoder.final_layer_norm.register_forward_hook(lambda module, given, out: out * 2)
    asked.clear()
    assert choose_execution(TrainConfig(), model, "cuda", measure=measure) == "grouped"
    assert asked == [["grouped", "packed"]]  # packed rows go through the model's own layers, and their hooks


def test_what_was_used_before_is_read_from_the_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("multitask.training.checkpoints.state_of", lambda path: {"multitask_execution": path})
    assert _execution_before("flat") == "flat"
    assert _execution_before("rm") is None


def test_auto_is_bf16_only_on_a_cuda_device_that_computes_in_it(monkeypatch):
    assert settle_precision(TrainConfig()).precision == "fp32"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: False)
    assert settle_precision(TrainConfig()).precision == "fp32"
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: True)
    assert settle_precision(TrainConfig()).precision == "bf16"
    assert settle_precision(TrainConfig(precision="fp32")).precision == "fp32"
    assert settle_precision(TrainConfig(trainer={"accelerator": "cpu"})).precision == "fp32"
    assert settle_precision(TrainConfig(trainer={"precision": "bf16-true"})).precision == "fp32"


def test_tf32_is_allowed_inside_alone():
    before = torch.backends.cuda.matmul.allow_tf32
    with tf32(True):
        assert torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cuda.matmul.allow_tf32 == before


def test_cudnn_attention_is_off_inside_alone():
    enabled = torch.backends.cuda.cudnn_sdp_enabled
    before = enabled()
    torch.backends.cuda.enable_cudnn_sdp(True)
    try:
        for context in (without_cudnn_attention(), computing_in("bf16", "cpu")):
            with context:
                assert not enabled()
            assert enabled()
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)
