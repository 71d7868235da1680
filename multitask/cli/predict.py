"""multitask predict: what a finished run says to new inputs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from multitask.cli.commands import Command, parser_of
from multitask.cli.common import add_include, announce, loading, with_hyphens, write_output
from multitask.errors import UserError
from multitask.printable import visible
from multitask.terminal.quiet import quiet_libraries


def _add_options(parser: Any) -> None:
    parser.add_argument("run", metavar="RUN", help="The run folder.")
    parser.add_argument("--task", required=True, metavar="NAME", help="Which task; its prefix is added for you.")
    parser.add_argument("--input", metavar="FILE", help="Lines or rows, instead of standard input.")
    parser.add_argument("--output", metavar="FILE", help="Write to FILE instead of standard output.")
    add_include(parser)


COMMAND = Command(
    "predict",
    "Predictions for lines of text (what comes after the task's prefix) or JSON rows; JSON lines come out. "
    "Empty lines are left out. An --input of the ending csv, tsv, json, jsonl or parquet is read as rows.",
    "RUN --task NAME [options]",
    _add_options,
    examples=(
        "multitask predict runs/first --task sst2",
        "multitask predict runs/first --task sst2 --input rows.csv --output answers.jsonl",
    ),
)


def run(arguments: list[str]) -> int:
    """Run `multitask predict`; gives the exit code."""
    options = parser_of(COMMAND).parse_args(with_hyphens(arguments))
    output = Path(options.output) if options.output else None
    if output and output.is_dir():
        raise UserError(f"--output {output} is a folder; give a file.")
    if output and not output.parent.is_dir():
        raise UserError(f"--output {output} cannot be written: there is no folder {output.parent}.")
    announce("predict", options.task, options.run)
    quiet_libraries()
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
    with loading():
        from multitask.inference import predict

    frame = predict(options.run, options.task, inputs, include=options.include)
    text = visible("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in frame.to_dict(orient="records")))
    write_output(output, text)
    return 0


def _read_text(path: str | None) -> str:
    if path is None and sys.stdin is None:
        raise UserError("standard input is closed: give --input FILE.")
    if path is None and sys.stdin.isatty():
        print("reading from the terminal, one input a line; Ctrl-D ends", file=sys.stderr)
    from multitask.compression import unpacked

    name = f"--input {path}" if path else "standard input"
    try:
        content = unpacked(path, Path(path).read_bytes()) if path else sys.stdin.buffer.read()
        return content.decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not UTF-8 at byte {error.start}.") from error
