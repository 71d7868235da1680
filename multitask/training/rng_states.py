"""The global random generators, from which nothing here draws but dropout (seeded at each step) of grouped execution.

A user's callbacks and formatters may draw from them too: a run has them seeded, so that it can be repeated, and gives
them back as they were. A checkpoint holds their states. A process has one of each, for all its threads, so it trains
one model at a time (`one_training`).
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from multitask.errors import UserError

_training: dict[str, Any] = {}
"""Of the training that is under way: what it is, its process and thread."""
_change = threading.Lock()


@contextlib.contextmanager
def one_training(what: str) -> Iterator[None]:
    """Keep other threads of this process from training inside.

    Dropout and a user's callbacks draw from the process's own generators, the first of which sees the seeds of the
    second: of two runs side by side neither was the one that its settings say (measured: other weights in both). Signal
    handlers and Lightning's settings are of a process too. A second training is refused rather than made to wait: it
    would wait for hours, and in a callback of the first for ever. In the same thread one may stand inside another, as
    the runs of a study in the study.

    Args:
        what: For the error: "the run in runs/a".

    Raises:
        UserError: If another thread is at it.
    """
    here = {"what": what, "process": os.getpid(), "thread": threading.get_ident()}
    with _change:
        before = dict(_training)
        if before and before["process"] == here["process"] and before["thread"] != here["thread"]:
            raise UserError(
                f"{before['what']} is being trained in another thread of this process, which has one random generator "
                f"for both: train {what} after it, or in a process of its own."
            )
        _training.update(here)
    try:
        same_threads()
        yield
    finally:
        with _change:
            _training.clear()
            _training.update(before)


def same_threads() -> None:
    """The calling thread computes with as many of torch's threads as the others do.

    A new one begins with OpenMP's own number. What `torch.set_num_threads` was told reaches it with the first operation
    that torch itself divides; products of matrices before that had other last bits than in the main thread, and the
    weights were others after one step.
    """
    import torch

    torch.get_num_threads()  # which sets it


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """So many of torch's threads inside, and as many as before afterwards: last bits hang on it.

    Args:
        count: 1 or more.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def seeded_generators(seed: int) -> Iterator[None]:
    """Python's, NumPy's and torch's global generators begin at `seed` inside, and are as before afterwards.

    Args:
        seed: From 0.
    """
    import numpy as np
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def states_of_generators() -> list[dict[str, Any]]:
    """Collect the states of every process's generators, in order, as tensors and plain values."""
    import numpy as np
    import torch

    from multitask.training.distributed import gathered  # which imports torch

    version, python, gauss = random.getstate()
    kind, words, place, has_gauss, cached = np.random.get_state()
    own: dict[str, Any] = {
        "python": [version, torch.tensor(python, dtype=torch.int64), gauss],
        "numpy": [str(kind), torch.from_numpy(np.asarray(words, np.int64)), int(place), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        own["cuda"] = torch.cuda.get_rng_state()
    return gathered([own])


def restore_generators(states: Sequence[dict[str, Any]], rank: int) -> None:
    """Go on where process `rank` was; one that was not there then goes on as it is."""
    if rank >= len(states):
        return
    import numpy as np
    import torch

    own = states[rank]
    version, python, gauss = own["python"]
    random.setstate((version, tuple(python.tolist()), gauss))
    kind, words, place, has_gauss, cached = own["numpy"]
    np.random.set_state((kind, words.numpy().astype(np.uint32), place, has_gauss, cached))
    torch.set_rng_state(own["torch"])
    if "cuda" in own and torch.cuda.is_available():
        torch.cuda.set_rng_state(own["cuda"])
