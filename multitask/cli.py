"""The command line: a sub-command is a function; nothing heavy is imported here, so that `--help` answers at once."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from multitask import __version__
from multitask.config import TrainConfig
from multitask.errors import UserError

EXIT_USER = 2
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and exit: 0 done, 2 a user's mistake (one line on standard error), 130 interrupted."""
    try:
        code = _run(list(sys.argv[1:] if argv is None else argv))
    except UserError as error:
        code = _fail(str(error))
    except KeyboardInterrupt:
        print("interrupted.", file=sys.stderr)
        code = EXIT_INTERRUPTED
    except BrokenPipeError:  # `multitask predict … | head`
        sys.stderr.close()
        code = 0
    if argv is None:
        sys.exit(code)
    return code


def _fail(message: str) -> int:
    print(f"multitask: error: {' '.join(message.split())}", file=sys.stderr)
    return EXIT_USER


def _run(arguments: list[str]) -> int:
    commands: dict[str, tuple[Callable[[list[str]], int], str]] = {
        "train": (_train, "train one model on a mixture of tasks and evaluate each"),
        "eval": (_eval, "evaluate a finished run again, or on other data"),
        "predict": (_predict, "predictions for lines of text or JSON rows"),
        "tasks": (_tasks, "list the tasks, describe one, or check data for training (tasks check)"),
        "mix": (_mix, "show the planned mixture without training"),
    }
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: multitask COMMAND [options]\n")
        print("Fine-tune one text-to-text model on many tasks, and see which tasks help and hurt each other.\n")
        for name, (_, text) in commands.items():
            print(f"  {name:9} {text}")
        print("\n`multitask COMMAND --help` shows a command's options. Example:\n")
        print("  multitask train --tasks span,sst2")
        return 0 if arguments else EXIT_USER
    if arguments[0] in ("-V", "--version"):
        print(f"multitask {__version__}")
        return 0
    name = arguments[0]
    if name not in commands:
        from multitask.registry import did_you_mean

        raise UserError(f"unknown command '{name}': {did_you_mean(name, list(commands))}")
    return commands[name][0](arguments[1:])


# ---- train ---------------------------------------------------------------------------------------------------------


def _train(arguments: list[str]) -> int:
    parser = _config_parser("train", "Train one model on a mixture of tasks and evaluate each.")
    config = _config(parser, arguments)
    from multitask.run import StoppedError, train

    _quiet_libraries()
    try:
        train(config)
    except StoppedError as error:
        print(error, file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def _mix(arguments: list[str]) -> int:
    parser = _config_parser("mix", "Show the planned mixture: rates, examples, epochs and token shares.")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="How to print it.")
    namespace = _parse(parser, arguments)
    as_json = namespace.pop("format") == "json"
    config = _as_config(namespace)
    _quiet_libraries()
    from multitask.config import check_config, resolved
    from multitask.models import is_from_scratch
    from multitask.planning import print_plan

    config = resolved(config, from_scratch=is_from_scratch(config.model))
    check_config(config)
    print_plan(config, as_json=as_json)
    return 0


def _config_parser(name: str, description: str) -> Any:
    import jsonargparse

    class Parser(jsonargparse.ArgumentParser):
        def format_help(self, *args: Any, **kwargs: Any) -> str:
            """With hyphens, which is how people write flags; underscores are understood too."""
            text = super().format_help(*args, **kwargs)
            return re.sub(r"--[a-z][a-z_]+", lambda m: m.group().replace("_", "-"), text)

    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = Parser(
        prog=f"multitask {name}", description=description, exit_on_error=False, allow_abbrev=False, env_prefix=False
    )
    parser.add_argument("--config", action="config", help="A YAML file of these options, or the name of a preset.")
    parser.add_class_arguments(TrainConfig, None, as_group=False)
    return parser


def _config(parser: Any, arguments: list[str]) -> TrainConfig:
    return _as_config(_parse(parser, arguments))


def _as_config(namespace: dict[str, Any]) -> TrainConfig:
    namespace.pop("config", None)
    config = TrainConfig(**namespace)
    from multitask.config import parse_options

    config.trainer = parse_options(config.trainer)
    return config


