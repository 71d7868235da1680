"""Libraries underneath that leave the terminal to this program."""

from __future__ import annotations

import os
import sys


def quiet_libraries() -> None:
    """Leave the terminal to this program: no banners, tips or progress bars of the libraries underneath.

    And the processor to others while a thread waits. Before they are imported, which is when they read these variables.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    # OpenMP's threads wait for each other in a loop, 300,000 rounds by default. Beside other programs on the same cores
    # a step of 100 ms took 380 to 630 ms of processor time so; of 1,000 rounds, which are microseconds, 120 ms.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if "transformers" in sys.modules:  # it has read them already: a notebook that calls main()
        sys.modules["transformers"].utils.logging.disable_progress_bar()


def quiet_lightning() -> None:
    """The same for Lightning, after it is imported, which is when it sets its level."""
    import logging

    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
