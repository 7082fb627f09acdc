"""What figures are copied as: Python that gives the numbers shown, files that make the runs shown."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.experiments import TASK
from support.pages import LIBRARY_WARNINGS
from support.runs import run_text

from qlab.errors import QlabError
from qlab.experiment.asking import schema
from qlab.explorer.copying import forms
from qlab.explorer.figure import Figure
from qlab.explorer.loaded import Loader
from qlab.explorer.page import Context, Page
from qlab.explorer.pages.curvature import CurvaturePage
from qlab.explorer.pages.data import DataPage
from qlab.explorer.pages.heat_map import HeatMapPage
from qlab.explorer.pages.landscape import LandscapePage
from qlab.explorer.pages.resilience import ResiliencePage
from qlab.explorer.pages.run import RunPage
from qlab.explorer.pages.runs import RunsPage
from qlab.explorer.pages.unlearning import UnlearningPage
from qlab.explorer.reader import Reader
from qlab.explorer.state import State
from qlab.explorer.work import Meanwhile
from qlab.tracking import names
from qlab.tracking.store import Store

pytestmark = LIBRARY_WARNINGS

STUDY = f"""
name = "study"
{TASK}
[corruption]
type = "LabelFlip"
ratio = [0.25, 0.5]
known = [0.5, 1.0]
[[model]]
type = "MLP"
hidden = [[2], [3]]
[training]
epochs = 2
[[unlearner]]
type = "Finetune"
steps = 2
[[unlearner]]
type = "Retrain"
steps = 2
[[probe]]
type = "HessianProbe"
[run]
seeds = 2
oracles = 1
"""

FORMS = {form.words: form for form in forms.FORMS}
PYTHON, TOML = FORMS["Python"], FORMS["Experiment file (TOML)"]


class Now:
    """Work that is done at once."""

    def submit(self, name: str, compute: Any, show: Any, failed: Any, **_: Any) -> None:
        try:
            found = compute()
        except QlabError as error:
            failed(str(error))
        else:
            show(found)

    def follow(self, name: str, compute: Any, show: Any, failed: Any) -> None:
        self.submit(name, lambda: compute(Meanwhile(lambda: False, show)), show, failed)

    def soon(self, *_: Any) -> None:
        pass

    def under_way(self, name: str) -> bool:
        return False


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    folder = tmp_path_factory.mktemp("copied")
    store = Store(f"sqlite:///{folder}/mlflow.db")
    run_text(store, folder, STUDY)
    return Reader(store.uri)


@pytest.fixture
def opened(source: Reader) -> Callable[..., Any]:
    def made(kind: type[Page], **fields: Any) -> Any:
        found = kind(Context(State(experiment="study", **fields), source, Loader(source), Now()))  # type: ignore[arg-type]
        assert found.view is not None
        found.update()
        assert not found._notice.object
        return found

    return made


def runs_of(source: Reader, kind: str) -> list[str]:
    frame = source.runs("study")
    return [str(run) for run in frame.loc[frame["kind"] == kind, "run_id"]]


def executed(figure: Figure, folder: Path) -> dict[str, Any]:
    """What the Python of a figure made."""
    taken = figure.copies.take(PYTHON)
    assert isinstance(taken.content, str)
    place: dict[str, Any] = {}
    with contextlib.chdir(folder):
        exec(compile(taken.content, "copied.py", "exec"), place)
    assert (folder / f"{figure.name}.pdf").read_bytes().startswith(b"%PDF")
    return place


def assert_same_numbers(figure: Figure, folder: Path) -> None:
    made = executed(figure, folder)
    order = [name for name in figure.table.columns if name != "left_out"]
    one, other = (
        table[order].astype(object).sort_values(order[:6], key=lambda own: own.astype(str), ignore_index=True)
        for table in (figure.table, made["table"])
    )
    pd.testing.assert_frame_equal(one, other, check_dtype=False, rtol=1e-9)
    assert repr(type(made["figure"])) == repr(type(figure.figure))


WHERE = "params.`model.hidden` = '[2]'"


def test_python_of_resilience_and_of_training(opened: Callable[..., Any], source: Reader, tmp_path: Path) -> None:
    chosen = runs_of(source, names.TRIAL)[:3]
    fields = {"where": WHERE, "group_by": ["model.type"], "corruptions": ["LabelFlip"], "traces": True, "runs": chosen}
    page = opened(ResiliencePage, **fields)
    for figure in (page.curve, page.training):
        assert_same_numbers(figure, tmp_path)
    assert len(page.curve.table) == 2


def test_python_of_unlearning(opened: Callable[..., Any], tmp_path: Path) -> None:
    for tab, name in (("Over steps", "curves"), ("At the end", "bars"), ("Known rows", "known")):
        page = opened(UnlearningPage, where=WHERE, unlearning_tab=tab)
        assert_same_numbers(getattr(page, name), tmp_path)


def test_python_of_a_heat_map_of_curvature_and_of_a_run(
    opened: Callable[..., Any], source: Reader, tmp_path: Path
) -> None:
    run = runs_of(source, names.TRIAL)[0]
    heat_map = opened(HeatMapPage, map_y="model.hidden", map_metric="train_accuracy").maps
    hessian = opened(CurvaturePage).hessian
    training = opened(RunPage, runs=[run]).training
    for figure in (heat_map, hessian, training):
        assert_same_numbers(figure, tmp_path)


def test_python_of_landscapes_and_of_data(opened: Callable[..., Any], source: Reader, tmp_path: Path) -> None:
    points = runs_of(source, names.TRIAL)[:1]
    page = opened(LandscapePage, points=points, resolution=5, cut=[0.1, 0.2])
    for figure in (page.slices, page.cut, opened(DataPage).map):
        assert_same_numbers(figure, tmp_path)


def test_runs_are_copied_as_those_selected_else_all_shown(
    opened: Callable[..., Any], source: Reader, tmp_path: Path
) -> None:
    frame = source.runs("study")
    alike = (
        (frame["kind"] == names.TRIAL)
        & (frame["corruption.ratio"] == 0.25)
        & frame["model.hidden"].map(lambda own: own == (2,))
    )
    chosen = [str(run) for run in frame.loc[alike, "run_id"]]  # of two seeds
    for fields, count in (({"runs": chosen}, 2), ({"where": "tags.`qlab.kind` = 'trial'"}, 8)):
        page = opened(RunsPage, **fields)
        place: dict[str, Any] = {}
        with contextlib.chdir(tmp_path):
            exec(compile(str(page.copies.take(PYTHON).content), "copied.py", "exec"), place)
        assert set(place["table"]["run"]) == set(page._copied().table["run"])
        made = schema.parse(str(page.copies.take(TOML).content), source="copied")
        assert len(place["table"]) == len(made.items) == count
        assert "validation" in page.copies.take(FORMS["LaTeX table"]).content


def test_files_make_the_runs_shown_and_no_others(opened: Callable[..., Any], source: Reader) -> None:
    frame = source.runs("study").set_index("run_id")
    run = runs_of(source, names.TRIAL)[-1]
    for figure in (
        opened(ResiliencePage).curve,
        opened(ResiliencePage, where=WHERE).curve,
        opened(UnlearningPage, unlearning_tab="At the end", where=WHERE, methods=["Finetune"]).bars,
        opened(CurvaturePage).hessian,
        opened(RunPage, runs=[run]).training,
    ):
        taken = figure.copies.take(TOML)
        made = schema.parse(taken.content, source="copied")
        own = set(frame.loc[list(figure.copies._shown().origin.runs), "trial"])
        keys = {item.key for item in made.items}
        assert own <= keys
        teachers = {item.teacher.key for item in made.unlearnings} | {item.trial.key for item in made.probe_runs}
        assert keys == own | teachers
        assert taken.note.startswith(f"Makes all of the {len(own)} run")


def test_a_figure_that_does_not_say_its_runs_says_so(opened: Callable[..., Any]) -> None:
    page = opened(ResiliencePage)
    figure = page.curve
    figure.show(figure.figure, figure.table)
    figure.copies._chosen({"label": "Python"})
    assert "does not say which runs" in figure.copies._handed.given["note"]
    figure.copies._handed._handle_msg({"closed": True})
    assert figure.copies._below.objects == []


def test_what_is_too_long_for_a_paper_is_said_and_the_ends_are_not(opened: Callable[..., Any], source: Reader) -> None:
    page = opened(UnlearningPage, unlearning_tab="Over steps", where=WHERE)
    text = page.curves.copies.take(FORMS["LaTeX table"]).content
    assert "\\toprule" in text
    assert "Finetune" in text
    figure = page.curves
    figure.show(figure.figure, pd.concat([figure.table] * 20))
    figure.copies._chosen({"label": "LaTeX table"})
    assert "all in the CSV file" in figure.copies._handed.given["note"]
