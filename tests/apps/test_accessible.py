"""The pages for everybody: axe-core finds nothing, in both themes; the keyboard reaches what the mouse does.

axe-core is Deque Systems', under the Mozilla Public License 2.0: see axe/LICENSE.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from qlab.explorer.state import PAGES

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")

OPTIONS = {
    "resultTypes": ["violations"],
    # Tabulator calls its whole box a grid, with the buttons of its pages in it.
    "rules": {"aria-required-children": {"enabled": False}},
}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(visitor: Any, address: str, theme: str) -> None:
    """Contrast of level AA, names for screen readers, headings in order, roles that are ones."""
    page = visitor.page
    page.emulate_media(color_scheme=theme)
    visitor.open(f"{address}?{urlencode({'experiment': 'small', 'resolution': 11, 'map_y': 'model'})}")
    page.locator(f"html.{theme}").wait_for(state="attached")
    page.evaluate(AXE)
    found = {}
    for title in PAGES:
        page.get_by_role("button", name=title, exact=True).click()
        page.get_by_role("heading", name=title, exact=True, level=1).wait_for()
        page.wait_for_timeout(1500)
        violations = page.evaluate(f"axe.run(document, {json.dumps(OPTIONS)})")["violations"]
        told = {one["id"]: [node["html"][:120] for node in one["nodes"]] for one in violations}
        if told:
            found[title] = told
    assert found == {}
    assert visitor.errors == []


def test_the_keyboard_opens_pages_and_lists(visitor: Any, address: str) -> None:
    page = visitor.open(f"{address}?{urlencode({'experiment': 'small', 'page': 'Resilience'})}")
    page.locator(".bk-Figure").first.wait_for()
    groups = page.get_by_role("combobox", name="Group by")
    groups.focus()
    groups.press("ArrowDown")
    page.get_by_text("model.type", exact=True).first.wait_for()
    assert groups.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Escape")
    other = page.get_by_role("button", name="Curvature", exact=True)
    other.focus()
    ring = other.evaluate("node => getComputedStyle(node).outlineStyle")
    other.press("Enter")
    page.get_by_role("heading", name="Curvature", exact=True, level=1).wait_for()
    assert ring == "solid"
    assert visitor.errors == []
