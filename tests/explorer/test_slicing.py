"""Which slices a visitor gets, and at which resolution first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.experiments import TASK
from support.runs import run_in

from qlab.errors import DataError
from qlab.explorer.loaded import Loader
from qlab.explorer.reader import Reader
from qlab.explorer.slicing import COARSE, Asked, Sliced, Slicer
from qlab.explorer.work import Meanwhile, Overtaken
from qlab.landscape import SliceProbe

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
epochs = 2
[[unlearner]]
type = "Finetune"
steps = 2
[run]
seeds = 1
"""


@pytest.fixture(scope="module")
def slicer(tmp_path_factory: pytest.TempPathFactory) -> Slicer:
    reader = Reader(run_in(tmp_path_factory.mktemp("sliced"), FILE).uri)
    reader.experiments()
    return Slicer(reader, Loader(reader))


def asked(draft: bool = False, **fields: Any) -> Asked:
    own = {"samples": "train", "directions": "filter", "dimensions": 2, "draw": 0, "span": 1.0, "resolution": 25}
    return Asked("small", (), (), {**own, **fields}, draft)


def found(slicer: Slicer, request: Asked) -> tuple[list[Sliced], Sliced]:
    """What is shown first, and the whole."""
    first: list[Sliced] = []
    return first, slicer.slices(request, Meanwhile(lambda: False, first.append))


def sizes(sliced: Sliced) -> set[int]:
    return {len(result.arrays["axis"]) for result in sliced.results.values()}


def test_a_fine_slice_is_preceded_by_a_coarse_one_of_the_same_plane(slicer: Slicer) -> None:
    (coarse,), fine = found(slicer, asked(span=0.7))
    assert (sizes(coarse), sizes(fine)) == ({COARSE}, {25})
    assert (coarse.draft, fine.draft) == (True, False)
    for name, result in fine.results.items():
        other = coarse.results[name].arrays
        np.testing.assert_array_equal(other["directions"], result.arrays["directions"])
        assert other["loss"][10, 10] == pytest.approx(result.arrays["loss"][12, 12], abs=1e-12)  # both centres
        assert other["axis"][0] == result.arrays["axis"][0] == -0.7


def test_while_a_slider_is_dragged_the_coarse_one_is_enough(slicer: Slicer) -> None:
    first, draft = found(slicer, asked(draft=True))
    assert (first, sizes(draft), draft.draft) == ([], {COARSE}, True)


@pytest.mark.parametrize("fields", [{"resolution": 11}, {"resolution": COARSE}])
def test_what_is_coarse_already_is_computed_once(slicer: Slicer, fields: dict[str, Any]) -> None:
    for draft in (False, True):
        first, whole = found(slicer, asked(draft, **fields))
        assert (first, sizes(whole), whole.draft) == ([], {fields["resolution"]}, False)


def test_a_fine_slice_ends_where_something_else_is_asked(slicer: Slicer) -> None:
    shown: list[Sliced] = []
    with pytest.raises(Overtaken):
        slicer.slices(asked(), Meanwhile(lambda: True, shown.append))
    assert sizes(shown[0]) == {COARSE}  # what there was is shown


def test_titles_say_model_corruption_ratio_seed_and_method(slicer: Slicer) -> None:
    _, whole = found(slicer, asked(resolution=11))
    assert whole.titles["trained"] == "MLP LabelFlip 0.5 seed 0: trained"
    assert whole.titles["Finetune"] == "Finetune of MLP LabelFlip 0.5 seed 0"
    assert whole.titles["oracle"] == "oracle 0 of MLP LabelFlip 0.5 seed 0"


def test_what_a_slice_is_of_is_what_a_probe_measures(slicer: Slicer) -> None:
    _, whole = found(slicer, asked(resolution=11, directions="random", samples="validation"))
    _, every, _ = slicer._known("small")
    item = next(item for item in every if item.label == "MLP LabelFlip 0.5 seed 0")
    landscape = Loader(slicer._reader).landscape("small", item, {})
    alone = SliceProbe(directions="random", samples="validation", resolution=11).measure(landscape)
    np.testing.assert_array_equal(whole.results["trained"].arrays["loss"], alone.arrays["loss"])


def test_points_that_are_gone_are_said(slicer: Slicer) -> None:
    with pytest.raises(DataError, match='gone: no finished run of "small" with a checkpoint'):
        found(slicer, Asked("small", ("gone",), (), asked().fields))
