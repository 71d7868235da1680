"""Types of plain data: what fits passes, and what does not is named with its place."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multitask.errors import UserError
from multitask.storage.schema import check_shape


class Point(TypedDict):
    x: float
    label: str | None
    more: list[int] | None


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (1, float),
        (None, str | None),
        ({"x": 1, "label": None, "more": [1], "unknown": object()}, Point),
        ({"a": {"x": 1.5, "label": "l", "more": None}}, dict[str, Point]),
        ([1, "a"], list[int | str]),
        ("a", Literal["a", "b"]),
        (object(), Any),
    ],
)
def test_what_fits_passes(value, hint):
    check_shape(value, hint, "f")


@pytest.mark.parametrize(
    ("value", "hint", "message"),
    [
        (True, int, "it must be a whole number, not true or false"),
        (1.5, int, "it must be a whole number, not a number"),
        ("1", float, "it must be a number, not text"),
        ([], dict[str, int], "it must hold names with values, not a list"),
        ({"a": [1, None]}, dict[str, list[int]], "'a[1]' must be a whole number, not nothing"),
        ({"x": 1}, Point, "it has no 'label'"),
        ({"x": 1, "label": 2, "more": None}, Point, "'label' must be text, not a whole number"),
        ({"p": {"x": 1, "label": None, "more": 2}}, dict[str, Point], "'p.more' must be a list, not a whole number"),
        ({1: 1}, dict[str, int], "'a name in it' must be text, not a whole number"),
        ("c", Literal["a", "b"], "it must be one of a, b, not 'c'"),
        ({"a": [{"b": 1}]}, str | dict[str, list[dict[str, str]]], "'a[0].b' must be text, not a whole number"),
    ],
)
def test_what_does_not_fit_is_named(value, hint, message):
    with pytest.raises(UserError) as caught:
        check_shape(value, hint, "f")
    assert str(caught.value) == f"f is not as it was written: {message}."


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(value=PLAIN)
def test_any_data_fits_or_is_named(value):
    try:
        check_shape(value, dict[str, Point | list[float]], "f")
    except UserError:
        return
    assert all(isinstance(one, (dict, list)) for one in value.values())
