"""Each family of encoder-decoders: trained, evaluated and asked, beside what plain transformers computes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

import multitask
from multitask.batching.arrays import micro_batches
from multitask.batching.step import gather_step
from multitask.batching.step_maker import as_tensors
from multitask.errors import UserError
from multitask.model.families import FAMILIES, T5_TYPES, check_lengths, set_dropout
from multitask.model.pretrained import load_pretrained
from multitask.runs import predict as alone
from multitask.runs.fitness import check_fits
from multitask.runs.inference import evaluate
from multitask.storage.json_files import read_json
from multitask.tokenization.ragged import Ragged
from multitask.tokenization.special_tokens import encode, encode_targets, first_tokens, input_first_tokens
from multitask.tokenization.tokenize import TokenizedTask
from multitask.tokenization.tokenizer import load_tokenizer
from multitask.training.module import step_loss


def _tiny_families():
    place = Path(__file__).with_name("tiny_families.py")
    spec = importlib.util.spec_from_file_location("tiny_families", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tiny = _tiny_families()
# Marian's tokenizer works without it, on text that its punctuation was not made alike in.
pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")


@pytest.fixture(scope="session")
def start(tmp_path_factory):
    """`start(kind)`: the folder of a tiny model and its tokenizer, as `save_pretrained` writes them."""
    made = {}

    def of(kind):
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            tokenizer = tiny.tokenizer_of(kind, folder)
            tiny.model_of(kind, tokenizer, dropout=0.1).save_pretrained(folder / "start")
            tokenizer.save_pretrained(folder / "start")
            made[kind] = folder / "start"
        return made[kind]

    return of


def test_every_family_that_is_named_is_tried_here():
    types = {"nllb": "m2m_100"}
    assert {types.get(kind, kind) for kind in tiny.KINDS} == set(FAMILIES) - set(T5_TYPES)


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_a_run_is_what_plain_transformers_computes(kind, start, tmp_path, toys):
    tasks = ["toy_labels", "toy_text", *(["toy_span"] if kind in tiny.FAST else [])]
    run = multitask.train(
        tasks=",".join(tasks),
        model=str(start(kind)),
        trainer={"max_steps": 4},
        batch_size=8,
        eval_limit=6,
        out=str(tmp_path / "run"),
        quiet=True,
    )
    assert read_json(run.folder / "run.json")["execution"] == "grouped"
    stored = read_json(run.folder / "metrics.json")
    for task, scores in evaluate(run.folder, tasks=["toy_text"]).items():
        assert scores.log_likelihood == pytest.approx(stored[task]["log_likelihood"], abs=1e-4)

    model = AutoModelForSeq2SeqLM.from_pretrained(run.folder / "model").eval()
    ids = AutoTokenizer.from_pretrained(run.folder / "model")
    most = toys["text"].decoding.max_new_tokens
    marks = {ids.eos_token_id, ids.pad_token_id, ids.unk_token_id, ids.bos_token_id}
    first = list(first_tokens(load_tokenizer(str(run.folder / "model"))))
    begins = {"t5gemma": 1, "t5gemma2": 1}.get(kind, 0)  # its tokenizer writes what decoding begins with, too
    for row in run.predictions("toy_text").head(3).itertuples():
        given = ids(row.inputs, return_tensors="pt").input_ids
        wanted = ids(text_target=row.target, return_tensors="pt").input_ids[:, begins:]
        with torch.no_grad():
            loss = float(model(input_ids=given, labels=wanted).loss)
            written = model.generate(input_ids=given, max_new_tokens=most, do_sample=False)[0, 1:]
        assert -loss * wanted.shape[1] == pytest.approx(row.log_likelihood, abs=1e-3)
        end = [*written.tolist(), ids.eos_token_id].index(ids.eos_token_id)
        made = written.tolist()[:end]
        made = made[len(first) :] if made[: len(first)] == first else made
        kept = [i for i in made if i not in marks]
        assert ids.decode(kept, clean_up_tokenization_spaces=False).strip() == row.prediction

    apart = alone.Model(run.folder / "model")
    texts = ["red blue", "old new round", "slow"]
    for task in tasks:
        assert [a["prediction"] for a in apart.answer(task, texts)] == run.predict(task, texts)["prediction"].tolist()
    assert run.predict("toy_labels", texts)["valid"].all()


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_a_group_has_the_gradient_of_plain_losses_one_by_one(kind, start):
    model = load_pretrained(str(start(kind)), dropout=0.0).double().eval()
    tokenizer = load_tokenizer(str(start(kind)))
    texts = ["red blue green", "old", "slow warm cold toy one"]
    inputs, targets = encode(tokenizer, texts), encode_targets(tokenizer, ["yes", "no red blue", "one a"])
    tokens = [TokenizedTask(Ragged.of(inputs), Ragged.of(targets), 0, 0)]
    step = gather_step(tokens, {0: np.arange(3)}, loss="token", loss_weights=(1.0,), batch_size=1)
    total, _ = step_loss(model, as_tensors(micro_batches(step, tokens, pad=model.config.pad_token_id, group=False)))
    (total * sum(map(len, targets))).backward()
    together = _gradient(model)
    model.zero_grad()
    for given, wanted in zip(inputs, targets, strict=True):
        (model(input_ids=torch.tensor([given]), labels=torch.tensor([wanted])).loss * len(wanted)).backward()
    alone_ = _gradient(model)
    # Norms, softmax and positions are in float32 in most of them, whatever the model is.
    assert float((together - alone_).norm() / alone_.norm()) < 1e-5


def _gradient(model):
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("kind", ["marian", "pegasus"])
def test_a_table_of_sinusoidal_positions_is_not_trained(kind, start):
    model = load_pretrained(str(start(kind)))
    assert {p.requires_grad for n, p in model.named_parameters() if "embed_positions" in n} == {False}


def test_what_stands_before_a_text_is_that_of_its_side(start):
    before = {kind: load_tokenizer(str(start(kind))) for kind in ("bart", "t5gemma", "nllb", "mbart")}
    bart, gemma, nllb, mbart = before.values()
    assert first_tokens(bart) == input_first_tokens(bart) == (bart.bos_token_id,)
    assert (first_tokens(gemma), input_first_tokens(gemma)) == ((), (gemma.bos_token_id,))
    assert encode(gemma, ["red"])[0][-1] == encode_targets(gemma, ["red"])[0][-1] == gemma.eos_token_id
    for tokenizer, source, target in ((nllb, "eng_Latn", "deu_Latn"), (mbart, "en_XX", "de_DE")):
        known = tokenizer.convert_tokens_to_ids
        assert (input_first_tokens(tokenizer), first_tokens(tokenizer)) == ((known(source),), (known(target),))


def test_dropout_of_zero_takes_out_every_kind_of_it(start):
    bart = load_pretrained(str(start("bart"))).config
    bart.attention_dropout = 0.3
    set_dropout(bart, 0.2, "m")
    assert (bart.dropout, bart.attention_dropout) == (0.2, 0.3)
    set_dropout(bart, 0.0, "m")
    assert (bart.dropout, bart.attention_dropout, bart.activation_dropout) == (0.0, 0.0, 0.0)
    gemma = load_pretrained(str(start("t5gemma")), dropout=0.25).train()
    rates = {module.p for module in gemma.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.25}


def test_a_task_that_is_longer_than_the_positions_is_refused(start, toy_task):
    config = load_pretrained(str(start("bart"))).config
    task = toy_task("labels", max_input_tokens=600)
    with pytest.raises(UserError, match=r"^task 'long' has max_input_tokens 600, and model 'm' has 512 positions: "):
        check_lengths(config, {"long": task}, "m")
    check_lengths(load_pretrained(str(start("nllb"))).config, {"long": task}, "m")


def test_a_model_that_is_not_as_assumed_is_refused_with_the_reason(start, tmp_path):
    folder = start("bart")
    model, tokenizer = load_pretrained(str(folder)), load_tokenizer(str(folder))
    check_fits(model, tokenizer, "m")
    assert model.training
    own = type(model).forward
    lossy = type("Lossy", (type(model),), {"forward": lambda self, *a, **k: _with_more(own(self, *a, **k))})
    model.__class__ = lossy
    with pytest.raises(UserError, match=r"^model 'm' is of type 'bart', and cannot be trained here: its own loss of "):
        check_fits(model, tokenizer, "m")
    model.__class__ = type("Broken", (lossy,), {"forward": lambda self, **k: 1 / 0})
    with pytest.raises(UserError, match=r"its own code ends in ZeroDivisionError: division by zero\.$"):
        check_fits(model, tokenizer, "m")


def _with_more(outputs):
    """With a part of the loss that is no token's, as a router's balance is."""
    if outputs.loss is not None:
        outputs.loss = outputs.loss + 1.0
    return outputs


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"decoder_start_token_id": None}, "names no decoder_start_token_id, and a mbart has none by itself"),
        ({"model_type": "bert"}, "is of type 'bert', which is no text-to-text model with an encoder and a decoder"),
    ],
)
def test_a_configuration_that_says_too_little_is_refused(changes, said, start, tmp_path):
    stored = json.loads((start("mbart") / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**stored, **changes}))
    with pytest.raises(UserError, match=said):
        load_pretrained(str(tmp_path))
