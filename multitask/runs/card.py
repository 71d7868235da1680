"""The model card of an exported run: README.md with metadata for the Hugging Face Hub.

What is not known is said to be not known. All text from data is escaped: the metadata is written by a YAML library, and
Markdown shows names, labels and sources as they are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Protocol

from multitask.model.families import FAMILIES
from multitask.runs.facts import RunFacts, TaskFacts, mix_table, scores_table, shown_settings
from multitask.storage.json_files import read_json
from multitask.storage.yaml_files import dump_yaml
from multitask.tables.cells import Cell, Column
from multitask.tables.markdown import escape_markdown, markdown_table
from multitask.tables.numbers import tally
from multitask.tables.table import Table, text_table
from multitask.terminal.escaping import visible
from multitask.version import __version__

APACHE = ("google-t5/", "google/t5-", "google/flan-t5", "google/mt5-", "google/byt5-", "google/umt5-")
"""Models of the Hub that are published under Apache-2.0."""


class StudyTables(Protocol):
    """The part of a study that a card shows; `multitask.Study` is one."""

    @property
    def tasks(self) -> Sequence[str]:
        """The names of its tasks."""

    def summary_markdown(self) -> str:
        """The study's answer and its main table."""


def model_card(facts: RunFacts, study: StudyTables | None = None) -> str:
    """README.md of the exported folder; ends in a newline."""
    blocks = [f"---\n{dump_yaml(metadata(facts))}---", f"# {escape_markdown(facts.name)}", *_lead(facts)]
    blocks += ["## Use", *_use(facts), "## Tasks", *_tasks(facts), "## Scores", *_scores(facts)]
    if study is not None:
        measured = "Measured on matched models that were trained for this comparison; the model here is none of them."
        blocks += ["## Which tasks help and hurt each other", measured, study.summary_markdown().strip()]
    blocks += ["## Data and licences", *_data(facts), "## Training", *_training(facts)]
    blocks += ["## Intended use and limits", *_limits(facts)]
    return visible("\n\n".join(blocks)) + "\n"


def metadata(facts: RunFacts) -> dict[str, Any]:
    """The front matter: what the Hub reads."""
    hub = facts.base if facts.base and not facts.base.startswith("the folder ") else None
    datasets = sorted({task.dataset for task in facts.tasks.values() if task.dataset})
    found: dict[str, Any] = {
        "library_name": "transformers",
        "tags": [_kind(facts), "text2text-generation", "multi-task", *facts.tasks],
    }
    if hub:
        found["base_model"] = hub
    if datasets:
        found["datasets"] = datasets
    found["model-index"] = [{"name": facts.name, "results": [_result(facts, task) for task in facts.tasks.values()]}]
    return found


def _result(facts: RunFacts, task: TaskFacts) -> dict[str, Any]:
    scores = [s for s in facts.scores if s.task == task.name and s.value is not None and math.isfinite(s.value)]
    name = f"{task.name} (generated sample)" if task.generated else task.name
    return {
        "task": {"type": "text2text-generation", "name": task.name},
        "dataset": {"name": name, "type": task.dataset or task.name, "split": facts.config.evaluate_on},
        "metrics": [{"type": s.metric, "name": s.metric, "value": s.value} for s in scores],
    }


def _lead(facts: RunFacts) -> list[str]:
    names = ", ".join(f"`{name}`" for name in facts.tasks)
    start = f"fine-tuned from {_code(facts.base)}" if facts.base else "trained from random weights"
    count = f"{len(facts.tasks)} tasks" if len(facts.tasks) > 1 else "one task"
    lines = [
        f"A text-to-text model of the {_family(facts)} family with {facts.record['parameters']:,} parameters, {start} "
        f"on {count}: {names}. Every input begins with its task's prefix."
    ]
    if facts.generated:
        lines.insert(0, f"> **GENERATED SAMPLE.** {_generated(facts.generated)}")
    return lines


def _kind(facts: RunFacts) -> str:
    return str(read_json(facts.run.folder / "model" / "config.json", dict[str, Any]).get("model_type", ""))


def _family(facts: RunFacts) -> str:
    kind = _kind(facts)
    return FAMILIES[kind].name if kind in FAMILIES else kind


def _generated(tasks: Sequence[str]) -> str:
    return (
        f"The examples of {', '.join(_code(t) for t in tasks)} are made by a small grammar. Scores on them say that "
        "the tool works, not how a model does on real text."
    )


def _use(facts: RunFacts) -> list[str]:
    first = next(iter(facts.tasks))
    lines = [
        "`predict.py` needs transformers, torch and numpy. It gives the answers that `multitask predict` gives for the "
        "same texts: labels are ranked and spans are searched, where `generate` alone would write freely.",
        f"```bash\npython predict.py --task {first} < texts.txt    # a text a line, without the prefix\n```",
        f'```python\nfrom predict import Model\n\nModel(".").answer("{first}", ["a text", "another text"])\n```',
        "Weights and tokenizer load with `AutoModelForSeq2SeqLM.from_pretrained` and `AutoTokenizer.from_pretrained`; "
        "the tasks' prefixes, labels and decoding settings stand in `config.json` under `task_specific_params`.",
    ]
    own = [name for name, task in facts.tasks.items() if task.settings["postprocess"]]
    if own:
        lines.append(
            f"{', '.join(_code(name) for name in own)} {'has' if len(own) == 1 else 'have'} a post-processing of "
            "answers, which is code and is not in this folder: `predict.py` gives such answers as the model says them."
        )
    return lines


