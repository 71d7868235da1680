"""Using a finished run: evaluate it again, or predict for new inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from multitask.config import TrainConfig, data_seed, selection_size
from multitask.errors import UserError
from multitask.evaluation.scores import TaskScores, evaluate_task
from multitask.examples.bad_rows import OnBadRow, bad_row_notes
from multitask.examples.choose_source import data_setting, resolve_source
from multitask.examples.dataset import Examples
from multitask.examples.loading import load_examples, load_task
from multitask.examples.misfits import undefined_metrics
from multitask.examples.new_inputs import new_examples
from multitask.mixing.prepare import fewer_rows, select_tasks
from multitask.model.adapters import adapter_of, merge_adapter, merged_from
from multitask.model.pretrained import load_pretrained
from multitask.model.settings import settle_end
from multitask.runs.definitions import check_settings_file
from multitask.runs.finished import check_finished, check_tasks, load_includes, prediction_task, renamed
from multitask.runs.folder import read_run
from multitask.task import MAY_BE_EMPTY, UNLABELLED, Example, Task
from multitask.terminal.counting import counting
from multitask.terminal.escaping import visible
from multitask.terminal.quiet import quietly
from multitask.terminal.width import print_notice
from multitask.tokenization.disk_cache import Cache
from multitask.tokenization.ragged import Ragged
from multitask.tokenization.special_tokens import encode
from multitask.tokenization.token_cache import TokenCache
from multitask.tokenization.tokenizer import load_tokenizer
from multitask.training.precision import computing_in
from multitask.training.rng_states import same_threads

if TYPE_CHECKING:
    import pandas as pd

    from multitask.decoding.decoder import Prediction


@quietly()
def load_run(run: str | Path) -> tuple[Any, Any, TrainConfig]:
    """The model, tokenizer and settings of a finished run."""
    folder = Path(run)
    config = check_finished(folder)
    import torch

    same_threads()
    model, tokenizer = load_pretrained(str(folder / "model")), load_tokenizer(str(folder / "model"))
    settle_end(model, tokenizer, str(folder / "model"))
    model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    return model, tokenizer, config


def as_trained(task: Task, model: Any) -> Task:
    """The task with what its training examples settled (`Decoding.no_answer`), as the run's model says it."""
    settings = getattr(model.config, "task_specific_params", None)  # of a file that may be untrusted
    its = settings.get(task.name) if isinstance(settings, dict) else None
    stored = its.get("no_answer") if isinstance(its, dict) else None
    if task.decoding.no_answer is not None or not isinstance(stored, bool) or task.output not in MAY_BE_EMPTY:
        return task
    return task.replace(decoding=dataclasses.replace(task.decoding, no_answer=stored))


# ----------------------------------------------------------------------------------------------------------- evaluating


