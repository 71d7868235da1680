"""What is kept is what would be made; whatever changes it has another name; and nothing that goes wrong ends a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitask.cli import main
from multitask.examples.dataset import Examples
from multitask.mixing.prepare import prepare_mixture
from multitask.task import Example
from multitask.tokenization import disk_cache as cache_module
from multitask.tokenization.disk_cache import KEPT_FROM, Cache, cache_folder, clear, entries
from multitask.tokenization.token_cache import TokenCache, tokenizer_identity
from multitask.tokenization.tokenize import tokenize_task
from multitask.tokenization.tokenizer import load_tokenizer
from multitask.tokenization.vocabulary import mixture_texts, mixture_tokenizer, mixture_vocabulary

ROWS = 150


def made_of(texts, split="train", target="red blue"):
    return Examples("toy_text", split, tuple(Example(text, target, id=f"{i}") for i, text in enumerate(texts)))


EXAMPLES = made_of([f"red blue {i} green round" for i in range(ROWS)])


def same(one, two):
    arrays = [
        [t.inputs.ids, t.inputs.starts, t.targets.ids, t.targets.starts, np.array([t.cut_inputs, t.cut_targets])]
        for t in (one, two)
    ]
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(*arrays, strict=True))


class Kept:
    """A cache in a folder of its own, and what it said."""

    def __init__(self, folder, tokenizer):
        self.folder, self.tokenizer, self.said = folder, tokenizer, []

    def tokenized(self, task, examples=EXAMPLES, tokenizer=None):
        return TokenCache(Cache(self.folder, self.said.append), tokenizer or self.tokenizer).tokenized(task, examples)

    @property
    def files(self):
        return sorted(self.folder.glob("*.entry"))


@pytest.fixture
def kept(tmp_path, tokenizer):
    return Kept(tmp_path / "kept", tokenizer)


@pytest.fixture
def task(toy_task):
    return toy_task("text", max_input_tokens=12)


# ------------------------------------------------------------------------------------------------ the same, only faster


def test_what_is_kept_is_what_the_tokenizer_gives(kept, task, monkeypatch):
    fresh = tokenize_task(kept.tokenizer, task, EXAMPLES)
    assert fresh.cut_inputs > 0
    first = kept.tokenized(task)
    monkeypatch.setattr(
        "multitask.tokenization.token_cache.tokenize_task", None
    )  # from here on nothing can be tokenised
    second = kept.tokenized(task)
    assert same(first, fresh)
    assert same(second, fresh)
    assert kept.said == []


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), min_size=1, max_size=30), st.data())
def test_any_texts_come_back(tokenizer, toy_task, tmp_path_factory, texts, data):
    repeated = data.draw(st.lists(st.sampled_from(texts), min_size=KEPT_FROM, max_size=KEPT_FROM))
    limit = data.draw(st.integers(2, 9))
    task, examples = toy_task("text", max_input_tokens=limit), made_of(repeated)
    kept = Kept(tmp_path_factory.mktemp("any"), tokenizer)
    whole = [tokenizer(text)["input_ids"] for text in repeated]
    expected = [ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]] for ids in whole]
    for _ in range(2):
        made = kept.tokenized(task, examples)
        assert [made.inputs[i].tolist() for i in range(len(made))] == expected
        assert made.cut_inputs == sum(len(ids) > limit for ids in whole)
    assert len(kept.files) == 1


def test_kept_arrays_are_mapped_and_cannot_be_written_to(kept, task):
    for made in (kept.tokenized(task), kept.tokenized(task)):
        for array in (made.inputs.ids, made.inputs.starts, made.targets.ids, made.targets.starts):
            assert not array.flags.owndata
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0
        assert made.inputs.ids.dtype == np.int32


def test_a_few_examples_are_not_kept(kept, task):
    few = made_of([f"red {i}" for i in range(KEPT_FROM - 1)])
    assert same(kept.tokenized(task, few), tokenize_task(kept.tokenizer, task, few))
    assert not kept.folder.exists()
    kept.tokenized(task, made_of([f"red {i}" for i in range(KEPT_FROM)]))
    assert len(kept.files) == 1


def test_progress_counts_every_row_once_with_and_without_a_cache(kept, task):
    repeated = made_of([f"red {i % 7}" for i in range(ROWS)])
    for _ in range(2):
        seen = []
        TokenCache(Cache(kept.folder), kept.tokenizer).tokenized(task, repeated, seen.append)
        assert sum(seen) == ROWS


def test_a_sentence_says_what_was_read_and_kept(kept, task):
    def summary(*parts):
        cache = TokenCache(Cache(kept.folder), kept.tokenizer)
        for part in parts:
            cache.tokenized(task, part)
        return cache.summary()

    other = made_of([f"blue {i}" for i in range(ROWS)])
    assert summary(made_of(["red"])) is None
    assert summary(EXAMPLES) == f"tokens of 1 split kept in {kept.folder} for the next run (14.4 kB)"
    assert summary(EXAMPLES) == f"tokens of 1 split read from {kept.folder} (14.4 kB)"
    both = summary(EXAMPLES, other)
    assert both.startswith(f"tokens of 1 split read from {kept.folder}, of 1 split kept there for the next run (")


# -------------------------------------------------------------------------------------------------- what names an entry


def test_whatever_changes_the_ids_has_an_entry_of_its_own(kept, task, tmp_path):
    from multitask.tokenization.train_vocabulary import train_vocabulary

    train_vocabulary([f"red blue green round {i}" for i in range(50)], 90, tmp_path / "other")
    other = load_tokenizer(str(tmp_path / "other"))
    more = load_tokenizer(str(tmp_path / "other"))
    more.add_tokens(["greenround"])
    changed = made_of([*(e.inputs for e in EXAMPLES[:-1]), "another"])
    cases = [
        (task, EXAMPLES, None),
        (task.replace(name="other"), EXAMPLES, None),
        (task.replace(version=2), EXAMPLES, None),
        (task.replace(max_input_tokens=13), EXAMPLES, None),
        (task.replace(max_target_tokens=2), EXAMPLES, None),
        (task, changed, None),
        (task, EXAMPLES, other),
        (task, EXAMPLES, more),
    ]
    for number, (t, examples, tok) in enumerate(cases, start=1):
        assert same(kept.tokenized(t, examples, tok), tokenize_task(tok or kept.tokenizer, t, examples))
        assert len(kept.files) == number
    for t, examples, tok in cases:
        assert same(kept.tokenized(t, examples, tok), tokenize_task(tok or kept.tokenizer, t, examples))
    assert len(kept.files) == len(cases)
    assert kept.said == []


def test_entries_of_another_format_are_not_read(kept, task, monkeypatch):
    kept.tokenized(task)
    monkeypatch.setattr(cache_module, "FORMAT", cache_module.FORMAT + 1)
    kept.tokenized(task)
    assert len(kept.files) == 2


def test_a_tokenizer_is_known_again_wherever_it_lies_and_whatever_it_was_used_for(tokenizer, tmp_path):
    before = tokenizer_identity(tokenizer)
    tokenizer(["red", "blue and green"], padding=True, truncation=True, max_length=3)
    tokenizer.save_pretrained(tmp_path / "saved")
    assert before is not None
    assert tokenizer_identity(tokenizer) == before
    assert tokenizer_identity(load_tokenizer(str(tmp_path / "saved"))) == before


def test_byte_tokenizers_are_told_apart_by_their_special_tokens(bytes_tokenizer):
    from transformers import ByT5Tokenizer

    assert tokenizer_identity(bytes_tokenizer) == tokenizer_identity(ByT5Tokenizer())
    assert tokenizer_identity(bytes_tokenizer) != tokenizer_identity(ByT5Tokenizer(extra_ids=10))


def test_of_a_tokenizer_of_unknown_code_nothing_is_kept(kept, task):
    inner = kept.tokenizer

    class Own:
        def __call__(self, *args, **kwargs):
            return inner(*args, **kwargs)

    assert same(kept.tokenized(task, tokenizer=Own()), tokenize_task(inner, task, EXAMPLES))
    assert not kept.folder.exists()


# ---------------------------------------------------------------------------------------------------- what can go wrong


def flip(path, at, bit=0):
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)


def parts_of(path):
    """A place in each part of the file: the head, the header, and each array."""
    header, end = cache_module._header(path)
    places = {"head": 3, "checksum of the header": 13, "header": 40}
    for one in header["arrays"]:
        end += -end % 64
        size = one["count"] * np.dtype(one["dtype"]).itemsize
        places[one["name"]] = end + size // 2
        end += size
    return places


def test_any_flipped_bit_is_noticed_and_the_entry_is_made_again(kept, task):
    fresh = kept.tokenized(task)
    (path,) = kept.files
    whole = path.read_bytes()
    for name, at in parts_of(path).items():
        for bit in (0, 7):
            flip(path, at, bit)
            kept.said.clear()
            assert same(kept.tokenized(task), fresh), name
            assert len(kept.said) == 1, name
            assert kept.said[0].startswith(f"cache: {path} is damaged ("), name
            assert kept.said[0].endswith("); it is made again."), name
            assert path.read_bytes() == whole, name
            kept.said.clear()
            assert same(kept.tokenized(task), fresh)
            assert kept.said == []


@pytest.mark.parametrize(
    ("share", "reason"),
    [
        (0.0, "it does not begin as an entry"),
        (0.01, "its header is not as it was written"),
        (0.5, "it has {have} bytes and should have {want}"),
        (0.999, "it has {have} bytes and should have {want}"),
    ],
)
def test_a_truncated_entry_is_noticed_and_made_again(kept, task, share, reason):
    fresh = tokenize_task(kept.tokenizer, task, EXAMPLES)
    kept.tokenized(task)
    (path,) = kept.files
    whole = path.read_bytes()
    part = whole[: int(share * len(whole))]
    path.unlink()  # what is mapped is not cut under the hands of those who read it
    path.write_bytes(part)
    assert same(kept.tokenized(task), fresh)
    shown = reason.format(have=f"{len(part):,}", want=f"{len(whole):,}")
    assert kept.said == [f"cache: {path} is damaged ({shown}); it is made again."]
    assert path.read_bytes() == whole


def test_an_entry_under_another_ones_name_is_noticed(kept, task):
    fresh = tokenize_task(kept.tokenizer, task, EXAMPLES)
    kept.tokenized(task)
    (path,) = kept.files
    kept.tokenized(task.replace(max_input_tokens=4))
    (other,) = set(kept.files) - {path}
    os.replace(other, path)
    assert same(kept.tokenized(task), fresh)
    assert kept.said == [f"cache: {path} is damaged (it is another entry's); it is made again."]


def test_a_writer_that_dies_leaves_nothing_that_is_read(kept, task, monkeypatch):
    fresh = tokenize_task(kept.tokenizer, task, EXAMPLES)
    write = cache_module._write

    def dies(path, header, arrays):
        write(path, header, arrays)
        os.truncate(path, 100)
        raise KeyboardInterrupt

    monkeypatch.setattr(cache_module, "_write", dies)
    with pytest.raises(KeyboardInterrupt):
        kept.tokenized(task)
    assert list(kept.folder.iterdir()) == []
    monkeypatch.setattr(cache_module, "_write", write)
    assert same(kept.tokenized(task), fresh)
    assert kept.said == []


def test_what_was_left_half_written_is_not_read_and_goes_with_clear(kept, task):
    kept.tokenized(task)
    (path,) = kept.files
    half = path.with_name(f".{path.name}.abcdef.entry")
    half.write_bytes(path.read_bytes()[:100])
    assert [e.path for e in entries(kept.folder)] == [path]
    clear(kept.folder)
    assert half.exists()  # another run may be writing it
    os.utime(half, (time.time() - 7200,) * 2)
    clear(kept.folder)
    assert not half.exists()


def test_a_folder_that_cannot_be_made_is_said_once_and_the_run_goes_on(tmp_path, tokenizer, task):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "cache"
    said = []
    cache = TokenCache(Cache(folder, said.append), tokenizer)
    for part in (EXAMPLES, made_of([f"blue {i}" for i in range(ROWS)])):
        assert same(cache.tokenized(task, part), tokenize_task(tokenizer, task, part))
    assert cache.summary() is None
    assert said == [f"cache: {folder} cannot be written (Not a directory); going on without it."]


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_said_and_the_run_goes_on(kept, task):
    kept.folder.mkdir(mode=0o500)
    assert same(kept.tokenized(task), tokenize_task(kept.tokenizer, task, EXAMPLES))
    assert kept.said == [f"cache: {kept.folder} cannot be written (Permission denied); going on without it."]


def test_a_full_disk_is_said_and_leaves_no_file(kept, task, monkeypatch):
    def full(path, header, arrays):
        path.write_bytes(b"some of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_module, "_write", full)
    assert same(kept.tokenized(task), tokenize_task(kept.tokenizer, task, EXAMPLES))
    assert kept.said == [f"cache: {kept.folder} cannot be written (No space left on device); going on without it."]
    assert list(kept.folder.iterdir()) == []


def test_one_who_is_second_where_open_files_cannot_be_replaced_uses_what_the_first_wrote(kept, task, monkeypatch):
    first = kept.tokenized(task)
    monkeypatch.setattr(Cache, "read", lambda *_: None)  # as if it had not been there when it was looked for
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(13, "in use")))
    assert same(kept.tokenized(task), first)
    assert kept.said == []
    assert len(list(kept.folder.iterdir())) == 1


def test_clearing_does_not_take_away_what_a_run_has_open(kept, task):
    made, fresh = kept.tokenized(task), tokenize_task(kept.tokenizer, task, EXAMPLES)
    clear(kept.folder)
    assert kept.files == []
    assert same(made, fresh)


_PROCESS = """
import sys
from pathlib import Path
from multitask.tokenization.disk_cache import Cache
from multitask.examples.dataset import Examples
from multitask.metrics import resolve_metrics
from multitask.task import Example, Task
from multitask.tokenization.token_cache import TokenCache
from multitask.tokenization.tokenizer import load_tokenizer

