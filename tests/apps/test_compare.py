"""The page Compare in a real browser: a selection, a click into a list, and the address that restores both."""

from __future__ import annotations

from typing import Any

import pytest
from support.browsing import FIGURE, link, query, until

from qlab.tracking import frames, names
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")


def test_a_sample_that_one_model_gets_wrong_is_clicked_and_restored(visitor: Any, address: str, store: Store) -> None:
    every = frames.runs(store, [store.experiment_id("small")])
    trials = every[(every["kind"] == names.TRIAL) & (every["corruption.ratio"] == 0.5)]
    page = visitor.open(link(address, page="Compare", runs=list(trials["run_id"])))
    page.locator(FIGURE).first.wait_for()
    page.get_by_text("B − A (n = 2 seeds in common, 95 % interval)").first.wait_for()
    page.get_by_role("tab", name="Settings").click()
    page.get_by_text("model.hidden", exact=True).wait_for()
    page.get_by_role("tab", name="Samples").click()
    page.get_by_role("heading", name="Counts by seed: who is right").wait_for()
    row = page.locator(".tabulator").filter(has_text="trained on").locator(".tabulator-row").first
    number = row.locator(".tabulator-cell:visible").first.inner_text().strip()

    def clicked() -> bool:  # again where the table draws its rows anew meanwhile
        row.click()
        page.wait_for_timeout(1500)
        return query(page).get("compare_row") == number

    until(clicked)
    page.get_by_text("probability of class 1").wait_for()
    assert query(page)["compare_tab"] == "Samples"
    page.reload(wait_until="domcontentloaded")
    page.get_by_text("probability of class 1").wait_for()
    assert query(page)["compare_row"] == number
    assert visitor.errors == []
