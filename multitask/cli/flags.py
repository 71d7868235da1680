"""From the words of a command line, and the config files that they name, to settings.

Words
    option    one setting as the command line says it: `--per-step 4`, `--per_step=4`, `--trainer.max_steps 5`
    preset    a YAML file of settings that is installed with the package, called by its name
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from multitask.cli.commands import Command, asks_for_help, parser_of
from multitask.cli.mistakes import error_sentence
from multitask.cli.settings import SETTINGS, USED
from multitask.cli.spelling import resumed_run, spelled_out
from multitask.cli.synonyms import OPTIONS, meant_option
from multitask.cli.written import HINTS, as_written, quoted, readable, readable_settings
from multitask.config import TrainConfig, expand_paths, flag
from multitask.config_checks import parse_options
from multitask.errors import UserError
from multitask.registry import did_you_mean
from multitask.storage.yaml_files import load_yaml, read_yaml


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
    if run == Path():
        raise UserError("--resume needs the folder of a run, or nothing after it for the run in --out.")
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
    config = expand_paths(config)
    told = any(word.partition("=")[0] == "--data" for word in words)
    if run is not None and not told and config.data not in (None, "hub", "sample") and not Path(config.data).exists():
        raise UserError(
            f"{run} was trained with --data {config.data}, which is not there from this folder: give --data with its "
            "path."
        )
    return config, values


def _check_run(run: Path, parser: Any, included: Sequence[str]) -> dict[str, Any]:
    """The settings of a run that is to be continued; the files that it was trained with must be named by the user."""
    from multitask.runs.finished import include_error, run_config

    given = {Path(file).name for file in included}
    for file in run_config(run).include:
        if Path(file).name not in given:
            raise include_error(run, file)
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


def _check_file(path: str, parser: Any, included: Sequence[str]) -> dict[str, Any]:
    """Read a config file; what is wrong with it is said with its name, for it may be untrusted."""
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