def _parse(parser: Any, arguments: list[str]) -> dict[str, Any]:
    """The options as a dict; what argparse and jsonargparse say over several lines becomes one."""
    import argparse

    try:
        namespace = parser.parse_args(_spelled_out(arguments))
    except argparse.ArgumentError as error:
        raise UserError(_one_line(str(error), parser)) from error
    return dict(namespace.as_dict())


def _spelled_out(arguments: list[str]) -> list[str]:
    """The arguments as jsonargparse wants them.

    Hyphens become underscores (`--per-step`), a switch alone is true (`--resume`), a list may be one value or several
    with commas and its flag may be repeated (`--include a.py --include b.py`), and a preset's name becomes its path.
    """
    fields = {f.name: f for f in dataclasses.fields(TrainConfig)}
    lists: dict[str, list[str]] = {}
    out: list[str] = []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        flag, equals, value = argument.partition("=")
        if not flag.startswith("--"):
            out.append(argument)
            continue
        head, dot, rest = flag[2:].partition(".")
        name = head.replace("-", "_")
        kind = str(fields[name].type) if name in fields else ""
        flag = f"--{name}{dot}{rest}"
        if kind == "bool" and not equals and not (waiting and waiting[0].lower() in ("true", "false")):
            out.append(f"{flag}=true")
        elif (kind == "list[str]" or name == "config") and (equals or waiting):
            text = value if equals else waiting.pop(0)
            if name == "config":
                out += [flag, str(_preset(text))]
            elif text.startswith("["):
                out += [flag, text]
            else:
                lists.setdefault(flag, []).extend(text.split(","))
        else:
            out.append(flag + equals + value)
    for flag, values in lists.items():
        out += [flag, json.dumps(values)]
    return out


def _preset(name: str) -> Path:
    from multitask.registry import did_you_mean

    if Path(name).is_file():
        return Path(name)
    import importlib.util

    spec = importlib.util.find_spec("multitask.configs")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    presets = {p.stem: p for folder in folders for p in Path(folder).glob("*.yaml")}
    if name in presets:
        return presets[name]
    raise UserError(f"--config {name} is neither a file nor a preset: {did_you_mean(name, list(presets))}")


def _one_line(message: str, parser: Any) -> str:
    """Jsonargparse's nested explanations without their Python types and line breaks."""
    from multitask.registry import did_you_mean

    text = " ".join(message.split())
    if "nrecognized arguments" in text or "does not accept nested key" in text:
        flags = [w for w in text.replace(":", " ").split() if w.startswith("--")]
        known = [o for action in parser._actions for o in action.option_strings if o.startswith("--")]
        if flags:
            flag = flags[0].split("=")[0]
            return f"unknown option {flag}: {did_you_mean(flag, known)}"
    return text.replace("Parser key ", "option ").replace("<class '", "").replace("'>", "")


# ---- using a run ----------------------------------------------------------------------------------------------------


def _eval(arguments: list[str]) -> int:
    parser = _parser("eval", "Evaluate a finished run again, or on other data.")
    parser.add_argument("run", metavar="RUN", help="the run folder")
    parser.add_argument("--tasks", help="tasks to evaluate, separated by commas; by default the run's own")
    parser.add_argument("--data", help="DIR, hub or sample; by default what the run was trained with")
    parser.add_argument("--split", default="validation", help="the split (default: validation)")
    parser.add_argument(
        "--include", action="append", default=[], metavar="FILE", help="a Python file that registers tasks"
    )
    parser.add_argument("--labels-by", choices=("rank", "generate"), help="score labels, or let the model write")
    parser.add_argument("--batch-tokens", type=int, help="padded input tokens of a batch")
    parser.add_argument("--out", metavar="DIR", help="write metrics.json, baselines.json and predictions/ there too")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="how to print the scores")
    options = _argparse(parser, arguments)
    from multitask.console import print_scores
    from multitask.folder import open_folder
    from multitask.inference import evaluate

    _quiet_libraries()
    if options.out:
        open_folder(Path(options.out), resume=False, overwrite=False)
    scores = evaluate(
        options.run,
        options.tasks,
        data=options.data,
        split=options.split,
        include=options.include,
        labels_by=options.labels_by,
        batch_tokens=options.batch_tokens,
    )
    if options.out:
        from multitask.run import write_scores

        write_scores(Path(options.out), scores)
    if options.format == "json":
        from multitask.folder import finite

        print(json.dumps(finite({name: s.numbers for name, s in scores.items()}), indent=2))
    else:
        print_scores(scores, split=options.split)
    return 0


