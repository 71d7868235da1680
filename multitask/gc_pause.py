"""Python's search for cycles, switched off while hundreds of thousands of objects are made that stay.

The search looks again and again at all that there is and finds nothing: a third of the time of loading examples, a
fifth of that of importing torch and Lightning.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def pause_garbage_collection() -> Iterator[None]:
    """No search inside the block, or inside the function that this decorates.

    >>> with pause_garbage_collection():
    ...     gc.isenabled()
    False
    >>> gc.isenabled()
    True
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
