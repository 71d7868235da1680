"""What the doctor finds on this machine, and that it finds what is wrong with one."""

from __future__ import annotations

import json

import pytest
import torch

from multitask.cli import main
from multitask.runs import doctor
from multitask.runs.doctor import Finding, _decoded, _gradients, _guarded, _largest, _material
from multitask.runs.machine import machine_facts


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    return _material(tmp_path_factory.mktemp("doctor"), "tiny", torch.device("cpu"))


def test_all_is_well_here(material, tmp_path):
    found = list(_gradients(material))
    assert [f.said.partition(":")[0] for f in found] == [
        f"{form}, {precision}" for precision in ("fp32", "bf16") for form in ("flat", "grouped", "packed")
    ]
    assert {f.verdict for f in found} == {"ok"}
    material.model.save_pretrained(tmp_path / "whole" / "model")
    material.data.tokenizer.save_pretrained(tmp_path / "whole" / "model")
    (answers,) = _decoded(tmp_path, material)
    assert answers.verdict == "ok" and "of 72 answers" in answers.said
    assert [f.verdict for f in _largest(material)] == ["info"]


def test_wrong_gradients_are_found(material, monkeypatch):
    plain = doctor._loss_and_gradient

    def wrong(material, form, precision, device):
        total, gradient = plain(material, form, precision, device)
        return total, gradient * (1.01 if form == "flat" and precision == "fp32" else 1)

    monkeypatch.setattr(doctor, "_loss_and_gradient", wrong)
    assert [f.verdict for f in _gradients(material)] == ["FAILED", *["ok"] * 5]


def test_a_test_that_breaks_is_a_finding_and_the_code_says_so(monkeypatch, capsys):
    def breaks():
        raise RuntimeError("no kernel image\nis available")
        yield

    assert list(_guarded("speed", breaks)) == [Finding("speed", "FAILED", "RuntimeError: no kernel image is available")]
    monkeypatch.setattr(doctor, "examine", lambda *args, **more: _guarded("speed", breaks))
    assert main(["doctor"]) == 1
    said = capsys.readouterr()
    assert "speed               FAILED: RuntimeError: no kernel image is available" in said.out
    assert "speed failed: please report it" in said.err


def test_the_facts_say_what_a_report_needs_and_no_ones_home(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MULTITASK_CACHE", str(tmp_path / "cache"))
    names = [fact.name for fact in machine_facts()]
    assert names[:5] == ["multitask", "packages", "extras", "processor", "memory"]
    assert main(["doctor", "--facts", "--format", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["machine"]["cache"] == "~/cache (not there yet)" and said["tests"] == []
    assert str(tmp_path) not in json.dumps(said)
