"""One live display for whatever takes long, in the form that the place it is shown in can bear.

On a terminal it is a region at the bottom that is rewritten in place, five times a second at most; what is printed
meanwhile comes out above it. In a notebook it is one output that is updated. Into a file or pipe goes a line now and
then. Displays that are opened inside another share its region. Nothing here draws a random number, and what a frame
costs is paid only when one is due, so a training under it is the same bit for bit.

    with live(bar.render, bar.line) as display:
        for step in steps:
            ...
            bar.step = step
            display.update()
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import RenderableType

REDRAW = 0.2
"""Seconds between two frames on a terminal, at least."""
TICK = 1.0
"""Seconds after which a frame is drawn though nothing changed: clocks go on, and a resized window is filled again."""
NOTEBOOK_REDRAW = 0.5
NOTEBOOK_WIDTH = 100
"""Columns; a notebook's own width is not known here."""


class Display:
    """Something shown while it changes; made by `live`."""

    def __init__(self, render: Callable[[], RenderableType], line: Callable[[], str], every: float, place: Any) -> None:
        self.render, self.line, self.every = render, line, every
        self.shown = time.monotonic()
        """When its last line went into a file or pipe."""
        self._place = place

    @property
    def rewritten(self) -> bool:
        """Whether it is rewritten where it stands, and not a line in a file or pipe."""
        return not isinstance(self._place, _Lines)

    def update(self, *, now: bool = False) -> None:
        """Say that something changed; it is shown when the next frame or line is due.

        Args:
            now: Write a line at once, into a file or pipe; for the last one.
        """
        self._place.changed(self, now)


@contextlib.contextmanager
def live(
    render: Callable[[], RenderableType],
    line: Callable[[], str],
    *,
    every: float = 20.0,
    keep: bool = False,
    stream: TextIO | None = None,
) -> Iterator[Display]:
    """A display that is there inside the block.

    Args:
        render: Gives what a terminal or notebook shows now, as anything that rich can render. On a terminal a thread
            calls it, so it only reads, and copies what may change size meanwhile. Text of others must be escaped.
        line: Gives the same as one line, for a file or pipe.
        every: Seconds between two lines there.
        keep: Leave the last frame standing at the end, however the block ends; by default it vanishes.
        stream: By default standard error.
    """
    place = _place_of(stream or sys.stderr)
    display = Display(render, line, every, place)
    place.add(display)
    try:
        yield display
    finally:
        place.remove(display, keep)


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which shows objects and not lines."""
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return getattr(shell, "kernel", None) is not None


def is_live_terminal(stream: Any) -> bool:
    """Whether what was written to `stream` can be rewritten."""
    return bool(stream.isatty()) and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


_open: list[_Terminal | _Notebook] = []
"""The place that shows something now, if any."""


def _place_of(stream: Any) -> _Terminal | _Notebook | _Lines:
    if isinstance(stream, _Above) and stream.terminal in _open:
        return stream.terminal
    # A stream that is a real file is one that the caller turned away from the notebook.
    if in_notebook() and not isinstance(stream, io.TextIOWrapper):
        found = [place for place in _open if isinstance(place, _Notebook)]
        return found[0] if found else _Notebook()
    return _Terminal(stream) if is_live_terminal(stream) and not _open else _Lines(stream)


class _Lines:
    """A file or pipe."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def add(self, display: Display) -> None:
        pass

    def changed(self, display: Display, now: bool) -> None:
        moment = time.monotonic()
        if now or moment - display.shown >= display.every:
            display.shown = moment
            self._stream.write(display.line() + "\n")
            self._stream.flush()

    def remove(self, display: Display, keep: bool) -> None:
        pass


# ------------------------------------------------------------------------------------------------------------ notebooks


