"""A study as plain data: the content of `interference.json`, which tables, figures and report are made of.

Words
    points     a primary metric on 0–100, oriented so that higher is better; log-likelihood is in nats instead
    arm        what a model was trained on: `single`, `joint`, `pair`, `without`
    effect     a difference of arms in one task's score, with its interval and verdict
    kind       of an effect:
               company         joint − single, Δ(t | M)
               pair            pair − single, Δ(t | {t, u})
               without         joint − without u: what u does to t in the company of all
               null            a task with a disjoint copy of itself − the task alone: no effect by construction
               noise           noise − single: company whose targets are shuffled, so that there is nothing to learn
               content         joint − noise: what the companions' targets add to that
               dilution        D = C − I: single at equal examples − single at equal compute
               non_additivity  company − the sum of the pairs' effects
               treatment       joint, trained in another way − joint as it is
               treated         joint, trained in another way − single
               rate            joint with the companion at some rate − joint without it
               rate_change     joint with the companion at some rate − joint as it is
    match      the budget that was matched: `examples` (I, equal exposure) or `steps` (C, equal compute)

A number that was not measured, or is not defined, is None (null in JSON) and never 0.
"""

from __future__ import annotations

from typing import Any, TypedDict

FORMAT = 1
"""Of interference.json."""
VERDICTS = ("gain", "loss", "equal", "no evidence")
ONE_SEED, UNDEFINED_SCORE, NOT_LEARNED, FEW_ROWS = "1 seed", "undefined", "not learned", "few rows"
"""Why an effect has no verdict: nothing is known of training; a score or an interval has no value; the task alone is
not above its baseline; too few evaluated rows differ between the two arms."""
UNJUDGED = (ONE_SEED, UNDEFINED_SCORE, NOT_LEARNED, FEW_ROWS)
LIKELIHOOD = "log_likelihood"
"""The metric that varies less than the primary one: mean log-likelihood of the targets, in nats."""


class Setting(TypedDict):
    """The models that were compared, and how they were trained."""

    tasks: list[str]
    arms: list[str]
    match: list[str]
    """`examples`, `steps` or both; the first is the one that the tables lead with."""
    seeds: list[int]
    steps: int
    per_step: dict[str, float]
    """Examples of each task in a step."""
    model: str
    parameters: int
    data: str
    """Where rows came from, for people."""
    loss: str
    optimizer: str
    lr: dict[str, float]
    """{arm type: learning rate}; all the same if they were not tuned."""
    lr_grid: list[float]
    """Empty if nothing was tuned."""
    select: str
    """`last`, `mean` or `per-task`."""
    resamples: int
    confidence: float
    fdr: float
    """Level of Benjamini–Hochberg."""
    margin: float
    """Points: an effect whose interval lies within ± this counts as equal."""
    intervals: str
    """How seed variances were estimated: `moderated` over the table or `separate` for each effect."""
    cells: int
    """Trained models that the tables rest on."""
    command: str
    """The command that repeats the study."""


class TaskRecord(TypedDict):
    """One task of the study."""

    name: str
    output: str
    """labels, span, number or text"""
    metric: str
    """The primary one."""
    unit: str
    """What a point is, e.g. "accuracy × 100"."""
    rows: int
    """Training examples."""
    validation: int
    """Evaluated examples."""
    generated: bool
    source: str
    version: int
    noise_floor: float | None
    """Standard deviation over seeds of the single-task score, in points."""
    detectable: float | None
    """Of its effect of company (or of its first pair), as there."""
    baseline: float | None
    """Points of an answer without a model."""
    baseline_name: str
    above_low: float | None
    """Interval of single − baseline, in points; None if it cannot be said."""
    above_high: float | None
    learned: bool | None
    """Whether that interval lies above 0."""
    low: float | None
    """The least score that the metric can have, in points; None if there is no such end, or it is not known."""
    high: float | None
    """The largest."""


class Score(TypedDict):
    """One arm's score of one task, over seeds, in points (nats for log_likelihood)."""

    task: str
    arm: str
    companions: list[str]
    """The other tasks that were trained: [] in `single`."""
    match: str | None
    """Of a `single` arm, and of `without` under `steps`: the budget it matches. None where it makes no difference."""
    budget: float
    """Examples a step, over all tasks."""
    metric: str
    mean: float | None
    sd: float | None
    """Over seeds; None with one seed."""
    per_seed: list[float | None]