@quietly()
def evaluate(
    run: str | Path,
    tasks: str | Sequence[str] | None = None,
    *,
    data: str | None = None,
    split: str = "validation",
    include: Sequence[str] = (),
    labels_by: Literal["rank", "generate", "both"] | None = None,
    batch_tokens: int | None = None,
    on_bad_row: OnBadRow | None = None,
) -> dict[str, TaskScores]:
    """The scores of a finished run, on its own validation splits or on other data.

    Args:
        run: The run folder.
        tasks: Names, by default the run's own. A task that it was not trained on is evaluated too, zero-shot.
        data: As `--data`; by default what the run was trained with.
        split: Which split; `validation` is what training reported on (the held-out rows, where there is no such split).
        include: Python files that register tasks, besides the run's own.
        labels_by: `rank`, `generate` or `both`; by default as in the run.
        batch_tokens: Padded input tokens of a batch.
        on_bad_row: `error` or `skip`; by default as in the run. What is left out is said on standard error.

    Returns:
        {task: scores}; `scores.metrics` is a dict, `scores.frame` a DataFrame of predictions.

    Raises:
        UserError: If the run is not finished, or a task, its data or its labels are not there, or a metric cannot
            score the data.
    """
    config = check_finished(Path(run))
    config = dataclasses.replace(config, on_bad_row=on_bad_row or config.on_bad_row)
    load_includes(Path(run), config, include)
    names = config.tasks if tasks is None else tasks if isinstance(tasks, str) else list(tasks)
    chosen = {name: renamed(task, config) for name, task in select_tasks(names, {})[1].items()}
    check_tasks(Path(run), chosen, _say)
    if data is None:
        check_settings_file(Path(run), read_run(Path(run)), _say)
    where = data or data_setting(config.data)
    parts = {name: _examples(task, where, split, config) for name, task in chosen.items()}
    for name, part in parts.items():
        _say_what_is_left_out(name, part)
        for metric, reason in undefined_metrics(chosen[name], part[0]).items():
            print_notice(f"multitask: {name}: metric '{metric}' is undefined on these examples: {reason}.")
    model, tokenizer, _ = load_run(run)
    for name, (_, train) in parts.items():
        chosen[name] = as_trained(chosen[name], model).with_no_answer(e.target for e in train)
    cached = TokenCache(Cache(), tokenizer)
    scores = {}
    for name, (examples, train) in parts.items():
        tokens = cached.tokenized(chosen[name], examples)
        own = adapter_of(Path(run) / "model", name)
        numbers = computing_in(config.eval_precision, model.device.type)
        with merged_from(model, own), numbers, counting(f"evaluating {name}", len(examples)) as counter:
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


def _examples(task: Task, where: str | None, split: str, config: TrainConfig) -> tuple[Examples, Sequence[Example]]:
    """Load the examples to evaluate on, and those for training, of which the baseline is made (none without them)."""
    source = resolve_source(task, where)
    has_train = "train" in source.splits()
    if split == "validation" and has_train:
        selection = selection_size(config)
        loaded = load_task(
            task,
            source,
            seed=data_seed(config),
            holdout=config.holdout,
            selection=selection,
            on_bad_row=config.on_bad_row,
        )
        if config.validation_rows is not None:
            loaded = fewer_rows(loaded, config.validation_rows, data_seed(config))
        return loaded.validation, loaded.train
    examples = load_examples(task, source, split, on_bad_row=config.on_bad_row)
    if not any(e.target != UNLABELLED for e in examples):
        raise UserError(
            f"task '{task.name}' has no labels in split '{split}' of {source.description}, so there is nothing to "
            "score; multitask predict answers rows without labels."
        )
    return examples, load_examples(task, source, "train", on_bad_row=config.on_bad_row) if has_train else ()


def _say_what_is_left_out(task: str, parts: Iterable[Sequence[Example]]) -> None:
    """On standard error, as the scores may go into a pipe: they are not of all rows."""
    for part in parts:
        if isinstance(part, Examples):
            scored = part.split != "train"
            for note in bad_row_notes(task, part.split, part.bad_rows, part.total_rows, scored=scored):
                _say(note)


def _say(line: str) -> None:
    print_notice(f"multitask: {visible(line)}")


# ----------------------------------------------------------------------------------------------------------- predicting