_KINDS = {
    "labels": "the likeliest of its labels",
    "span": "a piece of the text, character for character",
    "number": "a number, written",
    "text": "a text, written",
}


def _tasks(facts: RunFacts) -> list[str]:
    rows = []
    for name, task in facts.tasks.items():
        kind = _KINDS.get(task.settings["output"], task.settings["output"])
        kind += ", or nothing" if task.settings["no_answer"] else ""
        labels = ", ".join(task.settings["labels"]) or "·"
        rows.append(
            (
                Cell(name),
                Cell(json.dumps(task.settings["prefix"], ensure_ascii=False)),
                Cell(kind),
                Cell(labels),
                tally(_limit(task)),
            )
        )
    columns = ("task", "prefix", "answer", "label words")
    table = Table("", (*(Column(c, left=True) for c in columns), Column("tokens read at most")), tuple(rows))
    lines = [markdown_table(table)]
    if any(task.settings["output"] == "span" for task in facts.tasks.values()):
        lines.append(
            "A span is cut from what follows ` text: ` in the input, or from all of it where that stands nowhere; "
            "backticks are read as apostrophes, and come back as they were."
        )
    return lines


def _limit(task: TaskFacts) -> int:
    return int(task.settings["max_length"])


def _scores(facts: RunFacts) -> list[str]:
    rows = "held-out rows" if facts.config.evaluate_on == "selection" else "the validation rows"
    table = scores_table(facts)
    lines = [f"On {rows}, each in its metric's own unit; a baseline answers without a model.", markdown_table(table)]
    lines += table.notes
    if all(s.error is None for s in facts.scores):
        lines.append("Intervals were not measured.")
    if facts.config.select == "per-task":
        lines.append("Of the run's checkpoints this model is the best by the mean over tasks; the scores are its own.")
    if facts.warnings:
        lines += ["Said during training:", "\n".join(f"- {escape_markdown(line)}" for line in facts.warnings)]
    return lines


def _data(facts: RunFacts) -> list[str]:
    rows = []
    for name, task in facts.tasks.items():
        licence = "made by multitask (Apache-2.0)" if task.generated else "not known"
        sizes = tally(task.train), tally(task.validation)
        prints = f"{task.fingerprints[0][:12]}, {task.fingerprints[1][:12]}"
        rows.append((Cell(name), Cell(task.source), *sizes, Cell(licence), Cell(prints)))
    columns = (
        *(Column(c, left=True) for c in ("task", "training rows from")),
        *(Column(c) for c in ("training examples", "validation examples")),
        *(Column(c, left=True) for c in ("licence", "fingerprints")),
    )
    if facts.base is None:
        weights = "The weights were trained from random ones."
    elif facts.base.startswith(APACHE):
        weights = f"The model began with the weights of {_code(facts.base)}, which are published under Apache-2.0."
    else:
        weights = f"The model began with the weights of {_code(facts.base)}, whose licence is not known here."
    lines = [markdown_table(Table("", columns, tuple(rows))), weights]
    if not all(task.generated for task in facts.tasks.values()):
        lines.append(
            "A licence that is not known here has to be looked up at the source before the model is passed on; this "
            "card names no licence of the model itself."
        )
    return lines


def _training(facts: RunFacts) -> list[str]:
    pairs = shown_settings(facts.settings)
    versions = facts.record.get("versions", {}).items()
    made = ", ".join(f"{escape_markdown(str(name))} {escape_markdown(str(version))}" for name, version in versions)
    date = escape_markdown(str(facts.record.get("finished", "not known"))[:10])
    table = text_table("", ("setting", "value"), pairs, left=2)
    return [
        "Settings that are none of their defaults, and the number of steps:",
        markdown_table(table),
        markdown_table(mix_table(facts)),
        f"Made with {made}, on {date}; this card by multitask {__version__}.",
    ]


def _limits(facts: RunFacts) -> list[str]:
    lines = [
        "The model is meant for inputs like those it was trained on: the prefixes above, texts of the same kind and "
        "language. It answers anything else too, without a sign that it does not know.",
        "- A task whose score is not above its baseline was not learned: do not use its answers.\n"
        "- Longer inputs than the table of tasks says are cut at the end.\n"
        "- One seed was trained. Another one would answer some inputs otherwise; the interval of a score does not hold "
        "that.\n"
        "- Nobody has looked for bias, memorised rows or harmful outputs.",
    ]
    if facts.generated:
        lines.insert(0, f"**Not for any use but trying things out.** {_generated(facts.generated)}")
    return lines


def _code(text: str) -> str:
    """A name in code; backticks in it would end it."""
    return f"`{' '.join(text.replace('`', chr(39)).split())}`"
