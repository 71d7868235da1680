"""How an answer is made is the task's `Decoding`: what a model folder says of it decides nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from multitask.decoding.decoder import Decoder
from multitask.decoding.padded_scorer import PaddedScorer
from multitask.decoding.unpadded_scorer import UnpaddedScorer
from multitask.errors import UserError
from multitask.model.from_scratch import build_model
from multitask.model.pretrained import load_pretrained
from multitask.model.settings import settle_end
from multitask.task import Decoding
from multitask.tokenization.tokenize import tokenize_task

TEXTS = ("red blue green", "old", "square red red", "fast slow old new big small")


def edit(path: Path, **values) -> None:
    found = json.loads(path.read_text()) if path.is_file() else {}
    merged = {**found, **values}
    path.write_text(json.dumps({name: value for name, value in merged.items() if value != "left out"}))


@pytest.fixture
def folder(tmp_path, tiny_model) -> Path:
    tiny_model("t5", seed=1).save_pretrained(tmp_path)
    return tmp_path


def loaded(folder, tokenizer):
    said: list[str] = []
    model = load_pretrained(str(folder), say=said.append)
    said += settle_end(model, tokenizer, str(folder))
    return model.eval(), said


def answers(model, tok, toy_task, monkeypatch) -> list[list[str]]:
    """Of each way: greedy and by two beams, on flat tokens and through the model's own code."""
    made = []
    for beams in (1, 2):
        task = toy_task("text", decoding=Decoding(max_new_tokens=9, num_beams=beams))
        examples = [task({"text": text, "label": 0, "size": 1}) for text in TEXTS]
        tokens = tokenize_task(tok, task, examples)
        for scorer in (UnpaddedScorer, PaddedScorer):
            monkeypatch.setattr("multitask.decoding.decoder.scorer_of", scorer)
            decoder = Decoder(task, tok, examples, tokens.inputs, tokens.targets)
            made.append([p.raw for p in decoder(model, range(len(TEXTS)))])
    return made


@pytest.fixture(scope="module")
def wanted(tiny_model, tokenizer, toy_task) -> list[list[str]]:
    with pytest.MonkeyPatch.context() as patch:
        return answers(tiny_model("t5", seed=1).eval(), tokenizer, toy_task, patch)


