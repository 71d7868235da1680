"""Metrics of classification tasks: the prediction is one of a few label strings, or it is invalid.

Words
    code      the position of a label string among the task's labels
    invalid   a prediction that is none of the labels. It is always wrong, in every metric here; how it is counted
              where "wrong" alone does not say enough (F1, Matthews) stands with the metric
    sums      [N, K] one row of addends per example, such that the metric is a function of their total. A bootstrap
              resample then costs one row of a matrix product instead of a pass over strings

Without labels (`Outputs.labels` empty) all strings that occur are the labels, as in scikit-learn, and none is invalid.
"""

from __future__ import annotations

import numpy as np

from multitask.metrics.outputs import Floats, Integers, Misfit, Outputs
from multitask.terminal.escaping import shown


def correct(outputs: Outputs) -> Floats:
    """[N] 1.0 where the prediction is the target, character for character, else 0.0."""
    same = (p == t for p, t in zip(outputs.predictions, outputs.targets, strict=True))
    # not np.array(...) == np.array(...): numpy drops trailing NULs and makes every string as wide as the longest
    return np.fromiter(same, dtype=np.float64, count=len(outputs))


def codes(outputs: Outputs, metric: str) -> tuple[Integers, Integers, int]:
    """([N] codes of the targets, [N] codes of the predictions with -1 for invalid ones, number of labels).

    Raises:
        ValueError: If a target is none of the labels.
    """
    labels = outputs.labels or tuple(sorted({*outputs.targets, *outputs.predictions}))
    code = {label: i for i, label in enumerate(labels)}
    for target in outputs.targets:
        if target not in code:
            raise ValueError(f"{metric} needs targets among the labels {list(labels)}. Got {target!r}.")
    targets = np.array([code[t] for t in outputs.targets], dtype=np.int64)
    return targets, np.array([code.get(p, -1) for p in outputs.predictions], dtype=np.int64), len(labels)


def never_invalid(targets: Integers, predictions: Integers, labels: int) -> Integers:
    """[N] the predictions with each invalid one (-1) replaced by the label after its target, the first after the last.

    With two labels that is the opposite of the target, T5's `f1_score_with_invalid`.
    """
    return np.where(predictions < 0, (targets + 1) % max(labels, 1), predictions)


def not_two_labels(gold: Outputs) -> Misfit | None:
    """Find why F1 cannot score a task: its labels are not two. The example is the first with another label."""
    labels = gold.labels
    if len(labels) == 2:
        return None
    other = next((i for i, target in enumerate(gold.targets) if target not in labels[:2]), None)
    return Misfit(
        f"it needs two labels, the second of which is the positive one, and the task has {len(labels)}"
        f"{': ' if labels else ''}{shown(', '.join(labels), 80)}; f1_macro takes any number",
        other if labels else None,
    )


def neither_true_nor_false(target: str) -> str | None:
    """Why MultiRC's F1 cannot score this target; None if it can."""
    return None if target in ("True", "False") else f"{shown(repr(target), 60)} is neither 'True' nor 'False'"


def without_group(gold: Outputs) -> Misfit | None:
    """Find why MultiRC's EM cannot score a split: an example has no group; the first one is named."""
    groups = gold.groups if len(gold.groups) else [None] * len(gold)
    at = next((i for i, group in enumerate(groups) if group is None), None)
    if at is None:
        return None
    return Misfit("it needs a group for every example: give Example(..., group=QUESTION)", at)


def f1_sums(outputs: Outputs) -> Floats:
    """[N, 3] true positives, false positives, false negatives; the positive label is the second, as in GLUE.

    Raises:
        ValueError: If the task has not two labels.
    """
    if len(outputs.labels) != 2:
        raise ValueError(
            f"f1 needs a task with two labels, the second of which is the positive one. Got {len(outputs.labels)} "
            f"labels; f1_macro takes any number."
        )
    targets, predictions, labels = codes(outputs, "f1")
    return _binary(targets == 1, never_invalid(targets, predictions, labels) == 1)


def not_among_labels(gold: Outputs, label: str) -> Misfit | None:
    """Find why F1 of one label cannot score a task: the label is none of the task's."""
    if label in gold.labels:
        return None
    return Misfit(
        f"{shown(repr(label), 60)} is none of the task's labels{': ' * bool(gold.labels)}"
        f"{shown(', '.join(gold.labels), 80)}"
    )


def f1_label_sums(outputs: Outputs, label: str) -> Floats:
    """[N, 3] true positives, false positives, false negatives of one label.

    An invalid prediction misses its target's label and is a false positive of none, as in `f1_macro_sums`.
    """
    targets = np.array([t == label for t in outputs.targets], dtype=np.bool_)
    predictions = np.array([p == label for p in outputs.predictions], dtype=np.bool_)
    return _binary(targets, predictions)


def multirc_f1_sums(outputs: Outputs) -> Floats:
    """[N, 3] as `f1_sums`, over all answers of all questions, "True" being positive whatever the order of labels.

    Khashabi et al. 2018's F1a, which is T5's `multirc_f1_over_all_answers`.

    Raises:
        ValueError: If a target is neither "True" nor "False".
    """
    for target in outputs.targets:
        if target not in ("True", "False"):
            raise ValueError(f"multirc_f1 needs targets 'True' or 'False'. Got {target!r}.")
    targets = np.array([t == "True" for t in outputs.targets], dtype=np.bool_)
    positive = [p == "True" if p in ("True", "False") else not t for p, t in zip(outputs.predictions, targets)]  # noqa: B905
    return _binary(targets, np.array(positive, dtype=np.bool_))


