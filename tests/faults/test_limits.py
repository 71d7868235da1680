"""What the system refuses, in one line from every command: sizes of files, open files, names, links, closed streams."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multitask import measure_interference
from multitask.cli import main
from multitask.config import TrainConfig
from multitask.config_checks import check_config
from multitask.errors import UserError
from multitask.runs.folder import check_folder
from multitask.runs.train import train
from multitask.storage.atomic import atomic, clear_leftovers
from multitask.storage.folders import safe_name
from multitask.storage.system_errors import PATHS, RESOURCES, system_error, told


@pytest.fixture(autouse=True)
def _toys(toys):
    return toys


def run(out: Path, **settings: Any) -> Path:
    trainer = {"max_steps": 3, "enable_progress_bar": False, "accelerator": "cpu"}
    plain = {"tasks": "toy_labels,toy_text", "vocab_size": 70, "batch_size": 6, "checkpoint_every": 1, "quiet": True}
    return train(**{**plain, "out": str(out), "trainer": trainer, **settings}).folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Where a finished run is, once `finished` was asked for."""
    return tmp_path_factory.mktemp("limits") / "run"


@pytest.fixture
def finished(whole) -> Path:
    return whole if whole.is_dir() else run(whole)


@contextlib.contextmanager
def largest(size: int) -> Iterator[None]:
    """No file may be larger: EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def files_left(count: int) -> Iterator[None]:
    """So many more may be open: EMFILE."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, before[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        for number in taken[:count]:
            os.close(number)
        del taken[:count]
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for number in taken:
            os.close(number)


# ------------------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("size", [0, 300, 30_000, 1_000_000])
def test_a_run_that_may_write_no_large_file_says_so_and_can_be_finished(tmp_path, finished, size):
    with largest(size), pytest.raises(UserError) as error:
        run(tmp_path / "run")
    assert "File too large" in str(error.value) and str(tmp_path / "run") in str(error.value)
    begun = (tmp_path / "run" / "config.yaml").is_file()
    assert begun == ("multitask train --resume" in str(error.value))
    weights = "model/model.safetensors"
    assert (run(tmp_path / "run", resume=begun) / weights).read_bytes() == (finished / weights).read_bytes()


def test_a_study_that_may_write_no_large_file_says_where(tmp_path):
    settings = {"tasks": "toy_labels,toy_text", "vocab_size": 70, "per_step": 2, "jobs": 1, "arms": "single,joint"}
    with largest(300), pytest.raises(UserError) as error:
        measure_interference(out=tmp_path / "study", trainer={"max_steps": 1}, seeds=1, **settings)
    assert str(error.value) == (
        f"{tmp_path / 'study'} cannot be written: File too large (the limit on the size of a file: ulimit -f). What "
        f"was written to {tmp_path / 'study'} before is whole; the same command goes on."
    )


def test_a_run_that_may_open_few_files_says_so_or_ends_well(tmp_path):
    said = set()
    for count in range(8):
        with files_left(count):
            try:
                run(tmp_path / f"run-{count}")
            except UserError as error:
                said.add("Too many open files" in str(error))
    assert said == {True}


# --------------------------------------------------------------------------------------------------------- using a run


@pytest.mark.parametrize(
    "words",
    ["eval RUN --out OUT", "predict RUN --task toy_text --input IN --output OUT", "report RUN --output OUT", "cache"],
)
def test_commands_that_may_open_or_write_little_end_in_one_line(finished, tmp_path, capsys, words):
    (tmp_path / "in.txt").write_text("red blue\n")
    names = {"RUN": str(finished), "IN": str(tmp_path / "in.txt")}
    limits = [files_left(0), files_left(1), files_left(2), largest(0), largest(300)]
    for i, limit in enumerate(limits):
        given = [{**names, "OUT": str(tmp_path / f"out-{i}")}.get(word, word) for word in words.split()]
        with limit:
            code = main(given)
        error = capsys.readouterr().err
        assert code in (0, 2), error
        assert (code == 2) == ("multitask: error: " in error)
        assert "Traceback" not in error and error.count("multitask: error") <= 1
        if code:
            assert "Too many open files" in error or "File too large" in error
            assert not (tmp_path / f"out-{i}").is_file()


LONG = "x" * 300


