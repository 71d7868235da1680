"""Record a command in a terminal as one SVG that plays it.

    python docs/record_terminal.py --width 90 docs/images/train.svg -- multitask train --tasks span,sst2

The command runs in a pseudo-terminal of a given size, `pyte` (pip install pyte) keeps its screen, and each different
screen becomes a frame: a group of the SVG that a style sheet shows for its part of the time. No script, no font, no
network; a reader who asked for reduced motion sees the last screen. Waiting is shortened, which the caption says.
"""

import argparse
import fcntl
import itertools
import os
import pty
import select
import struct
import sys
import termios
import time
from html import escape

import pyte

CELL = 8.43, 18.0
"""Width and height of a character of 14 pixels, in pixels."""
PAD = 14.0
BACK, FORE = "#14181f", "#d7dce2"
COLORS = {
    "black": "#3b4252", "red": "#e06c75", "green": "#98c379", "brown": "#e5c07b", "blue": "#61afef",
    "magenta": "#c678dd", "cyan": "#56b6c2", "white": "#d7dce2", "default": FORE,
}  # fmt: skip

Frame = tuple[float, list[list[tuple[str, str]]]]
"""Seconds since the beginning, and each line as (text, style) pieces."""


def record(command: list[str], width: int, height: int, every: float) -> list[Frame]:
    """The different screens of the command, at most one `every` so many seconds, and the last one."""
    screen = pyte.Screen(width, height)
    stream = pyte.ByteStream(screen)
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLORTERM="")
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            os.environ.pop(name, None)
        os.execvp(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    began, shown, frames = time.monotonic(), -every, []
    while True:
        ready = select.select([terminal], [], [], every)[0]
        if ready:
            try:
                data = os.read(terminal, 65536)
            except OSError:  # the command has ended
                break
            if not data:
                break
            stream.feed(data)
        now = time.monotonic() - began
        if now - shown >= every:
            shown = now
            lines = _lines(screen)
            if not frames or lines != frames[-1][1]:
                frames.append((now, lines))
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise SystemExit(f"{command[0]} failed:\n" + "\n".join(screen.display))
    frames.append((time.monotonic() - began, _lines(screen)))
    return frames


def _lines(screen: pyte.Screen) -> list[list[tuple[str, str]]]:
    lines = []
    for y in range(screen.lines):
        pieces: list[tuple[str, str]] = []
        row = screen.buffer[y]
        for x in range(screen.columns):
            one = row[x]
            style = _style(one)
            if pieces and pieces[-1][1] == style:
                pieces[-1] = (pieces[-1][0] + one.data, style)
            else:
                pieces.append((one.data, style))
        if pieces and not pieces[-1][0].strip():
            pieces.pop()
        lines.append(pieces)
    return lines


def _style(one: pyte.screens.Char) -> str:
    color = COLORS.get(one.fg) or (f"#{one.fg}" if len(one.fg) == 6 else FORE)
    return f'fill="{color}"' + (' font-weight="bold"' if one.bold else "")


def played(frames: list[Frame], command: str, width: int, height: int, longest: float, hold: float) -> str:
    """All frames as one SVG; no frame stays longer than `longest` seconds, the last one `hold` seconds."""
    # Lines that no frame uses, at the bottom, are left out.
    used = max(y for _, lines in frames for y, pieces in enumerate(lines) if pieces) + 1
    rows = min(used, height) + 2
    w, h = width * CELL[0] + 2 * PAD, rows * CELL[1] + 2 * PAD
    waits = [min(b[0] - a[0], longest) for a, b in itertools.pairwise(frames)] + [hold]
    total = sum(waits)
    style, body, at = [], [], 0.0
    for i, ((_, lines), wait) in enumerate(zip(frames, waits, strict=True)):
        begin, end = 100 * at / total, 100 * (at + wait) / total
        at += wait
        last = i == len(frames) - 1
        shown = f"{begin:.3f}%,{end - 0.001:.3f}%{{visibility:visible}}"
        hidden = ("" if i == 0 else f"0%,{begin - 0.001:.3f}%{{visibility:hidden}}") + (
            "" if last else f"{end:.3f}%,100%{{visibility:hidden}}"
        )
        style.append(f"@keyframes f{i}{{{shown}{hidden}}}#f{i}{{animation:f{i} {total:.1f}s step-end infinite}}")
        texts = [_text(0, [("$ ", f'fill="{COLORS["green"]}"'), (command, f'fill="{FORE}" font-weight="bold"')])]
        texts += [_text(y + 1, pieces) for y, pieces in enumerate(lines) if pieces]
        body.append(f'<g id="f{i}"{"" if last else " visibility=" + chr(34) + "hidden" + chr(34)}>{"".join(texts)}</g>')
    still = "@media (prefers-reduced-motion: reduce){g{animation:none!important}}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w:.0f} {h:.0f}" width="{w:.0f}" role="img" '
        f'aria-label="{escape(command)} in a terminal"><style>text{{font:14px ui-monospace,Menlo,Consolas,'
        f"'DejaVu Sans Mono',monospace;white-space:pre}}{''.join(style)}{still}</style>"
        f'<rect width="100%" height="100%" rx="8" fill="{BACK}"/>{"".join(body)}</svg>\n'
    )


def _text(y: int, pieces: list[tuple[str, str]]) -> str:
    spans, x = [], 0
    for words, style in pieces:
        if words.strip():
            bare = words.rstrip()
            # The width is fixed: a reader's font may be wider than the one that was measured.
            spans.append(
                f'<tspan x="{PAD + x * CELL[0]:.1f}" textLength="{len(bare) * CELL[0]:.1f}" '
                f'lengthAdjust="spacingAndGlyphs" {style}>{escape(bare)}</tspan>'
            )
        x += len(words)
    return f'<text y="{PAD + (y + 0.75) * CELL[1]:.1f}">{"".join(spans)}</text>'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--width", type=int, default=100)
    parser.add_argument("--height", type=int, default=36)
    parser.add_argument("--every", type=float, default=0.5, help="seconds between frames at least")
    parser.add_argument("--frames", type=int, default=40, help="at most so many, evenly chosen; the last one is kept")
    parser.add_argument("--longest", type=float, default=0.6, help="seconds that a frame is shown at most")
    parser.add_argument("--hold", type=float, default=8.0, help="seconds that the last one is shown")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    frames = record(command, options.width, options.height, options.every)
    if len(frames) > options.frames:
        step = (len(frames) - 1) / (options.frames - 1)
        frames = [frames[round(i * step)] for i in range(options.frames)]
    shown = " ".join([os.path.basename(command[0]), *command[1:]])
    with open(options.out, "w", encoding="utf-8") as file:
        file.write(played(frames, shown, options.width, options.height, options.longest, options.hold))
    print(f"{options.out}: {len(frames)} frames, {os.path.getsize(options.out):,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
