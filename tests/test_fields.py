"""Fields: read off classes, described in words, checked without conversion."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import annotated_types as at
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.component import Component
from qlab.errors import ConfigError, QlabError, nearest, unknown
from qlab.fields import (
    REQUIRED,
    AbsentMeans,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Ratio,
    check_fields,
    check_value,
    describe_type,
    fields_of,
    identity_of,
    show,
)
from qlab.models import MLP
from qlab.tasks import XXZ
from qlab.tasks.xxz import Grid


class Kettle(Component):
    """Boils water.

    Args:
        litres: how much it
            holds, in litres.
        lid: whether it has a lid.
    """

    litres: PositiveFloat
    lid: bool = True


class Module:
    """Takes fields in its constructor.

    Args:
        width: units.
        rate: per second.
    """

    def __init__(self, *, width: PositiveInt = 3, rate: Ratio = 0.5) -> None:
        self.width, self.rate = width, rate


class OpenModule(Module):
    """Takes a field of its own and passes on the rest.

    Args:
        extra: more of it.
        rate: per hour.
    """

    def __init__(self, *, extra: str = "x", **fields: Any) -> None:
        super().__init__(**fields)
        self.extra = extra


class ClosedModule(Module):
    """Takes none of its parent's fields.

    Args:
        only: the one field.
    """

    def __init__(self, *, only: int = 1) -> None:
        super().__init__()
        self.only = only


def test_fields_of_a_component():
    fields = fields_of(Kettle)
    assert list(fields) == ["litres", "lid"]
    assert fields["litres"].default is REQUIRED
    assert fields["litres"].doc == "how much it holds, in litres."
    assert fields["lid"].default is True
    assert fields["lid"].accepts == "true or false"


def test_fields_of_a_class_with_a_constructor():
    fields = fields_of(Module)
    assert {name: (field.default, field.doc) for name, field in fields.items()} == {
        "width": (3, "units."),
        "rate": (0.5, "per second."),
    }


def test_keyword_arguments_passed_on_are_fields_too():
    fields = fields_of(OpenModule)
    assert set(fields) == {"extra", "width", "rate"}
    assert fields["width"].doc == "units."
    assert fields["rate"].doc == "per hour."


def test_keyword_arguments_not_passed_on_are_no_fields():
    assert list(fields_of(ClosedModule)) == ["only"]


def test_changing_the_returned_fields_changes_nothing():
    fields_of(Module).clear()
    assert set(fields_of(Module)) == {"width", "rate"}


def test_only_lists_take_lists():
    assert not fields_of(Module)["width"].takes_list
    assert fields_of(MLP)["hidden"].takes_list
    assert fields_of(XXZ)["gapless"].takes_list
    assert not fields_of(XXZ)["length"].takes_list


def test_defaults_fill_in_what_is_not_given():
    assert check_fields(Module, {"rate": 1}) == {"width": 3, "rate": 1.0}


def test_unknown_field_lists_the_choices_and_the_nearest():
    with pytest.raises(
        ConfigError, match=r'OpenModule: unknown field "widht"\. Did you mean "width"\? Choices: extra, '
    ):
        check_fields(OpenModule, {"widht": 3})


def test_missing_field_says_what_to_give():
    with pytest.raises(ConfigError, match=r"Kettle: the field litres has no default; give a value \(a number above 0"):
        check_fields(Kettle, {})


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "an integer"),
        (float, "a number"),
        (bool, "true or false"),
        (str, "a string"),
        (Ratio, "a number in [0, 1]"),
        (PositiveInt, "an integer of at least 1"),
        (NonNegativeInt, "an integer of at least 0"),
        (PositiveFloat, "a number above 0"),
        (Annotated[float, at.Interval(gt=0.0, lt=1.0)], "a number in (0, 1)"),
        (Annotated[float, at.Le(3.0)], "a number of at most 3"),
        (Annotated[float, at.Lt(3.0)], "a number below 3"),
        (Annotated[int, at.Interval(ge=4, le=20), at.MultipleOf(2)], "an integer in [4, 20] divisible by 2"),
        (Annotated[str, at.MaxLen(3)], "a string (length at most 3)"),
        (Annotated[str, at.MinLen(1), at.MaxLen(3)], "a string (length at least 1) (length at most 3)"),
        (Literal["a", "b"], 'one of "a", "b"'),
        (int | Literal["infinite"], 'an integer or "infinite"'),
        (int | str, "an integer or a string"),
        (tuple[int, ...], "a list, each value an integer"),
        (tuple[int, str], "a list [an integer, a string]"),
    ],
    ids=str,
)
def test_types_in_words(annotation, words):
    assert describe_type(annotation) == words


@pytest.mark.parametrize(
    ("annotation", "number"),
    [
        (Annotated[float, at.Interval(ge=2.0)], "2"),
        (Annotated[float, at.Interval(gt=2.0)], "2"),
        (Annotated[float, at.Interval(le=2.0)], "2"),
        (Annotated[float, at.Interval(lt=2.0)], "2"),
    ],
    ids=["ge", "gt", "le", "lt"],
)
def test_intervals_open_on_one_side_can_be_described(annotation, number):
    assert number in describe_type(annotation)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        ("a", '"a"'),
        (2, "2"),
        (0.1, "0.1"),
        ((1, (2.5, "x")), '[1, [2.5, "x"]]'),
        ([], "[]"),
        (math.inf, "inf"),
    ],
)
def test_values_are_shown_as_in_toml(value, text):
    assert show(value) == text


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (float, 1, 1.0),
        (int, 1, 1),
        (tuple[int, ...], [1, 2], (1, 2)),
        (tuple[int, ...], [], ()),
        (Grid, [0, 1, 0.5], (0.0, 1.0, 0.5)),
        (int | None, None, None),
        (Literal["a", "b"], "b", "b"),
    ],
)
def test_values_that_are_taken(annotation, value, expected):
    found = check_value(annotation, value)
    assert found == expected
    assert type(found) is type(expected)


FIELD_OF_KIND = {
    "int": PositiveInt,
    "float": PositiveFloat,
    "ratio": Ratio,
    "bool": bool,
    "str": str,
    "choice": Literal["a", "b"],
    "list": tuple[int, ...],
    "grid": Grid,
}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", 1.0),
        ("int", "1"),
        ("int", True),
        ("int", 0),
        ("int", None),
        ("float", True),
        ("float", "1.0"),
        ("float", math.nan),
        ("float", math.inf),
        ("float", 0),
        ("ratio", 1.5),
        ("bool", 1),
        ("bool", "true"),
        ("str", 1),
        ("choice", "c"),
        ("choice", 1),
        ("list", 1),
        ("list", "12"),
        ("list", [1, "2"]),
        ("list", [1, 2.0]),
        ("grid", [0.0, 1.0]),
        ("grid", [0.0, 1.0, 0.0]),
        ("grid", [0.0, 1.0, 0.1, 0.1]),
    ],
)
def test_values_that_are_refused(kind, value):
    class Holder:
        def __init__(self, *, value: FIELD_OF_KIND[kind]) -> None: ...

    Holder.__init__.__annotations__["value"] = FIELD_OF_KIND[kind]
    with pytest.raises(ConfigError) as caught:
        check_fields(Holder, {"value": value})
    assert str(caught.value).startswith(
        f"Holder: value: got {show(value)}, accepts {describe_type(FIELD_OF_KIND[kind])}"
    )


@settings(deadline=None)
@given(value=st.integers(-(10**6), 10**6))
def test_integers_stand_for_floats_exactly(value):
    found = check_value(float, value)
    assert type(found) is float
    assert found == value


@settings(deadline=None)
@given(value=st.floats())
def test_a_ratio_is_a_finite_number_between_zero_and_one(value):
    class Holder:
        def __init__(self, *, ratio: Ratio = 0.0) -> None: ...

    if 0.0 <= value <= 1.0:
        assert check_fields(Holder, {"ratio": value}) == {"ratio": value}
    else:
        with pytest.raises(ConfigError, match="ratio: got"):
            check_fields(Holder, {"ratio": value})


@pytest.mark.parametrize(
    ("given_name", "expected"),
    [
        ("ratoi", ' Did you mean "ratio"?'),
        ("RATIO", ' Did you mean "ratio"?'),
        ("mlp", ' Did you mean "MLP"?'),
        ("something else", ""),
    ],
)
def test_nearest_name(given_name, expected):
    assert nearest(given_name, ["ratio", "MLP", "depth"]) == expected


def test_unknown_name_among_no_choices():
    assert unknown("model", "x", []) == 'unknown model "x". Choices: none.'


def test_config_errors_are_value_errors_and_qlab_errors():
    assert issubclass(ConfigError, ValueError)
    assert issubclass(ConfigError, QlabError)


def test_a_field_that_came_later_is_left_out_of_identities_while_it_means_what_its_absence_does():
    class Before(Component):
        rate: PositiveInt = 3

    class Now(Before):
        kind_of_step: Annotated[Literal["plain", "long"], AbsentMeans("plain")] = "plain"
        sizes: Annotated[tuple[PositiveInt, ...], AbsentMeans([1])] = (1,)

    class Else(Now):
        kind_of_step = "long"

    assert fields_of(Now)["kind_of_step"].choices == ("plain", "long")
    assert fields_of(Now)["kind_of_step"].accepts == 'one of "plain", "long"'
    assert identity_of(Now, Now().config()) == Before().config()
    assert identity_of(Now, Now(kind_of_step="long", sizes=(1, 2)).config()) == {
        "rate": 3,
        "kind_of_step": "long",
        "sizes": [1, 2],
    }
    assert identity_of(Else, Else().config())["kind_of_step"] == "long"
    assert "kind_of_step" not in identity_of(Else, Else(kind_of_step="plain").config())


def test_a_value_is_shown_in_one_line_and_moves_no_cursor() -> None:
    assert show('a\nb\x1b[31m"\u202e') == r'"a\nb\u001b[31m"\u202e"'
    assert show({"k": ["α ± β", "\t"]}) == r'{ k = ["α ± β", "\t"] }'
