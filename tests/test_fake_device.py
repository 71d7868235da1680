"""Training on a GPU that is not there: nothing is left on the CPU, and the host waits for the device once a step.

In a process of its own: the device is one that PyTorch lets a program register, for as long as it runs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

OWN = "multitask: module.py:_read"
"""Where the host reads the norm of the gradient and what was counted, together."""


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    script = Path(__file__).with_name("fake_device.py")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_tensor_that_was_left_on_the_cpu_and_a_read_are_found(found):
    assert "device" in found["mixed"]["said"] and "cpu" in found["mixed"]["said"]
    assert found["mixed"]["reads"] == 1


@pytest.mark.parametrize("execution", ["flat", "grouped", "packed"])
@pytest.mark.parametrize("optimizer", ["adafactor", "adamw-scaled", "adamw"])
def test_a_training_step_stays_on_the_device_and_waits_for_it_once(found, execution, optimizer):
    of = found[f"{execution} {optimizer} sum"]
    assert of["grads"] == ["gpu"]
    own = [place for place in of["reads"] if not place.startswith("transformers")]
    assert own == [OWN]
    # Hugging Face's masks look whether anything is padded, once a group and stack.
    assert len(of["reads"]) - 1 <= (0 if execution == "flat" else 6)


@pytest.mark.parametrize("execution", ["flat", "grouped", "packed"])
def test_balancing_by_losses_reads_them_once_more(found, execution):
    of = found[f"{execution} adamw-scaled uw"]
    assert of["grads"] == ["gpu"]
    own = [place for place in of["reads"] if not place.startswith("transformers")]
    assert OWN in own and len(own) <= 3
