"""Answers of this model to new texts, with transformers, torch and numpy alone.

    python predict.py --task TASK < texts.txt       a text a line, without the task's prefix; JSON lines come out

    from predict import Model
    Model(".").answer("TASK", ["a text", "another one"])      # in Python: a list of dicts

The answers are those of `multitask predict` for the same texts:

    labels      the label with the largest summed log-probability of its tokens, end of sequence included
    span        a piece of the text, character for character: the most probable one, found by scoring all of them
    number      what the model writes, and whether it is a number
    text        what the model writes

The tasks, their prefixes, labels and decoding settings stand in config.json, under `task_specific_params`.

Legend: B texts, L labels, C chains (one for each place where a piece may begin), T tokens, V vocabulary.
"""

from __future__ import annotations

import argparse
import difflib
import functools
import itertools
import json
import math
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, GenerationConfig
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils.logging import disable_progress_bar

BATCH = 16
"""Texts that the encoder reads at once."""
LOGITS = 1 << 26
"""Logits that are held at once, 256 MiB in fp32."""
CANDIDATES = 20
"""The most probable pieces that `expected` chooses among."""


class Source(NamedTuple):
    """The tokens of the text that a span is cut from."""

    text: str
    ids: list[int]
    edges: list[tuple[int, int]]
    """Begin and end of each token, in characters of the text."""

    def piece(self, first: int, last: int) -> str:
        """The exact characters from token `first` to token `last`, both included.

        A word's mark (`▁`) may be a token of its own, with the place of the character that comes next: a piece that
        ends with one ends before that character.
        """
        begin = self.edges[first][0]
        while first < last < len(self.edges) - 1 and begin < self.edges[last + 1][0] < self.edges[last][1]:
            last -= 1
        return self.text[self.edges[first][0] : self.edges[last][1]]


class Encoded(NamedTuple):
    """Texts that the encoder has read."""

    states: torch.Tensor  # [B, S, D]
    mask: torch.Tensor  # [B, S]

    def of_row(self, row: int, count: int) -> Encoded:
        """One text, `count` times."""
        return Encoded(self.states[row].expand(count, -1, -1), self.mask[row].expand(count, -1))


