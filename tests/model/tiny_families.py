"""A tiny model of each family of encoder-decoders beside T5's, and the kind of tokenizer that goes with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

KINDS = ("bart", "t5gemma", "t5gemma2", "pegasus", "mbart", "m2m_100", "nllb", "marian")
FAST = ("bart", "t5gemma", "t5gemma2", "pegasus", "mbart", "nllb")
"""Of these the tokenizer knows offsets, which a span needs."""

WORDS = "red blue green round square big small old new fast slow warm cold toy labels: span: text: yes no a e i o u one"
LINES = [*WORDS.split(), WORDS, *(f"toy labels: {a} {b}" for a in WORDS.split() for b in WORDS.split()[:9])]


def tokenizer_of(kind: str, folder: Path) -> Any:
    """A tokenizer of the family's own class, trained on a few words; in a folder that is its own."""
    import tokenizers
    import transformers

    from multitask.tokenization.train_vocabulary import train_vocabulary

    if kind == "bart":
        return transformers.BartTokenizer(**_pieces(LINES, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], bytes_=True))
    if kind in ("t5gemma", "t5gemma2"):
        made = transformers.GemmaTokenizer(**_pieces(LINES, ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]))
        # As in the released files: a first token, and no end.
        made.backend_tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
            single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", 2)]
        )
        return made
    if kind == "nllb":
        special = ["<s>", "<pad>", "</s>", "<unk>"]
        return transformers.NllbTokenizer(**_pieces(LINES, special), src_lang="eng_Latn", tgt_lang="deu_Latn")
    train_vocabulary([*LINES, *(f"{n}.{n}" for n in range(10))], 120, folder)
    spm = folder / "spiece.model"
    if kind in ("pegasus", "mbart"):
        state = json.loads(transformers.T5Tokenizer.from_pretrained(str(folder)).backend_tokenizer.to_str())
        pieces = [(piece, score) for piece, score in state["model"]["vocab"] if not piece.startswith("<")]
        if kind == "pegasus":
            special = [("<pad>", 0.0), ("</s>", 0.0), ("<mask_1>", 0.0), ("<mask_2>", 0.0)]
            unknown = [(f"<unk_{n}>", 0.0) for n in range(2, 103)]
            return transformers.PegasusTokenizer(vocab=[*special, *unknown, ("<unk>", 0.0), *pieces])
        special = [(name, 0.0) for name in ("<s>", "<pad>", "</s>", "<unk>")]
        return transformers.MBart50Tokenizer(vocab=[*special, *pieces], src_lang="en_XX", tgt_lang="de_DE")
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_file=str(spm))
    pieces = [model.id_to_piece(i) for i in range(len(model)) if not model.id_to_piece(i).startswith("<")]
    special = ["</s>", "<unk>"] if kind == "marian" else ["<s>", "<pad>", "</s>", "<unk>"]
    last = ["<pad>"] if kind == "marian" else []
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({piece: i for i, piece in enumerate([*special, *pieces, *last])}))
    if kind == "m2m_100":
        return transformers.M2M100Tokenizer(str(vocabulary), str(spm), src_lang="en", tgt_lang="de")
    return transformers.MarianTokenizer(str(spm), str(spm), str(vocabulary))


def _pieces(lines: list[str], special: list[str], *, bytes_: bool = False) -> dict[str, Any]:
    """The vocabulary and the merges of a byte-pair encoding."""
    import tokenizers
    from tokenizers import models, normalizers, pre_tokenizers, trainers

    made = tokenizers.Tokenizer(models.BPE())
    letters = pre_tokenizers.ByteLevel.alphabet() if bytes_ else [f"<0x{n:02X}>" for n in range(256)]
    if bytes_:
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        made.normalizer = normalizers.Replace(" ", "▁")
        special, letters = [*special, *letters], []
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=special, initial_alphabet=letters, show_progress=False, max_token_length=6
    )
    made.train_from_iterator(lines, trainer)
    state = json.loads(made.to_str())["model"]
    return {"vocab": state["vocab"], "merges": [tuple(pair) for pair in state["merges"]]}


def model_of(kind: str, tokenizer: Any, *, dropout: float = 0.0) -> Any:
    """A model of the family's own class, width 16, for this tokenizer."""
    import transformers

    size = len(tokenizer)
    if kind == "m2m_100":  # its languages lie beyond what it says is its size
        size = max(tokenizer.id_to_lang_token) + 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind in ("t5gemma", "t5gemma2"):
            model = _gemma(kind, size, dropout)
        else:
            name = {"bart": "Bart", "pegasus": "Pegasus", "mbart": "MBart", "marian": "Marian"}.get(kind, "M2M100")
            ids = {n: getattr(tokenizer, n) for n in ("pad_token_id", "eos_token_id", "bos_token_id")}
            start = ids["pad_token_id"] if kind in ("pegasus", "marian") else ids["eos_token_id"]
            config = getattr(transformers, f"{name}Config")(
                vocab_size=size,
                d_model=16,
                encoder_layers=2,
                decoder_layers=2,
                encoder_attention_heads=2,
                decoder_attention_heads=2,
                encoder_ffn_dim=32,
                decoder_ffn_dim=32,
                max_position_embeddings=512,
                dropout=dropout,
                attention_dropout=0.0,
                activation_dropout=0.0,
                decoder_start_token_id=start,
                **ids,
                **({"decoder_vocab_size": size} if kind == "marian" else {}),
            )
            part = "MTModel" if kind == "marian" else "ForConditionalGeneration"
            model = getattr(transformers, name + part)(config)
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.1 * torch.randn_like(p))
    return model


def _gemma(kind: str, size: int, dropout: float) -> Any:
    import transformers

    side = {
        "vocab_size": size,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "query_pre_attn_scalar": 8,
        "sliding_window": 16,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 2,
    }
    if kind == "t5gemma":
        config = transformers.T5GemmaConfig(encoder=side, decoder=side, dropout_rate=dropout, vocab_size=size)
        return transformers.T5GemmaForConditionalGeneration(config)
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    config = transformers.T5Gemma2Config(
        encoder={"text_config": side, "vision_config": vision, "mm_tokens_per_image": 4},
        decoder=side,
        dropout_rate=dropout,
        vocab_size=size,
        image_token_index=size - 1,
    )
    return transformers.T5Gemma2ForConditionalGeneration(config)
