"""Optimisers and learning-rate schedules with T5's usual settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.optim.optimizer import ParamsT

from multitask.config import LEARNING_RATES, OptimizerName

ScheduleName = Literal["constant", "linear", "cosine", "inverse_sqrt"]


@dataclass(frozen=True)
class OptimizerSettings:
    """The settings of `configure`."""

    name: OptimizerName = "adafactor"
    lr: float = 1e-3
    weight_decay: float = 0.0
    schedule: ScheduleName = "constant"
    warmup_steps: int = 0
    max_steps: int = 1000


class ScaledAdamW(torch.optim.Optimizer):
    r"""AdamW whose step for each matrix is scaled by that matrix's root mean square.

    $\theta \leftarrow \theta - \eta \max(\epsilon_2, \mathrm{RMS}(\theta))\,\hat m / (\sqrt{\hat v} + \epsilon_1)$

    T5's matrices start at very different scales (its embeddings at 1, its attention queries at
    $(d\,d_{kv})^{-1/2}$), so one absolute step size cannot fit them all: plain AdamW trains T5 from scratch badly or
    not at all. Adafactor's "parameter scale" (Shazeer & Stern 2018, section 8) fixes that; here it is applied to
    AdamW, as nanoT5 does (Nawrot 2023, section 3.2). A usual `lr` is 1e-2.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-2,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: tuple[float, float] = (1e-6, 1e-3),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update; gives what `closure` gives."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                self._update(params, group)
        return loss

    def _update(self, params: list[torch.Tensor], group: dict[str, Any]) -> None:
        """All matrices at once: one after another, half of a small model's update was Python between the kernels."""
        for p in params:
            if not self.state[p]:
                # A tensor, not an int: it is saved and restored with the rest of the state.
                self.state[p] = {
                    "step": torch.zeros((), dtype=torch.float32),
                    "exp_avg": torch.zeros_like(p),
                    "exp_avg_sq": torch.zeros_like(p),
                }
        (beta1, beta2), (eps, min_scale), lr = group["betas"], group["eps"], group["lr"]
        steps, means, squares = ([self.state[p][n] for p in params] for n in ("step", "exp_avg", "exp_avg_sq"))
        grads: list[torch.Tensor] = [p.grad for p in params if p.grad is not None]
        torch._foreach_add_(steps, 1)
        torch._foreach_lerp_(means, grads, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, grads, grads, 1 - beta2)
        made = [int(k) for k in steps]
        denominators = torch._foreach_div(squares, [1 - beta2**k for k in made])
        torch._foreach_sqrt_(denominators)
        torch._foreach_add_(denominators, eps)
        norms = torch._foreach_norm(params)
        if group["weight_decay"]:
            torch._foreach_mul_(params, 1 - lr * group["weight_decay"])
        updates = torch._foreach_div(means, denominators)
        if norms[0].device.type != "cpu":  # nobody waits for the norms: what is made of them stays on the device
            torch._foreach_div_(norms, [math.sqrt(max(p.numel(), 1)) for p in params])
            torch._foreach_clamp_min_(norms, min_scale)
            torch._foreach_mul_(norms, [-lr / (1 - beta1**k) for k in made])
            torch._foreach_mul_(updates, norms)
            torch._foreach_add_(params, updates)
            return
        sizes = torch.stack(norms).tolist()
        scales = [max(n / math.sqrt(max(p.numel(), 1)), min_scale) for n, p in zip(sizes, params, strict=True)]
        torch._foreach_mul_(updates, [-scale * lr / (1 - beta1**k) for scale, k in zip(scales, made, strict=True)])
        torch._foreach_add_(params, updates)


def _adafactor() -> Any:
    """Hugging Face's Adafactor, which compares each matrix's size on the host; on a GPU that is a wait a matrix."""
    from transformers import Adafactor

    class AdafactorOnDevice(Adafactor):
        @staticmethod
        def _get_lr(param_group: dict[str, Any], param_state: dict[str, Any]) -> Any:
            size = param_state["RMS"]
            if not isinstance(size, torch.Tensor) or size.device.type == "cpu" or param_group["relative_step"]:
                return Adafactor._get_lr(param_group, param_state)  # type: ignore[no-untyped-call]
            return param_group["lr"] * (size.clamp_min(param_group["eps"][1]) if param_group["scale_parameter"] else 1)

    return AdafactorOnDevice


def configure(parameters: Iterable[torch.nn.Parameter], settings: OptimizerSettings) -> dict[str, Any]:
    """The optimiser and its per-step schedule, in the form that `configure_optimizers` returns."""
    from transformers import get_scheduler

    params = [p for p in parameters if p.requires_grad]
    optimizer: torch.optim.Optimizer
    if settings.name == "adafactor":
        # T5's fine-tuning settings: a fixed external rate (Raffel et al. 2020, section 3.1.2: 1e-3, constant), steps
        # scaled by the size of each matrix, no first moment.
        optimizer = _adafactor()(
            params,
            lr=settings.lr,
            scale_parameter=True,
            relative_step=False,
            warmup_init=False,
            weight_decay=settings.weight_decay,
        )
    elif settings.name == "adamw-scaled":
        optimizer = ScaledAdamW(params, lr=settings.lr, weight_decay=settings.weight_decay)
    elif settings.name == "adamw":
        # One pass over each matrix instead of a dozen: 8 % of a small model's step on a CPU.
        optimizer = torch.optim.AdamW(params, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    else:
        raise ValueError(f"optimizer must be one of {', '.join(LEARNING_RATES)}. Got {settings.name!r}.")
    names = {"constant": "constant_with_warmup", "inverse_sqrt": "inverse_sqrt"}
    scheduler = get_scheduler(
        names.get(settings.schedule, settings.schedule),
        optimizer,
        num_warmup_steps=settings.warmup_steps,
        num_training_steps=settings.max_steps,
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
