"""The global random generators, which nothing here draws from but a user's callbacks and formatters may.

A run has them seeded, so that it can be repeated, and gives them back as they were. A checkpoint holds their states.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from typing import Any

from multitask.guard import gathered


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
    """Of every process, in order: the states of its generators, as tensors and plain values."""
    import numpy as np
    import torch

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
