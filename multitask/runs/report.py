"""The page of one run, report.html: its scores beside their baselines, curves, mixture and worst examples.

It is made of the run's folder alone; the same folder gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from multitask.config import TrainConfig
from multitask.metrics.naming import known_metric
from multitask.mixing.summary import generated_note
from multitask.pages import charts, render_page, write_page
from multitask.runs.command import train_command
from multitask.runs.conflict_page import conflict_view
from multitask.runs.facts import (
    RunFacts,
    Score,
    TaskFacts,
    mix_table,
    run_facts,
    scores_table,
    shown_settings,
    without_paths,
)
from multitask.runs.reader import bucketed
from multitask.tables.numbers import plain
from multitask.task import TASKS
from multitask.terminal.counting import duration

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

REPORT = "report.html"
SECTIONS = [
    ("scores", "Is it any good?"),
    ("worst", "Where is it wrong?"),
    ("curves", "How was it learned?"),
    ("mix", "What was it given?"),
    ("made", "How was it made?"),
]
"""The order of a reader's questions."""
FIRST = 8
"""Tasks that the first screen tells of."""
WORST = 6
"""Examples of each task."""
CUT = 600
"""Characters of a text that are shown."""
BUCKETS = 40
"""Points of a curve."""


class TaskView(NamedTuple):
    """A task on the first screen."""

    name: str
    metric: str
    sentence: str
    look: str
    """gain: better than its baseline by more than chance; loss: worse; quiet: cannot be told from it."""
    mark: str
    score: str
    baseline: str
    chart: Markup


class ExampleView(NamedTuple):
    """An example that was answered badly."""

    id: str
    inputs: str
    target: str
    prediction: str
    measure: str


class CurveView(NamedTuple):
    """The charts of a task."""

    task: str
    loss: Markup
    score: Markup


def write_run_report(folder: Path, config: TrainConfig) -> None:
    """Write report.html into a finished run's folder; a crash leaves no half file.

    Raises:
        UserError: If the folder is not as it was written.
        OSError: If it cannot be written.
    """
    write_page(folder / REPORT, run_report(folder, config))


def run_report(folder: Path, config: TrainConfig) -> str:
    """The whole page of a finished run.

    Raises:
        UserError: If the folder is not as it was written.
    """
    facts = run_facts(folder, config)
    tasks = [_task(facts, task) for task in facts.tasks.values()]
    warnings = [generated_note(facts.generated)] if facts.generated else []
    return render_page(
        "run.html.j2",
        package="multitask.runs",
        title=f"Run {facts.name}",
        sections=SECTIONS,
        kicker=_kicker(facts),
        tasks=tasks,
        told=tasks[:FIRST],
        generated=facts.generated,
        warnings=[*warnings, *facts.warnings],
        lead=_lead(tasks),
        measured=any(s.error is not None for s in facts.scores),
        scores=scores_table(facts),
        others=_other_baselines(facts),
        worst=[(task.name, *_worst(facts.run.frame(task.name), facts.scores)) for task in facts.tasks.values()],
        curves=_curves(facts),
        conflict=None if facts.run.conflict is None else conflict_view(facts.run.conflict),
        mix=mix_table(facts),
        bars=_bars(facts),
        settings=shown_settings(facts.settings),
        command=without_paths(train_command(config)),
        own=[] if config.include else _own_tasks(facts),
        footer=_footer(facts),
    )


def _own_tasks(facts: RunFacts) -> list[str]:
    """Those that do not come with this package: a script, a notebook or another package registered them."""
    TASKS.load()
    there = TASKS.registered()
    ours = {name for name, task in there.items() if task.formatter.__module__.startswith("multitask.tasks.")}
    return [name for name in facts.tasks if name not in ours]


def _kicker(facts: RunFacts) -> str:
    many = f"{len(facts.tasks)} tasks" if len(facts.tasks) > 1 else "1 task"
    start = f"from {facts.base}" if facts.base else f"{facts.config.model}, from random weights"
    return f"{many} · {facts.record['parameters']:,} parameters, {start} · {facts.record['steps']:,} steps"


def _lead(tasks: list[TaskView]) -> str:
    """How many tasks were learned, in one sentence."""
    known = [t for t in tasks if t.baseline != "·"]
    above = [t for t in known if t.look == "gain"]
    if not known:
        return "No task has a baseline to be compared with."
    if len(above) == len(known):
        return "Every task is above its baseline." if len(known) > 1 else "The task is above its baseline."
    others = ", ".join(t.name for t in known if t.look != "gain")
    if len(known) == 1:
        return "The task was not learned: it is not above its baseline."
    count = f"{len(above)} of {len(known)} tasks {'is above its' if len(above) == 1 else 'are above their'}"
    return f"{count} baseline{'s' if len(above) != 1 else ''}; not learned: {others}."


# ---- scores ----------------------------------------------------------------------------------------------------------


