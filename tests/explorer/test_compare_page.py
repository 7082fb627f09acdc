"""The page Compare: groups of a selection, their curves and samples; without a browser, and without a thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.pages import LIBRARY_WARNINGS
from support.runs import run_text

from qlab.explorer.loaded import Loader, checkpoints, corrupted_of
from qlab.explorer.page import Context
from qlab.explorer.pages.compare import ComparePage
from qlab.explorer.reader import Reader
from qlab.explorer.state import State
from qlab.tracking import names
from qlab.tracking.store import Store

pytestmark = LIBRARY_WARNINGS

TASK = """
name = "compared"
corruption = { type = "LabelFlip", ratio = 0.25 }
training = { epochs = 3 }
[task]
type = "XXZ"
length = 4
gapless = [-0.9, 0.9, 0.3]
gapped = [1.2, 3.0, 0.3]
validation = [-0.85, 2.75, 0.3]
"""

TWO = f"""{TASK}
[[model]]
type = "MLP"
hidden = [2]
[[model]]
type = "MLP"
hidden = [3]
[run]
seeds = 3
"""

APART = (TASK + "[model]\ntype = 'MLP'\nhidden = [2]\n[run]\nseeds = 1\n").replace("length = 4", "length = [4, 6]")
APART = APART.replace("compared", "apart")


def trials(page: Any, experiment: str = "compared") -> Any:
    frame = page.context.reader.runs(experiment)
    return frame[frame["kind"] == names.TRIAL].sort_values(["model.hidden", "seed"])


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, write_empty_store: Callable[[Path], str]) -> dict[str, str]:
    """Two models with three seeds each, in a store with a run for each trial and in one with a run for each group."""
    found = {}
    for track in ("runs", "groups"):
        folder = tmp_path_factory.mktemp(track)
        found[track] = write_empty_store(folder / "mlruns" / "mlflow.db")
        run_text(Store(found[track]), folder, TWO, run__track=track)
        if track == "runs":
            run_text(Store(found[track]), folder, APART)
    return found


@pytest.fixture
def compared(stores: dict[str, str], at_once: Any) -> Callable[..., Any]:
    """The page with all trials of an experiment selected."""

    def opened(experiment: str = "compared", track: str = "runs") -> Any:
        reader = Reader(stores[track])
        state = State(experiment=experiment, page="Compare")
        found: Any = ComparePage(Context(state, reader, Loader(reader), at_once))
        assert found.view is not None
        state.runs = list(trials(found, experiment)["run_id"])
        found.update()
        return found

    return opened


@pytest.fixture
def page(compared: Callable[..., Any]) -> Any:
    return compared()


def right(page: Any, run: str) -> Any:
    """Which training rows a stored model gets right, by itself."""
    [item] = [item for item in checkpoints(page.context.reader.runs("compared")) if item.run_id == run]
    corrupted = corrupted_of(page.context.loader.config("compared", item))
    model = page.context.reader.model(run)
    with torch.no_grad():
        return ((model(model.prepare(corrupted.split.x)) > 0) == (corrupted.clean_y == 1)).numpy()


@pytest.mark.parametrize("track", ["runs", "groups"])
def test_groups_differences_and_samples_of_both_forms_of_a_store(compared: Callable[..., Any], track: str) -> None:
    page = compared(track=track)
    assert not page._notice.object
    own = trials(page)
    [settings] = page._config.objects
    shown = settings.value
    assert shown["param"].tolist() == ["runs", "model.hidden"]
    assert shown.loc[0, ["A", "B"]].tolist() == ["3 of 3 runs, seeds 0 to 2"] * 2
    assert shown.loc[1, ["A", "B"]].tolist() == ["[2]", "[3]"]

    series = page.context.reader.series(list(own["run_id"]), ["validation_accuracy"])
    values = np.array([[value for _, value in series[run, "validation_accuracy"]] for run in own["run_id"]])
    expected = values[3:].mean(0) - values[:3].mean(0)
    found = page.differences.table
    found = found[found["metric"] == "validation_accuracy"]
    assert set(found["n"]) == {3}
    assert found["difference"].to_numpy() == pytest.approx(expected)

    page.state.compare_tab = "Samples"
    assert not page._notice.object
    a, b = (np.array([right(page, run) for run in own["run_id"].iloc[part]]) for part in (slice(3), slice(3, 6)))
    counts = page._samples._found.counts
    assert counts["first"].tolist() == (a & ~b).sum(1).tolist()
    assert counts["second"].tolist() == (~a & b).sum(1).tolist()
    page.state.compare_seed = 1
    assert page._samples._found.rows["row"].tolist() == [*np.flatnonzero(a[1] & ~b[1]), *np.flatnonzero(~a[1] & b[1])]


def test_a_click_shows_the_sample_and_what_each_model_says(page: Any) -> None:
    page.state.param.update(compare_tab="Samples", compare_seed=2)
    place = page.samples.table.iloc[4]
    page._samples.clicked(0, place["x"], place["y"])
    assert page.state.compare_row == 4
    _, known, table = page._samples._sample.objects
    assert table.value["model"].tolist() == ["A: MLP hidden=[2], LabelFlip 0.25", "B: MLP hidden=[3], LabelFlip 0.25"]
    assert "delta" in known.object
    page.state.compare_row = 99
    assert "There is no row 99" in page._samples._sample.objects[0].object


def test_a_selection_that_cannot_stand_side_by_side_says_what_to_select(page: Any) -> None:
    runs = list(page.state.runs)
    page.state.runs = runs[:2]
    page.update()
    assert "2 selected runs of 1 group" in page._notice.object
    assert page.curves.figure is None
    page.state.compare_by = "runs"
    page.update()
    assert not page._notice.object
    assert page._config.objects[0].value["param"].tolist() == ["runs", "seed"]
    assert set(page.differences.table["n"]) == {1}
    page.state.runs = runs
    page.update()
    assert page._notice.object.startswith("6 selected runs: 2 to 4 can stand side by side.")
    page.state.param.update(compare_by="no such", runs=[])
    page.update()
    assert page._notice.object.startswith("No run of this experiment is selected.")


def test_one_run_of_each_is_enough_for_every_seed(page: Any) -> None:
    page.state.param.update(runs=[page.state.runs[5], page.state.runs[0]], compare_by="every seed")
    page.update()
    [settings] = page._config.objects
    shown = settings.value
    assert shown.loc[1, ["A", "B"]].tolist() == ["[3]", "[2]"]
    assert shown.loc[0, ["A", "B"]].tolist() == ["3 of 3 runs, seeds 0 to 2"] * 2
    page.state.reference = "B"
    page.update()
    assert set(page.differences.table["against"]) == {"B"}
    page.state.param.update(reference="Z", other="Z", compare_rows="none", compare_seed=77, compare_metrics=["no"])
    page.state.compare_tab = "Samples"
    page.update()
    assert not page._notice.object
    assert page._samples._found.unit == 0


def test_landscapes_of_one_seed_are_on_one_scale(page: Any) -> None:
    page.state.param.update(resolution=5, compare_seed=1, compare_tab="Landscapes")
    assert not page._notice.object
    sights = page._landscapes._planes._planes
    scales = {(plane._colours.low, plane._colours.high) for plane in sights}
    losses = page.landscapes.table["loss"]
    assert scales == {(losses.min(), losses.max())}
    assert [plane._title.text for plane in sights] == [
        "A: MLP hidden=[2], LabelFlip 0.25",
        "B: MLP hidden=[3], LabelFlip 0.25",
    ]
    own = trials(page)
    page._landscapes._go(None)
    assert page.state.points == list(own.loc[own["seed"] == 1, "run_id"])


def test_of_different_tasks_there_are_curves_and_no_samples(compared: Callable[..., Any]) -> None:
    page = compared("apart")
    assert not page._notice.object
    assert page._config.objects[0].value["param"].tolist() == ["runs", "task.length"]
    assert len(page.differences.table)
    page.state.compare_tab = "Samples"
    assert "different tasks" in page._notice.object
    assert page.samples.figure is None
    page.state.compare_tab = "Curves"
    assert not page._notice.object
