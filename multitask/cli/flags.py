"""From the words of a command line to settings, and one clear sentence for whatever is wrong with them.

Words
    option    one setting as the command line says it: `--per-step 4`, `--per_step=4`, `--trainer.max_steps 5`
    preset    a YAML file of settings that is installed with the package, called by its name
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from multitask.cli.commands import Command, HelpFormatter, PlainParser, asks_for_help, parser_of, wrapped
from multitask.cli.settings import SETTINGS, USED
from multitask.cli.synonyms import OPTIONS, meant_option
from multitask.cli.written import HINTS, as_written, quoted, readable, readable_settings
from multitask.config import TrainConfig, flag, located, parse_options
from multitask.errors import UserError
from multitask.home import expanded
from multitask.registry import did_you_mean
from multitask.yaml_files import load_yaml, read_yaml


def config_parser(command: str, description: str) -> Any:
    """A parser whose options are the fields of `TrainConfig`; the page of `--help` is `commands.parser_of`'s."""
    import jsonargparse

    class Parser(jsonargparse.ArgumentParser):
        def parse_path(self, path: Any, *args: Any, **kwargs: Any) -> Any:
            """A config file, in which names are what is written: jsonargparse's own reading makes 1000.0 of `1e3`."""
            return self.parse_string(readable_settings(read_yaml(Path(path), hint=HINTS)), **kwargs)

    parser = Parser(
        prog=f"multitask {command}", description=description, exit_on_error=False, allow_abbrev=False, env_prefix=False
    )
    parser.add_argument("--config", action="config", help="A YAML file of these options, or the name of a preset.")
    parser.add_class_arguments(TrainConfig, None, as_group=False)
    return parser


def plain_parser(command: str, description: str) -> argparse.ArgumentParser:
    """A parser for a command that has few options of its own; its errors are `UserError`s."""
    return PlainParser(
        prog=f"multitask {command}", description=wrapped(description), formatter_class=HelpFormatter, allow_abbrev=False
    )


def parse_command(command: Command, arguments: Sequence[str]) -> tuple[TrainConfig, dict[str, Any]]:
    """The settings of a command that has some, and the values of its own options; prints its help where that is asked.

    Raises:
        UserError: As `parse_config`, and for a setting that the command does not use.
        SystemExit: After `--help`.
    """
    if asks_for_help(arguments):
        parser_of(command).print_help()
        raise SystemExit(0)
    parser = config_parser(command.name, command.about)
    command.add_options(parser)
    if command.refuses:
        _check_used(command, arguments)
    return parse_config(parser, arguments, resumes="resume" in command.settings)


def _check_used(command: Command, arguments: Sequence[str]) -> None:
    """Refuse, by name, settings of other commands; a config file may hold them, for it serves all commands."""
    for word in spelled_out(arguments):
        name = word.partition("=")[0].partition(".")[0].removeprefix("--")
        if word.startswith("--") and name in SETTINGS - command.settings:
            users = [f"multitask {other}" for other, used in USED.items() if name in used]
            raise UserError(
                f"{flag(name)} changes nothing here: {' and '.join(users)} use{'s' if len(users) == 1 else ''} it, and "
                f"multitask {command.name} does not. Leave it out."
            )


def parse_config(parser: Any, arguments: Sequence[str], *, resumes: bool = True) -> tuple[TrainConfig, dict[str, Any]]:
    """The settings, and the values of options that are the command's own.

    Args:
        parser: From `config_parser`.
        arguments: What follows the command.
        resumes: Whether `--resume RUN` is understood: the settings of that run, and then what else is given.

    Raises:
        UserError: For an option or value that cannot be; for what is in a config file, with the file's name.
    """
    arguments, run = resumed_run(arguments)
    if run is not None and not resumes:
        raise UserError(
            f"--resume {run} is of multitask train: the same {parser.prog} command continues a study by itself."
        )
    words = quoted(spelled_out(arguments))
    included = _included(words, parser)
    configs = [path for option, path in itertools.pairwise(words) if option == "--config"]
    files = {path: _check_file(path, parser, included) for path in configs}
    if run is not None:
        if any(word.partition("=")[0] == "--out" for word in words):
            raise UserError(f"--resume {run} names the run's folder: leave --out out.")
        path = str(run / "config.yaml")
        files[path] = _check_run(run, parser, included)
        words = ["--config", path, *words, "--out", str(run)]
    values = _parsed(parser, readable(words))
    values.pop("config", None)
    settings = {f.name: values.pop(f.name) for f in dataclasses.fields(TrainConfig)}
    config = TrainConfig(**{**settings, **as_written(words, files), "include": included})
    config.trainer = parse_options(config.trainer)
    return located(config), values


