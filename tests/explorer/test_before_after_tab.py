"""The tab of a model before and after unlearning: without a browser, and without a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.experiments import TASK
from support.pages import LIBRARY_WARNINGS

from qlab.explorer.loaded import corrupted_of, data_of
from qlab.explorer.pages.unlearning import UnlearningPage
from qlab.models.rows import prepare_features
from qlab.tracking import names

pytestmark = LIBRARY_WARNINGS

EXPERIMENT = f"""
name = "mapped"
{TASK}
[corruption]
type = "LabelFlip"
ratio = 0.5
known = 0.5
[[model]]
type = "MLP"
hidden = [4]
training = {{ epochs = 20 }}
[[unlearner]]
type = "Finetune"
steps = 3
[[unlearner]]
type = "GradientAscent"
steps = 3
[run]
seeds = 1
oracles = 1
"""


def test_both_maps_show_what_the_models_say_and_ring_one_sample(opened: Callable[..., Any]) -> None:
    page = opened(UnlearningPage, EXPERIMENT)
    page.state.unlearning_tab = "Before and after"
    page.update()
    assert not page._notice.object
    tab = page._before_after
    frame = page.context.reader.runs("mapped")
    run = tab._found.run
    own = frame[frame["run_id"] == run].iloc[0]
    before = frame[(frame["kind"] == names.TRIAL) & (frame["trial"] == own[names.TEACHER])].iloc[0]
    config = page.context.reader.config("mapped", before["trial"], before["parent_id"])
    corrupted = corrupted_of(config)
    table = page.maps.table
    for name, run_id in (("before", before["run_id"]), ("after", run)):
        model = page.context.reader.model(run_id)
        with torch.no_grad():
            logits = model(prepare_features(model, corrupted.split.x))
        assert table[name].tolist() == ((logits > 0).long() == corrupted.clean_y).tolist()
        # The training accuracy that was logged is of the labels given.
        given = ((logits > 0).long() == corrupted.split.y).double().mean()
        logged = frame.loc[frame["run_id"] == run_id, "train_accuracy"].iloc[0]
        assert given == pytest.approx(logged)
    told = table["told"].value_counts()
    assert told["corrupted, known"] + told["corrupted, hidden"] == int(corrupted.mask.sum())
    assert abs(told["corrupted, known"] - told["corrupted, hidden"]) <= 1  # half are known
    assert len(table) == len(data_of(config)[1].train)

    x, y = table[["x", "y"]].iloc[3]
    tab.clicked(1, x, y)  # in the second map
    assert page.state.row == 3
    marks = page.maps.highlights._shown
    assert marks[0].rings == marks[1].rings == [(x, y)]
    assert f"{table['told'].iloc[3]} row" in tab._sample.objects[1].object
    page.state.row = 10_000  # of an address
    assert "There is no row 10000" in tab._sample.objects[0].object

    other = next(one for one in frame.loc[frame["kind"] == names.UNLEARNING, "run_id"] if one != run)
    page.state.unlearned = other
    assert tab._found.run == other
    page.state.unlearned = before["run_id"]
    assert "has no unlearned model to ask" in page._notice.object
    assert page.maps.figure is None
    page.state.unlearning_tab = "Scoreboard"
    assert not page._notice.object
