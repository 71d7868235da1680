"""One live display: rewritten in place on a terminal, a line now and then in a pipe, one output in a notebook."""

from __future__ import annotations

import io
import logging
import os
import re
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from rich.text import Text

import multitask
from multitask.cli import common
from multitask.config import TrainConfig
from multitask.tables.table import print_table, text_table
from multitask.tables.terminal import show_tables
from multitask.terminal import live as module
from multitask.terminal.counting import counting
from multitask.terminal.live import live
from multitask.terminal.output import say
from multitask.terminal.quiet import quietly
from multitask.terminal.training import TaskRow, TrainingView


@contextmanager
def terminal(monkeypatch, width=40):
    """Standard output and error are one terminal; gives a function that tells what its screen holds, line by line."""
    import fcntl
    import struct
    import termios

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    monkeypatch.setenv("TERM", "xterm")
    for name in ("COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    read: list[bytes] = []

    def collect():
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:
                return
            if not data:
                return
            read.append(data)

    reader = threading.Thread(target=collect, daemon=True)
    reader.start()
    with open(theirs, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        yield lambda: screen(b"".join(read).decode())
    reader.join(5)
    os.close(ours)


def screen(written: str) -> list[str]:
    """What a terminal shows after it was sent `written`."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[([0-9]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)", written):
        number, code, back, down, text = part
        if back:
            column = 0
        elif down:
            row, column = row + 1, column
            lines += [""] * (row + 1 - len(lines))
        elif code == "A":
            row -= int(number or 1)
        elif code == "K":
            lines[row] = ""
        elif text:
            lines[row] = lines[row].ljust(column)[:column] + text + lines[row][column + len(text) :]
            column += len(text)
    return [line.rstrip() for line in lines]


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_on_a_terminal_it_is_rewritten_in_place_and_prints_come_out_above_it(monkeypatch):
    monkeypatch.setattr(module, "REDRAW", 0.01)
    logger = logging.getLogger("test_terminal")
    with terminal(monkeypatch) as shown:
        handler = logging.StreamHandler()  # takes the stream before there is a display
        logger.addHandler(handler)
        state = ["first"]
        try:
            with live(lambda: Text(f"state: {state[0]}\nbelow"), lambda: "", keep=True) as display:
                wait_for(lambda: shown() == ["state: first", "below"])
                say("said, and longer than the forty columns that there are")
                print_table("Table", ["a", "b"], [["x", "1"]])
                logger.warning("logged")
                print("half a ", end="")
                print("line")
                with counting("counting", 3) as counter:
                    counter.advance(1)
                    wait_for(lambda: shown()[-1].startswith("counting 1/3"))
                state[0] = "last"
                display.update()
        finally:
            logger.removeHandler(handler)
        print("after")
        assert handler.stream is sys.stderr
    lines = [line for line in shown() if line]
    assert lines[0] == "said, and longer than the forty columns that there are"
    assert [line.split() for line in lines[1:3] + lines[4:5]] == [["Table"], ["a", "b"], ["x", "1"]]
    assert lines[5:] == ["logged", "half a line", "state: last", "below", "after"]


def test_a_display_that_is_interrupted_leaves_the_terminal_as_it_should_be(monkeypatch):
    with terminal(monkeypatch) as shown:
        before = sys.stdout
        with pytest.raises(KeyboardInterrupt), live(lambda: Text("as it was"), lambda: "", keep=True):
            raise KeyboardInterrupt
        assert sys.stdout is before
        assert not module._open
        with pytest.raises(KeyboardInterrupt), counting("rows", 10) as counter:
            counter.advance(1)
            raise KeyboardInterrupt
        print("multitask: interrupted.")
    assert shown()[:2] == ["as it was", "multitask: interrupted."]
    for thread in threading.enumerate():
        if thread.name == "display":  # it was told, and on a busy machine comes to it a little later
            thread.join(10)
            assert not thread.is_alive()


def test_a_narrower_window_is_cleared_of_lines_that_broke(monkeypatch):
    with terminal(monkeypatch) as shown:
        place = module._Terminal(sys.stderr)
        place._widths = [40, 10]
        monkeypatch.setenv("COLUMNS", "20")
        assert str(place._erased()).count("\x1b[1A") == 2  # 40 columns are two rows now
    assert shown() == [""]


def test_a_forked_process_leaves_the_terminal_alone(monkeypatch):
    with terminal(monkeypatch) as shown, live(lambda: Text("display"), lambda: "", keep=True):
        child = os.fork()
        if child == 0:
            print("from the child")
            sys.stdout.flush()
            os._exit(0 if not module._open else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert shown()[0].startswith("from the child")


@pytest.mark.parametrize("dumb", [False, True])
def test_into_a_pipe_goes_a_line_now_and_then(monkeypatch, dumb):
    class Dumb(io.StringIO):
        def isatty(self) -> bool:
            return dumb

    monkeypatch.setenv("TERM", "dumb")
    stream, n = Dumb(), [0]
    with live(lambda: Text(""), lambda: f"line {n[0]}", every=1000.0, stream=stream) as display:
        for n[0] in range(100):
            display.update()
        assert stream.getvalue() == ""
        display.shown -= 1000.0
        display.update()
        display.update()
        display.update(now=True)
    assert stream.getvalue() == "line 99\nline 99\n"


def test_in_a_notebook_it_is_one_output_that_is_updated(monkeypatch):
    shown: list[str] = []
    outputs = []

    def display(frame, display_id):
        outputs.append(frame)
        return SimpleNamespace(update=lambda f: shown.append(f._repr_mimebundle_()["text/plain"]))

    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    monkeypatch.setattr(module, "NOTEBOOK_REDRAW", 0.0)
    with live(lambda: Text("steps <1>"), lambda: "", keep=True, stream=io.StringIO()) as steps:
        steps.update()
        with live(lambda: Text("rows"), lambda: "", stream=io.StringIO()) as rows:
            rows.update()
    assert len(outputs) == 1
    assert "steps &lt;1&gt;" in outputs[0]._repr_mimebundle_()["text/html"]
    assert [text.split() for text in shown] == [["steps", "<1>", "rows"], ["steps", "<1>"], ["steps", "<1>"]]
    shown.clear()
    with live(lambda: Text("steps"), lambda: "", stream=io.StringIO()) as steps:
        steps.update()
    assert outputs[1]._repr_mimebundle_()["text/plain"] == "steps\n"
    assert shown == [""]  # nothing is left of it, and no empty block


def test_in_a_notebook_tables_are_shown_as_html(monkeypatch, capsys):
    shown = []
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=lambda *tables: shown.extend(tables)))
    show_tables(text_table("Scores", ("task", "score"), [("span", "0.5")]))
    assert "<td" in shown[0]._repr_html_()
    assert capsys.readouterr().out == ""


def test_a_command_says_what_begins_on_a_terminal_and_nothing_into_a_pipe(monkeypatch, capsys):
    facts = ("train", common.shown_tasks(TrainConfig(tasks="span, sst2")), "model tiny", "runs/first-of-them")
    common.announce(*facts)
    with common.loading():
        pass
    assert capsys.readouterr() == ("", "")
    with terminal(monkeypatch, width=60) as shown:
        common.announce(*facts)
        monkeypatch.setenv("LOCAL_RANK", "1")
        common.announce(*facts)
    assert shown() == [
        f"multitask {multitask.__version__} · train span, sst2 · model tiny",
        "  runs/first-of-them",
        "",
    ]
    many = TrainConfig(tasks=[f"task{i}" for i in range(29)])
    assert common.shown_tasks(many) == "task0, task1, task2, task3, task4, … (29 tasks)"


def test_what_is_imported_before_the_first_line_is_small(tmp_path):
    code = """
import sys
from multitask.cli import common, train
common.announce = lambda *facts: sys.exit(str([m for m in ("torch", "numpy", "rich.console") if m in sys.modules]))
train.announce = common.announce
train.run(["--tasks", "span,sst2"])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


# ---------------------------------------------------------------------------------------------------- a training's view


def training_view(tasks, steps=200, made=93):
    view, seen = TrainingView(), np.zeros((tasks, 4))
    names = ["span", "sst2", "a_task_with_a_name_that_is_long", *(f"task{i}" for i in range(3, tasks))]
    view.begin([TaskRow(name, 2000, "accuracy") for name in names[:tasks]], seen, 0, steps)
    for step in range(1, made + 1):
        view.due(step)
        seen += np.array([32.0, 900.0, 60.0, 60.0]) * [1, 1, 1, 0.5 + 5 / step]
        view.count(seen)
    return view


def shown_at(width, view, height=24):
    console = Console(width=width, height=height, force_terminal=True, color_system=None, file=io.StringIO())
    console.print(view)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 100, 160])
