"""A stranger's model folder: no code of it is run, and what it names beyond itself is not read."""

from __future__ import annotations

import io
import json
import pickle
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from multitask.errors import UserError
from multitask.model.pretrained import load_pretrained
from multitask.tokenization.tokenizer import load_tokenizer


@pytest.fixture
def folder(tmp_path, tiny_model, tokenizer) -> Path:
    made = tmp_path / "model"
    tiny_model("t5").save_pretrained(made)
    tokenizer.save_pretrained(made)
    return made


@pytest.fixture(autouse=True)
def _somebody_says_yes(monkeypatch):
    """transformers would ask on standard input whether to run a model's code, where `predict` has its texts."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 20))


def edit(path: Path, **values) -> None:
    found = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**found, **values}))


def refusal(load, folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        load(str(folder))
    return str(caught.value)


@pytest.mark.parametrize("form", ["zip", "bare"])
def test_a_pickle_for_weights_is_not_run(folder, canary, form):
    (folder / "model.safetensors").unlink()
    with (folder / "pytorch_model.bin").open("wb") as file:
        content = {"shared.weight": canary.pickle()}
        torch.save(content, file) if form == "zip" else pickle.dump(content, file, protocol=2)  # torch's own
    assert "could run code when they are read: it is not loaded." in refusal(load_pretrained, folder)


def test_code_of_the_models_own_is_not_run(folder, canary):
    (folder / "modeling_evil.py").write_text(canary.code)
    names = {"AutoConfig": "modeling_evil.Config", "AutoModelForSeq2SeqLM": "modeling_evil.Model"}
    edit(folder / "config.json", auto_map=names)
    assert type(load_pretrained(str(folder))).__name__ == "T5ForConditionalGeneration"  # transformers' own
    edit(folder / "config.json", model_type="evil")
    assert refusal(load_pretrained, folder).endswith("no code that comes with a model is run.")


def test_code_of_the_tokenizers_own_is_not_run(folder, canary):
    (folder / "evil.py").write_text(canary.code)
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.T", "evil.T"]}, tokenizer_class="T")
    load_tokenizer(str(folder))


def test_code_for_generation_and_templates_are_not_run(folder, canary):
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(canary.code)
    edit(folder / "generation_config.json", custom_generate=str(folder))
    (folder / "chat_template.jinja").write_text("{{ cycler.__init__.__globals__.os.system('" + canary.command + "') }}")
    load_pretrained(str(folder))
    load_tokenizer(str(folder))


def test_attention_from_the_hub_is_refused(folder):
    edit(folder / "config.json", attn_implementation="kernels-community/flash-attn")
    assert "code that would be fetched from the Hub" in refusal(load_pretrained, folder)


def test_an_index_leads_to_no_file_elsewhere(folder):
    (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
    edit(folder / "model.safetensors.index.json", metadata={}, weight_map={"a": "../outside.safetensors"})
    assert 'names "../outside.safetensors", which is no file beside it' in refusal(load_pretrained, folder)


def test_compressed_weights_are_refused_before_they_are_unpacked(folder):
    (folder / "model.safetensors").unlink()
    torch.save({"shared.weight": torch.zeros(1_000_000)}, folder / "stored")
    with (
        zipfile.ZipFile(folder / "stored") as stored,
        zipfile.ZipFile(folder / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for one in stored.infolist():
            packed.writestr(one.filename, stored.read(one))
    assert "is compressed, to" in refusal(load_pretrained, folder)


@pytest.mark.parametrize("header", [(2**60).to_bytes(8, "little") + b"{}", (90_000_000).to_bytes(8, "little") + b"{"])
def test_an_absurd_header_of_safetensors_is_one_sentence(folder, header):
    (folder / "model.safetensors").write_bytes(header)
    assert "could not be read: Error while deserializing header" in refusal(load_pretrained, folder)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_brackets_nested_by_the_thousand_are_one_sentence(folder, name):
    (folder / name).write_text("[" * 100_000)
    assert f"{name} cannot be read as JSON" in refusal(load_pretrained, folder)


@pytest.mark.parametrize("kind", ["pickle", "garbage"])
def test_a_vocabulary_that_is_none_is_not_run(tmp_path, canary, kind):
    content = pickle.dumps(canary.pickle()) if kind == "pickle" else bytes(range(256)) * 20
    (tmp_path / "spiece.model").write_bytes(content)
    assert refusal(load_tokenizer, tmp_path).startswith(f"no tokenizer could be loaded from '{tmp_path}': ")


def test_a_pickled_vocabulary_beside_it_is_not_read(folder, canary):
    for name in ("vocab.pkl", "vocab.bin"):
        with (folder / name).open("wb") as file:
            pickle.dump(canary.pickle(), file)
    edit(folder / "tokenizer_config.json", tokenizer_class="TransfoXLTokenizer")
    (folder / "tokenizer.json").unlink()
    refusal(load_tokenizer, folder)
