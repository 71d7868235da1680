"""Models from random weights and from folders."""

from __future__ import annotations

import pytest
import torch

from multitask.errors import UserError
from multitask.model.contamination import contamination
from multitask.model.from_scratch import SIZES, build_model, is_from_scratch
from multitask.model.pretrained import load_pretrained

BUILD = {"seed": 0, "dropout": 0.1, "pad": 0, "eos": 1}


def test_the_seed_decides_the_weights_and_nothing_else_does():
    torch.manual_seed(7)
    state = torch.get_rng_state()
    one = build_model("tiny", 100, **BUILD)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(8)
    again, other = build_model("tiny", 100, **BUILD), build_model("tiny", 100, **{**BUILD, "seed": 1})
    assert torch.equal(one.shared.weight, again.shared.weight)
    assert not torch.equal(one.shared.weight, other.shared.weight)


def test_the_vocabulary_is_rounded_up_for_the_kernels():
    assert build_model("tiny", 65, **BUILD).config.vocab_size == 128
    assert build_model("tiny", 64, **BUILD).config.vocab_size == 64


@pytest.mark.parametrize("gated", [True, False])
def test_the_shape_is_that_of_the_size(gated):
    model = build_model("tiny", 64, gated=gated, **BUILD)
    size = SIZES["tiny"]
    assert (model.config.d_model, model.config.num_layers, model.config.num_decoder_layers) == (
        size.d_model,
        size.num_layers,
        size.num_decoder_layers,
    )
    assert model.config.is_gated_act is gated
    assert model.config.decoder_start_token_id == 0
    assert model.training


def test_a_copy_head_makes_repeating_likelier_than_chance():
    """After "a b c d" → "a b", the input's c stands higher among the next tokens than without the head."""
    ranks = {}
    for copy in (True, False):
        model = build_model("tiny", 192, copy_head=copy, **BUILD).eval()
        draw = torch.Generator().manual_seed(3)
        ids = torch.stack([torch.randperm(150, generator=draw)[:8] + 10 for _ in range(32)])
        said = torch.cat([torch.zeros(32, 1).long(), ids[:, :5]], dim=1)
        with torch.no_grad():
            logits = model(input_ids=ids, decoder_input_ids=said).logits[:, -1]
        right = logits.gather(1, ids[:, 5:6])
        ranks[copy] = float((logits > right).sum(1).float().mean())
    assert ranks[True] < 0.5 * ranks[False]


def test_a_pretrained_model_comes_ready_to_train(tmp_path, tiny_model):
    saved = tiny_model("gated")
    saved.save_pretrained(tmp_path)
    loaded = load_pretrained(str(tmp_path), dropout=0.25)
    assert loaded.training  # from_pretrained alone gives evaluation mode, without dropout
    assert loaded.config.dropout_rate == 0.25
    assert {m.p for m in loaded.modules() if isinstance(m, torch.nn.Dropout)} == {0.25}
    assert torch.equal(loaded.shared.weight, saved.shared.weight)
    assert load_pretrained(str(tmp_path)).config.dropout_rate == 0.0


def test_half_precision_weights_are_read_as_fp32(tmp_path, tiny_model):
    tiny_model("t5").bfloat16().save_pretrained(tmp_path)
    assert {p.dtype for p in load_pretrained(str(tmp_path)).parameters()} == {torch.float32}


def test_another_family_is_refused(tmp_path):
    from transformers import BertConfig

    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(UserError) as error:
        load_pretrained(str(tmp_path))
    assert str(error.value) == (
        f"model '{tmp_path}' is of type 'bert', which is no text-to-text model with an encoder and a decoder: "
        "multitask trains T5, v1.1, Flan-T5, mT5, uMT5, ByT5, LongT5, T5Gemma, T5Gemma 2, BART, mBART, Pegasus, "
        "Marian, M2M100 or NLLB."
    )


def test_an_unknown_name_says_which_are_known():
    with pytest.raises(UserError) as error:
        load_pretrained("tinny")
    assert str(error.value) == (
        "model 'tinny' is not a folder, nor a size to start from scratch (tiny, mini, small): did you mean 'tiny'?"
    )


def test_a_hub_id_without_network_says_so():
    with pytest.raises(UserError, match=r"and the Hub did not give it either \(no network, or no such id\): "):
        load_pretrained("nobody/t5-nothing")


def test_a_folder_without_weights_says_so(tmp_path, tiny_model):
    tiny_model("t5").config.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=f"^the weights of model '{tmp_path}' could not be read: "):
        load_pretrained(str(tmp_path))


def test_names():
    assert is_from_scratch("tiny")
    assert not is_from_scratch("google-t5/t5-small")


def test_contamination_names_the_tasks_that_the_checkpoint_saw():
    assert "already trained on sst2, cola (" in (contamination("google-t5/t5-base", ("sst2", "span", "cola")) or "")
    assert "already trained on sst2 (" in (contamination("/models/t5-small/", ("sst2",)) or "")
    assert contamination("google/t5-v1_1-base", ("sst2",)) is None
    assert contamination("t5-small", ("span",)) is None
