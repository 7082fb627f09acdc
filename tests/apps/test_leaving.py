"""Visitors who leave while a page is drawn for them leave nothing in the terminal of whoever serves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from support.commands import serving

from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")


def test_nothing_is_printed_of_visitors_who_leave(browser: Any, store: Store, tmp_path: Path) -> None:
    with serving(tmp_path, "explore", "--tracking-uri", store.uri) as server:
        for last in (False, False, False, False, True):
            context = browser.new_context(viewport={"width": 1280, "height": 720})
            page = context.new_page()
            page.set_default_timeout(120_000)
            page.goto(f"{server.address}?{urlencode({'experiment': 'small'})}", wait_until="domcontentloaded")
            page.get_by_role("button", name="Landscape", exact=True).click()
            page.locator(".bk-Figure").first.wait_for()
            if last:  # meanwhile the server has come to what the others left
                page.wait_for_timeout(2000)
            context.close()
        assert server.printed.splitlines()[1:] == []
