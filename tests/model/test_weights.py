"""Weights that are not those of config.json are refused with their names; what is no fault is not."""

from __future__ import annotations

import json
import runpy
import shlex
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from multitask.errors import UserError
from multitask.model.pretrained import check_pretrained, load_pretrained

OLD = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"


@pytest.fixture(scope="module")
def stored(tmp_path_factory, tiny_model) -> dict[str, dict[str, torch.Tensor]]:
    folder = tmp_path_factory.mktemp("weights")
    found = {}
    for kind in ("t5", "gated", "mt5", "umt5"):
        tiny_model(kind).save_pretrained(folder / kind)
        found[kind] = load_file(folder / kind / "model.safetensors")
    return found


@pytest.fixture
def folder(tmp_path, tiny_model) -> Path:
    made = tmp_path / "model"
    tiny_model("t5").save_pretrained(made)
    return made


def put(folder: Path, weights: dict[str, torch.Tensor], **config) -> None:
    save_file({name: w.contiguous() for name, w in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_pretrained(str(folder))
    said = str(caught.value)
    assert "\n" not in said
    if not list(folder.glob("*.bin")):
        with pytest.raises(UserError) as caught:
            check_pretrained(str(folder))
        assert str(caught.value) == said  # from the names and shapes alone, before any data is read
    return said


def is_same(folder: Path, weights: dict[str, torch.Tensor]) -> bool:
    check_pretrained(str(folder))
    state = load_pretrained(str(folder)).state_dict()
    return all(torch.equal(state[name], w) for name, w in weights.items())


FEED = "decoder.block.0.layer.2"

MISSING = {
    "the last part": (lambda n: "decoder.block.1.layer.2" not in n, "are missing. They are a part of the model's"),
    "a part of a layer": (
        lambda n: not n.startswith(FEED),
        f"{FEED}.DenseReluDense.wi.weight, {FEED}.DenseReluDense.wo.weight",
    ),
    "the decoder": (lambda n: not n.startswith("decoder."), "of an encoder alone: give the whole model's"),
    "the encoder": (lambda n: not n.startswith("encoder."), "encoder.block.*.layer.*.SelfAttention.k.weight"),
    "the embeddings": (lambda n: n != "shared.weight", "lm_head.weight, shared.weight are missing"),
    "all": (lambda n: False, "(50 in all) are missing. They are a part of the model's"),
}


@pytest.mark.parametrize("what", MISSING)
def test_what_is_missing_is_named(what, folder, stored):
    keep, text = MISSING[what]
    put(folder, {n: w for n, w in stored["t5"].items() if keep(n)})
    said = refusal(folder)
    assert said.startswith(f"the weights of model '{folder}' are not those of its config.json: ")
    assert text in said


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"num_layers": 1}, "(8 in all) are left over. They have 2 encoder layers: num_layers in config.json"),
        ({"num_layers": 3}, "(8 in all) are missing. They have 2 encoder layers: num_layers in config.json"),
        ({"num_decoder_layers": 1}, "(13 in all) are left over. They have 2 decoder layers: num_decoder_layers in"),
        ({"num_decoder_layers": 4}, "(26 in all) are missing. They have 2 decoder layers: num_decoder_layers in"),
        ({"d_ff": 64}, "DenseReluDense.wi.weight is [32, 16] where config.json asks for [64, 16] (and 7 more of"),
        ({"vocab_size": 512}, "shared.weight is [448, 16] where config.json asks for [512, 16]. Give the"),
        (
            {"feed_forward_proj": "gated-gelu", "is_gated_act": True, "dense_act_fn": "gelu_new"},
            "They are of a T5 without gates: feed_forward_proj 'gated-gelu' is not theirs.",
        ),
    ],
)
def test_a_config_of_another_shape_is_refused(config, text, folder, stored):
    put(folder, stored["t5"], **config)
    assert text in refusal(folder)


def test_gated_weights_under_a_config_without_gates_are_refused(folder, stored):
    put(folder, stored["gated"])
    assert "wi.weight" in refusal(folder)
    assert "They are of a T5 with gates" in refusal(folder)


def test_weights_besides_the_models_are_refused(folder, stored):
    put(folder, {**stored["t5"], "encoder.block.0.lora_A.weight": torch.zeros(2, 2)})
    said = refusal(folder)
    assert "encoder.block.0.lora_A.weight is left over." in said
    assert "num_layers" not in said  # its layer is one of the model's


@pytest.mark.parametrize(
    "config",
    [{"dropout_rate": 1.5}, {"_attn_implementation": "flash_attention_2"}, {"decoder": {"num_layers": 4}}],
)
def test_a_config_that_makes_no_model_is_refused(config, folder, stored):
    put(folder, stored["t5"], **config)
    with pytest.raises(UserError, match=r"^the config\.json of model '.*' makes no model: .*$"):
        check_pretrained(str(folder))
    with pytest.raises(UserError):
        load_pretrained(str(folder))


