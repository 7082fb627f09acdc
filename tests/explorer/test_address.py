"""The state in the address: whole, and safe against whatever an address says."""

from __future__ import annotations

import param
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlab.explorer.address import decode, encode
from qlab.explorer.state import State

NAMES = [name for name in State.param if name != "name"]


def values(name: str) -> st.SearchStrategy[object]:
    """Values that a field of the state takes."""
    field = State.param[name]
    if isinstance(field, param.Boolean):
        return st.booleans()
    if isinstance(field, param.List):
        return st.lists(st.floats(allow_nan=False, allow_infinity=False) if field.item_type is float else st.text())
    if isinstance(field, param.Integer):
        low, high = field.bounds or (-(10**9), 10**9)
        return st.integers(low, 10**9 if high is None else high)
    if isinstance(field, param.Number):
        return st.floats(*field.bounds)
    return st.text()


@given(st.fixed_dictionaries({}, optional={name: values(name) for name in NAMES}))
def test_an_address_says_everything_and_restores_it(chosen: dict[str, object]) -> None:
    state = State()
    state.param.update(**chosen)
    restored = State()
    assert decode(restored, encode(state)) == []
    assert {name: getattr(restored, name) for name in NAMES} == {name: getattr(state, name) for name in NAMES}


@given(st.text())
def test_any_address_is_survived(query: str) -> None:
    decode(State(), query)


@given(st.sampled_from(NAMES), st.text())
def test_any_value_is_survived(name: str, text: str) -> None:
    state = State()
    decode(state, f"?{name}={text}")
    encode(state)


@pytest.mark.parametrize(
    ("query", "refused"),
    [
        ("?span=wide", ["span = wide"]),
        ("?span=1000", ["span = 1000"]),
        ("?resolution=2.5", ["resolution = 2.5"]),
        ("?runs=abc", ["runs = abc"]),
        ("?runs=[1]", ["runs = [1]"]),
        ("?name=x", ["name"]),
        ("?nothing=1&span=2", ["nothing"]),
    ],
)
def test_what_is_not_understood_is_named_and_the_rest_counts(query: str, refused: list[str]) -> None:
    state = State()
    assert decode(state, query) == refused
    assert state.span == (2.0 if "span=2" in query else 1.0)