vocabulary, folder, go = sys.argv[1:]
tokenizer = load_tokenizer(vocabulary)
task = Task("toy_text", lambda row: None, metrics=resolve_metrics(["exact_match"]), max_input_tokens=12)
made = [Example(f"red blue {i} green round", "red", id=str(i)) for i in range(5000)]
examples = Examples("toy_text", "train", tuple(made))


def say(line):
    print("said", line, flush=True)


print("ready", flush=True)
while not Path(go).exists():
    pass
for _ in range(8):
    made = TokenCache(Cache(Path(folder), say), tokenizer).tokenized(task, examples)
    print(int(made.inputs.ids.sum()), len(made.targets.ids), made.inputs.ids.flags.owndata, flush=True)
    for path in Path(folder).glob("tokens-*.entry"):  # "*.entry" would also take what another is writing
        path.unlink(missing_ok=True)
"""


def test_processes_that_make_and_delete_the_same_entry_at_once_all_get_it_whole(tmp_path, tokenizer):
    tokenizer.save_pretrained(tmp_path / "vocabulary")
    go = tmp_path / "go"
    command = [sys.executable, "-c", _PROCESS, str(tmp_path / "vocabulary"), str(tmp_path / "kept"), str(go)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    go.write_text("")
    told = [process.communicate(timeout=120)[0].splitlines() for process in started]
    assert [process.returncode for process in started] == [0, 0]
    sums = {tuple(line.split()[:2]) for lines in told for line in lines}
    assert [len(lines) for lines in told] == [8, 8]
    assert len(sums) == 1
    assert not list((tmp_path / "kept").glob(".*"))


# -------------------------------------------------------------------------------------------------------- vocabularies


@pytest.fixture
def mix():
    from multitask.config import TrainConfig
    from multitask.config_checks import fill_defaults

    return prepare_mixture(fill_defaults(TrainConfig(tasks="span,sst2", trainer={"max_steps": 2}), from_scratch=True))


def test_a_vocabulary_is_trained_once_and_its_bytes_are_those_without_a_cache(mix, tmp_path):
    from multitask.tokenization.train_vocabulary import vocabulary_bytes

    begun = []
    cache = Cache(tmp_path)
    made = [mixture_vocabulary(mix, 300, cache, lambda: begun.append(1)) for _ in range(2)]
    assert made[0] == made[1] == vocabulary_bytes(mixture_texts(mix), 300)
    assert len(begun) == 1
    mixture_vocabulary(mix, 310, cache, lambda: begun.append(1))
    assert len(begun) == 2


def test_a_damaged_vocabulary_is_trained_again(mix, tmp_path):
    said, begun = [], []
    cache = Cache(tmp_path, said.append)
    first = mixture_vocabulary(mix, 300, cache)
    (path,) = tmp_path.glob("vocabulary-*.entry")
    flip(path, path.stat().st_size // 2)
    assert mixture_vocabulary(mix, 300, cache, lambda: begun.append(1)) == first
    assert len(begun) == len(said) == 1


def test_two_mixtures_have_two_vocabularies(mix, tmp_path):
    import dataclasses

    turned = dataclasses.replace(mix, data=dict(reversed(mix.data.items())))  # other texts first, other ids
    for one in (mix, turned):
        mixture_vocabulary(one, 300, Cache(tmp_path))
    assert len(list(tmp_path.glob("*.entry"))) == 2


def test_the_tokenizer_of_a_run_is_the_same_with_and_without_a_cache(mix, tmp_path):
    from multitask.config import TrainConfig

    config = TrainConfig(vocab_size=300)
    made = [mixture_tokenizer(config, mix, cache) for cache in (Cache(tmp_path), Cache(tmp_path), Cache(None))]
    assert len({tokenizer_identity(one) for one in made}) == 1


# ------------------------------------------------------------------------------------------------------- where it lies


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("MULTITASK_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("MULTITASK_CACHE", "~/kept")
    assert cache_folder() == Path.home() / "kept"
    monkeypatch.setenv("MULTITASK_CACHE", "off")
    assert cache_folder() is None
    monkeypatch.delenv("MULTITASK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "multitask"
    for ignored in ("", "relative/cache"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_folder() == Path.home() / ".cache" / "multitask"


def test_tests_never_use_the_users_cache():
    folder = cache_folder()
    assert folder is not None
    assert not folder.is_relative_to(Path.home() / ".cache")


def test_off_keeps_nothing(task, tokenizer, monkeypatch):
    monkeypatch.setenv("MULTITASK_CACHE", "off")
    made = TokenCache(Cache(), tokenizer).tokenized(task, EXAMPLES)
    assert same(made, tokenize_task(tokenizer, task, EXAMPLES))


# ----------------------------------------------------------------------------------------------------- multitask cache


@pytest.fixture
def folder(tmp_path, monkeypatch, tokenizer, task):
    """A cache with two splits, used 3 days and 2 hours ago."""
    where = tmp_path / "cache"
    monkeypatch.setenv("MULTITASK_CACHE", str(where))
    for split, days in (("train", 3.0), ("validation", 2 / 24)):
        before = set(where.glob("*"))
        TokenCache(Cache(), tokenizer).tokenized(task, made_of([f"{split} {i}" for i in range(ROWS)], split))
        (new,) = set(where.glob("*")) - before
        os.utime(new, (time.time() - days * 86_400 - 60,) * 2)
    (where / "notes.txt").write_text("not ours")
    return where


def run(capsys, *words):
    code = main(["cache", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_list_shows_task_split_rows_tokens_size_and_age(folder, capsys):
    code, out, _ = run(capsys)
    lines = [line.split() for line in out.splitlines()]
    shown = {line[1]: line for line in lines if line[:1] == ["toy_text"]}
    assert code == 0
    assert shown["train"][:4] == ["toy_text", "train", "tokens", "150"]
    assert " ".join(shown["train"]).endswith("3 days ago")
    assert " ".join(shown["validation"]).endswith("2 hours ago")
    total = sum(p.stat().st_size for p in folder.glob("*.entry"))
    assert out.splitlines()[-1] == f"2 entries ({total / 1000:.1f} kB) in {folder}"


def test_the_list_is_also_json(folder, capsys):
    found = json.loads(run(capsys, "--format", "json")[1])
    assert found["folder"] == str(folder)
    assert [e["split"] for e in found["entries"]] == ["validation", "train"]
    assert found["bytes"] == sum(e["bytes"] for e in found["entries"])
    made = found["entries"][0]
    assert {"kind": "tokens", "task": "toy_text", "rows": 150}.items() <= made.items()
    assert made["tokens"] > 150
    assert (folder / made["file"]).is_file()


def test_an_empty_cache_is_no_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MULTITASK_CACHE", str(tmp_path / "none"))
    assert run(capsys) == (0, f"0 entries (0.0 kB) in {tmp_path / 'none'}\n", "")
    assert run(capsys, "clear") == (0, f"deleted 0 entries (0.0 kB) in {tmp_path / 'none'}\n", "")
    assert not (tmp_path / "none").exists()


def test_a_damaged_entry_is_listed_as_such(folder, capsys):
    (folder / ("tokens-" + "0" * 32 + ".entry")).write_bytes(b"nonsense")
    out = run(capsys)[1]
    assert any(line.split()[:3] == ["·", "·", "damaged"] for line in out.splitlines())


def test_clear_deletes_entries_and_nothing_else(folder, capsys):
    total = sum(p.stat().st_size for p in folder.glob("*.entry"))
    assert run(capsys, "clear") == (0, f"deleted 2 entries ({total / 1000:.1f} kB) in {folder}\n", "")
    assert [p.name for p in folder.iterdir()] == ["notes.txt"]


def test_clear_can_spare_what_was_used_lately(folder, capsys):
    code, out, _ = run(capsys, "clear", "--older-than", "1.5")
    assert (code, out.startswith("deleted 1 entry (")) == (0, True)
    assert [e.about["split"] for e in entries(folder)] == ["validation"]


def test_using_an_entry_makes_it_young(folder, capsys, tokenizer, task):
    TokenCache(Cache(), tokenizer).tokenized(task, made_of([f"train {i}" for i in range(ROWS)], "train"))
    assert run(capsys, "clear", "--older-than", "1")[1] == f"deleted 0 entries (0.0 kB) in {folder}\n"


def test_what_cannot_be_deleted_is_said(folder, capsys, monkeypatch):
    def refuse(self, missing_ok=False):
        raise PermissionError(13, "in use")

    total = sum(p.stat().st_size for p in folder.glob("*.entry"))
    monkeypatch.setattr(Path, "unlink", refuse)
    code, out, err = run(capsys, "clear")
    assert (code, out) == (2, f"deleted 0 entries (0.0 kB) in {folder}\n")
    assert err == (
        f"multitask: error: 2 entries ({total / 1000:.1f} kB) in {folder} could not be deleted: "
        "they are in use, or another user's.\n"
    )


def test_a_cache_that_cannot_be_read_is_said(folder, capsys, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    for words in ([], ["clear"]):
        assert run(capsys, *words) == (
            2,
            "",
            f"multitask: error: the cache {folder} cannot be read: Permission denied.\n",
        )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["clear", "--older-than", "-1"], "--older-than must be 0 days or more. Got -1."),
        (["clear", "--older-than", "nan"], "--older-than must be 0 days or more. Got nan."),
        (["clear", "--older-than", "week"], "--older-than must be a number. Got 'week'."),
        (["clean"], "unexpected argument 'clean': options begin with --."),
    ],
)
def test_mistakes_are_one_sentence(capsys, words, message):
    assert run(capsys, *words) == (2, "", f"multitask: error: {message}\n")


def test_without_a_cache_the_command_says_so(monkeypatch, capsys):
    monkeypatch.setenv("MULTITASK_CACHE", "off")
    message = "there is no cache: MULTITASK_CACHE is 'off', or the user has no home folder."
    for words in ([], ["clear"]):
        assert run(capsys, *words) == (2, "", f"multitask: error: {message}\n")


# ---------------------------------------------------------------------------------------------------------- a whole run


def test_a_second_run_neither_trains_a_vocabulary_nor_tokenises_and_gives_the_same_weights(
    tmp_path, monkeypatch, capsys
):
    import torch
    from safetensors.torch import load_file

    from multitask import train

    monkeypatch.setenv("MULTITASK_CACHE", str(tmp_path / "cache"))
    settings = {"tasks": "sst2", "validation_rows": 120, "vocab_size": 300, "trainer": {"max_steps": 2}}

    def weights(name):
        train(**settings, out=str(tmp_path / name))
        return load_file(tmp_path / name / "model" / "model.safetensors"), capsys.readouterr().out

    first, said = weights("one")
    assert "training a vocabulary on the mixture's text …\n" in said
    assert f"tokens of 1 split kept in {tmp_path / 'cache'} for the next run (" in said
    monkeypatch.setattr("multitask.tokenization.token_cache.tokenize_task", None)
    monkeypatch.setattr("multitask.tokenization.vocabulary.vocabulary_bytes", None)
    second, said = weights("two")
    assert "training a vocabulary" not in said
    assert f"tokens of 1 split read from {tmp_path / 'cache'} (" in said
    monkeypatch.undo()
    monkeypatch.setenv("MULTITASK_CACHE", "off")
    third, said = weights("three")
    assert "tokens of" not in said
    for other in (second, third):
        assert first.keys() == other.keys()
        assert all(torch.equal(first[name], other[name]) for name in first)


def test_a_run_whose_cache_cannot_be_written_says_so_and_ends_well(tmp_path, monkeypatch, capsys):
    from multitask import train

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MULTITASK_CACHE", str(tmp_path / "file"))
    train(tasks="sst2", validation_rows=120, vocab_size=300, trainer={"max_steps": 1}, out=str(tmp_path / "run"))
    said = capsys.readouterr().out.splitlines()
    reason = "File exists"
    assert said.count(f"cache: {tmp_path / 'file'} cannot be written ({reason}); going on without it.") == 1
    assert (tmp_path / "run" / "metrics.json").is_file()
