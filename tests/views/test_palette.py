"""One style per model, in every figure."""

from __future__ import annotations

from qlab.views.palette import styles


def test_built_in_models_look_the_same_in_every_company() -> None:
    alone = styles(["PennyLaneQNN"])["PennyLaneQNN"]
    for company in (["MLP"], ["MLP", "a", "b"], ["a", "PennyLaneQNN", "b"]):
        assert styles([*company, "PennyLaneQNN"])["PennyLaneQNN"] == alone
    assert styles(["a", "MLP"])["MLP"] == styles(["MLP"])["MLP"] != alone


def test_models_differ_in_colour_and_in_marker() -> None:
    found = styles(["PennyLaneQNN", "MLP", "a", "b", "c"])
    assert len({style.colour for style in found.values()}) == 5
    assert len({style.bokeh_marker for style in found.values()}) == 5
    assert len({style.matplotlib_marker for style in found.values()}) == 5


def test_eight_models_differ_in_colour() -> None:
    found = styles(["PennyLaneQNN", *(f"model {number}" for number in range(7))])
    assert len({style.colour for style in found.values()}) == 8


def test_many_models_are_still_told_apart() -> None:
    labels = [f"model {number}" for number in range(30)]
    assert len(set(styles(labels).values())) == 30


def test_styles_do_not_depend_on_repetition_and_none_are_needed() -> None:
    assert styles(["a", "a", "b"]) == styles(["a", "b"])
    assert styles([]) == {}
