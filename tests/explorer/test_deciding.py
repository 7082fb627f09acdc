"""What a model decides at a point of a slice: as a copy of it with the parameters of that point says."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support.experiments import TASK
from support.runs import run_in

from qlab.errors import DataError
from qlab.explorer.deciding import Decision, decide, place_of
from qlab.explorer.loaded import Loader, corrupted_of
from qlab.explorer.reader import Reader
from qlab.explorer.slicing import Asked, Sliced, Slicer
from qlab.explorer.training_map import mapped
from qlab.explorer.work import Meanwhile
from qlab.models.rows import prepare_features
from qlab.views.data_map import project
from qlab.views.decision_map import VERDICT, counts_of, decided, decision_map
from qlab.views.saving import picture_bytes

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

FILE = f"""
name = "small"
{TASK}
[corruption]
type = "LabelFlip"
ratio = 0.5
[model]
type = "MLP"
hidden = [3]
[training]
epochs = 3
[run]
seeds = 1
"""

LOOK = ("pca", "clean")


class Sight:
    """A slice, and what makes decisions on it."""

    def __init__(self, uri: str) -> None:
        self.reader = Reader(uri)
        self.reader.experiments()
        self.loader = Loader(self.reader)
        fields = {"samples": "train", "directions": "filter", "dimensions": 2, "draw": 0, "span": 1.0, "resolution": 5}
        self.asked = Asked("small", (), (), fields)
        self.sliced: Sliced = Slicer(self.reader, self.loader).slices(self.asked, Meanwhile(lambda: False, print))

    def at(self, *place: float, number: int = 0, look: tuple[str, str] = LOOK) -> Decision:
        return decide(self.loader, self.asked, self.sliced, number, (place[0], place[1]), look)


@pytest.fixture(scope="module")
def sight(tmp_path_factory: pytest.TempPathFactory) -> Sight:
    return Sight(run_in(tmp_path_factory.mktemp("decided"), FILE).uri)


@pytest.mark.parametrize("place", [(0.0, 0.0), (0.6, -0.3)])
def test_it_says_what_a_copy_of_the_model_with_those_parameters_says(sight: Sight, place: tuple[float, float]) -> None:
    found = sight.at(*place)
    (name,) = sight.sliced.items
    item = sight.sliced.items[name]
    model = sight.reader.model(item.run_id).double_copy()
    x = corrupted_of(sight.loader.config("small", item)).split.x
    shift = place @ sight.sliced.results[name].arrays["directions"]
    with torch.no_grad():
        flat = torch.cat([parameter.reshape(-1) for parameter in model.parameters()]) + torch.as_tensor(shift)
        torch.nn.utils.vector_to_parameters(flat, model.parameters())
        z = model(prepare_features(model, x)).numpy()
    np.testing.assert_allclose(found.frame["probability"], 1 / (1 + np.exp(-z)), atol=1e-9)
    assert list(found.frame["says"]) == list((z > 0).astype(int))


def test_the_loss_of_the_slice_is_that_of_the_map(sight: Sight) -> None:
    (result,) = sight.sliced.results.values()
    axis, accuracy = result.arrays["axis"], result.arrays["accuracy"]
    for row, column in ((0, 4), (2, 2), (3, 1)):
        frame = sight.at(axis[row], axis[column], look=("pca", "given")).frame
        assert frame[VERDICT].str.startswith("right").mean() == pytest.approx(accuracy[row, column])


def test_rows_are_where_the_data_page_has_them(sight: Sight) -> None:
    config = sight.loader.config("small", next(iter(sight.sliced.items.values())))
    corrupted = corrupted_of(config)
    frame = mapped(config, "pca")
    np.testing.assert_allclose(frame[["x", "y"]], project(corrupted.split.x.numpy()))  # type: ignore[union-attr]
    assert list(frame["clean_label"]) == corrupted.clean_y.int().tolist()
    assert mapped(config, "pca") is frame  # kept
    assert mapped(config, "tsne")["x"].iloc[0] != frame["x"].iloc[0]


def test_what_there_is_not_is_refused(sight: Sight) -> None:
    with pytest.raises(DataError, match="cut_in: got 3, but there are slices 0 to 0"):
        sight.at(0.0, 0.0, number=3)
    with pytest.raises(DataError, match='judged: got "both", accepts clean or given'):
        sight.at(0.0, 0.0, look=("pca", "both"))


@pytest.mark.parametrize("text", ["[1.0]", "[NaN, 1.0]", "[1.0, 2.0, 3.0]", "[Infinity, 0.0]"])
def test_a_place_is_two_finite_numbers(text: str) -> None:
    with pytest.raises(DataError, match=r"cut: got .* accepts two finite numbers"):
        place_of(json.loads(text))
    assert place_of([]) is None
    assert place_of([0.5, -1]) == (0.5, -1.0)


@pytest.fixture
def rows() -> pd.DataFrame:
    """Five rows, the last two with another label than before."""
    given, clean = [0, 1, 1, 0, 1], [0, 1, 1, 1, 0]
    kinds = [*(f"class {label}" for label in given[:3]), *(f"corrupted, labelled {label}" for label in given[3:])]
    places = {"x": range(5), "y": range(5), "row": range(5)}
    return pd.DataFrame({**places, "polluted_label": given, "clean_label": clean, "kind": kinds})


def test_right_is_by_the_label_that_is_asked_for(rows: pd.DataFrame) -> None:
    logits = np.array([-1.0, 2.0, np.nan, 3.0, np.inf])
    by_clean, by_given = decided(rows, logits, "clean"), decided(rows, logits, "given")
    assert list(by_clean[VERDICT]) == ["right", "right", "says nothing", "right, corrupted row", "wrong, corrupted row"]
    assert list(by_clean["says"]) == [0, 1, -1, 1, 1]
    assert list(by_given[VERDICT])[3:] == ["wrong, corrupted row", "right, corrupted row"]
    assert counts_of(by_clean, "clean") == (
        "3 of 5 rows right by the clean label; of 2 with another label than before, 1 as given"
    )
    assert counts_of(by_given.iloc[:2], "given") == "2 of 2 rows right by the label given"
    figure: Any = decision_map(by_clean, "a [b]title[/b] $$x$$")
    assert picture_bytes(figure, "png", dpi=40).startswith(b"\x89PNG")