@pytest.mark.parametrize("tasks", [1, 2, 3, 29, 200])
def test_a_training_fits_every_window(tasks, width):
    view = training_view(tasks)
    view.score({task.name: (0.389, 0.521) for task in view.tasks}, 38.9)
    view.evaluate("sst2", 123, 400)
    lines = shown_at(width, view)
    assert max(map(len, lines)) <= width
    assert len(lines) <= 24 - 3
    assert "evaluating sst2 123/400" in lines[-1]
    assert "step 93/200" in lines[-1]
    shown = "\n".join(lines)
    assert shown.count("0.389") == tasks or f"… {tasks - shown.count('0.389')} more tasks" in shown
    if tasks <= 3:
        assert shown.count("0.521") == tasks


def test_a_row_says_loss_trend_examples_epochs_and_score_beside_the_baseline():
    view = training_view(2)
    view.score({"span": (0.389, 0.521), "sst2": (0.75, 0.5)}, 56.9)
    head, span, sst2, bar = shown_at(80, view)
    assert head.split() == ["task", "loss", "trend", "examples", "epochs", "metric", "score", "baseline"]
    name, loss, trend, *others = span.split()
    assert (name, others) == ("span", ["2,976", "1.49", "accuracy", "0.389", "0.521"])
    assert 0.5 < float(loss) < 0.6  # the last steps count most: 0.5 + 5 / 93 is 0.554
    assert (trend[0], trend[-1]) == ("█", "▁")
    assert sst2.split()[-2:] == ["0.750", "0.500"]
    assert "mean score 56.9" in bar
    assert re.fullmatch(r"step 93/200  loss 0.5\d\d  \(span 0.5\d\d, sst2 0.5\d\d\)  .* left", view.line())