@dataclasses.dataclass(frozen=True, eq=False)
class Predictor:
    """A finished run's model, loaded once, that answers examples of one task."""

    task: Task
    model: Any
    tokenizer: Any
    batch_tokens: int
    """Padded input tokens of a batch."""
    scores: bool = False
    """Give the likelihoods of answers too."""
    precision: str = "fp32"
    """In which numbers it computes."""

    @classmethod
    def load(cls, run: str | Path, task: Task, *, scores: bool = False) -> Predictor:
        """Load the model of a run.

        Args:
            run: The run folder.
            task: From `finished.prediction_task`.
            scores: Give the likelihoods of answers too.
        """
        model, tokenizer, config = load_run(run)
        own = adapter_of(Path(run) / "model", task.name)
        if own is not None:
            merge_adapter(model, own)
        return cls(as_trained(task, model), model, tokenizer, config.batch_tokens, scores, config.eval_precision)

    def __call__(self, examples: Sequence[Example]) -> list[dict[str, Any]]:
        """An answer to each example, in order; see `predict`."""
        from multitask.batching.grouping import batches_of
        from multitask.decoding.decoder import Decoder

        ids = encode(self.tokenizer, [e.inputs for e in examples])
        limit = self.task.max_input_tokens
        tokens = Ragged.of([i if len(i) <= limit else [*i[: limit - 1], i[-1]] for i in ids])
        decoder = Decoder(self.task, self.tokenizer, examples, tokens, scored=self.scores)
        made = {}
        numbers = computing_in(self.precision, self.model.device.type)
        with counting("predicting", len(examples)) as counter, numbers:
            for rows in batches_of(np.argsort(-tokens.lengths, kind="stable"), tokens.lengths, self.batch_tokens):
                made.update({p.row: p for p in decoder(self.model, rows)})
                counter.advance(len(rows))
        return [self._answer(example, made[i]) for i, example in enumerate(examples)]

    def _answer(self, example: Example, made: Prediction) -> dict[str, Any]:
        plain = {"input": example.inputs.removeprefix(self.task.prefix), "prediction": made.text, "valid": made.valid}
        if not self.scores:
            return plain
        scores: dict[str, Any] = {"log_likelihood": made.answer_log_likelihood}
        if self.task.output == "labels":
            likelihoods = np.array(made.label_log_likelihoods)
            shares = np.exp(likelihoods - likelihoods.max())
            shares /= shares.sum()
            scores["probability"] = float(shares.max())
            scores["probabilities"] = dict(zip(self.task.labels, shares.tolist(), strict=True))
            scores["log_likelihoods"] = dict(zip(self.task.labels, likelihoods.tolist(), strict=True))
        return {**plain, **scores}


def _columns(task: Task, scores: bool) -> list[str]:
    """The keys of an answer."""
    labels = ["probability", "probabilities", "log_likelihoods"] if task.output == "labels" else []
    return ["input", "prediction", "valid", *(["log_likelihood", *labels] if scores else [])]


@quietly()
def predict(
    run: str | Path,
    task: str,
    inputs: Iterable[str | Mapping[str, Any]],
    *,
    include: Sequence[str] = (),
    scores: bool = False,
) -> pd.DataFrame:
    """Predictions for new inputs.

    Args:
        run: The run folder.
        task: A task's name; the prefix is put in front for you.
        inputs: Strings (what comes after the prefix, e.g. "positive text: so happy today" for `span`) or rows with the
            task's columns (`{"text": …, "sentiment": "positive"}`; those of the target alone may be missing).
        include: Python files that register tasks. Rows of a task of one's own need its file; strings do not.
        scores: Add what the model thinks of its answers, in nats: `log_likelihood`, of the answer, summed over its
            tokens; for tasks with labels also `log_likelihoods` of all labels, {label: nats}, their `probabilities`
            (those shares of the sum of their likelihoods) and the `probability` of the answer.

    Returns:
        A row an input, in order: input, prediction, valid (whether the model's output is of the task's kind).

    Raises:
        UserError: If the run is not finished, there is no such task, or a row does not fit it.
    """
    import pandas as pd

    if isinstance(inputs, str):
        raise TypeError("inputs must be a list of strings or rows. Got one string: put it in a list.")
    chosen = prediction_task(Path(run), task, include, _say)
    examples = new_examples(chosen, inputs)
    if not examples:
        return pd.DataFrame({name: [] for name in _columns(chosen, scores)})
    predictor = Predictor.load(run, chosen, scores=scores)
    return pd.DataFrame(predictor(examples), columns=_columns(chosen, scores))