class Model:
    """The model of a folder and its tasks.

    Args:
        folder: What `from_pretrained` reads.
    """

    def __init__(self, folder: str | Path) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
        self.model: Any = AutoModelForSeq2SeqLM.from_pretrained(str(folder), trust_remote_code=False)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model.eval().to(self.device)
        self.tasks: dict[str, dict[str, Any]] = self.model.config.task_specific_params or {}
        self.eos, self.pad = self.tokenizer.eos_token_id, self.tokenizer.pad_token_id
        self.start: int = self.model.config.decoder_start_token_id
        self.model.config.eos_token_id = self.eos
        # What somebody left in generation_config.json decides nothing: the tasks' own settings do.
        self.model.generation_config = self._settings()
        names = ("eos", "pad", "unk", "bos", "cls", "sep")
        ids = (getattr(self.tokenizer, f"{name}_token_id", None) for name in names)
        self.dropped = frozenset(i for i in ids if i is not None)
        self.before_inputs = self._before("text")
        """Tokens that stand before every input; none in T5's own vocabularies."""
        self.first = self._before("text_target")
        """Those before every target, without the one that decoding begins with anyway."""
        self.is_begun = self.first[:1] == [self.start]
        self.first = self.first[1:] if self.is_begun else self.first

    def _before(self, name: str) -> list[int]:
        whole, inner = (
            list(self.tokenizer(**{name: "a e i o u"}, add_special_tokens=added)["input_ids"])
            for added in (True, False)
        )
        begins = (at for at in range(len(whole) - len(inner) + 1) if whole[at : at + len(inner)] == inner)
        return whole[: next(begins, 0)]

    @torch.inference_mode()
    def answer(self, task: str, texts: Iterable[str]) -> list[dict[str, Any]]:
        """A dict for each text: input, prediction, valid (whether the answer is of the task's kind)."""
        if task not in self.tasks:
            raise ValueError(f"the model has no task {task!r}; it has {', '.join(self.tasks)}.")
        settings = self.tasks[task]
        found = []
        rest = iter(texts)
        while batch := list(itertools.islice(rest, BATCH)):
            found += self._answers(settings, batch)
        return found

    def _answers(self, settings: dict[str, Any], texts: list[str]) -> list[dict[str, Any]]:
        prefix, limit = settings["prefix"], settings["max_length"]
        read = [_as_input(settings, text) for text in texts]
        inputs = [prefix + text for text, _ in read]
        ids = [i if len(i) <= limit else [*i[: limit - 1], i[-1]] for i in self._ids(inputs)]
        encoded = self._encode(ids)
        sources: list[Source] = []
        if settings["output"] == "span":
            sources = [self._source(one, text or "", limit) for one, (_, text) in zip(inputs, read, strict=True)]
        raw = self._raw(settings, encoded, sources)
        return [
            {"input": one.removeprefix(prefix), "prediction": text, "valid": _is_valid(settings, text, context)}
            for one, text, (_, context) in zip(inputs, raw, read, strict=True)
        ]

    def _raw(self, settings: dict[str, Any], encoded: Encoded, sources: Sequence[Source]) -> list[str]:
        if settings["output"] == "labels":
            return self._labels(encoded, settings["labels"])
        if settings["output"] != "span":
            return [self._text(ids) for ids in self._written(settings, encoded)]
        way, nothing = settings.get("span", "best"), bool(settings["no_answer"])
        if way == "greedy":
            written = [ids[len(self.first) :] for ids in self._written(settings, encoded, sources)]
            return [_found(source, ids) for source, ids in zip(sources, written, strict=True)]
        if way == "generate":
            texts = [self._text(ids) for ids in self._written(settings, encoded)]
            pieces = [align(text, source.text) for text, source in zip(texts, sources, strict=True)]
            return [t if nothing and not p else p for t, p in zip(texts, pieces, strict=True)]
        return [self._span(encoded.of_row(i, 1), source, way, nothing) for i, source in enumerate(sources)]

    # ---- reading -----------------------------------------------------------------------------------------------------

    def _ids(self, texts: Sequence[str], *, targets: bool = False) -> list[list[int]]:
        """Token ids, with one end of sequence."""
        name = "text_target" if targets else "text"
        made = self.tokenizer(**{name: list(texts)}, truncation=False, verbose=False)["input_ids"]
        made = [ids if ids and ids[-1] == self.eos else [*ids, self.eos] for ids in made]
        return [ids[1:] for ids in made] if targets and self.is_begun else made

    def _encode(self, ids: Sequence[Sequence[int]]) -> Encoded:
        padded = self._padded(ids)
        lengths = torch.tensor([len(i) for i in ids], device=self.device)
        mask = (torch.arange(padded.shape[1], device=self.device) < lengths[:, None]).long()
        states = self.model.get_encoder()(input_ids=padded, attention_mask=mask).last_hidden_state
        return Encoded(states, mask)

    def _padded(self, sequences: Sequence[Sequence[int]]) -> torch.Tensor:
        width = max(map(len, sequences))
        rows = [[*ids, *[self.model.config.pad_token_id] * (width - len(ids))] for ids in sequences]
        return torch.tensor(rows, device=self.device)

    # ---- labels ------------------------------------------------------------------------------------------------------

    def _labels(self, encoded: Encoded, labels: Sequence[str]) -> list[str]:
        ids = self._ids(labels, targets=True)
        told = [self._log_likelihoods(encoded, label) for label in ids]
        best = np.stack(told, 1).argmax(1)  # [B]
        return [labels[i] for i in best]

    def _log_likelihoods(self, encoded: Encoded, target: list[int]) -> np.ndarray:
        """[B] of one target after each text."""
        count = len(encoded.states)
        chain = torch.tensor([[self.start, *target[:-1]]], device=self.device).expand(count, -1)
        told = self._log_probabilities(encoded, chain)  # [B, T, V]
        each = told.gather(2, torch.tensor(target, device=self.device).expand(count, -1)[:, :, None])
        return np.asarray(each.sum((1, 2)).cpu().numpy())

    def _log_probabilities(self, encoded: Encoded, chains: torch.Tensor) -> torch.Tensor:
        """[C, T, V]."""
        logits = self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded.states),
            attention_mask=encoded.mask,
            decoder_input_ids=chains,
            use_cache=False,
        ).logits
        return torch.as_tensor(logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1))

    # ---- writing -----------------------------------------------------------------------------------------------------

    def _settings(self, **settings: Any) -> Any:
        ids = {name: getattr(self.model.config, name) for name in ("pad_token_id", "decoder_start_token_id")}
        return GenerationConfig(**{**ids, "eos_token_id": self.eos, **settings})  # type: ignore[no-untyped-call]

    def _written(
        self, settings: dict[str, Any], encoded: Encoded, sources: Sequence[Source] | None = None
    ) -> list[list[int]]:
        """What the model writes: greedy or by beams, free or along a source; without its end."""
        beams = {"num_beams": settings["num_beams"], "length_penalty": settings["length_penalty"]}
        how = {**beams, "early_stopping": True} if settings["num_beams"] > 1 else {}
        only: dict[str, Any] = {}
        if sources is not None:
            only["prefix_allowed_tokens_fn"] = functools.partial(self._allowed, settings, sources)
        made = self.model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded.states),
            attention_mask=encoded.mask,
            generation_config=self._settings(max_new_tokens=settings["max_new_tokens"], do_sample=False, **how),
            **only,
        )
        return [list(itertools.takewhile(lambda i: i not in (self.eos, self.pad), ids[1:])) for ids in made.tolist()]

    def _allowed(self, settings: dict[str, Any], sources: Sequence[Source], row: int, ids: torch.Tensor) -> list[int]:
        """The tokens that keep what was written a piece of the source, and the end once it may be the answer."""
        said, source = ids.tolist()[1:], sources[row].ids
        if len(said) < len(self.first):
            return [self.first[len(said)]]
        said = said[len(self.first) :]
        size = len(said)
        following = {source[i + size] for i in range(len(source) - size) if source[i : i + size] == said}
        may_end = size > 0 or not source or settings["no_answer"]
        return sorted({*following, self.eos}) if may_end else sorted(following)

    def _text(self, ids: Sequence[int]) -> str:
        """Without first tokens, end, padding and unknown characters; sentinels of span corruption stay."""
        ids = ids[len(self.first) :] if self.first and list(ids[: len(self.first)]) == self.first else ids
        kept = [i for i in ids if i not in self.dropped]
        text = self.tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return re.sub(r"\s*(<extra_id_\d+>)", r" \1", text).strip()

    # ---- spans -------------------------------------------------------------------------------------------------------

    def _source(self, inputs: str, text: str, limit: int) -> Source:
        ids = self._ids([inputs])[0]
        if self.tokenizer.is_fast:
            spots = self.tokenizer(inputs, return_offsets_mapping=True, truncation=False, verbose=False)
            edges = _without_spaces(inputs, [tuple(spot) for spot in spots["offset_mapping"]])
        else:
            edges = _byte_edges(self.tokenizer.tokenize(inputs), inputs, self.tokenizer.eos_token)
        begin = _place(text, inputs)
        end = begin + len(text)
        kept = min(len(ids) - 1, limit - 1)  # without the end of sequence
        special = self.dropped - {self.tokenizer.unk_token_id}
        skip = len(self.before_inputs)
        inside = [
            (i, (max(first - begin, 0), min(last - begin, len(text))))
            for i, (first, last) in zip(ids[skip:kept], edges[skip:], strict=False)
            if last > begin and first < end and last > first and i not in special
        ]
        return Source(text, [i for i, _ in inside], [edge for _, edge in inside])

    def _span(self, encoded: Encoded, source: Source, way: str, nothing: bool) -> str:
        """The most probable piece, or of the most probable ones the most expected one.

        The output must be a piece, or nothing where that can be the answer: so the decoder begins with one of the
        source's tokens, renormalised over them, and after each token it ends with the probability of the end of
        sequence, or goes on with the token that stands next. By `likelihood` a piece has its tokens' summed
        log-probability instead.
        """
        n = len(source.ids)
        scores = np.full((n, n), -np.inf)  # of the piece from token s to token s + j
        first, follows, stops = self._along(encoded, source.ids)
        by_likelihood = way == "likelihood"
        begins = first[:-1]
        none = first[-1]  # the end of sequence at once
        if not by_likelihood:
            total = np.logaddexp.reduce(begins) if n else -np.inf
            total = np.logaddexp(total, none) if nothing else total
            begins, none = begins - total, none - total
        for s in range(n):
            mass = begins[s]
            for j in range(n - s):
                last = s + j == n - 1
                scores[s, j] = mass if last and not by_likelihood else mass + stops[s, j]
                if not last:
                    on = math.log1p(-min(math.exp(stops[s, j]), 1 - 1e-6))
                    mass += follows[s, j] if by_likelihood else on
        flat = np.concatenate([scores.ravel(), [none] if nothing else []])
        order = [i for i in np.argsort(-flat, kind="stable") if np.isfinite(flat[i])]
        order = order[: CANDIDATES if way == "expected" else 1]
        texts = [source.piece(i // n, i // n + i % n) if i < n * n else "" for i in order]
        return _chosen(texts, flat[order])

    def _along(self, encoded: Encoded, ids: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Log-probabilities: [n + 1] of each first token and of the end; [n, n] of what follows, and of the end."""
        n, begin = len(ids), [self.start, *self.first]
        told = self._log_probabilities(encoded, torch.tensor([begin], device=self.device))[0, -1]  # [V]
        first = told[torch.tensor([*ids, self.eos], device=self.device)].double().cpu().numpy()
        follows, stops = np.full((n, n), -np.inf), np.full((n, n), -np.inf)
        size = max(1, LOGITS // ((n + len(begin)) * len(told)))
        for at in range(0, n, size):
            chains = [[*begin, *ids[s:]] for s in range(at, min(at + size, n))]
            told = self._log_probabilities(encoded.of_row(0, len(chains)), self._padded(chains))
            for s, chain in enumerate(chains, at):
                rows = told[s - at, len(begin) : len(chain)]  # [n - s, V]
                stops[s, : n - s] = rows[:, self.eos].double().cpu().numpy()
                after = torch.tensor(ids[s + 1 :], dtype=torch.long, device=self.device)
                follows[s, : n - s - 1] = rows[:-1].gather(1, after[:, None])[:, 0].double().cpu().numpy()
        return first, follows, stops


def _as_input(settings: dict[str, Any], line: str) -> tuple[str, str | None]:
    """What stands after the prefix, and of a span the text that it is cut from."""
    text = line.removeprefix(settings["prefix"])
    if settings["output"] != "span":
        return text, None
    # T5's field marker, as in "positive text: so happy today"; without one, the text is all there is.
    head, marker, rest = text.partition(" text: ")
    context = rest if marker else text
    return (head + marker if marker else "") + context.replace("`", "'"), context


def _is_valid(settings: dict[str, Any], raw: str, context: str | None) -> bool:
    if settings["output"] == "labels":
        return raw in settings["labels"]
    if settings["output"] == "number":
        try:
            return math.isfinite(float(raw))
        except ValueError:
            return False
    if not raw.strip() and settings["no_answer"]:
        return True
    if settings["output"] == "span" and context is not None:
        return bool(raw) and raw in context
    return bool(raw.strip())


def _found(source: Source, ids: Sequence[int]) -> str:
    """The characters of the first place where `ids` stands; empty if it stands nowhere."""
    size = len(ids)
    for i in range(len(source.ids) - size + 1) if size else ():
        if source.ids[i : i + size] == list(ids):
            return source.piece(i, i + size - 1)
    return ""


def _chosen(texts: list[str], scores: np.ndarray) -> str:
    """The only text; of several the one that shares most words (Jaccard) with what the model believes."""
    if len(texts) < 2:
        return "".join(texts)
    if "" in texts:  # a piece stands in several places as often, nothing once: so each text once, its best
        once = {text: i for i, text in reversed([*enumerate(texts)])}
        texts, scores = [*once], scores[[*once.values()]]
    words = [set(text.lower().split()) if text else {""} for text in texts]
    columns = {word: i for i, word in enumerate(set().union(*words))}
    has = np.zeros((len(texts), len(columns)))
    for row, said in zip(has, words, strict=True):
        row[[columns[word] for word in said]] = 1
    shared, size = has @ has.T, has.sum(1)
    overlap = shared / np.maximum(size[:, None] + size - shared, 1)
    return texts[int(np.argmax(overlap @ np.exp(scores)))]


def _without_spaces(text: str, spots: Sequence[tuple[int, ...]]) -> list[tuple[int, int]]:
    """Offsets without the spaces that byte-level tokens hold; a token of spaces alone stands for what comes next."""
    trimmed = []
    for first, last in spots:
        if first == last and not text[max(first - 1, 0) : first].isspace():
            trimmed.append((first, last))
            continue
        begin, end = first, last
        while begin < len(text) and text[begin].isspace():
            begin += 1
        while end > begin and text[end - 1].isspace():
            end -= 1
        trimmed.append((begin, min(max(end, begin + 1), len(text))))
    return trimmed


def _byte_edges(tokens: list[str], text: str, end: str) -> list[tuple[int, int]]:
    """ByT5: a token a byte, so a character is one to four tokens."""
    tokens = tokens[:-1] if tokens and tokens[-1] == end else tokens
    characters = [i for i, c in enumerate(text) for _ in c.encode()]  # of each byte
    raw, at = text.encode(), 0
    spots = []
    for token in tokens:
        piece = token.encode("latin-1") if len(token) == 1 else token.encode()
        at = raw.index(piece, at)
        spots.append((characters[at], characters[at + len(piece) - 1] + 1))
        at += len(piece)
    return spots


def _place(text: str, inputs: str) -> int:
    """Where the text begins in the input; characters may have been replaced one for one."""
    at = inputs.rfind(text)
    if at >= 0:
        return at
    best, place = -1, 0
    for i in range(len(inputs) - len(text), -1, -1):
        same = sum(a == b for a, b in zip(text, inputs[i : i + len(text)], strict=True))
        if same > best:
            best, place = same, i
        if same >= 0.9 * len(text):
            break
    if best < 0.5 * len(text):  # a short text that is mostly quotes
        quotes = str.maketrans(_APOSTROPHES)
        place = max(inputs.translate(quotes).rfind(text.translate(quotes)), 0)
    return place


def align(text: str, context: str) -> str:
    """The piece of `context` that `text` most resembles, as exact characters of it; empty if nothing agrees."""
    if not text.strip() or not context:
        return ""
    if text in context:
        return text
    wanted, _ = _folded(text)
    source, places = _folded(context)
    if not wanted or not source:
        return ""
    at = source.find(wanted)
    if at >= 0:
        return context[places[at] : places[at + len(wanted) - 1] + 1]
    blocks = difflib.SequenceMatcher(None, source, wanted, autojunk=False).get_matching_blocks()
    found = [b for b in blocks if b.size]
    if not found:
        return ""
    longest = max(found, key=lambda b: b.size)
    low, high = longest.a - longest.b, longest.a - longest.b + len(wanted)
    near = [b for b in found if b.a >= low - 2 and b.a + b.size <= high + 2]
    return context[places[near[0].a] : places[near[-1].a + near[-1].size - 1] + 1]


_APOSTROPHES = {"`": "'", "\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"'}


def _folded(text: str) -> tuple[str, list[int]]:
    """The text without spaces, in compatibility form and lower case, and where each character comes from."""
    letters: list[str] = []
    places: list[int] = []
    for i, character in enumerate(text):
        for letter in unicodedata.normalize("NFKC", _APOSTROPHES.get(character, character)).lower():
            if not letter.isspace():
                letters.append(letter)
                places.append(i)
    return "".join(letters), places


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Answers to texts, a line each, as JSON lines.")
    parser.add_argument("--task", required=True, help="one of the tasks in config.json")
    parser.add_argument("--folder", default=str(Path(__file__).parent), help="the model's folder, by default this one")
    options = parser.parse_args()
    disable_progress_bar()  # type: ignore[no-untyped-call]
    model = Model(options.folder)
    if options.task not in model.tasks:
        parser.error(f"the model has no task {options.task!r}; it has {', '.join(model.tasks)}.")
    if model.tasks[options.task].get("postprocess"):
        print("note: this task has a post-processing of its own, which is not applied here.", file=sys.stderr)
    try:
        lines = [line for line in sys.stdin.buffer.read().decode("utf-8-sig").split("\n") if line.strip()]
    except UnicodeDecodeError as error:
        parser.error(f"standard input is not UTF-8: {error}.")
    if any(line.lstrip().startswith("{") for line in lines):
        parser.error("a line begins as a JSON row, which only multitask can make a text of: give texts.")
    for answer in model.answer(options.task, [line.rstrip("\r") for line in lines]):
        print(json.dumps(answer, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
