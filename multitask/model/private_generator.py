"""Initial weights from a random generator of their own, so that the global one stays where it is."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from typing import Any


def seed_of(name: str) -> int:
    """A seed for what has this name, from 0 to below 2^63."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") >> 1


@contextlib.contextmanager
def private_generator(seed: int) -> Iterator[None]:
    """Draw from a generator of this call inside, which begins at `seed`, instead of torch's global CPU generator.

    For library code that draws initial weights and has no argument for a generator: the same bits as after
    `torch.manual_seed(seed)`, while the global one stays where it is for other threads.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    generator = torch.Generator().manual_seed(seed)

    class Private(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = dict(kwargs or {})
            if getattr(func, "__name__", "") in DRAWS and kwargs.get("generator") is None:
                kwargs["generator"] = generator
            return func(*args, **kwargs)

    with Private():
        yield


DRAWS = frozenset(
    (
        *("normal_", "uniform_", "trunc_normal_", "bernoulli_", "exponential_", "orthogonal_"),
        *("kaiming_normal_", "kaiming_uniform_", "xavier_normal_", "xavier_uniform_"),
        *("normal", "rand", "randn", "randint", "randperm"),
    )
)
"""Functions of torch and torch.nn.init that take a `generator`."""

making = threading.Lock()
"""While transformers loads a model, `torch.nn.init` does nothing, in any thread: a model of random weights that another
one makes then would be left as the memory was."""
