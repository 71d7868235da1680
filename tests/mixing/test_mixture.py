import pickle

import pytest

import multitask.mixing.mixture
import multitask.task
from multitask.errors import UserError
from multitask.mixing.mixture import Mixture, mixing_rates, parse_tasks, register_mixture
from multitask.registry import Registry

SIZES = {"span": 600, "sst2": 300, "stsb": 90, "rte": 10}


@pytest.fixture(autouse=True)
def names(monkeypatch):
    """Four tasks and no mixtures, whatever is built in. A mixture looks at names only."""
    tasks, mixtures = Registry("task"), Registry("mixture")
    for name in SIZES:
        tasks.add(name, object(), "the test")
    monkeypatch.setattr(multitask.task, "TASKS", tasks)
    monkeypatch.setattr(multitask.mixing.mixture, "MIXTURES", mixtures)


def test_names_alone_are_mixed_in_proportion():
    mixture = parse_tasks("span, sst2")
    assert mixture.tasks == ("span", "sst2")
    assert mixture.rates(SIZES) == mixing_rates({"span": 600, "sst2": 300})


def test_a_list_of_names_is_the_same_as_a_string():
    assert parse_tasks(["span", "sst2,stsb"]) == parse_tasks("span,sst2,stsb")


def test_rates_may_stand_with_the_names():
    assert parse_tasks("span=2,sst2=0.5").rates(SIZES) == {"span": 0.8, "sst2": 0.2}


def test_settings_are_those_of_mixing_rates():
    mixture = parse_tasks("span,sst2,stsb")
    sizes = {t: SIZES[t] for t in mixture.tasks}
    assert mixture.rates(SIZES, temperature=2, cap=400) == mixing_rates(sizes, temperature=2, cap=400)


def test_a_plain_nested_mixture_is_as_if_its_tasks_were_named():
    register_mixture("pairs", ["stsb", "rte"])
    nested, flat = parse_tasks("pairs,span"), parse_tasks("stsb,rte,span")
    assert nested.tasks == flat.tasks
    assert nested.rates(SIZES) == pytest.approx(flat.rates(SIZES))


def test_rates_multiply_along_the_way():
    register_mixture("pairs", {"stsb": 3, "rte": 1})
    register_mixture("all", {"pairs": 1, "span": 1})
    assert parse_tasks("all=1,sst2=3").rates(SIZES) == {
        "stsb": 1 / 4 * 1 / 2 * 3 / 4,
        "rte": 1 / 4 * 1 / 2 * 1 / 4,
        "span": 1 / 4 * 1 / 2,
        "sst2": 3 / 4,
    }


def test_a_nested_mixture_counts_by_its_scaled_and_capped_total_and_mixes_by_its_own_strategy():
    register_mixture("capped", ["sst2", "stsb"], cap=100, scale={"stsb": 0.5})  # 100 and 45
    assert parse_tasks("capped,span").rates(SIZES) == pytest.approx(
        {"sst2": 100 / 745, "stsb": 45 / 745, "span": 600 / 745}
    )
    register_mixture("even", ["sst2", "stsb"], strategy="equal")  # counts 390, shared equally
    assert parse_tasks("even,span").rates(SIZES) == pytest.approx(
        {"sst2": 195 / 990, "stsb": 195 / 990, "span": 600 / 990}
    )


def test_outer_settings_see_a_nested_mixture_as_one_member():
    register_mixture("pairs", ["stsb", "rte"])
    rates = parse_tasks("pairs,span,sst2").rates(SIZES, strategy="equal")
    assert rates == pytest.approx({"stsb": 0.3, "rte": 1 / 30, "span": 1 / 3, "sst2": 1 / 3})


def test_a_task_that_is_reached_twice_gets_the_sum():
    register_mixture("pairs", {"stsb": 1, "rte": 1})
    assert parse_tasks("pairs=1,rte=1").rates(SIZES) == {"stsb": 0.25, "rte": 0.75}
    assert parse_tasks("pairs,rte").tasks == ("stsb", "rte")


def test_one_name_of_a_mixture_is_that_mixture_and_settings_replace_its_own():
    register_mixture("even", ["span", "sst2"], strategy="equal")
    assert parse_tasks("even").name == "even"
    assert parse_tasks("even").rates(SIZES) == {"span": 0.5, "sst2": 0.5}
    assert parse_tasks("even").rates(SIZES, cap=300, scale={"sst2": 1}) == {"span": 0.5, "sst2": 0.5}
    assert parse_tasks("even").rates(SIZES, strategy="proportional") == pytest.approx({"span": 2 / 3, "sst2": 1 / 3})


