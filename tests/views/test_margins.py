"""Margins as ridges: one panel a run and kind of rows, one ridge a row, one density for each kind of models."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import pandas as pd
import pytest
from scipy.stats import gaussian_kde

from qlab.views.margins import density, ridges
from qlab.views.saving import save_html, save_png


def table(title: str, rows: str, shift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame(
            {"title": title, "rows": rows, "rank": rank, "row": 3, "klom": klom, "models": models}
            | {"margin": rng.normal(place + shift, 1.0, 30)}
        )
        for rank, klom in (("worst", 7.25), ("median", 3.0), ("best", 0.5))
        for models, place in (("oracles", -4.0), ("before", 4.0), ("unlearned", 0.0))
    ]
    return pd.concat(parts)


def test_a_density_is_that_of_scott_scaled_to_one():
    margins = np.random.default_rng(1).normal(2.0, 3.0, 40)
    x = np.linspace(-10.0, 14.0, 200)
    expected = gaussian_kde(margins, "scott")(x)
    assert density(margins, x) == pytest.approx(expected / expected.max())


@pytest.mark.parametrize("margins", [np.zeros(5), np.array([1.0])])
def test_models_that_say_the_same_are_a_narrow_peak(margins):
    x = np.linspace(-3.0, 3.0, 61)
    found = density(margins, x)
    assert x[found.argmax()] == pytest.approx(margins[0])
    assert (found > 0.01).sum() < 20


def test_panels_ridges_and_legend(tmp_path):
    figure = ridges(pd.concat([table("Scrub of {MLP}", "forget"), table("Scrub of {MLP}", "retain", 200.0)]))
    panels = list(figure)
    assert len(panels) == 2
    curves = [element for element in panels[0] if type(element) is hv.Curve]
    assert [curve.label for curve in curves] == ["oracles", "before", "unlearned"] + [""] * 6
    assert [round(min(curve.dimension_values("density"))) for curve in curves[::3]] == [2, 1, 0]  # the worst on top
    assert curves[0].dimension_values("margin").min() < -4.0
    # As in KLoM margins are cut off.
    assert (
        max(
            curves[-1].dimension_values("margin").max()
            for curves in [[c for c in panels[1] if isinstance(c, hv.Curve)]]
        )
        < 125
    )
    assert save_png(figure, tmp_path / "margins.png").stat().st_size > 1000
    assert "Scrub of {MLP}" in save_html(figure, tmp_path / "margins.html", "x").read_text()