def resumed_run(arguments: Sequence[str]) -> tuple[list[str], Path | None]:
    """The arguments with `--resume` alone for `--resume RUN`, and the folder; None if none is named.

    >>> resumed_run(["--resume", "runs/x", "--steps", "5"])
    (['--resume', '--steps', '5'], PosixPath('runs/x'))
    """
    out: list[str] = []
    run: str | None = None
    waiting = list(arguments)
    while waiting:
        option, equals, value = waiting.pop(0).partition("=")
        if option != "--resume":
            out.append(option + equals + value)
            continue
        if not equals and waiting and not waiting[0].startswith("--"):
            equals, value = "=", waiting.pop(0)
        if equals and value.lower() not in ("true", "false"):
            out, run = [*out, "--resume"], value
        else:
            out.append(option + equals + value)
    return out, None if run is None else Path(expanded(run))


def _check_run(run: Path, parser: Any, included: Sequence[str]) -> dict[str, Any]:
    """The settings of a run that is to be continued; the files that it was trained with must be named by the user."""
    from multitask.finished import run_config

    given = {Path(file).name for file in included}
    for file in run_config(run).include:
        if Path(file).name not in given:
            raise UserError(
                f"{run} was trained with --include {file}: give --include with its path, if you trust that file. "
                "What a run folder names is not run by itself."
            )
    return _check_file(str(run / "config.yaml"), parser, included)


def _included(words: list[str], parser: Any) -> list[str]:
    """The Python files that the command line itself names: no file that it reads may add to them."""
    if "--include" not in words:
        return []
    at = words.index("--include")
    return list(_parsed(parser, words[at : at + 2])["include"])


def _parsed(parser: Any, words: list[str]) -> dict[str, Any]:
    try:
        namespace = parser.parse_args(words)
    except argparse.ArgumentError as error:
        raise UserError(error_sentence(str(error), parser)) from error
    return dict(namespace.as_dict())


# ------------------------------------------------------------------------------------------------------------- spelling


def spelled_out(arguments: Sequence[str]) -> list[str]:
    """The arguments as jsonargparse wants them.

    Hyphens become underscores, a switch alone is true, a list may be one value or several with commas and its option
    may be repeated, a preset's name becomes its path, and `--steps` is Lightning's own name.

    >>> spelled_out(["--per-step", "4", "--resume", "--trainer.max-steps=5"])
    ['--per_step', '4', '--resume=true', '--trainer.max_steps=5']
    >>> spelled_out(["--steps", "5"])
    ['--trainer.max_steps', '5']
    >>> spelled_out(["--include", "a.py", "--include", "b.py,c.py"])
    ['--include', '["a.py", "b.py", "c.py"]']
    """
    kinds = {f.name: str(f.type) for f in dataclasses.fields(TrainConfig)}
    lists: dict[str, list[str]] = {}
    out: list[str] = []
    waiting = list(arguments)
    steps: dict[str, str] = {}
    while waiting:
        argument = waiting.pop(0)
        option, equals, value = argument.partition("=")
        if not option.startswith("--"):
            out.append(argument)
            continue
        head, dot, rest = option[2:].partition(".")
        name = head.replace("-", "_")
        if name == "trainer":  # of other options what follows the dot is a task, whose name may have a hyphen
            rest = rest.replace("-", "_")
        said = f"--{name}{dot}{rest}"
        if said in ("--steps", "--trainer.max_steps"):
            name, dot, rest = "trainer", ".", "max_steps"
            if not equals and (not waiting or waiting[0].startswith("--")):
                raise UserError(f"{said} needs a value.")
            steps[said] = value if equals else waiting[0]
        option = f"--{name}{dot}{rest}"
        kind = kinds.get(name, "")
        if kind == "bool" and not equals and not (waiting and waiting[0].lower() in ("true", "false")):
            out.append(f"{option}=true")
        elif (kind == "list[str]" or name == "config") and (equals or (waiting and not waiting[0].startswith("--"))):
            text = value if equals else waiting.pop(0)
            if name == "config":
                out += [option, str(preset(text))]
            elif text.startswith("["):
                out += [option, text]
            else:
                lists.setdefault(option, []).extend(text.split(","))
        else:
            out.append(option + equals + value)
    _check_steps(steps)
    for option, values in lists.items():
        out += [option, json.dumps(values)]
    return out


def _check_steps(given: Mapping[str, str]) -> None:
    """`--steps` and `--trainer.max_steps` are one setting: refuse two values of it under two names."""
    if len(set(given.values())) > 1:
        both = " and ".join(f"{option} {value}" for option, value in given.items())
        raise UserError(f"{both} are one setting and say two things: give one of them.")


def preset(name: str) -> Path:
    """The path of a config file: itself, or the preset of that name.

    Raises:
        UserError: If it is neither.
    """
    if Path(name).is_file():
        return Path(name)
    known = presets()
    if name in known:
        return known[name]
    raise UserError(f"--config {name} is neither a file nor a preset: {did_you_mean(name, list(known))}")


