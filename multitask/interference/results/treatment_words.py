"""What the treatments of a study come to, in a sentence: which are better or worse than the plain joint arm."""

from __future__ import annotations

from multitask.interference.results.record import StudyRecord, TreatmentRecord
from multitask.tables.numbers import interval, signed


def treatments_sentence(record: StudyRecord) -> tuple[str, ...]:
    """The sentence, the longest version first; empty without treatments, or where nothing has a verdict."""
    others = [t for t in record["treatments"] if t["mean_over_joint"] is not None]
    judged = [t for t in others if t["over_verdict"] is not None]
    if not judged:
        return ()
    better, worse = ([t for t in judged if t["over_verdict"] == v] for v in ("gain", "loss"))
    rest = len(judged) - len(better) - len(worse)
    if not better:
        what = f"Of {len(judged)} treatments none is seen to beat plain joint training in the mean over tasks"
        return (f"{what}; {len(worse)} are worse." if worse else f"{what}.", f"{what}.")
    best = max(better, key=lambda t: t["mean_over_joint"] or 0.0)
    more = f" and {len(better) - 1} more" if len(better) > 1 else ""
    size = f"{signed(best['mean_over_joint'], 1)} {interval(best['over_low'], best['over_high'], 1)}"
    return (
        f"Better than plain joint training: {best['name']}{more}, {size}; {len(worse)} worse, {rest} undecided.",
        f"Better than plain joint: {best['name']}{more}, {size}.",
        f"{len(better)} of {len(judged)} treatments beat plain joint training.",
    )


def seen(treatment: TreatmentRecord) -> bool:
    """Whether a treatment's mean is told apart from the joint arm's."""
    return treatment["over_verdict"] in ("gain", "loss")
