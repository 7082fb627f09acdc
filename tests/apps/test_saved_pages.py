"""Figures saved as pages draw themselves in a browser, and break none of their own rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import holoviews as hv
import panel as pn  # noqa: F401 - where it is loaded, Bokeh writes other scripts
import pytest

from qlab.views.saving import page_html, save_html

FIGURE = hv.Curve([1.0, 2.0, 3.0], label="<b>one</b></script>") * hv.Curve([2.0, 1.0], label="two")


@pytest.mark.parametrize("figures", [1, 2])
def test_a_saved_page_draws_its_figures(visitor: Any, tmp_path: Path, hostile: str, figures: int) -> None:
    file = tmp_path / "figure.html"
    if figures == 1:
        save_html(FIGURE, file, hostile)
    else:
        file.write_text(page_html([FIGURE] * figures, hostile), encoding="utf-8")
    said: list[str] = []
    visitor.page.on("console", lambda message: said.append(message.text))
    visitor.page.goto(file.as_uri())
    visitor.page.locator(".bk-Figure").nth(figures - 1).wait_for(timeout=30_000)
    assert [text for text in said if "violates" in text] == []
    assert visitor.errors == []
    assert [url for url in visitor.asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert visitor.page.evaluate("window.obeyed") is None
    assert visitor.page.title() == hostile
