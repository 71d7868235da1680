"""The run folder: whole files or none, and a run that is never overwritten by accident."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitask.errors import UserError
from multitask.runs.folder import PARTS, open_folder
from multitask.storage.atomic import atomic, atomic_files
from multitask.storage.json_files import finite, read_json, write_json


def test_a_file_takes_its_place_when_it_is_whole(tmp_path):
    path = tmp_path / "sub" / "a.txt"
    with atomic(path) as temporary:
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == ".txt"
        temporary.write_text("whole")
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]
    assert path.read_text() == "whole"


def test_an_error_leaves_nothing_behind(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic(path) as temporary:
        temporary.write_text("half")
        1 / 0  # noqa: B018
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_a_written_file_has_the_usual_rights(tmp_path):
    before = os.umask(0o027)
    try:
        write_json(tmp_path / "a.json", {})
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o640


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_whatever_is_written_is_json_that_every_reader_understands(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    assert json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse) == finite(value) == read_json(path)


def test_what_is_not_a_number_is_null(tmp_path):
    write_json(tmp_path / "a.json", {"a": float("nan"), "b": [float("inf"), 1.5], 3: (-float("inf"),), "ü": "`"})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"a": None, "b": [None, 1.5], "3": [None], "ü": "`"}
    assert "ü" in text


def test_a_missing_or_damaged_file_is_named(tmp_path):
    with pytest.raises(UserError) as error:
        read_json(tmp_path / "metrics.json")
    assert str(error.value) == f"{tmp_path / 'metrics.json'} is not there: is {tmp_path} the folder of a finished run?"
    with pytest.raises(UserError, match=r"the folder of a finished study\?"):
        read_json(tmp_path / "interference.json")
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(UserError, match=r"metrics\.json cannot be read as JSON: "):
        read_json(tmp_path / "metrics.json")


# ---------------------------------------------------------------------------------------------------------- open_folder


def opened(out, resume=False, overwrite=False):
    open_folder(out, resume=resume, overwrite=overwrite)


def message(out, **how):
    with pytest.raises(UserError) as error:
        opened(out, **how)
    return str(error.value)


def test_a_new_folder_is_made_and_left_empty(tmp_path):
    opened(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    opened(tmp_path / "a" / "b")  # an empty one will do as well


def test_a_run_is_kept_unless_it_is_said_otherwise(tmp_path):
    (tmp_path / "config.yaml").touch()
    assert message(tmp_path) == (
        f"there is a run in {tmp_path} already: --resume continues it, --overwrite replaces it, or give another --out "
        "(in Python resume=True, overwrite=True or out=…)."
    )
    assert (tmp_path / "config.yaml").exists()
    opened(tmp_path, resume=True)


def test_overwriting_deletes_the_parts_of_a_run(tmp_path):
    for name in PARTS:
        (tmp_path / name).touch() if "." in name else (tmp_path / name / "inside").mkdir(parents=True)
    opened(tmp_path, overwrite=True)
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_removed_and_what_it_leads_to_is_not(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    run = tmp_path / "run"
    run.mkdir()
    (run / "checkpoints").symlink_to(elsewhere)
    opened(run, overwrite=True)
    assert (elsewhere / "precious").exists()


@pytest.mark.parametrize("overwrite", [True, False])
def test_other_files_are_never_deleted(tmp_path, overwrite):
    for name in ("config.yaml", "thesis.tex"):
        (tmp_path / name).touch()
    assert message(tmp_path, overwrite=overwrite) == (
        f"--out {tmp_path} holds other files (config.yaml, thesis.tex, …); give an empty or new folder."
    )
    assert (tmp_path / "thesis.tex").exists()


def test_files_of_a_folder_take_their_places_together_or_not_at_all(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").write_text("old")
    with pytest.raises(KeyError), atomic_files(tmp_path / "model", last="b") as temporary:
        (temporary / "old").write_text("half")
        raise KeyError
    assert (tmp_path / "model" / "old").read_text() == "old"
    with atomic_files(tmp_path / "model", last="a") as temporary:
        (temporary / "a").write_text("1")
        (temporary / "a").chmod(0o600)
        (temporary / "old").write_text("new")
    assert {p.name: p.read_text() for p in (tmp_path / "model").iterdir()} == {"a": "1", "old": "new"}
    (tmp_path / "plain").touch()
    assert (tmp_path / "model" / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "plain"]


def test_nothing_to_resume(tmp_path):
    assert message(tmp_path / "none", resume=True) == (
        f"--resume: there is no run in {tmp_path / 'none'} to continue; leave --resume out to begin one."
    )


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "a").touch()
    assert message(tmp_path / "a") == f"--out {tmp_path / 'a'} is a file; give a folder for the run."


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path, monkeypatch):
    def refused(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refused)  # the tests may run as root, who may write anywhere
    assert message(tmp_path / "a") == f"--out {tmp_path / 'a'} cannot be written: Permission denied."
