"""The tab of margins on the page of unlearning: a picker of the audited run and one of the rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.experiments import TASK
from support.pages import LIBRARY_WARNINGS

from qlab.explorer.pages.unlearning import UnlearningPage

pytestmark = LIBRARY_WARNINGS

EXPERIMENT = f"""
name = "audited"
{TASK}
[corruption]
type = "LabelFlip"
ratio = 0.5
[[model]]
type = "MLP"
hidden = [2]
training = {{ epochs = 1 }}
[[unlearner]]
type = "Finetune"
steps = 1
[[unlearner]]
type = "Scrub"
steps = 1
[run]
seeds = 1
oracles = 1
"""

AUDIT = """
[audit]
oracles = 4
models = 4
bins = 4
"""

SCRUB = "Scrub of MLP, LabelFlip 0.5, seed 0"


def test_run_and_rows_are_chosen_and_stand_in_the_address(opened: Callable[..., Any]) -> None:
    page = opened(UnlearningPage, EXPERIMENT + AUDIT)
    page.state.unlearning_tab = "Margins"
    page.update()
    assert page._margins._controls.visible
    assert page.margins.table["title"].unique().tolist() == ["Finetune of MLP, LabelFlip 0.5, seed 0"]
    assert page.margins.table["rows"].unique().tolist() == ["forget"]
    assert set(page.margins.table["rank"]) == {"worst", "median", "best"}
    page._margins._of.widget.value = SCRUB
    page._margins._rows.widget.value = "retain"
    assert (page.state.margins_of, page.state.margin_rows) == (SCRUB, "retain")
    assert page.margins.table[["title", "rows"]].drop_duplicates().to_numpy().tolist() == [[SCRUB, "retain"]]
    page.state.margin_rows = "hidden"  # of an address
    assert page.margins.figure is None
    assert page._notice.object == f"{SCRUB} has no hidden rows."
    page.state.param.update(margins_of="no such run", margin_rows="no such rows")
    assert page.margins.table["title"].unique().tolist() == ["Finetune of MLP, LabelFlip 0.5, seed 0"]
    assert not page._notice.object


def test_without_an_audit_the_tab_says_how_to_get_one(opened: Callable[..., Any]) -> None:
    page = opened(UnlearningPage, EXPERIMENT)
    page.state.unlearning_tab = "Margins"
    page.update()
    assert page.margins.figure is None
    assert page._margins._none.visible
    assert not page._margins._controls.visible
    assert not page._notice.object