class _Notebook:
    """One output of the cell; redrawn by whoever says that something changed, as messages belong to its thread."""

    def __init__(self) -> None:
        self._displays: list[Display] = []
        self._kept: list[RenderableType] = []
        self._handle: Any = None
        self._drawn = time.monotonic()

    def add(self, display: Display) -> None:
        self._displays.append(display)
        if self not in _open:
            _open.append(self)

    def changed(self, display: Display, now: bool) -> None:
        if time.monotonic() - self._drawn >= NOTEBOOK_REDRAW:
            self._draw()

    def remove(self, display: Display, keep: bool) -> None:
        self._displays.remove(display)
        if keep:
            self._kept.append(display.render())
        if self._handle is not None or keep:
            self._draw()
        if not self._displays:
            _open.remove(self)

    def _draw(self) -> None:
        from IPython.display import display

        self._drawn = time.monotonic()
        frame = _Frame([*self._kept, *(d.render() for d in self._displays)])
        if self._handle is None:
            self._handle = display(frame, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(frame)


class _Frame:
    """Renderables as a notebook shows them."""

    def __init__(self, parts: list[RenderableType]) -> None:
        from rich.console import Console

        console = Console(
            record=True, file=io.StringIO(), width=NOTEBOOK_WIDTH, force_jupyter=False, highlight=False, no_color=False
        )
        for part in parts:
            console.print(part)
        self._html = console.export_html(
            inline_styles=True, clear=False, code_format="<pre style='line-height:1.3;margin:0'>{code}</pre>"
        )
        self._text = console.export_text()
        if not parts:  # no display is left: an empty block would stand there as a blank line
            self._html = self._text = ""

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/html": self._html, "text/plain": self._text}


# ------------------------------------------------------------------------------------------------------------ terminals


class _Terminal:
    """The region at the bottom of a terminal, and the thread that redraws it.

    The cursor stays visible, so that a process that is killed leaves a terminal as it should be. It is one write a
    frame, so nothing flickers.
    """

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=stream, force_terminal=True, force_jupyter=False, highlight=False)
        self._stream = stream
        self._displays: list[Display] = []
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._changed = True
        self._drawn = 0.0
        self._widths: list[int] = []  # of the lines that stand there now
        self._above: dict[str, _Above] = {}
        self._handlers: list[Any] = []

    def add(self, display: Display) -> None:
        if not self._displays:
            self._open()
        self._displays.append(display)
        self._changed = True

    def changed(self, display: Display, now: bool) -> None:
        self._changed = True

    def remove(self, display: Display, keep: bool) -> None:
        with self._lock:
            left = display.render() if keep else None
            self._displays.remove(display)
            try:
                self.draw(left)
            finally:
                if not self._displays:
                    self._close()

    def draw(self, *above: RenderableType | None) -> None:
        """Erase the region, print `above` there, and draw the region again below it."""
        from rich.console import Group
        from rich.segment import Segment, Segments

        with self._lock:
            console = self._console
            parts = [d.render() for d in self._displays]
            lines = console.render_lines(Group(*parts), pad=False) if parts else []
            lines = lines[: max(console.height - 1, 1)]
            self._changed, self._drawn = False, time.monotonic()
            with contextlib.suppress(OSError, ValueError), console:  # a terminal that is gone ends no training
                console.control(self._erased())
                for part in above:
                    if part is not None:
                        console.print(part, soft_wrap=isinstance(part, _text_type()))
                segments: list[Segment] = []
                for i, line in enumerate(lines):
                    segments += [Segment.line(), *line] if i else line
                console.print(Segments(segments), end="")
            self._widths = [Segment.get_line_length(line) for line in lines]

    def _erased(self) -> Any:
        """The codes that take the region away, also of a window that became narrower and broke its lines."""
        from rich.control import Control
        from rich.segment import ControlType

        if not self._widths:
            return Control()
        width = max(self._console.width, 1)
        rows = sum(max(-(-length // width), 1) for length in self._widths)
        up = ((ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2))
        return Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2), *(up * (rows - 1)))

    def _redraw(self) -> None:
        while not self._ended.wait(REDRAW):
            if self._changed or time.monotonic() - self._drawn >= TICK:
                self.draw()

    def _open(self) -> None:
        _open.append(self)
        _mind_forks()
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is self._stream or (stream is not None and is_live_terminal(stream)):
                self._above[name] = _Above(stream, self)
                setattr(sys, name, self._above[name])
        by_stream = {id(above.stream): above for above in self._above.values()}
        for handler in _stream_handlers():
            if id(handler.stream) in by_stream:
                handler.setStream(by_stream[id(handler.stream)])
                self._handlers.append(handler)
        self._thread = threading.Thread(target=self._redraw, name="display", daemon=True)
        self._thread.start()

    def _close(self) -> None:
        self._ended.set()
        self.let_go()
        if self._widths:
            self._stream.write("\n")
            self._stream.flush()

    def let_go(self) -> None:
        """Give the streams back."""
        for name, above in self._above.items():
            above.close()
            if getattr(sys, name) is above:
                setattr(sys, name, above.stream)
        for handler in self._handlers:
            if isinstance(handler.stream, _Above):
                handler.setStream(handler.stream.stream)
        if self in _open:
            _open.remove(self)


class _Above:
    """Stands for a stream of the same terminal while a display is there: its whole lines come out above it."""

    def __init__(self, stream: TextIO, terminal: _Terminal) -> None:
        self.stream, self.terminal = stream, terminal
        self._rest = ""
        self._closed = False

    def write(self, text: str) -> int:
        """Print the lines that are whole now."""
        if self._closed:
            return self.stream.write(text)
        *lines, self._rest = (self._rest + text).split("\n")
        if lines:
            # Of a line that was written over itself, as other progress bars do, the last.
            self._print("\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines))
        return len(text)

    def _print(self, text: str) -> None:
        self.terminal.draw(_text_type().from_ansi(text) if "\x1b" in text else _text_type()(text))

    def flush(self) -> None:
        """Lines are written when they are whole."""
        if self._closed:
            self.stream.flush()

    def close(self) -> None:
        """Hand on from now on."""
        self._closed = True
        if self._rest:
            self.stream.write(self._rest)
            self._rest = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _text_type() -> Any:
    from rich.text import Text

    return Text


def _stream_handlers() -> Iterator[Any]:
    """The handlers of all loggers that write to a stream, which they took before there was a display."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    for logger in loggers:
        for handler in getattr(logger, "handlers", ()):
            if isinstance(handler, logging.StreamHandler):
                yield handler


@functools.cache
def _mind_forks() -> None:
    """Fork between two frames, and leave the terminal alone in the forked process, e.g. a worker that loads data."""
    held: list[_Terminal] = []

    def before() -> None:
        held[:] = [place for place in _open if isinstance(place, _Terminal)]
        for place in held:
            place._lock.acquire()

    def after() -> None:
        for place in held:
            place._lock.release()
        held.clear()

    def in_child() -> None:
        for place in held:
            place._widths, place._displays = [], []
            place.let_go()
        after()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_parent=after, after_in_child=in_child)