def presets() -> dict[str, Path]:
    """{name: path} of the presets."""
    import importlib.util

    spec = importlib.util.find_spec("multitask.configs")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return {path.stem: path for folder in folders for path in Path(folder).glob("*.yaml")}


def _check_file(path: str, parser: Any, included: Sequence[str]) -> dict[str, Any]:
    """What a config file says; what is wrong with it is said with its name, for it may be untrusted."""
    found = read_yaml(Path(path), f"--config {path}", HINTS)
    if not isinstance(found, dict) or not found:
        holds = "nothing" if not found else f"a {type(found).__name__}"
        raise UserError(f"--config {path} must hold settings, as in `tasks: span,sst2`. It holds {holds}.")
    known = [f.name for f in dataclasses.fields(TrainConfig)]
    for name in found:
        if name not in known:
            raise UserError(f"--config {path} has the unknown setting '{name}': {_meant_setting(str(name), known)}")
    if found.get("overwrite"):
        raise UserError(
            f"--config {path} may not ask for overwrite, which deletes: say --overwrite on the command line."
        )
    _check_plain(path, "trainer", found.get("trainer"))
    try:
        _parsed(parser, ["--config", path])
    except UserError as error:
        raise UserError(f"--config {path}: {error}") from error
    files = found.get("include") or []
    given = {Path(file).name for file in included}
    for file in [files] if isinstance(files, str) else files:
        if Path(file).name not in given:
            raise UserError(
                f"--config {path} names a Python file, {file}, and what a config names is not run by itself: "
                f"add --include {file} to the command, if you trust that file."
            )
    return found


def _meant_setting(name: str, known: Sequence[str]) -> str:
    if name in ("steps", *(one for one, hint in OPTIONS.items() if hint.startswith("--steps"))):
        return "the number of steps is `trainer: {max_steps: N}`."
    hint = meant_option(name, [flag(one) for one in known])
    return f"on the command line {hint}." if hint else did_you_mean(name, list(known))


def _check_plain(path: str, name: str, value: Any) -> None:
    """Refuse a class among Lightning's options: jsonargparse would import whatever module `class_path` names.

    It reads text in them as YAML once more, and so does this.
    """
    import yaml

    if isinstance(value, str):
        try:
            read = load_yaml(value)
        except yaml.YAMLError as error:
            raise UserError(f"--config {path}: {name} is not a plain value: {error}.") from error
        if not isinstance(read, str):
            _check_plain(path, name, read)
    elif isinstance(value, list):
        for one in value:
            _check_plain(path, name, one)
    elif isinstance(value, dict):
        if "class_path" in value:
            raise UserError(f"--config {path}: {name} names a class; a config holds plain values, and no code.")
        for key, one in value.items():
            _check_plain(path, f"{name}.{key}", one)


# --------------------------------------------------------------------------------------------------------------- errors


def error_sentence(message: str, parser: Any) -> str:
    """What argparse and jsonargparse say, often over several lines and in Python's types, as one sentence."""
    text = " ".join(message.split())
    rules: list[tuple[str, Callable[[re.Match[str]], str]]] = [
        (r'Parser key "(?P<name>[\w.]+)": .*(?:Got value|Given value): (?P<value>.*)', _wrong_value),
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


def _wrong_value(match: re.Match[str]) -> str:
    name, value = match["name"].split(".")[0], match["value"]
    nested = re.fullmatch(r"NestedArg\(key='(.*)', val='?(.*?)'?\)", value)
    if nested and name in ("columns", "per_step", "trainer", "loss_weights", "scale", "rate_schedule"):
        value = nested[2]
    elif nested:
        return f"{flag(name)} takes one value, and no name after a dot. Got {flag(name)}.{nested[1]}."
    return f"{flag(name)} must be {_expected(name)}. Got {value!r}."


def _expected(name: str) -> str:
    """What a setting may be, in words.

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
    hint = typing.get_type_hints(TrainConfig).get(name)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(typing.get_args(hint))
    if typing.get_origin(hint) is dict:
        return f"a number for each task, as in {flag(name)}.sst2 2"
    if typing.get_origin(hint) is list:
        return "one value or several, separated by commas"
    return _NAMES.get(getattr(hint, "__name__", ""), "something else")


def _unrecognized(words: str, parser: Any) -> str:
    """For an unknown option the nearest known ones; for anything else what it may have been meant as."""
    first = words.split()[0]
    if not first.startswith("-"):
        return f"unexpected argument '{first}': options begin with --, and several tasks are separated by commas."
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


def _hyphens(option: str) -> str:
    head, dot, rest = option.partition(".")
    return head.replace("_", "-") + dot + rest