def test_a_training_whose_tasks_have_no_loss_yet_is_shown():
    view = TrainingView()
    assert shown_at(80, view) == []
    view.begin([TaskRow("span", 0)], np.zeros((1, 4)), 5, 10)
    assert shown_at(80, view)[1].split() == ["span", "·", "0", "·"]
    assert "step 5/10" in view.line()


def test_what_a_resumed_run_had_counted_is_in_its_examples_and_not_in_its_speed():
    view, before = TrainingView(), np.array([[1000.0, 1e9, 1e9, 5e8]])
    view.begin([TaskRow("span", 2000)], before, 50, 100)
    view.due(51)
    view.count(before + np.array([10.0, 100.0, 20.0, 40.0]))
    assert view.losses() == [2.0]
    assert shown_at(80, view)[1].split()[-2:] == ["1,010", "0.51"]
    assert view.speed()[0] * 1e-6 < 1e6


# ------------------------------------------------------------------------------------------------------------ libraries


def test_libraries_are_quiet_during_a_call_and_users_never():
    import pytorch_lightning  # noqa: F401  # it sets filters of its own
    from transformers.utils import logging as of_transformers

    logger, bars = logging.getLogger("pytorch_lightning"), of_transformers.is_progress_bar_enabled()
    before, filters = logger.level, list(warnings.filters)
    logger.setLevel(logging.INFO)
    try:
        with quietly(), quietly():
            assert not logger.isEnabledFor(logging.INFO)
            assert not of_transformers.is_progress_bar_enabled()
            warnings.warn_explicit("a tip", UserWarning, "trainer.py", 1, module="pytorch_lightning.trainer.trainer")
            warnings.warn_explicit("order", UserWarning, "lr_scheduler.py", 1, module="torch.optim.lr_scheduler")
            for module in ("my_tasks", "torch.cuda"):
                with pytest.raises(UserWarning, match="for the user"):
                    warnings.warn_explicit("for the user", UserWarning, "file.py", 1, module=module)
        assert logger.level == logging.INFO
        logger.setLevel(logging.DEBUG)  # by a user who looks for something
        with quietly():
            assert logger.isEnabledFor(logging.DEBUG)
    finally:
        logger.setLevel(before)
    assert of_transformers.is_progress_bar_enabled() == bars
    assert warnings.filters == filters