def _binary(targets: np.ndarray, predictions: np.ndarray) -> Floats:
    counts = [targets & predictions, ~targets & predictions, targets & ~predictions]
    return np.stack(counts, axis=-1).astype(np.float64)


def f1_of(sums: Floats) -> Floats:
    """F1 of [..., 3] total counts, in [0, 1]: 2 tp / (2 tp + fp + fn), and 0 without any positive, as scikit-learn.

    >>> float(f1_of(np.array([3.0, 1.0, 1.0])))
    0.75
    """
    true, wrong = 2 * sums[..., 0], sums[..., 1] + sums[..., 2]
    return np.asarray(np.divide(true, true + wrong, out=np.zeros_like(true), where=true + wrong > 0))


def f1_macro_sums(outputs: Outputs) -> Floats:
    """[N, 3 L] true positives, false positives, false negatives of each of the L labels.

    An invalid prediction misses its target's label and is a false positive of none, as in T5's `mean_multiclass_f1`.
    """
    targets, predictions, labels = codes(outputs, "f1_macro")
    every = np.arange(labels)
    is_target, is_predicted = targets[:, None] == every, predictions[:, None] == every
    return _binary(is_target, is_predicted).reshape(len(outputs), 3 * labels)


def f1_macro_of(sums: Floats) -> Floats:
    """Mean F1 over the labels that occur, of [..., 3 L] total counts, in [0, 1].

    A label that is neither a target nor predicted is left out, as in scikit-learn's default and SuperGLUE's script
    (T5's code would count it as 0). Where all labels occur there is no difference.

    >>> float(f1_macro_of(np.array([1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0])))  # F1 of 1, of 1/2, not there
    0.75
    """
    counts = sums.reshape(*sums.shape[:-1], -1, 3)
    occurs = counts.sum(axis=-1) > 0
    number = occurs.sum(axis=-1)
    total = f1_of(counts).sum(axis=-1)
    return np.asarray(np.divide(total, number, out=np.full(number.shape, np.nan), where=number > 0))


def mcc_sums(outputs: Outputs) -> Floats:
    """[N, 1 + 2 L] right or not, the target's label and the predicted label, each label as L zeros and ones.

    All that Gorodkin's formula needs of the confusion matrix is its diagonal and its margins, which are fewer than its
    L L cells, and those of the targets are the same for every model.

    An invalid prediction counts as another label (`never_invalid`): the opposite one where there are two. T5 gives it
    to scikit-learn as a third class, by which an invalid prediction can score better than a wrong one.
    """
    targets, predictions, labels = codes(outputs, "mcc")
    predictions = never_invalid(targets, predictions, labels)
    every = np.arange(labels)
    columns = [(targets == predictions)[:, None], targets[:, None] == every, predictions[:, None] == every]
    return np.concatenate(columns, axis=1).astype(np.float64)


def mcc_of(sums: Floats) -> Floats:
    """Matthews correlation of [..., 1 + 2 L] totals, in [-1, 1]; 0 if targets or predictions are all one label.

    Gorodkin 2004's form for any number of labels, as scikit-learn's `matthews_corrcoef`.

    >>> float(mcc_of(np.array([5.0, 2.0, 3.0, 2.0, 3.0])))  # 5 right of 2 and 3, predicted as 2 and 3
    1.0
    >>> float(mcc_of(np.array([3.0, 2.0, 3.0, 0.0, 5.0])))  # all predicted as the second
    0.0
    """
    labels = sums.shape[-1] // 2
    right, of_target, of_prediction = sums[..., 0], sums[..., 1 : labels + 1], sums[..., labels + 1 :]
    total = of_target.sum(axis=-1)
    covariance = right * total - (of_target * of_prediction).sum(axis=-1)
    spread = (total**2 - (of_target**2).sum(axis=-1)) * (total**2 - (of_prediction**2).sum(axis=-1))
    matthews = np.divide(covariance, np.sqrt(spread), out=np.zeros_like(covariance), where=spread > 0)
    return np.asarray(np.clip(matthews, -1.0, 1.0))  # the last bit of the quotient may lie beyond 1


def multirc_em(outputs: Outputs) -> float:
    """Share of groups (questions) all of whose answers are right, in [0, 1] (Khashabi et al. 2018's EM).

    Raises:
        ValueError: If an example has no group.
    """
    return float(_questions(outputs)[0].mean())


def multirc_em_sums(outputs: Outputs) -> Floats:
    """[N, 2] whether the example's question is answered rightly, and 1, both over the question's number of answers.

    A question is drawn as a whole, and then counts as often as it was drawn.

    Raises:
        ValueError: If an example has no group.
    """
    right, of_example = _questions(outputs)
    share = 1.0 / np.bincount(of_example)[of_example]
    return np.stack([right[of_example] * share, share], axis=-1)


def _questions(outputs: Outputs) -> tuple[Floats, Integers]:
    """([questions] 1.0 where all answers are right, [N] the question of each example)."""
    if not len(outputs.groups) or any(group is None for group in outputs.groups):
        raise ValueError("multirc_em needs a group for every example: give Example(..., group=QUESTION).")
    position: dict[str | None, int] = {}
    of_example = np.array([position.setdefault(group, len(position)) for group in outputs.groups], dtype=np.int64)
    wrong = np.bincount(of_example, weights=1.0 - correct(outputs))
    return (wrong == 0).astype(np.float64), of_example