class Effect(TypedDict):
    """One comparison."""

    kind: str
    task: str
    """The task evaluated."""
    companion: str | None
    """`pair`: the companion. `without`: the task whose presence is judged. `treatment`, `treated`: the name of the
    treatment. `rate`, `rate_change`: the companion and the factor on its rate, "sst2 × 0.5". Else None."""
    match: str | None
    metric: str
    score: float | None
    """Mean over seeds of the arm with company, in points."""
    base: float | None
    """Of the arm that it is compared with."""
    delta: float | None
    low: float | None
    high: float | None
    se: float | None
    df: float | None
    p: float | None
    q: float | None
    """After Benjamini–Hochberg over the cells of its table: (kind, match, metric)."""
    p_sign_flip: float | None
    """Exact sign-flip test over seeds alone: not below 2^(1 − seeds)."""
    verdict: str | None
    """One of VERDICTS; None for what is not judged."""
    unjudged: str | None
    """Why, one of UNJUDGED; None with a verdict."""
    margin: float | None
    """Half-width of the interval that counts as equal; None in nats, where nothing does."""
    detectable: float | None
    """The smallest effect that would get a verdict in this table, after correction, with a probability of 80 %."""
    seeds_to_halve: int | None
    """So many seeds would halve `detectable`; None if not even many do, for the examples are too few."""
    seeds: int
    examples: int
    differing: int | None
    """Evaluated examples (or groups of them) that the metric sees otherwise in one arm than in another."""
    per_seed: list[float | None]
    """Δ of each seed."""


class Exposure(TypedDict):
    """The examples and tokens that an arm's model was given of a task, mean over seeds."""

    task: str
    arm: str
    companions: list[str]
    match: str | None
    budget: float
    examples: float
    epochs: float
    input_tokens: float
    target_tokens: float
    loss_share: float | None
    planned_share: float
    realised_share: float
    cut_inputs: float
    """Share of training inputs that were cut to the limit."""
    invalid: float
    """Share of outputs that are not of the kind asked for, 0..1."""


class Update(TypedDict):
    """How much of its own a task puts into the updates of an arm's models, mean over logged steps and over seeds."""

    task: str
    arm: str
    companions: list[str]
    match: str | None
    budget: float
    gradient_norm: float | None
    """Of the whole gradient, all tasks together, before clipping."""
    clip_factor: float | None
    """What clipping leaves of it, 0..1."""
    clipped: float | None
    """Share of the steps that are clipped, 0..1."""
    own_norm: float | None
    """Of the gradient of the task's own term of the loss."""
    own_part: float | None
    """Its part of the whole gradient's direction: 1 alone; over the tasks of a model they add up to 1."""


class Confusion(TypedDict):
    """A label task's score by ranking its labels and by free generation, single and joint, in points."""

    task: str
    match: str
    ranked_single: float | None
    ranked_joint: float | None
    generated_single: float | None
    generated_joint: float | None
    normalised_single: float | None
    """By length-normalised ranking; None where all labels have one length."""
    normalised_joint: float | None
    foreign_single: float | None
    """Share of generated strings that are no label of the task, 0..1."""
    foreign_joint: float | None
    format_part: float | None
    """(generated − ranked) joint − (generated − ranked) single, in points: what is only the wrong task's vocabulary."""


class Summary(TypedDict):
    """The company table in one line, for one budget."""

    match: str
    mean_delta: float | None
    low: float | None
    high: float | None
    gains: int
    losses: int
    equals: int
    no_evidence: int
    delta_m: float | None
    """Δm in % (Maninis et al. 2019)."""
    delta_m_left_out: list[str]
    """Tasks whose single score is not above 0, so that it is not defined."""
    mean_left_out: list[str]
    """Tasks whose difference is not defined for every seed, so that the mean is over the others."""
    split_half: float | None
    """Reliability of the pair matrix: mean correlation between the halves of the seeds; None with too few cells."""


class Curve(TypedDict):
    """A task's training loss (nats a target token) and, if it was watched, its score (points) over the steps."""

    task: str
    arm: str
    steps: list[int]
    loss: list[float | None]
    loss_low: list[float | None]
    loss_high: list[float | None]
    score_steps: list[int]
    score: list[float | None]
    score_low: list[float | None]
    score_high: list[float | None]


class Changed(TypedDict):
    """An example whose score changed most between the two arms of an effect."""

    kind: str
    task: str
    companion: str | None
    match: str | None
    direction: str
    """`worse` or `better` with company."""
    id: str
    inputs: str
    target: str
    base: list[str]
    """The prediction of each seed without the company."""
    with_company: list[str]
    change: float
    """Mean over seeds, of the per-example score (0..1) or, where there is none, of the log-likelihood in nats."""
    measure: str
    """`score` or `log_likelihood`."""


