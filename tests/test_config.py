"""Settings: defaults that depend on the model, and the text of every refusal."""

from __future__ import annotations

import dataclasses

import pytest
import yaml

from multitask.config import TrainConfig, selection_size
from multitask.config_checks import check_config, check_precision, check_trainer_names, fill_defaults, parse_options
from multitask.errors import UserError


def refused(**settings) -> str:
    with pytest.raises(UserError) as error:
        check_config(fill_defaults(TrainConfig(**settings), from_scratch=True))
    return str(error.value)


def test_the_defaults_are_fine():
    for from_scratch in (True, False):
        check_config(fill_defaults(TrainConfig(), from_scratch=from_scratch))


def test_defaults_depend_on_where_the_weights_come_from():
    scratch, tuned = fill_defaults(TrainConfig(), from_scratch=True), fill_defaults(TrainConfig(), from_scratch=False)
    assert (scratch.optimizer, scratch.lr, scratch.schedule, scratch.dropout) == ("adamw-scaled", 1e-2, "linear", 0.1)
    assert (tuned.optimizer, tuned.lr, tuned.schedule, tuned.dropout) == ("adafactor", 1e-3, "constant", None)
    assert fill_defaults(TrainConfig(optimizer="adamw"), from_scratch=True).lr == 1e-4


def test_what_is_given_is_kept():
    given = TrainConfig(optimizer="adamw", lr=0.5, schedule="cosine", dropout=0.0, warmup_steps=0)
    made = fill_defaults(given, from_scratch=True)
    assert (made.optimizer, made.lr, made.schedule, made.dropout, made.warmup_steps) == ("adamw", 0.5, "cosine", 0.0, 0)


def test_warming_up_takes_a_twentieth_of_the_steps_and_500_at_most():
    assert fill_defaults(TrainConfig(trainer={"max_steps": 100}), from_scratch=True).warmup_steps == 5
    assert fill_defaults(TrainConfig(trainer={"max_steps": 10**6}), from_scratch=True).warmup_steps == 500


def test_a_resolved_config_resolves_to_itself_and_survives_yaml():
    made = fill_defaults(TrainConfig(trainer={"max_steps": "40"}, rate_schedule={0.0: {"a": 1.0}}), from_scratch=True)
    again = TrainConfig(**yaml.safe_load(yaml.safe_dump(dataclasses.asdict(made))))
    assert fill_defaults(again, from_scratch=True) == made


