"""Names in figures are text: no formulas, no fields to fill in, no scripts."""

from __future__ import annotations

from pathlib import Path

import holoviews as hv
import pandas as pd
import pytest
from support.hostile import Fields
from support.pages import Page

from qlab.views.backends import literal, styled
from qlab.views.saving import page_html, picture_bytes, save_html

NAMES = ["{x} {0} {", r"$\frac$ costs $5", r"$$\href{javascript:x}{y}$$ \(x\) \[x\]", "bell\a and \x1b[31m", "<b>x</b>"]


def figure(name: str) -> hv.Overlay:
    shown = {"title": name, "xlabel": name, "ylabel": name, "logy": True}
    curve = hv.Curve(pd.DataFrame({"x": [0.01, 1.0], "y": [0.001, 10.0]}), "x", "y", label=literal(name))
    return styled(hv.Overlay([curve, curve.relabel("other")]), bokeh=shown, matplotlib=shown)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_drawn_letter_by_letter(name: str) -> None:
    from bokeh.models import Title

    drawn = hv.render(figure(name), backend="bokeh")
    title = drawn.select_one(Title).text
    assert title == literal(name)
    assert title.replace("\u2060", "").translate({0x2407: "\a", 0x241B: "\x1b"}) == name
    assert not any(start in title for start in ("$$", r"\(", r"\["))
    assert drawn.yaxis[0].axis_label == literal(name)


@pytest.mark.parametrize("name", NAMES[:3])
def test_a_picture_of_it_holds_its_letters(name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("matplotlib").rcParams, "svg.fonttype", "none")
        drawn = picture_bytes(figure(name), "svg").decode()
    assert drawn.count(literal(name).replace("<", "&lt;")) >= 3
    assert "10⁻¹" in drawn  # powers are no formulas either


def test_a_page_of_figures_holds_text_and_its_own_scripts_only(tmp_path: Path) -> None:
    text = Fields().text("name")
    for found in (page_html([figure(text)], text), save_html(figure(text), tmp_path / "x.html", text).read_text()):
        page = Page(found)
        assert set(page.tags) <= {"html", "head", "meta", "title", "script", "style", "body", "h1", "div"}
        assert page.handlers == page.outside == []
        assert "default-src 'none'; script-src 'nonce-" in found