@pytest.mark.parametrize(
    "words",
    [
        *(f"train --tasks toy_text --{name} {LONG}" for name in ("out", "data", "model", "vocab", "config", "include")),
        *(f"{command} {LONG}" for command in ("eval", "report", "predict --task toy_text")),
        *(f"interference --jobs 1 --tasks toy_text,toy_labels --{name} {LONG}" for name in ("out", "runs")),
        *("train --tasks toy_text --out loop", "report loop"),
        "interference --jobs 1 --tasks toy_text,toy_labels --out loop",
        *("train --tasks toy_text --data loop", "train --tasks toy_text --out file/x", "eval loop", "report file/x"),
        *(
            "predict file/x --task toy_text",
            "train --tasks toy_text --config loop",
            "train --tasks toy_text --out gone",
        ),
    ],
    ids=lambda words: words.replace(LONG, "LONG"),
)
def test_paths_that_cannot_be_are_one_line(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    Path("gone").symlink_to("nowhere")
    Path("file").touch()
    assert main(words.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("multitask: error: ") and said.count("\n") == 1
    assert sorted(p.name for p in Path().iterdir()) == ["file", "gone", "loop"]


# --------------------------------------------------------------------------------------------------------------- names


def test_any_name_that_a_file_may_have_is_written(tmp_path):
    for name in ("x" * 255, "y" * 247 + ".parquet", "é" * 127, "🙂" * 63):
        with atomic(tmp_path / name) as temporary:
            temporary.write_text("")
    (tmp_path / f".{'x' * 200}.abcdefgh").touch()
    clear_leftovers(tmp_path)
    assert len(list(tmp_path.iterdir())) == 4
    assert len(safe_name("🙂ß語" * 100).encode()) <= 160


def test_a_task_whose_name_is_longer_than_its_files_may_be_is_refused(toy_task):
    assert toy_task("text", name="x" * 200).name == "x" * 200
    with pytest.raises(UserError, match=r"^task name 'x{30}…' has 201 characters; it names files, and may have 200"):
        toy_task("text", name="x" * 201)


@pytest.mark.parametrize("name", ["out", "data", "vocab", "model"])
@pytest.mark.parametrize("path", ["a\0b", "r\udcff"])
def test_a_path_that_is_no_text_is_refused_before_anything_begins(name, path):
    with pytest.raises(UserError, match=rf"^--{name} .* is no path in UTF-8"):
        check_config(TrainConfig(**{name: path}))


def test_a_link_that_leads_nowhere_is_no_folder_for_a_run(tmp_path):
    (tmp_path / "run").symlink_to("nowhere")
    with pytest.raises(UserError, match="is a link that leads nowhere; give a folder for the run"):
        check_folder(tmp_path / "run", resume=False, overwrite=False)


# --------------------------------------------------------------------------------------------------- errors and streams


@pytest.mark.parametrize("number", sorted(RESOURCES | PATHS), ids=errno.errorcode.get)
def test_every_error_of_the_system_is_one_line_of_the_command(number, monkeypatch, capsys):
    def refuse(**_: Any) -> None:
        raise OSError(number, os.strerror(number), "some/file")

    monkeypatch.setattr("multitask.cli.cache_list.print_cache", refuse)
    assert main(["cache"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("multitask: error: some/file cannot be ") and os.strerror(number) in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("number", sorted(RESOURCES), ids=errno.errorcode.get)
def test_what_libraries_make_of_it_is_understood(number):
    text = os.strerror(number)
    wrapped = (
        RuntimeError(f"Error while serializing: I/O error: {text} (os error {number})"),
        RuntimeError(f"[enforce fail at inline_container.cc:595] . unexpected pos 64 vs 0, {text}"),
        ImportError(f"libtorch.so: cannot open shared object file: {text}"),
        OSError(f"Error writing bytes to file. Detail: [errno {number}] {text}"),
    )
    for error in wrapped:
        found = system_error(error)
        assert found is not None and found.errno == number
        assert told(found, "run/model").startswith("run/model cannot be ")
    try:
        try:
            raise OSError(number, text)
        except OSError as cause:
            raise ValueError("it failed") from cause
    except ValueError as error:
        assert system_error(error) is not None


def test_a_bug_is_none_of_these():
    for error in (RuntimeError("a bug"), OSError("no number"), ConnectionError(111, "refused"), KeyError(28)):
        assert system_error(error) is None
    try:
        try:
            raise FileNotFoundError(errno.ENOENT, "looked for", "x")
        except FileNotFoundError:
            raise RuntimeError("a bug while it was handled")  # noqa: B904
    except RuntimeError as error:
        assert system_error(error) is None


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_standard_output_that_is_full_or_closed_is_no_traceback():
    command = [sys.executable, "-m", "multitask.cli"]
    with open("/dev/full", "w") as full:
        done = subprocess.run([*command, "tasks"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "multitask: error: a file or standard output cannot be written: No space left on device.\n"
    line = " ".join([*command, "--version", ">&-", "&&", *command, "--help", ">&-", "2>&-"])
    assert subprocess.run(line, shell=True, capture_output=True, check=False).returncode == 0
    coded = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*command, "tasks"], env=coded, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_input_and_a_folder_that_is_gone_are_one_line(finished, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["predict", str(finished), "--task", "toy_text"]) == 2
    assert capsys.readouterr().err == "multitask: error: standard input is closed: give --input FILE.\n"

    def gone() -> str:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(os, "getcwd", gone)
    assert main(["cache"]) == 2
    assert capsys.readouterr().err == "multitask: error: the folder that this was started in is no longer there.\n"
