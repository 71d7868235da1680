"""What a function does, as a digest: what changes it and what does not, in other processes too."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from multitask.runs.code_digest import OURS, VERSION, code_digest, same_code

PLAIN = '''
import functools, re
import helper_of_digest as helper

LABELS = ["no", "yes"]
SEEN, COUNT, CACHE = [], 0, {}
WORD = re.compile(r"\\w+")

class Cleaner:
    def __init__(self, lower):
        self.lower, self.seen = lower, {}
    def __call__(self, text):
        self.seen[text] = 1
        return text.lower() if self.lower else text

clean = Cleaner(True)

@functools.cache
def strip(text):
    return text.strip()

def later(row):
    return below(row)

def formatter(row, split="train"):
    """What it gives."""
    global COUNT
    COUNT += 1
    SEEN.append(row["id"])
    CACHE[row["id"]] = strip(row["text"])
    text = helper.shorten(clean(row["text"]))
    try:
        words = [later(w) for w in WORD.findall(text) if w in {"a", "b", "c", "d"}]
    except ValueError:
        words = []
    return " ".join(words), LABELS[row["label"]]

def below(row):
    return row[0]
'''
HELPER = """
def shorten(text):
    return text[:LONGEST]
def other(text):
    return 1
LONGEST = 20
"""


def module(name: str, text: str) -> types.ModuleType:
    made = types.ModuleType(name)
    sys.modules[name] = made
    exec(compile(text, f"/home/somebody/{name}.py", "exec"), made.__dict__)
    return made


def digest(text: str = PLAIN, helper: str = HELPER) -> str:
    try:
        module("helper_of_digest", helper)
        return str(code_digest(module("module_of_digest", text).formatter))
    finally:
        sys.modules.pop("helper_of_digest")
        sys.modules.pop("module_of_digest")


SAME = {
    "comments and blank lines": lambda t: "# a comment\n\n" + t.replace("    text =", "    # why\n\n    text ="),
    "a docstring changed": lambda t: t.replace("What it gives.", "What it gives, in other words."),
    "a docstring gone": lambda t: t.replace('    """What it gives."""\n', ""),
    "lines broken": lambda t: t.replace("WORD.findall(text) if", "WORD.findall(\n        text\n    ) if"),
    "parentheses": lambda t: t.replace('LABELS[row["label"]]', '(LABELS[(row["label"])])'),
    "other quotes": lambda t: t.replace('row["text"]', "row['text']"),
    "a local variable renamed": lambda t: t.replace("words", "found"),
    "the row renamed": lambda t: t.replace("formatter(row,", "formatter(r,").replace('row["', 'r["'),
    "another function beside it": lambda t: t + "\ndef unused(): return 1\n",
    "functions in another order": lambda t: "def below(row):\n    return row[0]\n" + t.rpartition("def below")[0],
    "other values of state": lambda t: t.replace("[], 0, {}", "[1], 5, {1: 2}"),
}
OTHER = {
    "a string": lambda t: t.replace('" ".join', '", ".join'),
    "an operator": lambda t: t.replace("if w in", "if w not in"),
    "a constant of the module": lambda t: t.replace('["no", "yes"]', '["yes", "no"]'),
    "a pattern": lambda t: t.replace(r"\\w+", r"\\S+").replace(r"\w+", r"\S+"),
    "a function it calls": lambda t: t.replace("text.strip()", "text.rstrip()"),
    "a function that one calls": lambda t: t.replace("row[0]", "row[-1]"),
    "a class it uses": lambda t: t.replace("text.lower() if", "text.upper() if"),
    "a value that an object holds": lambda t: t.replace("Cleaner(True)", "Cleaner(False)"),
    "a default": lambda t: t.replace('split="train"', 'split="test"'),
    "a parameter that is given by name": lambda t: t.replace("split=", "part="),
    "a set": lambda t: t.replace('{"a", "b", "c", "d"}', '{"a", "b", "c", "e"}'),
    "what an error leads to": lambda t: t.replace("except ValueError", "except KeyError"),
    "what is tried": lambda t: t.replace("    try:\n", "    try:\n        text = text[1:]\n"),
    "a name that is another's": lambda t: t.replace("helper.shorten", "helper.other"),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_what_changes_no_behaviour_leaves_the_digest(change):
    assert change(PLAIN) != PLAIN
    if sys.version_info[:2] == (3, 12) and change is SAME["lines broken"]:
        # Its compiler makes another loop of a comprehension on several lines, so a change is told where there is none.
        assert digest(change(PLAIN)) != digest()
        return
    assert digest(change(PLAIN)) == digest()


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
def test_what_changes_behaviour_changes_the_digest(change):
    assert change(PLAIN) != PLAIN
    assert digest(change(PLAIN)) != digest()


def test_a_neighbour_file_counts_as_far_as_it_is_used():
    assert digest(helper=HELPER.replace("LONGEST = 20", "LONGEST = 30")) != digest()
    assert digest(helper=HELPER.replace("text[:LONGEST]", "text[1:LONGEST]")) != digest()
    assert digest(helper=HELPER.replace("return 1", "return 2")) == digest()


@pytest.mark.parametrize(
    "line", ["from neighbour_of_digest import shorten", "import neighbour_of_digest as n; shorten = n.shorten"]
)
def test_what_is_imported_only_when_it_runs_counts_too(line, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    text = f"def formatter(row):\n    import json; {line}\n    return shorten(json.loads(row))\n"

    def with_neighbour(helper: str) -> Any:
        (tmp_path / "neighbour_of_digest.py").write_text(helper)
        importlib.invalidate_caches()
        for name in ("neighbour_of_digest", "module_of_digest"):
            sys.modules.pop(name, None)
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        return code_digest(module("module_of_digest", text).formatter)

    try:
        before = with_neighbour(HELPER)
        assert with_neighbour("# why\n" + HELPER.replace("return 1", "return 2")) == before
        assert with_neighbour(HELPER.replace("LONGEST = 20", "LONGEST = 30")) != before
        assert with_neighbour("raise SystemExit(3)") != before
    finally:
        sys.modules.pop("neighbour_of_digest", None)


def test_having_run_changes_nothing():
    module("helper_of_digest", HELPER)
    made = module("module_of_digest", PLAIN)
    before = code_digest(made.formatter)
    made.formatter({"id": 1, "text": "a b", "label": 0})
    assert made.SEEN == [1]
    assert code_digest(made.formatter) == before


def test_another_process_with_other_hashes_finds_the_same(tmp_path):
    text = "import sys; sys.path.insert(0, 'tests/runs'); import test_code_digest as t; print(t.digest())"
    done = [
        subprocess.run(
            [sys.executable, "-c", text],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert done == [digest(), digest()]


def closure(value: Any) -> Any:
    return lambda row: row[value]


class Formats:
    def __init__(self, key: str) -> None:
        self.key = key

    def __call__(self, row: dict[str, str]) -> str:
        return row[self.key]

    def method(self, row: dict[str, str]) -> str:
        return row[self.key] + "!"


def test_every_kind_of_callable_has_one():
    import functools
    import operator

    kinds: list[Any] = [
        *(closure("a"), closure("b"), Formats("a"), Formats("b"), Formats("a").method, Formats, len, str.strip),
        *(functools.partial(closure, "a"), functools.partial(closure, "b"), functools.cache(closure("c"))),
    ]
    assert len({code_digest(one) for one in kinds}) == len(kinds)
    assert code_digest(closure("a")) == code_digest(closure("a"))
    assert code_digest(operator.itemgetter("a"))
    assert code_digest(None) is None


def test_what_refers_to_itself_or_to_a_thousand_others_ends():
    names: dict[str, Any] = {"__name__": "long_chain"}
    lines = [f"def f{i}(x): return f{i + 1}(x)" for i in range(3000)] + ["def f3000(x): return LAST"]
    exec("\n".join(lines), names)
    one = dict(names, LAST=[1])
    exec("\n".join(lines), one)
    one["LAST"].append(one["LAST"])
    assert code_digest(one["f0"])


def test_the_projects_own_code_and_other_pythons_are_told_apart():
    from multitask.tasks.sst2 import sst2

    assert code_digest(sst2.formatter) == OURS
    assert digest().startswith(f"{VERSION}:")
    assert same_code(OURS, OURS) is True
    assert same_code(None, None) is True
    assert same_code(OURS, digest()) is False
    assert same_code(None, digest()) is False
    assert same_code("1-cpython-399:00", digest()) is None  # nobody knows
    assert same_code(f"0-{VERSION.partition('-')[2]}:00", digest()) is None
