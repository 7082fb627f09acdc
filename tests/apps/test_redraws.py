"""A page that is drawn again and again keeps the newest picture only, in the browser too."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlencode

import pytest

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

DRAWN = """JSON.stringify([...Bokeh.documents[0]._all_models.values()]
  .filter(m => ["Figure", "Range1d"].includes(m.type)).map(m => [m.id, m.end]))"""
MODELS = "Bokeh.documents[0]._all_models.size"


def least(page: Any, seconds: float, enough: int = 0) -> int:
    """How few models the browser holds within a time, or as soon as there are few enough.

    They go a moment after a redraw; Bokeh itself would wait for half a minute.
    """
    found, end = page.evaluate(MODELS), time.monotonic() + seconds
    while found > enough and time.monotonic() < end:
        time.sleep(0.1)
        found = min(found, page.evaluate(MODELS))
    return int(found)


@pytest.mark.parametrize(("name", "control", "key"), [("Landscape", "slider", "ArrowRight"), ("Resilience", "", " ")])
def test_redraws_leave_no_models_in_the_browser(visitor: Any, address: str, name: str, control: str, key: str) -> None:
    page = visitor.open(f"{address}?{urlencode({'experiment': 'small', 'page': name, 'resolution': 11})}")
    page.locator(".bk-Figure").first.wait_for()
    before = least(page, 2.0)
    touched = page.get_by_role("slider").first if control else page.get_by_label("Every run")
    for _ in range(10):
        last = page.evaluate(DRAWN)
        touched.focus()
        touched.press(key)
        end = time.monotonic() + 60.0
        while page.evaluate(DRAWN) == last:
            assert time.monotonic() < end, "it was not drawn anew"
            time.sleep(0.05)
    assert least(page, 5.0, before + 60) <= before + 60  # a single panel has more
    assert visitor.errors == []
