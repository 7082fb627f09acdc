"""Widgets follow the state, and the state follows them, whichever knows more."""

from __future__ import annotations

import panel_material_ui as pmui

from qlab.explorer.controls import Control, bound
from qlab.explorer.state import State


def test_a_widget_starts_with_the_state_and_both_follow() -> None:
    state = State(span=2.0)
    slider = bound(pmui.FloatSlider(start=0.0, end=3.0), state, "span")
    assert slider.value == 2.0
    slider.value = 1.5
    assert state.span == 1.5
    state.span = 0.5
    assert slider.value == 0.5


def test_a_choice_waits_for_its_options() -> None:
    state = State(experiment="second")
    control = Control(pmui.Select(options=[]), state, "experiment")
    assert state.experiment == "second"
    control.offer(["first", "second"])
    assert (control.widget.value, state.experiment) == ("second", "second")


def test_what_the_state_says_is_not_lost_to_options_that_lack_it() -> None:
    state = State(group_by=["model.depth", "gone"], corruption="gone")
    several = Control(pmui.MultiChoice(options=[]), state, "group_by")
    one = Control(pmui.Select(options=[]), state, "corruption")
    several.offer(["model.type", "model.depth"])
    one.offer(["LabelFlip", "FeatureRandomization"], "LabelFlip")
    assert several.widget.value == ["model.depth"]
    assert one.widget.value == "LabelFlip"
    assert (state.group_by, state.corruption) == (["model.depth", "gone"], "gone")
    several.widget.value = ["model.type"]
    one.widget.value = "FeatureRandomization"
    assert (state.group_by, state.corruption) == (["model.type"], "FeatureRandomization")


def test_options_may_be_labelled() -> None:
    state = State(points=["b"])
    control = Control(pmui.MultiChoice(options={}), state, "points")
    control.offer({"first": "a", "second": "b"})
    assert control.widget.value == ["b"]
    control.widget.value = ["a", "b"]
    assert state.points == ["a", "b"]