def test_every_field_has_a_text_for_the_help():
    import ast
    import inspect

    body = ast.parse(inspect.getsource(TrainConfig)).body[0].body[1:]
    body = [part for part in body if not isinstance(part, ast.FunctionDef)]
    for field, text in zip(body[::2], body[1::2], strict=True):
        assert isinstance(field, ast.AnnAssign)
        assert isinstance(text, ast.Expr), field.target.id


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"batch_size": 0}, "--batch-size must be at least 1. Got 0."),
        ({"eval_every": -1}, "--eval-every must be at least 0. Got -1."),
        ({"lr": -1.0}, "--lr must be above 0. Got -1.0."),
        ({"lr": float("nan")}, "--lr must be above 0. Got nan."),
        ({"holdout": 1.0}, "--holdout is a share between 0 and 1. Got 1.0."),
        ({"ema": 1.0}, "--ema is a decay from 0 to below 1, e.g. 0.998. Got 1.0."),
        ({"dropout": 1.0}, "--dropout must be from 0 to below 1. Got 1.0."),
        ({"clip": -1.0}, "--clip must be 0 (none) or above. Got -1.0."),
        (
            {"per_step": 4.0, "temperature": 2.0},
            "--per-step fixes the examples of each task, so --temperature would do nothing: give one.",
        ),
        (
            {"per_step": 4.0, "rate_schedule": {0.0: {"a": 1.0}}},
            "--per-step fixes the examples of each task, so --rate-schedule would do nothing: give one.",
        ),
        (
            {"rate_schedule": {0.0: {"a": 1.0}}, "cap": 5},
            "rate_schedule gives the rates, so mixing, temperature, cap and scale would do nothing.",
        ),
        ({"temperature_end": 2.0}, "--temperature-end needs the temperature to start from: give --temperature too."),
        ({"loss_weights": {"a": -1.0}}, "--loss-weights.a must be 0 or above. Got -1.0."),
        *(
            (
                {"rate_schedule": {at: {"a": 1.0}}},
                "rate_schedule gives rates at fractions of the steps, as in {0: {sst2: 1, span: 3}, 1: {sst2: 1, "
                f"span: 1}}}}. Got {at!r}: {{'a': 1.0}}.",
            )
            for at in ("a", False, float("nan"))
        ),
        ({"per_step": float("nan")}, "--per-step must be a number that is finite. Got nan."),
        ({"per_step": {"a": float("inf")}}, "--per-step.a must be a number that is finite. Got inf."),
        ({"weight_decay": float("inf")}, "--weight-decay must be a number that is finite. Got inf."),
        ({"clip": float("nan")}, "--clip must be a number that is finite. Got nan."),
        (
            {"trainer": {"max_steps": 1, "gradient_clip_val": float("nan")}},
            "--trainer.gradient_clip_val must be a number that is finite. Got nan.",
        ),
        ({"patience": 2}, "--patience counts evaluations during training: give --eval-every STEPS too."),
        ({"select": "mean"}, "--select mean chooses among evaluations during training: give --eval-every STEPS."),
        (
            {"resume": True, "overwrite": True},
            "--resume continues the run in --out and --overwrite replaces it: give one of them.",
        ),
        ({"loggers": ["tensorbord"]}, "unknown logger 'tensorbord': did you mean 'tensorboard'?"),
        ({"trainer": {"logger": True}}, "--trainer.logger is set by --loggers."),
        (
            {"trainer": {"max_epochs": 3}},
            "--trainer.max_epochs is set by --trainer.max_steps: a mixture has no epoch of its own.",
        ),
        (
            {"trainer": {"max_steps": 0}},
            "--steps (the Trainer's max_steps) is a number of optimizer steps, 1 or more. Got 0.",
        ),
        (
            {"trainer": {"accumulate_grad_batches": 0}},
            "--trainer.accumulate_grad_batches must be a whole number, 1 or more. Got 0.",
        ),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence(settings, text):
    assert refused(**settings) == text


@pytest.mark.parametrize("name", ["fp16", "16", "16-mixed", "16-true"])
def test_half_precision_is_refused_under_all_its_names(name):
    with pytest.raises(UserError) as error:
        check_precision(name)
    assert str(error.value) == (
        f"precision {name} is refused: T5's activations overflow in fp16 and the loss becomes NaN. "
        "Use --precision bf16 or fp32."
    )
    assert "is refused" in refused(trainer={"precision": name})


def test_an_unknown_trainer_option_names_the_nearest():
    with pytest.raises(UserError) as error:
        check_trainer_names({"max_step": 3})
    assert str(error.value) == "unknown option --trainer.max_step: did you mean 'max_steps'?" or str(
        error.value
    ).startswith("unknown option --trainer.max_step: did you mean 'max_steps' or ")
    check_trainer_names({"devices": 2, "accelerator": "cpu"})


def test_options_are_read_as_yaml():
    assert parse_options({"a": "3", "b": "true", "c": "ddp", "d": {"e": "1e-3"}, "f": 2.5, "g": "[1, 2]"}) == {
        "a": 3,
        "b": True,
        "c": "ddp",
        "d": {"e": 0.001},  # YAML 1.1 wants 1.0e-3
        "f": 2.5,
        "g": [1, 2],
    }


def test_choices_during_training_are_made_on_rows_that_are_not_reported():
    assert selection_size(TrainConfig()) == 0
    assert selection_size(TrainConfig(select="mean")) == 500
    assert selection_size(TrainConfig(patience=3, eval_every=10)) == 500  # when to stop is a choice, too
