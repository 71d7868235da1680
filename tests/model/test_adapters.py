"""LoRA adapters: the execution that sees them, one a task, merged and put back to the bit, files that PEFT reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import multitask
from multitask.errors import UserError
from multitask.model import adapters as module
from multitask.model.adapters import add_adapters, find_adapters, merge_adapter, merged_from, write_adapter
from multitask.model.unpadded.forward import agrees

IDS, LABELS = torch.tensor([[5, 6, 7, 8, 1]]), torch.tensor([[9, 10, 1]])


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=IDS, labels=LABELS).logits


def trained(model: Any, names: list[str]) -> Any:
    """Adapters whose B is not 0 any more."""
    made = add_adapters(model, names, rank=4, seed=0)
    draw = torch.Generator().manual_seed(1)
    for _, layer in made.layers:
        for key in layer.lora_B:
            with torch.no_grad():
                layer.lora_B[key].weight.normal_(std=0.1, generator=draw)
    return made


def test_fresh_adapters_change_nothing_and_are_all_that_is_trained(t5):
    plain = logits(t5)
    made = add_adapters(t5, ["shared"], rank=4, seed=0)
    assert torch.equal(logits(t5), plain)
    learned = {n for n, p in t5.named_parameters() if p.requires_grad}
    assert learned and all(".lora_A." in n or ".lora_B." in n for n in learned)
    assert {path.rpartition(".")[2] for path, _ in made.layers} == {"q", "k", "v", "o", "wi", "wo"}
    assert find_adapters(t5).names == ("shared",)


def test_unpadded_steps_go_through_the_adapters(t5):
    trained(t5, ["shared"])
    assert agrees(t5)


def test_weights_that_unpadded_steps_do_not_see_are_found_though_they_change_no_value(t5):
    assert agrees(t5)
    t5.extra = torch.nn.Parameter(torch.zeros(t5.config.d_model))
    block = t5.encoder.block[0]
    block.register_forward_hook(lambda _, inputs, out: (out[0] + t5.extra, *out[1:]))
    assert not agrees(t5)


def test_an_adapter_begins_the_same_whatever_others_there_are(tiny_model):
    alone, company = tiny_model("t5"), tiny_model("t5")
    one, other = add_adapters(alone, ["b"], rank=2, seed=3), add_adapters(company, ["a", "b"], rank=2, seed=3)
    for name, value in one.state("b").items():
        assert torch.equal(value, other.state("b")[name])
        assert "lora_B" in name or not torch.equal(value, other.state("a")[name])


def test_each_of_several_adapters_is_gone_through_when_it_is_active_and_all_stay_trainable(t5):
    made = trained(t5, ["a", "b"])
    made.activate("a")
    one = logits(t5)
    made.activate("b")
    assert not torch.allclose(one, logits(t5))
    assert all(p.requires_grad for n, p in t5.named_parameters() if ".lora_" in n)
    zero = made.unused(["a"])
    assert float(zero.detach()) == 0.0
    zero.backward()
    gone = {n for n, p in t5.named_parameters() if p.grad is not None}
    assert gone and all("adapter1" in n for n in gone)


def test_a_merged_adapter_computes_the_same_and_goes_without_a_trace(t5):
    made = trained(t5, ["a", "b"])
    made.activate("b")
    expected = logits(t5)
    before = {n: p.detach().clone() for n, p in t5.named_parameters()}
    with made.merged("b"):
        assert not any("lora" in n for n, _ in t5.named_modules())
        torch.testing.assert_close(logits(t5), expected, rtol=1e-4, atol=1e-4)
    assert before.keys() == {n for n, _ in t5.named_parameters()}
    assert all(torch.equal(p, before[n]) for n, p in t5.named_parameters())


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # PEFT asks for it by its old name
def test_peft_reads_what_is_written_and_so_does_a_machine_without_it(tiny_model, tmp_path):
    from peft import PeftModel

    model = tiny_model("t5")
    made = trained(model, ["a"])
    expected = logits(model)
    write_adapter(made, "a", tmp_path / "a", None)
    theirs = PeftModel.from_pretrained(tiny_model("t5"), str(tmp_path / "a"))
    torch.testing.assert_close(logits(theirs), expected, rtol=1e-4, atol=1e-4)
    plain = tiny_model("t5")
    start = logits(plain)
    with merged_from(plain, tmp_path / "a"):
        torch.testing.assert_close(logits(plain), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(logits(plain), start)


def test_an_adapter_of_another_model_is_refused(tiny_model, tmp_path):
    made = trained(tiny_model("t5"), ["a"])
    write_adapter(made, "a", tmp_path / "a", None)
    with pytest.raises(UserError, match=r"the adapter in .*a does not fit its model"):
        merge_adapter(tiny_model("gated"), tmp_path / "a")


def test_without_peft_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError) as error:
        multitask.train(tasks="sst2,span", peft="lora")
    assert str(error.value) == "--peft lora needs the package peft: pip install 'multitask-t5[peft]'."


# ----------------------------------------------------------------------------------------------------------- whole runs


def settings(model: Path, adapters: str, steps: int = 4) -> dict[str, Any]:
    return {
        "tasks": "toy_labels,toy_text",
        "model": str(model),
        "peft": "lora",
        "adapters": adapters,
        "lora_rank": 2,
        "batch_size": 8,
        "schedule": "constant",
        "warmup_steps": 0,
        "checkpoint_every": 2,
        "quiet": True,
        "trainer": {"max_steps": steps, "accelerator": "cpu", "enable_progress_bar": False},
    }


@pytest.fixture
def start(tmp_path, tiny_model, tokenizer) -> Path:
    folder = tmp_path / "start"
    tiny_model("t5", seed=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("adapters", ["shared", "task"])
def test_a_run_with_adapters_is_evaluated_used_and_resumed_with_the_right_ones(toys, start, out, adapters):
    from safetensors.torch import load_file

    run = multitask.train(out=str(out / "run"), **settings(start, adapters))
    written = json.loads((run.folder / "metrics.json").read_text())
    again = multitask.evaluate(run.folder)
    assert {t: s.numbers for t, s in again.items()} == written
    names = ["shared"] if adapters == "shared" else ["toy_labels", "toy_text"]
    folder = run.folder / "model" / "adapters"
    assert sorted(p.name for p in folder.iterdir()) == names
    begun, kept = load_file(start / "model.safetensors"), load_file(run.folder / "model" / "model.safetensors")
    changed = [n for n, w in kept.items() if not torch.equal(w, begun[n])]
    assert bool(changed) == (adapters == "shared")  # one for all is merged, of one a task the model itself stays
    multitask.train(out=str(out / "part"), **settings(start, adapters, steps=2))
    resumed = multitask.train(resume=str(out / "part"), trainer={"max_steps": 4}, quiet=True)
    for name in names:
        one, other = (load_file(f / "model" / "adapters" / name / module.WEIGHTS) for f in (run.folder, resumed.folder))
        assert all(torch.equal(value, other[key]) for key, value in one.items())


def test_a_task_without_an_adapter_of_its_own_is_refused(toys, start, out):
    run = multitask.train(out=str(out / "run"), **settings(start, "task"))
    with pytest.raises(UserError, match="has an adapter for each of toy_labels, toy_text, and none for 'sst2'"):
        multitask.evaluate(run.folder, tasks="sst2", data="sample")
    with pytest.raises(UserError, match="an export is one model"):
        multitask.export(run.folder, out / "exported")
