"""Progress of work that is counted, and seconds as people write them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from multitask.terminal.live import Display, live

if TYPE_CHECKING:
    from rich.text import Text


def duration(seconds: float) -> str:
    """Seconds as people write them.

    >>> duration(75), duration(3725)
    ('1:15', '1:02:05')
    """
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


class Counter:
    """How much of `total` equal pieces of work is done, e.g. rows that are decoded."""

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total, self.done = title, total, 0
        self.display: Display | None = None
        self._began = time.monotonic()

    def advance(self, n: int) -> None:
        """`n` more are done."""
        self.done += n
        if self.display is not None:
            self.display.update()

    def line(self) -> str:
        """All of it in one line."""
        left = (time.monotonic() - self._began) / self.done * (self.total - self.done) if self.done else None
        return f"{self.title} {self.done:,}/{self.total:,}" + ("" if left is None else f"  {duration(left)} left")

    def render(self) -> Text:
        """The line with a bar."""
        from rich.text import Text

        return Text(self.line(), no_wrap=True, overflow="ellipsis")


@contextmanager
def counting(title: str, total: int) -> Iterator[Counter]:
    """A `Counter` that is shown, and vanishes at the end."""
    counter = Counter(title, total)
    with live(counter.render, counter.line, every=10.0) as counter.display:
        yield counter