def test_defaults_that_a_config_spells_out_change_nothing():
    defaults = {"strategy": None, "temperature": 1.0, "cap": None, "scale": {}, "weights": None, "budget": None}
    assert parse_tasks("span=1,sst2=1").rates(SIZES, **defaults) == {"span": 0.5, "sst2": 0.5}
    assert parse_tasks("span,sst2").rates(SIZES, **defaults) == parse_tasks("span,sst2").rates(SIZES)


def test_members_may_be_registered_later():
    register_mixture("outer", ["inner", "span"])
    register_mixture("inner", ["rte"])
    assert parse_tasks("outer").tasks == ("rte", "span")


def test_a_rate_of_zero_is_kept():
    assert parse_tasks("span=1,sst2=0").rates(SIZES) == {"span": 1.0, "sst2": 0.0}


def test_mixtures_pickle():
    mixture = register_mixture("even", ["span", "sst2"], strategy="equal")
    assert pickle.loads(pickle.dumps(mixture)) == mixture
    assert len({mixture, parse_tasks("even")}) == 1


def cycle():
    register_mixture("a", ["b", "span"])
    register_mixture("b", ["c"])
    register_mixture("c", ["b"])
    parse_tasks("a,sst2")


def both():
    register_mixture("later", ["span"])
    multitask.task.TASKS.add("later", object(), "a plug-in")
    parse_tasks("later,sst2")


@pytest.mark.parametrize(
    ("do", "message"),
    [
        (lambda: parse_tasks("span,ssst2"), "unknown task or mixture 'ssst2': did you mean 'sst2'?"),
        (lambda: parse_tasks("zzz"), "unknown task or mixture 'zzz': known: rte, span, sst2, stsb."),
        (lambda: parse_tasks(" , "), "--tasks names no task; give one or more, separated by commas."),
        (lambda: parse_tasks([]), "--tasks names no task; give one or more, separated by commas."),
        (
            lambda: parse_tasks("span,sst2,span"),
            "'span' is named twice in mixture 'span,sst2,span'; name it once.",
        ),
        (
            lambda: parse_tasks("span=1,sst2"),
            "give each member of mixture 'span=1,sst2' a rate, or none of them: sst2 has none.",
        ),
        (
            lambda: parse_tasks("span=two,sst2=1"),
            "the rate of 'span' in --tasks must be a number, as in span=2. Got 'two'.",
        ),
        (lambda: parse_tasks("span=-1,sst2=1"), "the weight of 'span' must be a number, 0 or more. Got -1.0."),
        (lambda: parse_tasks("span=nan"), "the weight of 'span' must be a number, 0 or more. Got nan."),
        (lambda: parse_tasks("span=0"), "all weights are 0; give one task or more a weight above 0."),
        (
            lambda: parse_tasks("span=1,sst2=1").rates(SIZES, strategy="equal", cap=9),
            "'span=1,sst2=1' has explicit rates, so strategy, cap would be ignored; leave out one or the other.",
        ),
        (
            lambda: parse_tasks("span,sst2").rates({**SIZES, "sst2": 0}),
            "Task 'sst2' has 0 training examples; a mixture needs one or more.",
        ),
        (cycle, "mixture 'b' contains itself: b → c → b; take one of these members out."),
        (both, "'later' is both a task (a plug-in) and a mixture (a call of register_mixture); rename one."),
        (lambda: register_mixture("span", ["sst2"]), "'span' is a task (the test); give the mixture another name."),
        (
            lambda: [register_mixture("m", ["sst2"], holder="here"), register_mixture("m", ["rte"], holder="there")],
            "mixture 'm' is already registered by here; there cannot take the name again: choose another, or "
            "say replace=True.",
        ),
        (
            lambda: register_mixture("a,b", ["sst2"]),
            "mixture name 'a,b' must be made of ASCII letters, digits, '_' and '-'.",
        ),
        (lambda: register_mixture("m", []), "mixture 'm' names no task; give one or more, separated by commas."),
        (
            lambda: register_mixture("m", {"span": 1, "sst2": 2}, strategy="equal"),
            "mixture 'm' has explicit rates, so strategy would be ignored; leave out one or the other.",
        ),
        (
            lambda: register_mixture("m", ["span", "sst2"], temperature=-2),
            "temperature must be a number above 0. Got -2.",
        ),
        (lambda: Mixture("m", ()), "mixture 'm' needs one or more members. Got none."),
    ],
)
def test_mistakes_are_named(do, message):
    with pytest.raises(UserError) as caught:
        do()
    assert str(caught.value) == message


def test_a_missing_size_is_named():
    with pytest.raises(ValueError) as caught:
        parse_tasks("span,sst2").rates({"span": 5})
    assert str(caught.value) == "sizes must have an entry for each of span, sst2. 'sst2' is missing."
