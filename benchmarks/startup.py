"""How long `multitask train` takes to its first optimizer step: the first time, and again with what the first one kept.

    python benchmarks/startup.py [--data DIR] [--tasks span,sst2] [--runs 3] [TRAIN OPTIONS …]

Each run is a new process with the cache of a temporary folder: empty for the first run, that of the first for the
others. Prints a table and JSON: seconds by the clock and of processor time, from the start of Python to the end of the
first step, and how they are shared among the parts; and the seconds to the first line on a terminal. Other programs on
the machine make the clock's slower, and less so those of the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from multitask.tables.numbers import number_text
from multitask.tables.table import print_table

PARTS = ("imports", "data", "vocabulary", "tokens", "model", "first step")


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(float(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data")
    parser.add_argument("--tasks", default="span,sst2")
    parser.add_argument("--runs", type=int, default=3, help="after the first one")
    options, more = parser.parse_known_args()
    words = ["--tasks", options.tasks, *(["--data", options.data] if options.data else []), *more]
    with tempfile.TemporaryDirectory() as name:
        results = [measure(Path(name), i, words) for i in range(options.runs + 1)]
    first, again = results[0], results[1:]
    middle = {
        kind: {part: statistics.median(r[kind][part] for r in again) for part in (*PARTS, "total")} for kind in first
    }
    rows = [
        (f"{label}, {kind}", *(number_text(found[kind][part], 2) for part in (*PARTS, "total")))
        for label, found in (("first run", first), (f"again, median of {len(again)}", middle))
        for kind in ("clock", "processor")
    ]
    print_table("Seconds to the first optimizer step", ("run", *PARTS, "total"), rows)
    lines = [first_line(words) for _ in range(5)]
    print(f"Seconds to the first line on a terminal: {statistics.median(lines):.2f} (median of {len(lines)})")
    print(json.dumps({"options": words, "runs": results, "first_line": lines}))


def first_line(words: list[str]) -> float:
    """Seconds from the start of Python to the first line that a person sees."""
    import pty

    began = time.monotonic()
    process, terminal = pty.fork()
    if process == 0:
        os.environ.setdefault("TERM", "xterm")
        os.execv(sys.executable, [sys.executable, "-m", "multitask.cli", "train", *words])  # noqa: S606
    os.read(terminal, 1)
    seconds = time.monotonic() - began
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    os.close(terminal)
    return seconds


def measure(folder: Path, run: int, words: list[str]) -> dict[str, dict[str, float]]:
    """Seconds of each part of a run, by the clock and of the processor."""
    told = folder / f"{run}.json"
    command = [
        sys.executable,
        __file__,
        "--child",
        str(time.time()),
        str(told),
        *words,
        "--out",
        str(folder / str(run)),
    ]
    environment = {**os.environ, "MULTITASK_CACHE": str(folder / "cache")}
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, dict[str, float]] = json.loads(told.read_text())
    return found


def child(began: float, told: Path, words: list[str]) -> None:
    """What `multitask train` does, up to the first step, with a mark after each part."""
    marks: list[tuple[float, float]] = []

    def mark() -> None:
        marks.append((time.time() - began, time.process_time()))

    from multitask.cli.common import check_early
    from multitask.cli.flags import parse_command
    from multitask.cli.train import COMMAND
    from multitask.gc_pause import pause_garbage_collection
    from multitask.terminal.quiet import quiet_libraries, quiet_lightning

    config, _ = parse_command(COMMAND, words)
    quiet_libraries()
    check_early(config)
    with pause_garbage_collection():
        import pytorch_lightning as pl

        import multitask.runs.run_data as run_data
        import multitask.runs.train as train
    quiet_lightning()
    mark()

    def marked(module: Any, name: str, *, before: bool, after: bool) -> None:
        """Note the time before or after each call of a function."""
        plain = getattr(module, name)

        def noted(*args: Any, **kwargs: Any) -> Any:
            if before:
                mark()
            made = plain(*args, **kwargs)
            if after:
                mark()
            return made

        setattr(module, name, noted)

    marked(run_data, "mixture_tokenizer", before=True, after=True)  # before: the data is there
    marked(run_data, "tokenize_parts", before=False, after=True)
    marked(train, "fit", before=True, after=False)  # the model is there

    class FirstStep(pl.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            mark()
            found = {}
            for i, kind in enumerate(("clock", "processor")):
                times = [0.0, *(m[i] for m in marks)]
                parts = {part: times[j + 1] - times[j] for j, part in enumerate(PARTS)}
                found[kind] = {**parts, "total": times[-1]}
            told.write_text(json.dumps(found))
            os._exit(0)

    train.train_run(config, callbacks=[FirstStep()])


if __name__ == "__main__":
    main()
