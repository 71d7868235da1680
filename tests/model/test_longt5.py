"""LongT5: its own code in padded groups gives each example's own loss; a run is what plain transformers computes."""

from __future__ import annotations

from types import MethodType

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, LongT5Config, LongT5ForConditionalGeneration

import multitask
from multitask.batching.arrays import micro_batches
from multitask.batching.step import gather_step
from multitask.batching.step_maker import as_tensors
from multitask.model.packed import packed_agrees
from multitask.model.unpadded.forward import agrees
from multitask.runs.inference import evaluate, load_run
from multitask.storage.json_files import read_json
from multitask.tokenization.ragged import Ragged
from multitask.tokenization.tokenize import TokenizedTask
from multitask.training.module import step_loss

KINDS = ("local", "transient-global")


def made(kind: str, vocabulary: int = 448) -> LongT5ForConditionalGeneration:
    config = LongT5Config(
        vocab_size=vocabulary,
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=2,
        local_radius=3,
        global_block_size=4,
        encoder_attention_type=kind,
        dropout_rate=0.0,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LongT5ForConditionalGeneration(config)


def in_double(model):
    """In float64, also where transformers computes norms in float32."""

    def norm(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))

    for module in model.double().modules():
        if type(module).__name__ == "LongT5LayerNorm":
            module.forward = MethodType(norm, module)
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_a_group_has_the_loss_and_gradient_of_its_examples_one_by_one(kind):
    model = in_double(made(kind).eval())
    draw = np.random.default_rng(3)
    inputs = Ragged.of([[*draw.integers(3, 300, n), 1] for n in (5, 9, 20, 31, 2)])
    targets = Ragged.of([[*draw.integers(3, 300, n), 1] for n in (2, 1, 4, 3, 1)])
    tokens = [TokenizedTask(inputs, targets, 0, 0)]

    def gradient(rows):
        step = gather_step(tokens, {0: np.array(rows)}, loss="token", loss_weights=(1.0,), batch_size=1)
        model.zero_grad()
        total, (piece, *_) = step_loss(model, as_tensors(micro_batches(step, tokens, pad=0, group=False)))
        (total * step.target_lengths.sum()).backward()
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
        return piece.nll, torch.cat([g.flatten() for g in grads])

    together = gradient([0, 1, 2, 3, 4])
    alone = [gradient([i]) for i in range(5)]
    # Its softmax is in float32 whatever the model is.
    assert torch.allclose(together[0], torch.cat([nll for nll, _ in alone]), rtol=1e-6)
    far = together[1] - sum(g for _, g in alone)
    assert float(far.norm() / together[1].norm()) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_other_forms_of_a_step_see_that_they_do_not_fit_it(kind):
    model = made(kind)
    assert not agrees(model)
    assert not packed_agrees(model)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_what_plain_transformers_computes(kind, tmp_path, tokenizer, toys):
    made(kind).save_pretrained(tmp_path / "start")
    tokenizer.save_pretrained(tmp_path / "start")
    run = multitask.train(
        tasks="toy_labels,toy_span",
        model=str(tmp_path / "start"),
        trainer={"max_steps": 4},
        batch_size=8,
        out=str(tmp_path / "run"),
        quiet=True,
    )
    assert read_json(run.folder / "run.json")["execution"] == "grouped"
    stored = read_json(run.folder / "metrics.json")
    for task, scores in evaluate(run.folder).items():
        assert scores.log_likelihood == pytest.approx(stored[task]["log_likelihood"], abs=1e-4)
    _, ids, _ = load_run(run.folder)
    plain = AutoModelForSeq2SeqLM.from_pretrained(run.folder / "model").eval()
    for row in run.predictions("toy_labels").head(3).itertuples():
        given, wanted = (ids(text, return_tensors="pt").input_ids for text in (row.inputs, row.target))
        with torch.no_grad():
            loss = float(plain(input_ids=given, labels=wanted).loss)
        assert -loss * wanted.shape[1] == pytest.approx(row.log_likelihood, abs=1e-3)
    assert run.predict("toy_labels", ["red blue", "old new"])["valid"].all()
