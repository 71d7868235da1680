"""Records that earlier versions wrote, brought to the fields of this one. No number of theirs is changed."""

from __future__ import annotations

from typing import Any

from multitask.interference.results.learned import bounded_interval
from multitask.interference.results.record import NOT_LEARNED, ONE_SEED, UNDEFINED_SCORE


def complete_record(record: dict[str, Any]) -> None:
    """Add what an earlier version did not keep, as far as the record tells it; what has another type is left alone."""
    for summary in _dicts(record.get("summary")):
        summary.setdefault("mean_left_out", [])  # an earlier version had no mean where a task had none
    for task in _dicts(record.get("tasks")):
        if "low" not in task:
            task["low"], task["high"] = earlier_range(str(task.get("unit")), str(task.get("metric")))
    for name in ("updates", "treatments", "sweeps", "strengths"):
        record.setdefault(name, [])
    record.setdefault("made", {"versions": {}, "finished": None, "data": {}})
    setting = record.get("setting")
    if isinstance(setting, dict):
        setting.setdefault("intervals", "separate")
    for task in _dicts(record.get("tasks")):
        if "learned" not in task:
            _add_learned(record, task)
    unlearned = {str(task.get("name")) for task in _dicts(record.get("tasks")) if task.get("learned") is False}
    for effect in _dicts(record.get("effects")):
        if "unjudged" not in effect:
            effect.update(seeds_to_halve=None, differing=None, unjudged=_why(effect, unlearned))
            if effect["unjudged"] is not None:
                effect["verdict"] = None


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _add_learned(record: dict[str, Any], task: dict[str, Any]) -> None:
    found = None
    try:
        match = record["setting"]["match"][0]
        keys = (task["name"], "single", task["metric"])
        single = next(
            s for s in record["scores"] if (s["task"], s["arm"], s["metric"]) == keys and s["match"] in (match, None)
        )
        if task["baseline"] is not None:
            found = bounded_interval(
                single["per_seed"], task["baseline"], task["validation"], (task["low"], task["high"])
            )
    except (KeyError, IndexError, StopIteration, TypeError):  # damaged, which the check of its shape says
        pass
    task["above_low"], task["above_high"] = found or (None, None)
    task["learned"] = None if found is None else found[0] > 0


def _why(effect: dict[str, Any], unlearned: set[str]) -> str | None:
    if effect.get("delta") is None:
        return UNDEFINED_SCORE
    if effect.get("task") in unlearned:
        return NOT_LEARNED
    if effect.get("verdict") is None:
        return ONE_SEED if effect.get("seeds") == 1 else UNDEFINED_SCORE
    return None


def earlier_range(unit: str, metric: str) -> tuple[float | None, float | None]:
    """The range of a metric in a record that does not hold it: of metrics in points, errors have no least score.

    >>> earlier_range("accuracy × 100", "accuracy"), earlier_range("−mse, so that higher is better", "mse")
    ((0.0, 100.0), (None, 0.0))
    """
    if unit.startswith("−"):
        return None, 0.0
    if not (unit.endswith("× 100") or metric.startswith(("bleu", "chrf"))):
        return None, None
    return -100.0 if metric in ("mcc", "pearson", "spearman") else 0.0, 100.0
