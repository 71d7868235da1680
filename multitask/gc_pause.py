"""Python's search for cycles, kept away from hundreds of thousands of objects that stay.

The search looks again and again at all that there is and finds nothing: a third of the time of loading examples, a
fifth of that of importing torch and Lightning, and a quarter of a second at the end of each model of a study.
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


@contextlib.contextmanager
def keep_out_of_searches() -> Iterator[None]:
    """What there is when the block begins is searched no more inside it: a search takes as long as what came since.

    >>> with keep_out_of_searches():
    ...     gc.get_freeze_count() > 0
    True
    """
    if gc.get_freeze_count():  # somebody else's, who may want it to last
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
