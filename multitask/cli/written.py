"""Settings as they are written, of which jsonargparse would make something else.

It reads each value as YAML once more and then looks whether the setting may be that: `null` becomes nothing where a
folder may be called so, `price: EUR` is no column's name, 1:30 a number. So lists and dictionaries come to it with all
text in quotation marks, and what may be text or nothing, the columns and the Trainer's options are taken from here.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from multitask.config import TrainConfig, flag
from multitask.errors import UserError
from multitask.storage.yaml_files import dump_yaml, load_yaml
from multitask.terminal.escaping import shown

HINTS: Mapping[str, Any] = typing.get_type_hints(TrainConfig)
"""{setting: type}."""
_TEXTS = frozenset(name for name, hint in HINTS.items() if hint == str | None)


def quoted(words: Sequence[str]) -> list[str]:
    """The words of a command line with their lists and dictionaries in quotation marks.

    >>> quoted(["--per_step", "{no: 2}", "--tasks=[no, 1e3]"])
    ['--per_step', '{"no": 2}', '--tasks=["no", "1e3"]']
    """
    out: list[str] = []
    for option, value, form in _options(words):
        collection = option in HINTS and ("list" in str(HINTS[option]) or "dict" in str(HINTS[option]))
        if collection and value is not None and value.lstrip().startswith(("[", "{")):
            value = dump_yaml(_read(option, value), quoted=True, flow=True).strip()
        out += form(value)
    return out


def readable(words: Sequence[str]) -> list[str]:
    """The words without the columns whose names jsonargparse would not take for text."""
    out: list[str] = []
    for option, value, form in _options(words):
        if not (option.startswith("columns.") and value is not None and not _is_plain(value)):
            out += form(value)
    return out


def readable_settings(settings: Any) -> str:
    """Write the settings in a config file as YAML that jsonargparse reads as they are meant."""
    if isinstance(settings, dict) and isinstance(settings.get("columns"), dict):
        plain = {
            task: {k: v for k, v in names.items() if not isinstance(v, str) or _is_plain(v)}
            for task, names in settings["columns"].items()
            if isinstance(names, dict)
        }
        settings = {**settings, "columns": {**settings["columns"], **plain}}
    return dump_yaml(settings, quoted=True)


def as_written(words: Sequence[str], files: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The settings that jsonargparse may not read, as the words say them, the later ones first.

    Args:
        words: Of `quoted`.
        files: {config file: its settings}, checked.
    """
    found: dict[str, Any] = {"columns": {}, "trainer": {}}
    for option, value, _ in _options(words):
        if value is None:
            continue
        name, _, rest = option.partition(".")
        if name == "config":
            said = {key: one for key, one in files[value].items() if key in _TEXTS or key in found}
        elif name in _TEXTS and not rest:
            said = {name: value}
        elif name == "trainer":
            said = {name: {rest: value} if rest else value}
        elif name == "columns":
            task, dot, column = rest.partition(".")
            said = {name: {task: {column: value} if dot else _read(option, value)} if rest else _read(option, value)}
        else:
            continue
        for key, one in said.items():
            found[key] = one if key in _TEXTS else _merged(found[key], load_yaml(one) if isinstance(one, str) else one)
    return found


def _merged(before: dict[str, Any], now: Mapping[str, Any] | None) -> dict[str, Any]:
    new = {
        k: {**before[k], **v} if isinstance(v, dict) and isinstance(before.get(k), dict) else v
        for k, v in (now or {}).items()
    }
    return {**before, **new}


def _options(words: Sequence[str]) -> Iterator[tuple[str, str | None, Any]]:
    """(option without its hyphens, its value if it has one, the words that say so with another value)."""
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        option, equals, value = word.partition("=")
        if not option.startswith("--"):
            yield "", None, lambda _, word=word: [word]
        elif equals:
            yield option[2:], value, lambda value, option=option: [f"{option}={value}"]
        elif waiting and not waiting[0].startswith("--"):
            yield option[2:], waiting.pop(0), lambda value, option=option: [option, value]
        else:
            yield option[2:], None, lambda _, option=option: [option]


def _read(option: str, value: str) -> Any:
    import yaml

    try:
        return load_yaml(value, HINTS[option] if option in HINTS else dict[str, str])  # else of one task's columns
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{flag(option)} {shown(value)} is not YAML: {problem}.") from error


def _is_plain(text: str) -> bool:
    """Whether jsonargparse takes it for text."""
    import yaml

    try:
        return bool(load_yaml(text) == text)
    except yaml.YAMLError:
        return True
