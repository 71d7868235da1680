"""The command line: a sub-command is a function; nothing heavy is imported here, so that `--help` answers at once."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from multitask import __version__
from multitask.config import TrainConfig
from multitask.errors import UserError, printable
from multitask.printable import visible
from multitask.system_errors import RESOURCES, system_error, told
from multitask.uncollected import uncollected

EXIT_FAILED = 1
EXIT_USER = 2
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Gives 0 done, 1 a failure, 2 a user's mistake (one line on standard error), 130 interrupted (143 by SIGTERM).

    Args:
        argv: The words after `multitask`, for tests and notebooks, which get the code back; by default those of the
            process, which then exits with the code. Any other exception is a bug and keeps its traceback.
    """
    try:
        _check_streams()
        if not _is_here():  # torch's libraries would end the process
            raise UserError("the folder that this was started in is no longer there.")
        code = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except UserError as error:
        print(f"multitask: error: {' '.join(str(error).split())}", file=sys.stderr)
        code = EXIT_USER
    except KeyboardInterrupt as stopped:
        print("multitask: interrupted.", file=sys.stderr)
        code = 128 + getattr(stopped, "signal", EXIT_INTERRUPTED - 128)
    except BrokenPipeError:
        # `multitask predict … | head`: Python flushes once more at its end, and must not fail there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        found = system_error(error)
        if found is None:
            raise
        print(f"multitask: error: {_told(found)}.", file=sys.stderr)
        code = EXIT_USER
    except SystemExit as done:  # argparse, after --help and --print-config
        if done.code not in (None, 0):
            raise
        code = 0
    if argv is None:
        try:
            sys.stdout.flush()
        except OSError:  # said already; Python flushes once more at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(code)
    return code


