"""How steps are computed: on unpadded tokens, or as padded micro-batches by the model's own code."""

from __future__ import annotations

from typing import Any, Literal

from multitask.config import TrainConfig
from multitask.errors import UserError


def choose_execution(
    config: TrainConfig, model: Any, device: str, strategy: str = "SingleDeviceStrategy"
) -> Literal["flat", "grouped"]:
    """Choose how steps are computed; see `TrainConfig.execution`.

    Args:
        config: The settings.
        model: As training begins with it.
        device: Its kind, e.g. cpu.
        strategy: Lightning's, by its class.

    Raises:
        UserError: If unpadded tokens (`flat`) are asked for and cannot be had.
    """
    from multitask.model.unpadded.forward import agrees

    asked = config.execution
    if asked == "grouped" or (asked == "auto" and device != "cpu"):
        return "grouped"
    needs = {
        "it runs in fp32 only": config.precision == "fp32" and "precision" not in config.trainer,
        "it has no gradient checkpointing": not config.gradient_checkpointing,
        f"it has not been tried with {strategy}": strategy in ("SingleDeviceStrategy", "DDPStrategy"),
    }
    against = [reason for reason, met in needs.items() if not met]
    if not against and not agrees(model):
        against = [f"it does not give what the code of {type(model).__name__} gives"]
    if asked == "flat" and against:
        raise UserError(f"--execution flat: {against[0]}; use --execution grouped, or auto.")
    return "grouped" if against else "flat"
