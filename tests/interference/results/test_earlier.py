from __future__ import annotations

import copy
import json
import runpy
from pathlib import Path

import pytest

from multitask.errors import UserError
from multitask.interference.results.record_file import read_record, write_record

EXAMPLE = runpy.run_path(str(Path(__file__).parents[2] / "study_example.py"))["example_record"]
NEW = {
    "effects": ("unjudged", "seeds_to_halve", "differing"),
    "tasks": ("above_low", "above_high", "learned", "low", "high"),
}


@pytest.fixture
def earlier(tmp_path):
    """Writes a record as it was before these fields."""

    def write(change=lambda record: None):
        record = copy.deepcopy(EXAMPLE())
        for part, names in NEW.items():
            for one in record[part]:
                for name in names:
                    del one[name]
        del record["setting"]["intervals"], record["made"]
        change(record)
        path = tmp_path / "interference.json"
        write_record(path, record)
        return path

    return write


def test_an_earlier_record_is_read_with_its_numbers_and_what_they_tell(earlier):
    record, now = read_record(earlier()), EXAMPLE()
    assert record["setting"]["intervals"] == "separate"
    for before, after in zip(now["effects"], record["effects"], strict=True):
        assert {k: v for k, v in before.items() if k not in NEW["effects"]} == {
            k: v for k, v in after.items() if k not in NEW["effects"]
        }
        assert after["unjudged"] == before["unjudged"]
    assert [t["learned"] for t in record["tasks"]] == [True] * 3
    assert all(0 < t["above_low"] < t["above_high"] for t in record["tasks"])


def test_verdicts_on_a_task_that_was_not_learned_are_taken_back(earlier):
    def change(record):
        record["tasks"][1]["baseline"] = 99.0

    record = read_record(earlier(change))
    assert [t["learned"] for t in record["tasks"]] == [True, False, True]
    of_task = [e for e in record["effects"] if e["task"] == "sst2"]
    assert {(e["verdict"], e["unjudged"]) for e in of_task} <= {(None, "not learned"), (None, "undefined")}
    assert any(e["verdict"] for e in record["effects"])


def test_a_damaged_earlier_record_is_refused_by_name(earlier):
    path = earlier(lambda record: record["setting"].update(match="examples"))
    with pytest.raises(UserError, match=r"setting.match"):
        read_record(path)
    path.write_text(json.dumps({"format": 1, "tasks": [3], "effects": None}))
    with pytest.raises(UserError, match="is not as it was written"):
        read_record(path)