def _predict(arguments: list[str]) -> int:
    parser = _parser(
        "predict",
        "Predictions for lines of text (what comes after the task's prefix) or JSON rows; JSON lines come out.",
    )
    parser.add_argument("run", metavar="RUN", help="the run folder")
    parser.add_argument("--task", required=True, help="which task; its prefix is added for you")
    parser.add_argument("--input", metavar="FILE", help="read from FILE instead of standard input")
    parser.add_argument("--output", metavar="FILE", help="write to FILE instead of standard output")
    parser.add_argument(
        "--include", action="append", default=[], metavar="FILE", help="a Python file that registers tasks"
    )
    options = _argparse(parser, arguments)
    from multitask.folder import atomic
    from multitask.inference import predict, read_inputs

    _quiet_libraries()
    if options.input:
        try:
            lines = Path(options.input).read_text(encoding="utf-8-sig").splitlines()
        except OSError as error:
            raise UserError(f"--input {options.input} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise UserError(f"--input {options.input} is not UTF-8 at byte {error.start}.") from error
    else:
        if sys.stdin.isatty():
            print("reading from the terminal, one input a line; Ctrl-D ends", file=sys.stderr)
        lines = sys.stdin.read().splitlines()
    frame = predict(
        options.run, options.task, read_inputs(lines, name=options.input or "standard input"), include=options.include
    )
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in frame.to_dict(orient="records"))
    if options.output:
        with atomic(Path(options.output)) as temporary:
            temporary.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    return 0


# ---- tasks ----------------------------------------------------------------------------------------------------------


def _tasks(arguments: list[str]) -> int:
    if arguments and arguments[0] == "check":
        return _tasks_check(arguments[1:])
    parser = _parser("tasks", "List the tasks, or describe one (`multitask tasks check` checks data for training).")
    parser.add_argument("name", nargs="?", metavar="NAME", help="describe this task")
    parser.add_argument(
        "--include", action="append", default=[], metavar="FILE", help="a Python file that registers tasks"
    )
    options = _argparse(parser, arguments)
    from multitask.checks import describe_task, print_tasks
    from multitask.prepare import load_plugins

    load_plugins(options.include)
    if options.name:
        from multitask.task import TASKS

        TASKS.get(options.name)
        print(describe_task(options.name))
    else:
        print_tasks()
    return 0


def _tasks_check(arguments: list[str]) -> int:
    parser = _config_parser(
        "tasks check",
        "Check the data of tasks: rows, lengths, truncation, round trip, duplicates, overlap between tasks.",
    )
    parser.add_argument("--format", choices=("table", "json"), default="table", help="How to print it.")
    namespace = _parse(parser, arguments)
    as_json = namespace.pop("format") == "json"
    config = _as_config(namespace)
    _quiet_libraries()
    from multitask.config import check_config, resolved
    from multitask.models import is_from_scratch
    from multitask.planning import print_check

    config = resolved(config, from_scratch=is_from_scratch(config.model))
    check_config(config)
    print_check(config, as_json=as_json)
    return 0


# ---- common ---------------------------------------------------------------------------------------------------------


def _parser(name: str, description: str) -> Any:
    import argparse

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> Any:
            raise UserError(f"{message} (multitask {name} --help shows the options).")

    return Parser(prog=f"multitask {name}", description=description, allow_abbrev=False)


def _add_include(parser: Any) -> None:
    parser.add_argument(
        "--include", action="append", default=[], metavar="FILE", help="a Python file that registers tasks"
    )


def _argparse(parser: Any, arguments: list[str]) -> Any:
    return parser.parse_args(arguments)


def _quiet_libraries() -> None:
    """Leave the terminal to this program: no banners, tips or progress bars of the libraries underneath."""
    import logging
    import os

    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)


if __name__ == "__main__":
    main()