SETTINGS = {
    "lengths": {"min_length": 12, "max_length": 3, "min_new_tokens": 8, "max_new_tokens": 1, "max_time": 1e-9},
    "forced tokens": {"forced_bos_token_id": 20, "forced_eos_token_id": 21},
    "suppressed tokens": {"suppress_tokens": [*range(3, 300)], "begin_suppress_tokens": [5], "bad_words_ids": [[7]]},
    "penalties": {"repetition_penalty": 5.0, "encoder_repetition_penalty": 5.0, "no_repeat_ngram_size": 1},
    "biases": {"sequence_bias": [[[5], 50.0]], "guidance_scale": 3.0, "exponential_decay_length_penalty": [1, 9.0]},
    "beams": {"num_beams": 4, "length_penalty": -5.0, "early_stopping": "never", "num_return_sequences": 2},
    "sampling": {"do_sample": True, "temperature": 50.0, "top_k": 3, "top_p": 0.5},
    "ends": {"eos_token_id": [1, *range(3, 200)], "stop_strings": ["e"]},
    "start": {"decoder_start_token_id": 5, "pad_token_id": 7},
    "kind of return": {"return_dict_in_generate": True, "output_scores": True, "output_attentions": True},
    "caches and helpers": {"cache_implementation": "quantized", "use_cache": False, "prompt_lookup_num_tokens": 3},
    "what is none": {"num_beams": "four", "min_length": [1], "a_setting_of_the_future": {"a": 1}},
}


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.filterwarnings("ignore")  # of what transformers thinks of them
def test_no_generation_setting_of_a_folder_changes_an_answer(kind, folder, tokenizer, toy_task, wanted, monkeypatch):
    edit(folder / "generation_config.json", **SETTINGS[kind])
    model, said = loaded(folder, tokenizer)
    assert answers(model, tokenizer, toy_task, monkeypatch) == wanted
    ids = {"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
    model.save_pretrained(folder / "again")
    saved = json.loads((folder / "again" / "generation_config.json").read_text())
    assert {name: value for name, value in saved.items() if name != "transformers_version"} == ids
    assert len(said) == 1
    named = [name for name in SETTINGS[kind] if name not in ("use_cache", "output_attentions")]
    assert all(name in said[0] for name in named)
    assert said[0].endswith(": each task's own decoding settings decide.")


@pytest.mark.parametrize("beside", [True, False])
def test_nor_do_the_old_keys_of_config_json(beside, folder, tokenizer, toy_task, wanted, monkeypatch):
    """Without a generation_config.json transformers reads the settings from there."""
    keys = {"min_length": 12, "num_beams": 4, "forced_bos_token_id": 20, "suppress_tokens": [*range(3, 300)]}
    edit(folder / "config.json", **keys, task_specific_params={"toy_text": {"min_length": 9}})
    if not beside:
        (folder / "generation_config.json").unlink()
    model, said = loaded(folder, tokenizer)
    assert answers(model, tokenizer, toy_task, monkeypatch) == wanted
    assert len(said) == 1
    assert all(name in said[0] for name in keys)


def test_nor_does_what_a_config_says_of_the_outputs_of_forward(folder, tokenizer, toy_task, wanted, monkeypatch):
    edit(folder / "config.json", return_dict=False, output_attentions=True, output_hidden_states=True, use_cache=False)
    edit(folder / "config.json", is_encoder_decoder=False, is_decoder=True)
    model, said = loaded(folder, tokenizer)
    assert answers(model, tokenizer, toy_task, monkeypatch) == wanted
    assert said == []


def test_settings_that_a_model_is_given_later_decide_nothing_and_stay(t5, tokenizer, toy_task, monkeypatch):
    want = answers(t5, tokenizer, toy_task, monkeypatch)
    t5.generation_config.update(min_length=12, num_beams=3, return_dict_in_generate=True)
    assert answers(t5, tokenizer, toy_task, monkeypatch) == want
    assert t5.generation_config.num_beams == 3


def test_a_folder_that_says_nothing_unusual_is_loaded_without_a_word(folder, tokenizer):
    # As transformers 4 wrote them: every setting that nobody chose.
    edit(folder / "config.json", num_beams=1, max_length=20, min_length=0, top_k=50, repetition_penalty=1.0)
    edit(folder / "config.json", do_sample=False, bad_words_ids=None, output_scores=False, temperature=1.0)
    assert loaded(folder, tokenizer)[1] == []


# ---------------------------------------------------------------------------------------------------------- special ids


@pytest.mark.parametrize("value", ["left out", None])
def test_an_id_that_config_json_does_not_name_is_the_familys_and_is_said(
    value, folder, tokenizer, toy_task, wanted, monkeypatch
):
    edit(folder / "config.json", decoder_start_token_id=value, pad_token_id=value)
    (folder / "generation_config.json").unlink()
    model, said = loaded(folder, tokenizer)
    assert said == [
        f"config.json of model '{folder}' names no pad_token_id: it is 0, as in all of the T5 family.",
        f"config.json of model '{folder}' names no decoder_start_token_id: answers begin with the padding id 0, as in "
        "all of the T5 family.",
    ]
    assert answers(model, tokenizer, toy_task, monkeypatch) == wanted
    labels = torch.tensor([[5, 6, 1]])
    assert model.prepare_decoder_input_ids_from_labels(labels).tolist() == [[0, 5, 6]]


def test_training_and_decoding_begin_with_the_start_id_of_config_json(folder, tokenizer, toy_task, wanted, monkeypatch):
    edit(folder / "config.json", decoder_start_token_id=5)
    edit(folder / "generation_config.json", decoder_start_token_id=0)
    model, said = loaded(folder, tokenizer)
    flat_greedy, plain_greedy, flat_beams, plain_beams = answers(model, tokenizer, toy_task, monkeypatch)
    assert flat_greedy == plain_greedy != wanted[0]
    assert flat_beams == plain_beams
    assert model.prepare_decoder_input_ids_from_labels(torch.tensor([[7, 1]])).tolist() == [[5, 7]]
    assert "not used (decoder_start_token_id)" in said[0]


@pytest.mark.parametrize("value", [448, -1, "0", True])
def test_a_start_that_is_no_id_is_refused(value, folder):
    edit(folder / "config.json", decoder_start_token_id=value)
    with pytest.raises(UserError) as caught:
        load_pretrained(str(folder))
    assert str(caught.value) == (
        f"config.json of model '{folder}' says decoder_start_token_id {value!r}, which is no id of its vocabulary "
        "(0 to 447): correct it there."
    )


@pytest.mark.parametrize("end", [[1, 3], 3])
def test_an_answer_ends_with_the_tokenizers_end_alone(end, folder, tokenizer, toy_task, wanted, monkeypatch):
    edit(folder / "config.json", eos_token_id=end)
    model, said = loaded(folder, tokenizer)
    assert answers(model, tokenizer, toy_task, monkeypatch) == wanted
    assert said == [
        f"config.json of model '{folder}' lets an answer end with {end}, but its tokenizer ends texts with 1: answers "
        "are trained and decoded to end with 1 alone."
    ]
    assert model.config.eos_token_id == model.generation_config.eos_token_id == 1


def test_feed_forward_layers_that_contradict_themselves_are_refused(folder):
    edit(folder / "config.json", feed_forward_proj="gated-gelu")  # is_gated_act is false there, and would win
    with pytest.raises(UserError, match="contradicts itself: feed_forward_proj is 'gated-gelu' and is_gated_act False"):
        load_pretrained(str(folder))


def test_a_model_from_random_weights_has_its_ids_for_settings():
    model = build_model("tiny", 64, seed=0, dropout=0.0, pad=2, eos=3)
    stored = {n: v for n, v in model.generation_config.to_dict().items() if v is not None}
    assert {n: stored[n] for n in ("decoder_start_token_id", "eos_token_id", "pad_token_id")} == {
        "decoder_start_token_id": 2,
        "eos_token_id": 3,
        "pad_token_id": 2,
    }
    assert "num_beams" not in stored
