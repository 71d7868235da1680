"""One clear sentence for whatever argparse and jsonargparse find wrong with the words of a command line."""

from __future__ import annotations

import re
import shlex
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from multitask.cli.synonyms import meant_option
from multitask.config import TrainConfig, flag
from multitask.registry import did_you_mean


def error_sentence(message: str, parser: Any) -> str:
    """Say an error of argparse or jsonargparse, often of several lines and in Python's types, as one sentence."""
    text = " ".join(message.split())
    rules: list[tuple[str, Callable[[re.Match[str]], str]]] = [
        (r'Parser key "(?P<name>[\w.]+)": .*(?:Got|Given) value: (?P<value>.*)', lambda m: _wrong_value(m, parser)),
        (r"argument (?P<name>--[\w-]+).*: expected one argument", lambda m: f"{_hyphens(m['name'])} needs a value."),
        (
            r"argument (?P<name>--[\w-]+|[A-Z_]+).*: invalid choice: (?P<value>.*) \(choose from (?P<known>.*)\)",
            lambda m: f"{m['name']} must be one of {m['known'].replace(chr(39), '')}. Got {m['value']}.",
        ),
        (
            r"argument (?P<name>--[\w-]+).*: invalid (?P<kind>\w+) value: (?P<value>.*)",
            lambda m: f"{m['name']} must be {_NAMES.get(m['kind'], m['kind'])}. Got {m['value']}.",
        ),
        (
            r"argument (?P<name>--[\w-]+).*: ignored explicit argument (?P<value>.*)",
            lambda m: f"{m['name']} takes no value. Got {m['value']}.",
        ),
        (
            r"the following arguments are required: (?P<names>.*)",
            lambda m: f"{m['names']} must be given; {parser.prog} --help shows how.",
        ),
        (r"[Uu]nrecognized arguments: (?P<words>.*)", lambda m: _unrecognized(m["words"], parser)),
        (r".*nested key.*?(?P<words>--[\w.-]+)", lambda m: _unrecognized(m["words"], parser)),
    ]
    for pattern, say in rules:
        match = re.match(pattern, text)
        if match:
            return say(match)
    return text


_NAMES = {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false"}


def _wrong_value(match: re.Match[str], parser: Any) -> str:
    name, value = match["name"].split(".")[0], match["value"]
    nested = re.fullmatch(r"NestedArg\(key='(.*)', val='?(.*?)'?\)", value)
    if nested and name in ("columns", "per_step", "trainer", "loss_weights", "scale", "rate_schedule"):
        value = nested[2]
    elif nested:
        return f"{flag(name)} takes one value, and no name after a dot. Got {flag(name)}.{nested[1]}."
    own = next((getattr(action, "_typehint", action.type) for action in parser._actions if action.dest == name), None)
    return f"{flag(name)} must be {_expected(name, own)}. Got {value!r}."


def _expected(name: str, own: Any = None) -> str:
    """The values that a setting may have, in words; of an option that is none of the settings, its type.

    >>> _expected("seed"), _expected("loss"), _expected("loss_weights")
    ('a whole number', 'one of task, token, example', 'a number for each task, as in --loss-weights.sst2 2')
    """
    special = {
        "columns": "names of columns, as in --columns.sst2.sentence text",
        "per_step": "a number, or one for each task as in --per-step.sst2 2",
        "rate_schedule": "rates by fraction of the steps, as in {0: {sst2: 1, span: 3}, 1: {sst2: 1, span: 1}}",
        "trainer": "options of Lightning's Trainer, as in --trainer.max_steps 500",
    }
    if name in special:
        return special[name]
    hint = typing.get_type_hints(TrainConfig).get(name, own)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(typing.get_args(hint))
    if typing.get_origin(hint) is dict:
        return f"a number for each task, as in {flag(name)}.sst2 2"
    if typing.get_origin(hint) is list:
        return "one value or several, separated by commas"
    return _NAMES.get(getattr(hint, "__name__", ""), "another value")


def _unrecognized(words: str, parser: Any) -> str:
    """For an unknown option the nearest known ones; for anything else what it may have been meant as."""
    first = words.split()[0]
    if not first.startswith("-"):
        return f"unexpected argument '{first}': {_meant_word(first, parser)}"
    option = _hyphens(first.split("=")[0])
    name = option[2:].replace("-", "_")
    known = [_hyphens(o) for action in parser._actions for o in action.option_strings if o.startswith("--")]
    if "--trainer" in known:
        known.append("--steps")
    meant = meant_option(name, known)
    if meant is not None:
        return f"unknown option {option}: {meant}."
    hint = did_you_mean(option, sorted({k for k in known if not k.endswith("+")}), listed=0)
    return f"unknown option {option}: {hint if hint.startswith('did') else f'{parser.prog} --help shows them all.'}"


def _meant_word(word: str, parser: Any) -> str:
    """The option that a word that stands alone may have been meant as, written as it is here."""
    options = {option for action in parser._actions for option in action.option_strings}
    if word == "help":
        return f"{parser.prog} --help shows the options."
    if "--resume" in options and (Path(word) / "config.yaml").is_file():
        return f"--resume {shlex.quote(word)} continues that run."
    if "--tasks" in options:
        return "options begin with --, and tasks follow --tasks, separated by commas, as in --tasks span,sst2."
    if "--task" in options:
        return "options begin with --, and texts come from standard input or --input FILE."
    return "options begin with --."


def _hyphens(option: str) -> str:
    head, dot, rest = option.partition(".")
    return head.replace("_", "-") + dot + rest
