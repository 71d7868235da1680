r"""One model of several that began at the same weights: their average, task arithmetic, TIES.

Words
    start        $\theta_0$, the weights that all of them were trained from
    task vector  $\tau_t = \theta_t - \theta_0$ of a model that was trained on task t
    scale        $\lambda$, what the merged task vector is multiplied by

Models that began at different weights share no coordinates: a mean of theirs is none of them (each one's hidden units
stand in another order), so that is refused where it can be seen.

Ilharco et al. 2023, "Editing models with task arithmetic". Yadav et al. 2023, "TIES-Merging: resolving interference
when merging models". Wortsman et al. 2022, "Model soups", for the average.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # what a study's list of models costs is asked where torch is not needed
    from torch import Tensor

Method = Literal["average", "arithmetic", "ties"]
SCALES: Mapping[str, tuple[float, ...]] = {
    "average": (1.0,),
    "arithmetic": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    "ties": (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8),
}
"""Scales to choose from on held-out rows: those of the papers (arithmetic 0 to 1; TIES 0.8 to 1.8, and less)."""
KEPT = 0.2
"""Share of a task vector's values that TIES keeps: the largest of the whole vector (Yadav et al., section 4)."""


def merged_vector(
    start: Mapping[str, Tensor], models: Sequence[Mapping[str, Tensor]], method: Method
) -> dict[str, Tensor]:
    r"""{name: the merged task vector} before it is scaled.

    `average`: $\frac1T \sum_t \tau_t$, which with scale 1 is the average of the models. `arithmetic`: $\sum_t \tau_t$.
    `ties`: of each $\tau_t$ the `KEPT` share that is largest in size stays; each place takes the sign whose values sum
    to more; and the mean of the values that have that sign and are not 0 is taken.

    Args:
        start: Weights by name.
        models: Those of each, the same names and shapes.
        method: One of `SCALES`.

    >>> import torch
    >>> start = {"w": torch.zeros(5)}
    >>> models = [{"w": torch.tensor([4.0, -1.0, 0, 0, 0])}, {"w": torch.tensor([-2.0, 3.0, 0, 0, 0])}]
    >>> merged_vector(start, models, "arithmetic")["w"].tolist()
    [2.0, 2.0, 0.0, 0.0, 0.0]
    >>> merged_vector(start, models, "ties")["w"].tolist()  # one value of five is kept of each
    [4.0, 3.0, 0.0, 0.0, 0.0]
    """
    import torch

    if not models:
        raise ValueError("merging needs one model or more.")
    names = [name for name, w in start.items() if w.is_floating_point()]
    for model in models:
        odd = [n for n in names if n not in model or model[n].shape != start[n].shape]
        if odd:
            raise ValueError(f"{odd[0]} has another shape in one of the models, or is not there.")
    if method != "ties":
        factor = 1.0 / len(models) if method == "average" else 1.0
        return {n: torch.stack([m[n] - start[n] for m in models]).sum(0) * factor for n in names}
    vectors = [_trimmed(torch.cat([(m[n] - start[n]).flatten() for n in names])) for m in models]
    stacked = torch.stack(vectors)
    sign = stacked.sum(0).sign()
    agrees = (stacked.sign() == sign) & (stacked != 0)
    mean = (stacked * agrees).sum(0) / agrees.sum(0).clamp_min(1)
    found, at = {}, 0
    for n in names:
        found[n] = mean[at : at + start[n].numel()].view_as(start[n])
        at += start[n].numel()
    return found


def _trimmed(vector: Tensor) -> Tensor:
    """The vector with all but its largest values 0."""
    import torch

    count = max(1, round(KEPT * vector.numel()))
    least = vector.abs().kthvalue(vector.numel() - count + 1).values
    return torch.where(vector.abs() >= least, vector, 0.0)


def scaled(start: Mapping[str, Tensor], vector: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """The weights of the start with so much of the merged task vector added."""
    return {n: w + scale * vector[n] if n in vector else w for n, w in start.items()}
