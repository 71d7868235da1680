"""multitask predict: answers of a finished run to new inputs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from multitask.cli.commands import Command, own_options
from multitask.cli.common import add_include, announce, loading, write_output
from multitask.cli.lines import is_typed, read_batches, read_file
from multitask.errors import UserError
from multitask.terminal.escaping import visible
from multitask.terminal.quiet import quiet_libraries
from multitask.terminal.width import print_notice

Answers = list[dict[str, Any]]


def _add_options(parser: Any) -> None:
    parser.add_argument("run", metavar="RUN", help="The run folder.")
    parser.add_argument("--task", metavar="NAME", help="Which task; its prefix is added for you.")
    parser.add_argument("--input", metavar="FILE", help="Lines or rows, instead of standard input.")
    parser.add_argument("--output", metavar="FILE", help="Write to FILE instead of standard output.")
    parser.add_argument(
        "--scores",
        action="store_true",
        help="Add the log-likelihood of each answer, and the probability of each label where a task has labels.",
    )
    parser.add_argument(
        "--from-hub", action="store_true", help="RUN is ORG/NAME: a model that multitask push sent to the Hub."
    )
    parser.add_argument("--revision", metavar="NAME", help="Of the model on the Hub.")
    add_include(parser)


COMMAND = Command(
    "predict",
    "Predictions for lines of text (what comes after the task's prefix) or JSON rows; JSON lines come out, each as "
    "soon as its line is there. Empty lines are left out. An --input of the ending csv, tsv, json, jsonl or parquet "
    "is read as rows. Rows of a task of your own need its --include; lines of text do not.",
    "RUN --task NAME [options]",
    _add_options,
    examples=(
        "multitask predict runs/first --task sst2",
        "multitask predict runs/first --task sst2 --scores < lines.txt",
        "multitask predict runs/first --task sst2 --input rows.csv --output out.jsonl",
        "multitask predict me/tweets-t5 --from-hub --task sst2 < lines.txt",
    ),
)


def run(arguments: list[str]) -> int:
    """Run `multitask predict`; gives the exit code."""
    options = own_options(COMMAND, arguments)
    if options.revision and not options.from_hub:
        raise UserError("--revision is of a model on the Hub: give --from-hub too.")
    if options.task is None and not options.from_hub:
        from multitask.config import task_names
        from multitask.runs.finished import run_config

        names = ", ".join(task_names(run_config(Path(options.run))))
        raise UserError(f"--task must be given: {options.run} has {names}.")
    if options.input == "-":
        options.input = None
    output = Path(options.output) if options.output and options.output != "-" else None
    if output and options.input and output.exists() and Path(options.input).exists() and output.samefile(options.input):
        raise UserError(f"--output {output} is the --input, which it would replace; give another file.")
    if output and output.is_dir():
        raise UserError(f"--output {output} is a folder; give a file.")
    if output and not output.parent.is_dir():
        raise UserError(f"--output {output} cannot be written: there is no folder {output.parent}.")
    if options.from_hub:
        return _from_hub(options, output)
    announce("predict", options.task, options.run)
    quiet_libraries()
    from multitask.runs.finished import prediction_task

    # Before anyone types into the terminal, and before torch is imported, which takes seconds.
    task = prediction_task(Path(options.run), options.task, options.include, _say)

    def load() -> Callable[[Any], Answers]:
        with loading():
            from multitask.runs.inference import Predictor

        return Predictor.load(options.run, task, scores=options.scores)

    if options.input is None and is_typed(sys.stdin):
        _converse(task, load(), output)
        return 0
    answers = _answers(task, options.input, load)
    if output is None:
        for batch in answers:
            sys.stdout.write(_written(batch))
            sys.stdout.flush()
    else:
        write_output(output, "".join(map(_written, answers)))
    return 0


def _from_hub(options: Any, output: Path | None) -> int:
    """Answers of a model on the Hub, by the program that lies beside it: no code of the Hub's is run, but ours."""
    if options.scores or options.include:
        raise UserError("--from-hub gives answers to lines of text: leave out --scores and --include.")
    announce("predict", str(options.task), options.run)
    from multitask.storage.repositories import check_repository, fetch_folder

    check_repository(options.run)
    folder = fetch_folder(options.run, "model", options.revision, ["*.json", "*.safetensors", "*.model", "*.txt"])
    quiet_libraries()
    from multitask.model.untrusted import check_model_folder
    from multitask.storage.json_files import read_json

    check_model_folder(folder)
    known = read_json(folder / "config.json", dict[str, Any]).get("task_specific_params") or {}
    if options.task not in known:
        asked = "--task must be given" if options.task is None else f"unknown task '{options.task}'"
        raise UserError(f"{asked}: {options.run} has {', '.join(known) or 'no task of multitask'}.")
    with loading():
        from multitask.runs.predict import Model
    model, made = Model(folder), []
    for lines in [read_file(options.input)] if options.input else read_batches():
        answers = model.answer(options.task, [line.rstrip("\r\n") for line in lines if line.strip()])
        if output is None:
            sys.stdout.write(_written(answers))
            sys.stdout.flush()
        made += answers
    if output is not None:
        write_output(output, _written(made))
    return 0


def _answers(task: Any, path: str | None, load: Callable[[], Callable[[Any], Answers]]) -> Iterator[Answers]:
    """Batch by batch; the model is loaded when the first one is known to be right."""
    from multitask.examples.new_inputs import new_examples

    predictor: Callable[[Any], Answers] | None = None
    before = 0
    for inputs in _inputs(task, path):
        examples = new_examples(task, inputs, before + 1)
        before += len(examples)
        if examples:
            predictor = predictor or load()
            yield predictor(examples)


def _inputs(task: Any, path: str | None) -> Iterator[Iterable[str | Mapping[str, Any]]]:
    from multitask.examples.new_inputs import check_no_header, read_input_file, read_inputs

    rows = read_input_file(Path(path)) if path else None
    if rows is not None:
        yield rows
        return
    name, before = path or "standard input", 0
    for lines in [read_file(path)] if path else read_batches():
        if not before:
            check_no_header(task, lines, name=name)
        yield read_inputs(lines, name=name, first=before + 1)
        before += len(lines)


def _converse(task: Any, predictor: Callable[[Any], Answers], output: Path | None) -> None:
    """Answer each line that is typed; a line that is wrong is said, and the next one may be right."""
    from multitask.examples.new_inputs import new_examples, read_inputs

    print("one input a line; Ctrl-D ends", file=sys.stderr)
    made, number = [], 0
    for lines in read_batches():
        for line in lines:
            number += 1
            try:
                examples = new_examples(task, read_inputs([line], name="standard input", first=number), number)
            except UserError as error:
                print_notice(f"multitask: error: {' '.join(str(error).split())}")
                continue
            for answer in predictor(examples) if examples else ():
                if output is None:
                    sys.stdout.write(_written([answer]))
                    sys.stdout.flush()
                made.append(answer)
    if output is not None:
        write_output(output, _written(made))


def _written(answers: Answers) -> str:
    """A line of JSON each; likelihoods to six digits after the point, which rounding changes no more."""
    return visible("".join(json.dumps(_rounded(one), ensure_ascii=False) + "\n" for one in answers))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return round(value, 6) if isinstance(value, float) else value


def _say(line: str) -> None:
    print_notice(f"multitask: {visible(line)}")
