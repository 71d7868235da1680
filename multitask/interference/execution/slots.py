"""Where models are trained side by side: GPUs as slots, or processes on the cores of a CPU."""

from __future__ import annotations

import os

from multitask.errors import UserError


def visible_gpus(accelerator: str = "auto") -> list[str]:
    """The CUDA devices that training would use, as CUDA_VISIBLE_DEVICES names them; none on a CPU.

    Nothing is started on them: this process is to hold no memory there.
    """
    if accelerator not in ("auto", "gpu", "cuda"):
        return []
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return named[:count] if named else [str(i) for i in range(count)]


def plan_slots(gpus: list[str], per_gpu: int | None, jobs: int) -> list[str | None]:
    """The GPU of each process that trains, in turn; None on a CPU.

    Args:
        gpus: From `visible_gpus`.
        per_gpu: Processes that share one at most; None for no bound.
        jobs: Processes.

    Raises:
        UserError: If they do not fit.

    >>> plan_slots(["0", "1"], 2, 3)
    ['0', '1', '0']
    >>> plan_slots([], None, 2)
    [None, None]
    """
    if not gpus:
        if per_gpu is not None:
            raise UserError("--per-gpu: there is no GPU here that training would use; give --jobs.")
        return [None] * jobs
    if per_gpu is not None and jobs > per_gpu * len(gpus):
        raise UserError(
            f"--jobs {jobs} are more than {len(gpus)} GPU{'s'[: len(gpus) != 1]} with --per-gpu {per_gpu} hold: give "
            f"one of the two, or --jobs {per_gpu * len(gpus)}."
        )
    return [gpus[i % len(gpus)] for i in range(jobs)]
