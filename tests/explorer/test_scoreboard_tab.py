"""The scoreboard on the page of unlearning: without a browser, and without a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
from support.experiments import TASK
from support.pages import LIBRARY_WARNINGS

from qlab.explorer.pages.unlearning import UnlearningPage

pytestmark = LIBRARY_WARNINGS

EXPERIMENT = f"""
name = "scored"
{TASK}
[[corruption]]
type = "LabelFlip"
ratio = 0.5
[[corruption]]
type = "ClassFlip"
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
seeds = 2
oracles = 1
"""


def test_rows_are_sorted_filtered_and_open_their_runs(opened: Callable[..., Any]) -> None:
    page = opened(UnlearningPage, EXPERIMENT)
    page.update()
    table, board = page._board.table, page._board._board
    assert not page._notice.object
    methods = ["before unlearning", "oracle", "Finetune", "Scrub"]
    assert list(table.value["method"]) == methods * 2
    assert list(table.value["corruption"]) == ["ClassFlip"] * 4 + ["LabelFlip"] * 4
    assert page._board._of.object == "MLP, ratio 0.5"  # the same in all rows
    assert table.value["validation accuracy (clean data)"].str.contains(", n = 2").all()

    table.sorters = [{"field": "gap to the oracle", "dir": "desc"}]  # a click on the head
    assert page.state.board_sort == "gap to the oracle, descending"
    gaps = [cell.value for cell in table.current_view["gap to the oracle"]]
    assert gaps == sorted(gaps, reverse=True)
    page.state.board_sort = "time (s), ascending"  # of an address
    assert [own["field"] for own in table.sorters] == ["time (s)"]
    page.state.board_sort = "beauty, ascending"
    assert page._notice.object.startswith('Not sorted by "beauty, ascending"')
    page.state.board_sort = ""
    assert (table.sorters, page._notice.object) == ([], "")

    page.state.corruptions = ["LabelFlip"]
    page.state.methods = ["Scrub"]
    page.update()
    assert list(table.value["method"]) == ["before unlearning", "oracle", "Scrub"]
    board = page._board._board
    page._board._open(2)
    assert (page.state.page, page.state.standing, page.state.runs) == ("Runs", "selected", list(board.runs[2]))
    assert len(page.state.runs) == 2
    page._board.light()
    assert table.selection == [2]
    assert pd.read_csv(page._board.file())["method"].tolist() == ["before unlearning", "oracle", "Scrub"]


def test_an_address_with_what_is_not_there_is_answered(opened: Callable[..., Any]) -> None:
    page = opened(UnlearningPage, EXPERIMENT)
    page.state.param.update(unlearning_tab="Medals", models=["no such model"])
    page.update()
    assert page._notice.object == 'There is no tab "Medals" on this page.'
    assert len(page._board.table.value) == 8
    page.state.unlearning_tab = "Table"
    assert not page._notice.object
    assert "left out" not in page._table.view.objects[0].value
