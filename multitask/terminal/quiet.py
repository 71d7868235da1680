"""Libraries underneath that leave the terminal to this program."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator

LEVELS = {
    **dict.fromkeys(
        ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric", "lightning_utilities"),
        logging.WARNING,
    ),
    "transformers": logging.ERROR,
    "httpx": logging.WARNING,  # huggingface_hub asks with it, and it tells of every question
}
"""{logger: the least that is worth a user's time}."""
OF_LIBRARIES = (
    r"(pytorch_lightning|lightning|lightning_fabric|lightning_utilities|transformers|huggingface_hub|datasets|evaluate"
    r"|torch\.(optim|utils|nn|distributed|amp|autograd|storage|serialization))(\.|$)"
)
"""The modules whose warnings are about how this program calls them. Those of torch.cuda, on a driver that is too old
for instance, are for the user."""


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep the notices of Lightning, torch and transformers back during a call, and leave all as it was after it.

    Their loggers, warnings and progress bars; none of the user's own, and nothing of a logger that the user has set to
    tell more than it does by itself.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")  # tqdm's, in a notebook without widgets
        import pytorch_lightning  # noqa: F401  # it sets its level when it is imported
        from transformers.utils import logging as of_transformers

    raised = {}
    for name, level in LEVELS.items():
        logger = logging.getLogger(name)
        if logger.level in (logging.NOTSET, logging.INFO, logging.WARNING) and logger.level < level:
            raised[logger] = logger.level
            logger.setLevel(level)
    bars = of_transformers.is_progress_bar_enabled()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=OF_LIBRARIES)
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning's, about torch's own renaming
        try:
            if bars:
                _switch_bars(of_transformers.disable_progress_bar)
            yield
        finally:
            if bars:
                _switch_bars(of_transformers.enable_progress_bar)
            for logger, level in raised.items():
                logger.setLevel(level)


def _switch_bars(switch: Callable[[], None]) -> None:
    """Only the bars of transformers, for weights read and written: a download of the Hub's has one for a reason."""
    from huggingface_hub import utils as hub

    disabled = hub.are_progress_bars_disabled()  # type: ignore[attr-defined]
    switch()
    (hub.disable_progress_bars if disabled else hub.enable_progress_bars)()  # type: ignore[attr-defined]


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
    """Quiet Lightning, after it is imported, which is when it sets its level."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