class Group(TypedDict):
    """Tasks that would be trained together."""

    tasks: list[str]
    total: float
    """Sum over its tasks of the expected Δ against training alone, in points."""
    low: float | None
    high: float | None
    runs: int
    """Trained models that the estimate rests on."""


class Advice(TypedDict):
    """Which tasks to train together."""

    limit: int
    """At most so many models."""
    groups: list[Group]
    """The best grouping found."""
    gain_over_joint: float | None
    """Its summed score − that of one joint model, in points."""
    low: float | None
    high: float | None
    supported: bool
    """Whether the interval of gain_over_joint is above 0: if not, no split is supported by the evidence."""
    sentence: str


class Gap(TypedDict):
    """The loss of one deployed checkpoint against each task's own best one, of the joint run."""

    task: str
    deployed: float | None
    per_task: float | None
    gap: float | None


class LearningRate(TypedDict):
    """One trial of the learning-rate search."""

    arm: str
    lr: float
    score: float | None
    """Mean points on the selection split."""
    chosen: bool


class TreatmentRecord(TypedDict):
    """One way of training all tasks together, over all of them; the first is the joint arm as it is."""

    name: str
    kind: str
    """train, merge or groups"""
    says: str
    """The settings that it changes, or the groups."""
    simple: bool
    """One of the simple ways that stand beside any others."""
    models: int
    """That serve all tasks."""
    seconds: float | None
    """Wall time of training and evaluating them on the study's machine, mean over seeds; of a merge with the single
    models; None if it was not recorded."""
    memory_mb: float | None
    """Peak memory of training in megabytes, of the largest of them: of the GPU where there was one, else of the process
    beyond what it held before."""
    mean: float | None
    """Mean over tasks of Δ against single, in points; None if one is undefined."""
    mean_low: float | None
    mean_high: float | None
    mean_over_joint: float | None
    """Mean over tasks of Δ against the joint arm; None of that itself."""
    over_low: float | None
    over_high: float | None
    over_q: float | None
    """After Benjamini–Hochberg over the treatments."""
    over_verdict: str | None
    """One of VERDICTS, of the mean over tasks; None of the joint arm itself, with one seed or where it is undefined."""
    worst: float | None
    """The smallest Δ against single."""
    worst_task: str | None
    front: bool
    """Whether no other beats it in both the mean and the worst task, by the estimates."""


class SweepPoint(TypedDict):
    """What a companion does to a task at one of its rates."""

    task: str
    companion: str
    factor: float
    """Of the companion's examples a step; 1 is the study's."""
    delta: float | None
    """Joint with the companion at this rate − joint without it, in points."""
    low: float | None
    high: float | None
    verdict: str | None
    change: float | None
    """Against the study's own rate; None there."""
    change_verdict: str | None


class Strength(TypedDict):
    """Whether another rate of a companion removes what it does to a task."""

    task: str
    companion: str
    strength: str
    """none seen, weak, strong, undecided or not judged; see `results.treatments.strengths`."""
    best_factor: float | None
    """The rate that was best for the task, by the estimates."""
    best_delta: float | None


class Made(TypedDict):
    """When and from what the models were made, as their run folders say."""

    versions: dict[str, str]
    """{package: its version}; several, in one string, where the models were trained with several."""
    finished: str | None
    """When the last model was, in ISO 8601."""
    data: dict[str, dict[str, str]]
    """{task: {split: the fingerprint of its examples}}"""


class StudyRecord(TypedDict):
    """All of interference.json."""

    format: int
    setting: Setting
    budget: str
    """One line: what was matched and how much was spent; it stands above every table."""
    warnings: list[str]
    """Why a result may not mean what it seems: contaminated checkpoint, leakage, one seed, generated sample, …"""
    notes: list[str]
    """What the seeds can and cannot show, how rows were held out, …"""
    tasks: list[TaskRecord]
    scores: list[Score]
    effects: list[Effect]
    exposure: list[Exposure]
    updates: list[Update]
    """Empty in a study whose models were trained before gradients were logged."""
    confusion: list[Confusion]
    summary: list[Summary]
    curves: list[Curve]
    changed: list[Changed]
    advice: Advice | None
    gaps: list[Gap]
    learning_rates: list[LearningRate]
    treatments: list[TreatmentRecord]
    """Empty without --treatments."""
    sweeps: list[SweepPoint]
    strengths: list[Strength]
    """Both empty without --rates-sweep."""
    null: dict[str, Any] | None
    """{"cells": int, "alarms": int, "rate": float}: gains and losses among the `null` effects."""
    made: Made
