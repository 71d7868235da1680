"""The words of a command line as jsonargparse wants them, and the presets that `--config` knows by name."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.registry import did_you_mean
from multitask.storage.paths import expanded


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
            if not (value if equals else waiting and not waiting[0].startswith("--")):
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
