"""Trials that are kept together are explored like others: each page shows them, and one of them alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.browsing import FIGURE, link, query, until
from support.runs import run_text

from qlab.tracking import frames
from qlab.tracking.store import Store

GROUPED = """
name = "tiny"
[task]
type = "XXZ"
length = 4
[corruption]
type = "LabelFlip"
ratio = [0.25, 0.5]
[model]
type = "MLP"
hidden = [4]
[training]
epochs = 2
[run]
seeds = 2
track = "groups"
"""

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory, serve: Any) -> Iterator[tuple[str, list[str]]]:
    """Where a store of a few trials in groups is served, and their ids."""
    folder = tmp_path_factory.mktemp("grouped")
    store = Store(f"sqlite:///{folder}/mlflow.db")
    run_text(store, folder, GROUPED)
    runs = [str(run) for run in frames.trials(store, store.experiment_ids(["tiny"]))["run_id"]]
    assert len(runs) == 4
    assert all(":" in run for run in runs)
    with serve(store.uri, folder) as address:
        yield address, runs


def test_every_page_shows_trials_that_are_kept_together(visitor: Any, grouped: tuple[str, list[str]]) -> None:
    address, runs = grouped
    page = visitor.open(link(address, experiment="tiny", page="Findings"))
    page.get_by_role("button", name="Open tiny").wait_for()

    def go(name: str) -> None:
        page.get_by_role("button", name=name, exact=True).click()
        page.get_by_role("heading", name=name, exact=True, level=1).wait_for()

    go("Runs")
    until(lambda: page.locator(".tabulator-row").count() == 4)
    page.locator(".tabulator-row input[type=checkbox]").first.click()
    until(lambda: any(run in query(page)["runs"] for run in runs))
    chosen = next(run for run in runs if run in query(page)["runs"])
    go("Run")
    page.get_by_text("finished, ").first.wait_for()
    page.locator(".tabulator-row").first.wait_for()
    assert chosen in query(page)["runs"]
    go("Resilience")
    page.get_by_text("4 of 4 trials").first.wait_for()
    until(lambda: page.locator(FIGURE).count() >= 3)  # the training of the selected one beside the points
    for name in ("Heat map", "Landscape", "Data and circuit"):
        go(name)
        page.locator(FIGURE).first.wait_for()
    go("Unlearning")
    page.get_by_text("No unlearning runs").wait_for()
    assert visitor.errors == []