def _task(facts: RunFacts, task: TaskFacts) -> TaskView:
    score = next(s for s in facts.scores if s.task == task.name)
    known = known_metric(score.metric)
    higher, scale = (known.higher_is_better, known.scale) if known else (True, 1.0)
    look = _look(score, higher)
    shown, error = plain(score.value, 3), f" ± {plain(score.error, 3)}" if score.error is not None else ""
    sentence = f"{task.name}: {score.metric} {shown}{error}"
    if score.baseline is not None:
        word = {"gain": "better than", "loss": "worse than", "quiet": "not to be told from"}[look]
        sentence += f", {word} the {plain(score.baseline, 3)} of {score.answers or 'its baseline'}"
        sentence += "" if look == "gain" else ": not learned"
    values = [score.value, score.baseline, score.low, score.high]
    whole = scale == 100.0 and all(v is None or 0 <= v <= 1 for v in (score.value, score.baseline))
    axis = charts.Axis(0, 1, 5, 175) if whole else charts.axis_of(values, 5, 175)
    chart = charts.strip(
        axis,
        [score.value],
        baseline=score.baseline,
        between=(score.low, score.high),
        look="joint" if look == "gain" else "single",
        label=f"{task.name}: {score.metric} {shown}, baseline {plain(score.baseline, 3)}",
    )
    mark = {"gain": "▲", "loss": "▼", "quiet": "○"}[look] if score.baseline is not None else ""
    return TaskView(
        task.name,
        score.metric,
        sentence + ".",
        look,
        mark,
        shown + error,
        plain(score.baseline, 3),
        chart,
    )


def _look(score: Score, higher: bool) -> str:
    """Where a score stands beside its baseline; without a standard error, by the numbers alone."""
    if score.value is None or score.baseline is None:
        return "quiet"
    over = (score.value - score.baseline) * (1 if higher else -1)
    if abs(over) <= 1.96 * (score.error or 0.0):
        return "quiet"
    return "gain" if over > 0 else "loss"


def _other_baselines(facts: RunFacts) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(task, metric, [(what it answers, score)]) of tasks with more baselines than the best."""
    found = []
    for task in facts.tasks:
        others: Mapping[str, Mapping[str, float | None]] = facts.run.baselines.get(task, {}).get("others", {})
        metric = next(s.metric for s in facts.scores if s.task == task)
        shown = [(name, plain(of.get(metric), 3)) for name, of in others.items()]
        if shown:
            found.append((task, metric, shown))
    return found


# ---- examples, curves, mixture ---------------------------------------------------------------------------------------


def _worst(frame: pd.DataFrame, scores: list[Score]) -> tuple[list[ExampleView], int, int]:
    """The lowest scores, then the targets that the model found least likely; how many are wrong, of how many."""
    score = frame["score"].astype(float) if "score" in frame else frame["log_likelihood"] * math.nan
    by_score = bool(score.notna().any())
    wrong = int((frame["prediction"] != frame["target"]).sum())
    order = frame.assign(_score=score.fillna(0.0) if by_score else 0.0)
    order = order.sort_values(["_score", "log_likelihood", "id"], kind="stable").head(WORST)
    found = []
    for _, row in order.iterrows():
        if by_score and row["_score"] >= 1.0 and row["prediction"] == row["target"]:
            continue
        likelihood = f"log-likelihood of the target {plain(row['log_likelihood'], 2)}"
        measure = f"score {plain(row['_score'], 3)}, {likelihood}" if by_score else likelihood
        inputs, target, prediction = (_cut(str(row[name])) for name in ("inputs", "target", "prediction"))
        found.append(ExampleView(str(row["id"]), inputs, target, prediction, measure))
    return found, wrong, len(frame)


def _cut(text: str) -> str:
    return text if len(text) <= CUT else text[: CUT - 1] + "…"


def _curves(facts: RunFacts) -> list[CurveView]:
    from markupsafe import Markup

    steps, found = int(facts.record["steps"]), []
    for task in facts.tasks:
        loss = bucketed(facts.run.logged.get(f"train/loss/{task}", {}), steps, BUCKETS)
        score = dict(sorted(facts.run.logged.get(f"val/{task}", {}).items()))
        lines = (
            (loss, f"Training loss of {task}", "loss, nats a token"),
            (score, f"Score of {task} during training", "score, points"),
        )
        drawn = [
            charts.curves([charts.Series("joint", [*line], [*line.values()])], label=label, unit=unit)
            if any(math.isfinite(v) for v in line.values())
            else Markup()
            for line, label, unit in lines
        ]
        if any(drawn):
            found.append(CurveView(task, *drawn))
    return found


def _bars(facts: RunFacts) -> list[tuple[str, Markup, str, Markup, str]]:
    """(task, share of the examples, in words, share of the loss, in words)."""
    found = []
    for name, of in facts.run.mix["tasks"].items():
        examples, loss = of["realised"]["rate"], of["realised"]["loss_share"]
        shares = [(share, "·" if share is None else f"{100 * share:.1f} %") for share in (examples, loss)]
        labels = (f"Share of the examples: {shares[0][1]}", f"Share of the loss: {shares[1][1]}")
        bars = [charts.bar(share, label=label) for (share, _), label in zip(shares, labels, strict=True)]
        found.append((name, bars[0], shares[0][1], bars[1], shares[1][1]))
    return found


def _footer(facts: RunFacts) -> list[tuple[str, str]]:
    record = facts.record
    versions = ", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items())
    data = [
        (
            f"data of {t.name}",
            f"{t.source}; {t.train:,} examples ({t.fingerprints[0][:12]}), {t.validation:,} for validation "
            f"({t.fingerprints[1][:12]})",
        )
        for t in facts.tasks.values()
    ]
    seconds = record.get("seconds")
    took = f", {duration(float(seconds))}" if isinstance(seconds, (int, float)) else ""
    return [
        ("made", f"{record.get('finished', 'not known')}{took}"),
        ("versions", versions or "not known"),
        *data,
        ("address of the run", str(record.get("address", "not known"))),
    ]
