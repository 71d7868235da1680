"""GLUE and SuperGLUE on the Hub, pinned to one commit each: the revision is part of what a run's address says."""

from __future__ import annotations

from collections.abc import Mapping

from multitask.sources.hugging_face import hub
from multitask.sources.protocol import Source


def glue(name: str, splits: Mapping[str, str] | None = None) -> Source:
    """A task of GLUE (Wang et al. 2018)."""
    return hub("nyu-mll/glue", name, revision="bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c", splits=splits)


def super_glue(name: str) -> Source:
    """A task of SuperGLUE (Wang et al. 2019)."""
    return hub("aps/super_glue", name, revision="3de24cf8022e94f4ee4b9d55a6f539891524d646")
