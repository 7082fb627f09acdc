"""One colour per model, whichever figure it is in and whatever its label says of it."""

from __future__ import annotations

import holoviews as hv
import pandas as pd
import pytest

from qlab.views.palette import coloured_by_model, shades, styles
from qlab.views.titles import titled
from qlab.views.training import METRICS, curves_over_epochs, last_of

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")  # HoloViews' own

QNN, MLP = "#0072B2", "#D55E00"


def colours(*labels: str) -> list[str]:
    return [styles(labels)[label].colour for label in labels]


def test_a_model_keeps_its_colour_with_settings_in_its_label() -> None:
    assert colours("MLP hidden=[8]", "PennyLaneQNN depth=4") == [MLP, QNN]
    assert colours("PennyLaneQNN, LabelFlip") == [QNN]
    assert colours("PennyLaneQNN at 0.3") == [QNN]


def test_of_several_of_one_class_the_bare_one_has_its_colour_and_all_differ() -> None:
    found = colours("MLP hidden=[8]", "MLP", "Other", "PennyLaneQNN")
    assert found[1] == MLP
    assert found[3] == QNN
    assert len(set(found)) == 4


def test_training_has_the_colours_of_the_models_beside_it() -> None:
    models = ["MLP", "PennyLaneQNN depth=1", "PennyLaneQNN depth=2"]
    labels = {"PennyLaneQNN depth=2 at 0": models[2], "PennyLaneQNN depth=2 at 0.5": models[2], "MLP at 0": "MLP"}
    found = coloured_by_model(labels, models)
    own = styles(models)
    assert found["MLP at 0"] == own["MLP"].colour
    assert found["PennyLaneQNN depth=2 at 0"] == own[models[2]].colour
    assert found["PennyLaneQNN depth=2 at 0.5"] == shades(own[models[2]].colour, 2)[1] != own[models[2]].colour


def history() -> pd.DataFrame:
    rows = [(run, metric, step, 0.5) for run in "ab" for metric in METRICS for step in (1, 2)]
    return pd.DataFrame(rows, columns=["run_id", "metric", "step", "value"])


def test_curves_take_the_colours_and_the_title_they_are_given() -> None:
    labels = pd.Series({"a": "one", "b": "two"})
    figure = curves_over_epochs(history(), labels, {"one": "#123456"}, "MLP LabelFlip 0.3 seed 0")
    drawn = {
        curve.label.partition(",")[0]: hv.Store.lookup_options("bokeh", curve, "style").kwargs["color"]
        for curve in figure.traverse(lambda own: own, [hv.Curve])
    }
    assert drawn["one"] == "#123456"
    assert drawn["two"] != "#123456"
    for panel in figure:
        assert hv.Store.lookup_options("bokeh", panel, "plot").kwargs["title"] == "MLP LabelFlip 0.3 seed 0"


def test_the_ends_of_training_are_means_over_a_labels_runs() -> None:
    table = history()
    table.loc[(table["run_id"] == "b") & (table["step"] == 2), "value"] = 0.7
    found = last_of(table, pd.Series({"a": "one", "b": "one"}))
    assert found["train_loss_mean"].tolist() == pytest.approx([0.6])
    assert found["train_loss_std"].tolist() == pytest.approx([0.2 / 2**0.5])
    assert found["kept"].tolist() == [2]


def test_a_title_stands_before_what_a_panel_says_and_is_text() -> None:
    panel = hv.Curve([1, 2]).opts(backend="bokeh", title="loss")
    found = titled(hv.Layout([panel, hv.Curve([1])]), "MLP {x} seed 0")
    titles = [hv.Store.lookup_options("bokeh", own, "plot").kwargs["title"] for own in found]
    assert titles == ["MLP {{x}} seed 0: loss", "MLP {{x}} seed 0"]
