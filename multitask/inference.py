"""Using a finished run: evaluate it again, or predict for new inputs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.evaluation import TaskScores, evaluate_task
from multitask.examples import load_examples, load_task
from multitask.models import load_pretrained
from multitask.prepare import data_setting, load_plugins, select_tasks
from multitask.progress import counting
from multitask.registry import did_you_mean
from multitask.sources import resolve_source
from multitask.task import UNLABELLED, Example, Task
from multitask.tokens import Ragged, load_tokenizer, tokenize_task

if TYPE_CHECKING:
    import pandas as pd


def run_config(run: Path) -> TrainConfig:
    """The settings that a run was trained with.

    Raises:
        UserError: If `run` is not a run folder.
    """
    import dataclasses

    import yaml

    path = run / "config.yaml"
    if not path.is_file():
        raise UserError(f"{run} is not a run folder: it has no config.yaml.")
    try:
        stored = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(stored, dict):
        raise UserError(f"{path} holds no settings.")
    known = {f.name for f in dataclasses.fields(TrainConfig)}
    for name in stored:
        if name not in known:
            raise UserError(f"{path} has the unknown setting '{name}': {did_you_mean(str(name), list(known))}")
    return TrainConfig(**stored)


def load_run(run: str | Path) -> tuple[Any, Any, TrainConfig]:
    """The model, tokenizer and settings of a finished run."""
    folder = Path(run)
    config = run_config(folder)
    if not (folder / "model" / "config.json").is_file():
        raise UserError(f"{folder} has no model/ yet: the run is not finished (`--resume` continues it).")
    model = load_pretrained(str(folder / "model"))
    model.eval()
    return model, load_tokenizer(str(folder / "model")), config


def evaluate(
    run: str | Path,
    tasks: str | Sequence[str] | None = None,
    *,
    data: str | None = None,
    split: str = "validation",
    include: Sequence[str] = (),
    labels_by: Literal["rank", "generate"] | None = None,
    batch_tokens: int | None = None,
) -> dict[str, TaskScores]:
    """The scores of a finished run, on its own validation splits or on other data.

    Args:
        run: The run folder.
        tasks: Names, by default the run's own. A task that it was not trained on is evaluated too, zero-shot.
        data: As `--data`; by default what the run was trained with.
        split: Which split; `validation` is what training reported on (the held-out rows, where there is no such split).
        include: Python files that register tasks, besides the run's own.
        labels_by: `rank` or `generate`; by default as in the run.
        batch_tokens: Padded input tokens of a batch.

    Returns:
        {task: scores}; `scores.metrics` is a dict, `scores.frame` a DataFrame of predictions.
    """
    config = run_config(Path(run))
    load_plugins([*config.include, *include])
    names = config.tasks if tasks is None else tasks if isinstance(tasks, str) else list(tasks)
    trained = select_tasks(config.tasks, {})[1]
    columns = {name: c for name, c in config.columns.items() if name in trained}
    _, chosen = select_tasks(names, {n: c for n, c in columns.items() if n in select_tasks(names, {})[1]})
    where = data_setting(data) or config.data
    parts: dict[str, tuple[Any, Any]] = {}
    for name, task in chosen.items():
        source = resolve_source(task, where)
        if split == "validation":
            selection = config.selection_rows if config.select != "last" else 0
            loaded = load_task(task, source, seed=config.seed, holdout=config.holdout, selection=selection)
            parts[name] = (loaded.validation, loaded.train)
        else:
            train = load_examples(task, source, "train") if "train" in source.splits() else ()
            parts[name] = (load_examples(task, source, split), train)
    model, tokenizer, _ = load_run(run)
    scores = {}
    for name, (examples, train) in parts.items():
        tokens = tokenize_task(tokenizer, chosen[name], examples)
        with counting(f"evaluating {name}", len(examples)) as counter:
            scores[name] = evaluate_task(
                model,
                tokenizer,
                chosen[name],
                examples,
                tokens,
                train=train,
                batch_tokens=batch_tokens or config.batch_tokens,
                labels_by=labels_by or config.labels_by,
                advance=counter.advance,
            )
    return scores


def predict(
    run: str | Path,
    task: str,
    inputs: Iterable[str | Mapping[str, Any]],
    *,
    include: Sequence[str] = (),
) -> pd.DataFrame:
    """Predictions for new inputs.

    Args:
        run: The run folder.
        task: A task's name; the prefix is put in front for you.
        inputs: Strings (what comes after the prefix, e.g. "positive text: so happy today" for `span`) or rows with the
            task's columns (`{"text": …, "sentiment": "positive"}`; the target's columns may be missing).
        include: Python files that register tasks, besides the run's own.

    Returns:
        A row an input, in order: input, prediction, valid.
    """
    import pandas as pd

    config = run_config(Path(run))
    load_plugins([*config.include, *include])
    from multitask.task import TASKS

    trained = select_tasks(config.tasks, {})[1]
    if task not in trained and task not in TASKS:
        TASKS.get(task)  # the error that knows the nearest name
    chosen = trained.get(task) or TASKS.get(task)
    if task in config.columns:
        chosen = chosen.replace(columns={**chosen.columns, **config.columns[task]})
    examples = [example_of(chosen, one, i) for i, one in enumerate(inputs)]
    if not examples:
        return pd.DataFrame({"input": [], "prediction": [], "valid": []})
    from multitask.data import batches_of
    from multitask.decoding import Decoder

    model, tokenizer, _ = load_run(run)
    ids = [tokenizer(e.inputs, verbose=False)["input_ids"] for e in examples]
    limit = chosen.max_input_tokens
    tokens = Ragged.of([i if len(i) <= limit else [*i[: limit - 1], i[-1]] for i in ids])
    decoder = Decoder(chosen, tokenizer, examples, tokens)
    made = {}
    with counting("predicting", len(examples)) as counter:
        for rows in batches_of(np.argsort(-tokens.lengths, kind="stable"), tokens.lengths, config.batch_tokens):
            made.update({p.row: p for p in decoder(model, rows)})
            counter.advance(len(rows))
    return pd.DataFrame(
        {
            "input": [e.inputs.removeprefix(chosen.prefix) for e in examples],
            "prediction": [made[i].text for i in range(len(examples))],
            "valid": [made[i].valid for i in range(len(examples))],
        }
    )


def example_of(task: Task, one: str | Mapping[str, Any], number: int) -> Example:
    """An input without a target as an Example, prefix in front.

    Raises:
        UserError: If a row lacks a column that the input is made of.
    """
    if isinstance(one, str):
        text = one.removeprefix(task.prefix)
        context = None
        if task.output == "span":
            # The source is what follows the last field marker, as in "positive text: so happy today".
            _, marker, rest = text.rpartition(" text: ")
            context = rest if marker else text
            text = f"{text[: len(text) - len(context)]}{context.replace('`', chr(39))}"
        return Example(task.prefix + text, UNLABELLED, id=str(number), context=context)
    try:
        made = task.examples(_WithoutTarget(one), split="test")
    except KeyError as error:
        raise UserError(
            f"row {number + 1} has no column {error}; task '{task.name}' makes its input from it. "
            f"The row has {', '.join(map(str, one)) or 'no columns'}."
        ) from error
    except (ValueError, TypeError) as error:
        raise UserError(f"row {number + 1} does not fit task '{task.name}': {error}") from error
    if len(made) != 1:
        raise UserError(f"row {number + 1} becomes {len(made)} examples of task '{task.name}'; give one at a time.")
    return made[0]


TARGET_COLUMNS = {
    **dict.fromkeys(("label", "coarse_label", "rating"), -1),
    **dict.fromkeys(("selected_text", "subject_line", "highlights", "summary", "original question", "de"), ""),
}
"""What stands for the usual target columns in a row that is to be predicted, as in GLUE's test splits."""


class _WithoutTarget(dict[str, Any]):
    """A row whose target columns may be missing."""

    def __missing__(self, column: str) -> Any:
        if column in TARGET_COLUMNS:
            return TARGET_COLUMNS[column]
        if column == "answers":
            return {"text": [UNLABELLED], "answer_start": [0]}
        raise KeyError(column)


def read_inputs(lines: Iterable[str], *, name: str) -> list[str | dict[str, Any]]:
    """Lines as inputs: plain text, or JSON objects as rows. Empty lines are left out.

    Raises:
        UserError: If a line that begins as a JSON object is not one.
    """
    inputs: list[str | dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r\n")
        if not text.strip():
            continue
        if text.lstrip().startswith("{"):
            try:
                row = json.loads(text)
            except ValueError as error:
                raise UserError(f"{name}, line {number}: begins as a JSON object but is none: {error}.") from error
            inputs.append(row)
        else:
            inputs.append(text)
    return inputs