def _check_streams() -> None:
    """What a terminal's encoding does not have is written as an escape; what was closed before us swallows all."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure") and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _told(error: OSError) -> str:
    return " ".join(printable(told(error, "a file or standard output" if error.errno in RESOURCES else None)).split())


def _is_here() -> bool:
    try:
        return bool(os.getcwd())
    except FileNotFoundError:
        return False


def _run(arguments: list[str]) -> int:
    commands: dict[str, tuple[Callable[[list[str]], int], str]] = {
        "train": (_train, "train one model on a mixture of tasks and evaluate each"),
        "eval": (_eval, "evaluate a finished run again, or on other data"),
        "predict": (_predict, "predictions for lines of text or JSON rows"),
        "tasks": (_tasks, "list the tasks, describe one, or check data for training (tasks check)"),
        "mix": (_mix, "show the planned mixture without training"),
        "interference": (_interference, "train matched runs and tell which tasks help and hurt each other"),
        "report": (_report, "the tables of a run or a study again, in any format"),
        "cache": (_cache, "what was tokenised and is kept for the next run; cache clear deletes it"),
    }
    if not arguments:
        raise UserError(f"give a command: {', '.join(commands)}; multitask --help describes them.")
    name = arguments[0]
    if name in ("-h", "--help"):
        print("usage: multitask COMMAND [options]\n")
        print("Fine-tune one text-to-text model on many tasks, and see which tasks help and hurt each other.\n")
        for command, (_, text) in commands.items():
            print(f"  {command:13} {text}")
        print("\n`multitask COMMAND --help` shows a command's options. Example:\n")
        print("  multitask train --tasks span,sst2")
        return 0
    if name in ("-V", "--version"):
        print(f"multitask {__version__}")
        return 0
    if name not in commands:
        from multitask.registry import did_you_mean

        raise UserError(f"unknown command '{name}': {did_you_mean(name, list(commands))}")
    return commands[name][0](arguments[1:])


# ---- before training -----------------------------------------------------------------------------------------------


def _train(arguments: list[str]) -> int:
    config, _ = _config("train", "Train one model on a mixture of tasks and evaluate each.", arguments)
    _quiet_libraries()
    _check_early(config)
    with uncollected():
        from multitask.processes import ProcessError
        from multitask.run import StoppedError, train

    _quiet_lightning()
    try:
        train(config)
    except StoppedError as error:
        print(f"multitask: {visible(str(error))}", file=sys.stderr)
        return 128 + error.signal
    except ProcessError as error:
        print(f"multitask: error: {visible(str(error))}", file=sys.stderr)
        return EXIT_FAILED
    return 0


def _mix(arguments: list[str]) -> int:
    about = "Show the planned mixture: rates, examples, epochs and token shares."
    config, own = _config("mix", about, arguments, formats=True)
    config = _planned(config)
    from multitask.planning import print_plan

    print_plan(config, as_json=own["format"] == "json")
    return 0


def _tasks(arguments: list[str]) -> int:
    if arguments and arguments[0] == "check":
        return _tasks_check(arguments[1:])
    from multitask.flags import plain_parser

    parser = plain_parser("tasks", "List the tasks, or describe one; `multitask tasks check` checks data for training.")
    parser.add_argument("name", nargs="?", metavar="NAME", help="describe this task")
    _add_include(parser)
    options = parser.parse_args(arguments)
    from multitask.prepare import load_plugins
    from multitask.task_list import describe_task, print_tasks

    load_plugins(options.include)
    if options.name:
        print(visible(describe_task(options.name)))
    else:
        print_tasks()
    return 0


def _tasks_check(arguments: list[str]) -> int:
    about = "Check the data of tasks: rows, lengths, truncation, round trip, duplicates, overlap between tasks."
    config, own = _config("tasks check", about, arguments, formats=True)
    config = _planned(config)
    from multitask.planning import print_check

    print_check(config, as_json=own["format"] == "json")
    return 0


def _config(
    command: str, about: str, arguments: list[str], *, formats: bool = False
) -> tuple[TrainConfig, dict[str, Any]]:
    from multitask.flags import config_parser, parse_config

    parser = config_parser(command, about)
    if formats:
        parser.add_argument("--format", choices=("table", "json"), default="table", help="How to print it.")
    return parse_config(parser, arguments)


def _check_early(config: TrainConfig) -> None:
    """What can be said against the settings before torch and Lightning are imported, which takes seconds."""
    from multitask.config import check_config, check_precision
    from multitask.model_check import check_model
    from multitask.prepare import data_setting, load_plugins, select_tasks
    from multitask.sources import resolve_source

    check_precision(config.precision)
    check_config(config)
    load_plugins(config.include)
    for task in select_tasks(config.tasks, config.columns)[1].values():
        resolve_source(task, data_setting(config.data))
    check_model(config.model, config.revision)


def _planned(config: TrainConfig) -> TrainConfig:
    """The settings as training would have them, for the commands that only look."""
    from multitask.config import check_trainer_names, resolved
    from multitask.models import is_from_scratch

    _quiet_libraries()
    _check_early(config)
    if config.trainer.keys() - {"max_steps"}:
        check_trainer_names(config.trainer)
    return resolved(config, from_scratch=is_from_scratch(config.model))


# ---- using a run ----------------------------------------------------------------------------------------------------


def _eval(arguments: list[str]) -> int:
    from multitask.flags import plain_parser

    parser = plain_parser("eval", "Evaluate a finished run again, or on other data.")
    parser.add_argument("run", metavar="RUN", help="the run folder")
    parser.add_argument("--tasks", help="tasks to evaluate, separated by commas; by default the run's own")
    parser.add_argument("--data", help="DIR, hub or sample; by default what the run was trained with")
    parser.add_argument("--split", default="validation", help="the split (default: validation)")
    _add_include(parser)
    parser.add_argument(
        "--labels-by", choices=("rank", "generate", "both"), help="score labels, or let the model write"
    )
    parser.add_argument("--batch-tokens", type=int, help="padded input tokens of a batch")
    parser.add_argument(
        "--on-bad-row", choices=("error", "skip"), help="what is done about a bad row; by default as in the run"
    )
    parser.add_argument("--out", metavar="DIR", help="write metrics.json, baselines.json and predictions/ there too")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="how to print the scores")
    options = parser.parse_args(_with_hyphens(arguments))
    if options.batch_tokens is not None and options.batch_tokens < 1:
        raise UserError(f"--batch-tokens must be at least 1. Got {options.batch_tokens}.")
    _quiet_libraries()
    from multitask.finished import check_finished
    from multitask.folder import open_folder

    check_finished(Path(options.run))
    with uncollected():
        from multitask.inference import evaluate

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
        on_bad_row=options.on_bad_row,
    )
    if options.out:
        from multitask.results import write_scores

        try:
            write_scores(Path(options.out), scores)
        except OSError as error:
            raise UserError(f"{told(error, options.out)}.") from error
    if options.format == "json":
        from multitask.folder import finite

        print(json.dumps(finite({name: s.numbers for name, s in scores.items()}), indent=2))
    else:
        from multitask.console import print_scores

        print_scores(scores, split=options.split)
    return 0


def _predict(arguments: list[str]) -> int:
    from multitask.flags import plain_parser

    parser = plain_parser(
        "predict",
        "Predictions for lines of text (what comes after the task's prefix) or JSON rows; JSON lines come out. "
        "Empty lines are left out. An --input of the ending csv, tsv, json, jsonl or parquet is read as rows.",
    )
    parser.add_argument("run", metavar="RUN", help="the run folder")
    parser.add_argument("--task", required=True, help="which task; its prefix is added for you")
    parser.add_argument("--input", metavar="FILE", help="lines or rows, instead of standard input")
    parser.add_argument("--output", metavar="FILE", help="write to FILE instead of standard output")
    _add_include(parser)
    options = parser.parse_args(_with_hyphens(arguments))
    output = Path(options.output) if options.output else None
    if output and output.is_dir():
        raise UserError(f"--output {output} is a folder; give a file.")
    if output and not output.parent.is_dir():
        raise UserError(f"--output {output} cannot be written: there is no folder {output.parent}.")
    _quiet_libraries()
    from multitask.finished import prediction_task
    from multitask.new_inputs import check_no_header, new_examples, read_input_file, read_inputs

    # Before anyone types into the terminal, and before torch is imported, which takes seconds.
    task = prediction_task(Path(options.run), options.task, options.include)
    rows = read_input_file(Path(options.input)) if options.input else None
    inputs: Iterable[str | Mapping[str, Any]]
    if rows is not None:
        inputs = rows
    else:
        name = options.input or "standard input"
        lines = _read_text(options.input).split("\n")  # not splitlines(): a text may hold U+2028 and its like
        check_no_header(task, lines, name=name)
        inputs = read_inputs(lines, name=name)
    new_examples(task, inputs)
    with uncollected():
        from multitask.inference import predict

    frame = predict(options.run, options.task, inputs, include=options.include)
    text = visible("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in frame.to_dict(orient="records")))
    _write_output(output, text)
    return 0


def _read_text(path: str | None) -> str:
    if path is None and sys.stdin is None:
        raise UserError("standard input is closed: give --input FILE.")
    if path is None and sys.stdin.isatty():
        print("reading from the terminal, one input a line; Ctrl-D ends", file=sys.stderr)
    name = f"--input {path}" if path else "standard input"
    try:
        return (Path(path).read_bytes() if path else sys.stdin.buffer.read()).decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not UTF-8 at byte {error.start}.") from error


# ---- studies --------------------------------------------------------------------------------------------------------


def _interference(arguments: list[str]) -> int:
    from multitask.flags import config_parser, parse_config
    from multitask.interference.options import FORMATS, add_study_options, study_config

    about = (
        "Train what a study needs, and tell with intervals, seeds and matched budgets which tasks help and hurt each "
        "other. The same command continues a study that was interrupted, and adds tasks or seeds to it."
    )
    parser = config_parser("interference", about)
    add_study_options(parser)
    train, own = parse_config(parser, arguments)
    runs, dry_run, format = own.pop("runs"), own.pop("dry_run"), own.pop("format")
    assert format in FORMATS
    config = study_config(train, own)
    out, overwrite = train.out, train.overwrite
    _quiet_libraries()
    if runs:
        from multitask.interference.tabulate import tabulate

        _print_study(tabulate(runs, config, out=Path(out) if out else None), format)
        return 0
    from multitask.interference.conduct import Conduct, study_folder

    where = Path(out or study_folder(config))
    conduct = Conduct(config, where, quiet=format != "table", overwrite=overwrite)
    if dry_run:
        conduct.dry_run()
        return 0
    _print_study(conduct.run(), format)
    if format == "table":
        print(f"study folder: {where}  (report: {where / 'report.html'})")
    return 0


def _print_study(study: Any, format: str) -> None:
    sys.stdout.write(study.render(format).rstrip("\n") + "\n")


def _report(arguments: list[str]) -> int:
    from multitask.flags import plain_parser
    from multitask.interference.options import FORMATS

    parser = plain_parser("report", "The tables of a run or a study again, in any format.")
    parser.add_argument("folder", metavar="RUN_OR_STUDY", help="a run folder or a study folder")
    parser.add_argument("--format", choices=FORMATS, default="table", help="how to print it (html: the whole report)")
    parser.add_argument("--output", metavar="FILE", help="write to FILE instead of standard output")
    options = parser.parse_args(_with_hyphens(arguments))
    folder = Path(options.folder)
    if (folder / "interference.json").is_file():
        from multitask.interference.findings import Study

        # A file has no width of its own.
        width, color = (160, False) if options.output else (None, None)
        text = Study.read(folder).render(options.format, width=width, color=color)
    elif (folder / "study.yaml").is_file():
        raise UserError(
            f"the study in {folder} is not finished: the multitask interference command that began it goes on."
        )
    else:
        from multitask.finished import check_finished
        from multitask.folder import read_json
        from multitask.interference.run_files import Metrics, read_baselines
        from multitask.interference.tables import render_run

        if not folder.is_dir():
            raise UserError(f"{folder} is neither a run folder nor a study folder: there is no such folder.")
        check_finished(folder, ("metrics.json", "baselines.json"))
        scores, baselines = read_json(folder / "metrics.json", Metrics), read_baselines(folder / "baselines.json")
        text = render_run(scores, baselines, options.format)
    text = text.rstrip("\n") + "\n"
    _write_output(Path(options.output) if options.output else None, text)
    return 0


# ---- the cache ------------------------------------------------------------------------------------------------------


def _cache(arguments: list[str]) -> int:
    from multitask.flags import plain_parser

    if arguments and arguments[0] == "clear":
        parser = plain_parser("cache clear", "Delete what is kept; it is made again when it is needed.")
        parser.add_argument(
            "--older-than", type=float, metavar="DAYS", default=0.0, help="only what was not used for so many days"
        )
        options = parser.parse_args(_with_hyphens(arguments[1:]))
        if not options.older_than >= 0:
            raise UserError(f"--older-than must be 0 days or more. Got {options.older_than:g}.")
        from multitask.cache_list import print_cleared

        print_cleared(options.older_than)
        return 0
    parser = plain_parser(
        "cache", "List what was tokenised and is kept for the next run; `multitask cache clear` deletes it."
    )
    parser.add_argument("--format", choices=("table", "json"), default="table", help="how to print it")
    options = parser.parse_args(_with_hyphens(arguments))
    from multitask.cache_list import print_cache

    print_cache(as_json=options.format == "json")
    return 0


# ---- common ---------------------------------------------------------------------------------------------------------


def _write_output(path: Path | None, text: str) -> None:
    """To `--output`, whole or not at all, or to standard output."""
    if path is None:
        sys.stdout.write(text)
        return
    from multitask.folder import atomic

    try:
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--output {path} cannot be written: {error.strerror}.") from error


def _add_include(parser: Any) -> None:
    parser.add_argument(
        "--include", action="append", default=[], metavar="FILE", help="a Python file that registers tasks"
    )


def _with_hyphens(arguments: list[str]) -> list[str]:
    """`--batch_tokens` is understood too, as everywhere."""
    words = (a.partition("=") if a.startswith("--") else (a, "", "") for a in arguments)
    return [(o.replace("_", "-") if o.startswith("--") else o) + equals + value for o, equals, value in words]


def _quiet_libraries() -> None:
    """Leave the terminal to this program: no banners, tips or progress bars of the libraries underneath.

    And the processor to others while a thread waits. Before they are imported, which is when they read these variables.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    # OpenMP's threads wait for each other in a loop, 300,000 rounds by default. Beside other programs on the same cores
    # a step of 100 ms took 380 to 630 ms of processor time so; of 1,000 rounds, which are microseconds, 120 ms.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if "transformers" in sys.modules:  # it has read them already: a notebook that calls main()
        sys.modules["transformers"].utils.logging.disable_progress_bar()


def _quiet_lightning() -> None:
    """The same for Lightning, after it is imported, which is when it sets its level."""
    import logging

    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)


if __name__ == "__main__":
    main()