@pytest.mark.parametrize("form", ["safetensors", "sharded", "bin"])
@pytest.mark.parametrize("prefix", ["model.", "module.", "_orig_mod.", "module._orig_mod.", "encoder._orig_mod."])
def test_names_with_a_prefix_are_refused_and_the_remedy_works(prefix, form, folder, stored, tiny_model):
    def renamed(name: str) -> str:
        if prefix == "encoder._orig_mod.":  # of a part that was compiled alone
            return name.replace("encoder.block", f"{prefix}block") if name.startswith("encoder.") else name
        return prefix + name

    weights = {renamed(name): w for name, w in stored["t5"].items()}
    if form == "safetensors":
        put(folder, weights)
    else:
        (folder / "model.safetensors").unlink()
    if form == "bin":
        torch.save(weights, folder / "pytorch_model.bin")
    if form == "sharded":
        tiny_model("t5").save_pretrained(folder, max_shard_size="20KB")
        for part in folder.glob("model-*.safetensors"):
            save_file({renamed(name): w for name, w in load_file(part).items()}, part, {"format": "pt"})
        index = folder / "model.safetensors.index.json"
        found = json.loads(index.read_text())
        found["weight_map"] = {renamed(name): part for name, part in found["weight_map"].items()}
        index.write_text(json.dumps(found))
    said = refusal(folder)
    text = prefix.removeprefix("encoder.")
    assert f"The names in the file have {text!r} too much: python -c " in said
    assert said.endswith(f"writes the model without it for --model {folder}-stripped.")
    python, flag, code = shlex.split(said[said.index("python -c ") : said.index(" writes the model")])
    assert (python, flag) == ("python", "-c")
    (folder.parent / "remedy.py").write_text(code)
    runpy.run_path(str(folder.parent / "remedy.py"))
    assert is_same(folder.with_name("model-stripped"), stored["t5"])


def test_a_shard_that_lacks_a_weight_is_refused(folder, tiny_model):
    (folder / "model.safetensors").unlink()
    tiny_model("t5").save_pretrained(folder, max_shard_size="20KB")
    part = sorted(folder.glob("model-*.safetensors"))[0]
    weights = load_file(part)
    name = sorted(weights)[0]
    save_file({n: w for n, w in weights.items() if n != name} or {"spare": torch.zeros(1)}, part, {"format": "pt"})
    assert f"{name} " in refusal(folder)


# -------------------------------------------------------------------------------------------------------- what is none


def test_what_is_no_fault_is_loaded(folder, stored):
    plain = stored["t5"]
    assert "lm_head.weight" not in plain  # tied, and so in no file
    assert is_same(folder, plain)
    put(folder, {**plain, OLD: torch.zeros(32, 2)})  # in the files of the first T5
    assert is_same(folder, plain)
    put(folder, {f"transformer.{name}": w for name, w in plain.items()})  # transformers' own prefix
    assert is_same(folder, plain)
    every = {name: plain["shared.weight"].clone() for name in ("lm_head.weight", "encoder.embed_tokens.weight")}
    put(folder, {**plain, **every})
    assert is_same(folder, plain)
    rest = {name: w for name, w in plain.items() if name != "shared.weight"}
    put(folder, {**rest, "lm_head.weight": plain["shared.weight"].clone()})
    assert is_same(folder, plain)
    half = {name: w.bfloat16() for name, w in plain.items()}
    put(folder, half, dtype="bfloat16")
    assert is_same(folder, {name: w.float() for name, w in half.items()})


@pytest.mark.parametrize("kind", ["gated", "mt5", "umt5"])
def test_an_output_layer_of_its_own_is_there_or_the_model_is_refused(kind, tmp_path, stored, tiny_model):
    """transformers 5 would take the embeddings for it, though config.json says that they are two matrices."""
    tiny_model(kind).save_pretrained(tmp_path)
    put(tmp_path, stored[kind], tie_word_embeddings=False)
    said = refusal(tmp_path)
    assert "lm_head.weight is missing, and tie_word_embeddings is false" in said
    own = {**stored[kind], "lm_head.weight": torch.randn(stored[kind]["shared.weight"].shape)}
    put(tmp_path, own)
    assert is_same(tmp_path, own)
    put(tmp_path, {**stored[kind], "lm_head.weight": stored[kind]["shared.weight"].clone()})
    assert is_same(tmp_path, stored[kind])


@pytest.mark.parametrize("kind", ["untied", "mt5"])
def test_a_model_with_an_output_layer_of_its_own_is_saved_as_one(kind, tmp_path, tiny_model):
    """transformers 5 writes that it is tied: without the layer the embeddings would take its place."""
    made = tiny_model(kind)
    made.lm_head.weight = torch.nn.Parameter(torch.randn_like(made.shared.weight))
    made.save_pretrained(tmp_path / "one")
    load_pretrained(str(tmp_path / "one")).save_pretrained(tmp_path / "two")
    assert json.loads((tmp_path / "two" / "config.json").read_text())["tie_word_embeddings"] is False
    weights = load_file(tmp_path / "two" / "model.safetensors")
    assert torch.equal(weights["lm_head.weight"], made.lm_head.weight)
    ids = torch.tensor([[5, 6, 7]])
    one, two = (
        m.eval()(input_ids=ids, decoder_input_ids=ids).logits for m in (made, load_pretrained(str(tmp_path / "two")))
    )
    assert torch.equal(one, two)
    put(tmp_path / "two", {n: w for n, w in weights.items() if n != "lm_head.weight"})
    assert "lm_head.weight is missing" in refusal(tmp_path / "two")


def test_an_adapter_is_refused(folder):
    (folder / "adapter_config.json").write_text("{}")
    assert refusal(folder) == (
        f"{folder} holds an adapter (adapter_config.json), and multitask trains whole models: merge it into its model "
        "(peft's merge_and_unload) and save that."
    )


def test_transformers_says_nothing_of_its_own(folder, stored, capfd):
    put(folder, {f"model.{name}": w for name, w in stored["t5"].items()})
    refusal(folder)
    assert "LOAD REPORT" not in capfd.readouterr().err
