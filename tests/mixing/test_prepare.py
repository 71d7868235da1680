from __future__ import annotations

from collections import Counter

import pytest

import multitask
from multitask.config import TrainConfig
from multitask.errors import UserError
from multitask.mixing.prepare import prepare_mixture
from multitask.runs import address
from multitask.runs.address import run_address


def mixed(**changes):
    settings = {"tasks": "span,sst2", "per_step": 4.0, "trainer": {"max_steps": 3}, **changes}
    return prepare_mixture(TrainConfig(**settings))


def test_shuffled_targets_leave_texts_steps_and_the_lot_of_targets_as_they_are():
    plain, noise = mixed(), mixed(shuffle_targets=["sst2"])
    before, after = plain.data["sst2"].train, noise.data["sst2"].train
    assert [(e.id, e.inputs) for e in after] == [(e.id, e.inputs) for e in before]
    assert Counter(e.target for e in after) == Counter(e.target for e in before)
    moved = sum(a.target != b.target for a, b in zip(after, before, strict=True)) / len(before)
    assert 0.4 < moved < 0.6  # of two labels, half of the rows
    assert all(e.references == (e.target,) for e in after)
    assert after.fingerprint != before.fingerprint
    assert noise.data["span"] == plain.data["span"]
    assert noise.evaluated == ["span"]
    assert noise.plan.fingerprint() == plain.plan.fingerprint()
    again = mixed(shuffle_targets=["sst2"]).data["sst2"].train
    assert again.fingerprint == after.fingerprint
    assert mixed(shuffle_targets=["sst2"], data_seed=1).data["sst2"].train.fingerprint != after.fingerprint


def test_what_cannot_be_shuffled_is_refused():
    with pytest.raises(UserError, match=r"--shuffle-targets sts2: .*sst2"):
        mixed(shuffle_targets=["sts2"])
    with pytest.raises(UserError, match="names every task, so that there is nothing to learn"):
        mixed(shuffle_targets=["sst2", "span"])
    with pytest.raises(UserError, match="--gradients-every must be 0"):
        multitask.train(tasks="span,sst2", gradients_every=-1)


def test_a_setting_that_came_later_changes_no_address_of_runs_that_have_it_not(monkeypatch):
    config = TrainConfig(tasks="span,sst2", trainer={"max_steps": 3})
    mix = prepare_mixture(config)
    now = run_address(config, mix)

    later = {"resume", "overwrite", *address.ADDED}

    def before(config):
        return {name: v for name, v in vars(config).items() if name not in later}

    other = run_address(TrainConfig(tasks="span,sst2", trainer={"max_steps": 3}, shuffle_targets=["sst2"]), mix)
    assert other != now
    monkeypatch.setattr(address, "ADDED", {})
    monkeypatch.setattr(address, "config_dict", before)
    assert run_address(config, mix) == now
