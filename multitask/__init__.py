"""multitask: fine-tune one text-to-text model on many tasks, and see which tasks help and hurt each other."""

from __future__ import annotations

__version__ = "0.1.0"
