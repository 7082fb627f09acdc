"""Pictures of what one probe found: whatever the numbers, with both backends, and without a warning."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import holoviews as hv
import numpy as np
import pytest
import torch
from support.pages import Page

from qlab.corruptions import LabelFlip
from qlab.landscape import (
    HessianProbe,
    InterpolationProbe,
    Landscape,
    ProbeResult,
    RougheningProbe,
    SliceProbe,
    minimal,
)
from qlab.models import MLP, Features, Model, PennyLaneQNN
from qlab.tasks import XXZ, Dataset
from qlab.training import Member
from qlab.views.landscape import VIEWS, draw, gallery
from qlab.views.panels import finite_limits, title
from qlab.views.saving import save_html, save_png
from qlab.views.slices import axis_labels, marks, slice_picture

PNG = b"\x89PNG\r\n\x1a\n"


def built(data: Dataset, model: Model, seed: int) -> Model:
    found = model.build(Features.of(data))
    found.reset_parameters(torch.Generator().manual_seed(seed))
    return found


Make = Callable[..., Landscape]


@pytest.fixture(scope="module")
def make(small_task: XXZ, small_data: Dataset) -> Make:
    """A landscape of a small model, with every point and a trajectory."""

    def landscape(model: Model | None = None, names: tuple[str, ...] = ("initial", "oracle")) -> Landscape:
        model = model or MLP(hidden=(3,), dtype="float64")
        polluted, clean = (
            Member.of(small_task, small_data, LabelFlip(ratio=ratio), 0).corrupted for ratio in (0.5, 0.0)
        )
        points = {name: built(small_data, model, seed) for seed, name in enumerate(names, start=1)}
        trained = built(small_data, model, 0)
        ends = [
            torch.cat([part.detach().reshape(-1) for part in end.parameters()]) for end in (*points.values(), trained)
        ]
        path = torch.stack(
            [(1.0 - t) * ends[0] + t * ends[-1] + 0.1 * t * (1.0 - t) * ends[1] for t in (0.0, 0.3, 0.7, 1.0)]
        )
        reference = Landscape(built(small_data, model, 3), clean, small_data.validation)
        return Landscape(trained, polluted, small_data.validation, points=points, trajectory=path, reference=reference)

    return landscape


def drawn(figure: Any, folder: Path) -> None:
    """Draws a figure both ways."""
    assert save_png(figure, folder / "a.png", dpi=40).read_bytes().startswith(PNG)
    hv.render(figure, backend="bokeh")


def plane(**fields: Any) -> SliceProbe:
    return SliceProbe(**{"resolution": 5, **fields})


def elements(figure: Any, kind: type) -> list[Any]:
    return figure.traverse(lambda element: element, [kind])


# Every picture

PROBES = {
    "a plane": plane(),
    "a line": plane(dimensions=1),
    "a plane along the trajectory": plane(directions="pca", span=1.25),
    "a plane through points": plane(directions="points", points=("initial", "oracle"), span=1.5),
    "the coarsest plane": plane(resolution=2),
    "a path": InterpolationProbe(path=("initial", "trained", "oracle"), resolution=5),
    "a spectrum": HessianProbe(),
    "the ends of a spectrum": HessianProbe(full_below=0, eigenvalues=2),
    "no spectrum": HessianProbe(full_below=0, eigenvalues=0),
    "a roughening ratio": RougheningProbe(),
}


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES.keys())
def test_what_a_probe_found_is_drawn(probe: Any, make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    drawn(probe.measure(make()).plot(), tmp_path)
    assert caplog.messages == []


def test_a_circuits_spectrum_has_its_rows_as_layers(make: Make) -> None:
    result = HessianProbe().measure(make(PennyLaneQNN(depth=2)))
    (bars,) = elements(draw(result), hv.Bars)
    frame = bars.dframe()
    assert set(frame["layer"]) == {"row 1", "row 2"}
    assert frame["trace"].sum() == pytest.approx(result.scalars["hessian_trace"])


def test_a_slice_has_its_first_direction_along_x(make: Make) -> None:
    result = plane(directions="points", points=("initial", "oracle"), span=1.5).measure(make())
    axis, loss, accuracy = (result.arrays[name] for name in ("axis", "loss", "accuracy"))
    frame = elements(draw(result), hv.Image)[0].dframe()
    assert len(frame) == 25
    for a, b, *shown in frame[["a", "b", "loss", "accuracy"]].to_numpy():
        i, j = (int(np.abs(axis - place).argmin()) for place in (a, b))
        assert (axis[i], axis[j]) == pytest.approx((a, b))
        assert shown == pytest.approx([loss[i, j], accuracy[i, j]])


def test_points_are_marked_where_they_are(make: Make) -> None:
    result = plane(directions="points", points=("initial", "oracle"), span=1.5).measure(make())
    found = marks(result)
    assert found.keys() == {"trained", "initial", "oracle"}
    np.testing.assert_allclose(found["trained"], 0.0, atol=1e-9)
    # The first point lies on the first axis, and the farthest is one unit away.
    assert found["initial"][1] == pytest.approx(0.0, abs=1e-9)
    assert max(np.abs(place[:2]).max() for place in found.values()) == pytest.approx(1.0)
    (points,) = [points for points in elements(draw(result), hv.Points) if "off" not in str(points.vdims[0].label)]
    assert len(points) == 3
    assert {str(name) for name in elements(draw(result), hv.Labels)[0].dframe()["name"]} == found.keys()


def test_the_trajectory_is_drawn_where_the_slice_follows_it(make: Make) -> None:
    result = plane(directions="pca", span=1.25).measure(make())
    (path,) = elements(draw(result), hv.Curve)
    np.testing.assert_allclose(path.dframe().to_numpy(), result.arrays["trajectory"][:, :2])
    assert elements(draw(plane().measure(make())), hv.Curve) == []


def test_a_point_far_from_the_slice_is_not_marked_and_one_near_says_how_far(make: Make) -> None:
    result = plane(directions="points", points=("initial", "oracle"), span=1.5).measure(make())
    places = result.arrays["marks"].copy()
    places[1, -1], places[2, -1] = 1e-3, 1e3
    moved = dataclasses.replace(result, arrays={**result.arrays, "marks": places})
    assert list(marks(moved)) == ["trained", "initial (0.001 off)"]


def test_axes_say_what_they_are_and_how_long_their_unit_is(make: Make) -> None:
    expected = {
        "filter": ["filter-normalised direction 1", "filter-normalised direction 2"],
        "random": ["random direction 1, unit 1", "random direction 2, unit 1"],
        "hessian": ["eigenvector of ", "eigenvector of "],
        "pca": ["principal direction 1 (", "principal direction 2 ("],
    }
    for directions, beginnings in expected.items():
        labels = axis_labels(plane(directions=directions).measure(make()))
        for label, beginning in zip(labels, beginnings, strict=True):
            assert label.startswith(beginning)
            assert ", unit " in label
    through = axis_labels(plane(directions="points", points=("initial", "oracle")).measure(make()))
    assert "towards initial" in through[0]
    assert "oracle" in through[1]


def test_a_path_has_its_points_its_barrier_and_both_splits(make: Make) -> None:
    result = InterpolationProbe(path=("initial", "trained", "oracle"), resolution=5).measure(make())
    loss, accuracy = draw(result)
    assert [text.data[2].strip() for text in elements(loss, hv.Text)] == ["initial", "trained", "oracle"]
    assert [line.data for line in elements(loss, hv.VLine)] == pytest.approx(
        [0.0, result.scalars["distance_1"], result.scalars["distance_1"] + result.scalars["distance_2"]]
    )
    assert {curve.label for curve in elements(accuracy, hv.Curve)} == {"train", "validation"}
    assert f"barrier {result.scalars['barrier']:.3g}" in str(
        hv.Store.lookup_options("bokeh", loss, "plot").kwargs["title"]
    )


def test_a_title_says_model_point_and_samples(make: Make) -> None:
    assert title(HessianProbe(n_samples=7, at="oracle").measure(make())) == "MLP at oracle, 7 train samples"
    assert title(ProbeResult({})) != ""


def test_pairs_are_drawn_and_counted(make: Make, tmp_path: Path) -> None:
    landscapes = [make(), make(MLP(hidden=(4,), dtype="float64"))]
    references = [landscape.reference for landscape in landscapes]
    result = RougheningProbe().compare(landscapes, [reference for reference in references if reference is not None])
    figure = draw(result)
    assert len(elements(figure, hv.Curve)) == 2
    assert "2 pairs" in str(hv.Store.lookup_options("bokeh", figure, "plot").kwargs["title"])
    drawn(figure, tmp_path)


def test_what_has_no_picture_is_a_table(tmp_path: Path) -> None:
    for view in ("", "a view of the future"):
        figure = draw(ProbeResult({"height": 1.5, "width": math.nan}, view=view, probe="Own"))
        assert isinstance(figure, hv.Table)
        assert list(figure.dframe()["name"]) == ["height", "width"]
        drawn(figure, tmp_path)
    drawn(draw(ProbeResult({})), tmp_path)


def test_qlabs_own_views_are_known(make: Make) -> None:
    assert {probe.measure(make()).view for probe in PROBES.values()} <= set(VIEWS)


# Numbers that are hard to draw


def with_arrays(result: ProbeResult, **arrays: Any) -> ProbeResult:
    return dataclasses.replace(result, arrays={**result.arrays, **arrays})


def holes(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The values with every third one missing."""
    found = values.copy()
    found.reshape(-1)[::3] = np.nan
    return found


HARD: dict[str, Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]] = {
    "not a number": lambda values: np.full_like(values, np.nan),
    "not a number here and there": holes,
    "constant": lambda values: np.full_like(values, 0.25),
    "zero": np.zeros_like,
    "far apart": lambda values: np.geomspace(1e-12, 1e12, values.size).reshape(values.shape),
    "infinite here and there": lambda values: np.nan_to_num(holes(values), nan=np.inf),
}


@pytest.mark.parametrize("change", HARD.values(), ids=HARD.keys())
def test_a_plane_is_drawn_whatever_the_losses(
    change: Callable[..., Any], make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = plane(directions="pca", span=1.25).measure(make())
    drawn(draw(with_arrays(result, loss=change(result.arrays["loss"]))), tmp_path)
    assert caplog.messages == []


@pytest.mark.parametrize("probe", [PROBES["a line"], PROBES["a path"]], ids=["line", "path"])
def test_curves_are_drawn_whatever_the_losses(
    probe: Any, make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = probe.measure(make())
    figures = []
    for name in ("not a number", "constant"):
        changed = {key: HARD[name](values) for key, values in result.arrays.items() if key.endswith("loss")}
        figures.append(draw(with_arrays(result, **changed)))
    for figure in figures:
        drawn(figure, tmp_path)
    assert caplog.messages == []


SPECTRA = {
    "not a number": {"eigenvalues": np.full(5, np.nan), "layer_trace_a": np.full(2, np.nan)},
    "all zero": {"eigenvalues": np.zeros(5), "layer_trace_a": np.zeros(2), "layer_trace_b": np.zeros(2)},
    "a single one": {"eigenvalues": np.array([0.5])},
    "a density": {"density_grid": np.linspace(-1.0, 1.0, 9), "density": np.geomspace(1e-20, 1.0, 9)},
}


@pytest.mark.parametrize("arrays", SPECTRA.values(), ids=SPECTRA.keys())
def test_a_spectrum_is_drawn_whatever_the_eigenvalues(
    arrays: dict[str, Any], make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drawn(draw(with_arrays(HessianProbe().measure(make()), **arrays)), tmp_path)
    assert caplog.messages == []


PAIRS = {
    "one pair": ([2.0], [4.0], [2.0]),
    "no clean trace, and a negative ratio": ([math.inf, -2.0], [4.0, -2.0], [0.0, 1.0]),
    "not a number": ([math.nan], [math.nan], [math.nan]),
}


@pytest.mark.parametrize(("ratios", "polluted", "clean"), PAIRS.values(), ids=PAIRS.keys())
def test_pairs_are_drawn_whatever_the_traces(
    ratios: list[float], polluted: list[float], clean: list[float], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arrays = {
        name: np.array(values)
        for name, values in (("lrr", ratios), ("hessian_trace", polluted), ("hessian_trace_clean", clean))
    }
    drawn(draw(ProbeResult({"lrr": float(np.mean(ratios))}, arrays, view="roughening")), tmp_path)
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 2.0, 3.0], (1.0, 3.0)),
        ([1.0, math.nan, math.inf], (0.5, 1.5)),
        ([0.25, 0.25], (-0.25, 0.75)),
        ([math.nan], (0.0, 1.0)),
    ],
)
def test_limits_are_those_of_the_finite_losses(values: list[float], expected: tuple[float, float]) -> None:
    assert finite_limits(np.array(values)) == expected


def test_several_slices_can_share_a_colour_scale(make: Make) -> None:
    image = elements(slice_picture(plane().measure(make()), limits=(0.1, 0.9)), hv.Image)[0]
    for backend in ("bokeh", "matplotlib"):
        assert hv.Store.lookup_options(backend, image, "plot").kwargs["clim"] == (0.1, 0.9)


# Several at once


def test_slices_and_paths_of_several_models_are_side_by_side(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    landscape = make()
    kinds = [PROBES[name].measure(landscape) for name in ("a plane", "a path")]
    figure = gallery([(f"panel {number}", result) for number, result in enumerate(kinds)])
    assert len(figure) == 2
    drawn(figure, tmp_path)
    assert caplog.messages == []


def test_a_gallery_labels_its_panels(make: Make) -> None:
    figure = gallery(
        [("MLP, LabelFlip 0.3, seed 0", plane().measure(make())), ("other", plane(dimensions=1).measure(make()))]
    )
    titles = [hv.Store.lookup_options("matplotlib", panel, "plot").kwargs["title"] for panel in figure]
    assert titles == ["MLP, LabelFlip 0.3, seed 0", "other"]


def test_the_minimal_models_are_drawn(tmp_path: Path) -> None:
    figure = minimal.plot()
    assert len(figure) == 4
    assert all([curve.label for curve in elements(panel, hv.Curve)] == ["A + B", "A", "B"] for panel in figure)
    drawn(figure, tmp_path)


# Names


def test_a_name_is_text_in_a_page_and_not_markup(hostile: str, make: Make, tmp_path: Path) -> None:
    landscape = make(names=(hostile, "<b>bold</b>"))
    results = [
        plane(directions="points", points=(hostile, "<b>bold</b>"), span=1.5).measure(landscape),
        InterpolationProbe(path=("trained", hostile, "<b>bold</b>"), resolution=3).measure(landscape),
        HessianProbe(at=hostile).measure(landscape),
    ]
    odd = [dataclasses.replace(result, about={**result.about, "model": {"type": hostile}}) for result in results]
    figure = gallery([(hostile, odd[0]), ("<b>bold</b>", odd[1])])
    for drawing in (figure, draw(odd[2]), draw(ProbeResult({hostile: 1.0}, probe=hostile))):
        text = save_html(drawing, tmp_path / "a.html", hostile).read_text(encoding="utf-8")
        page = Page(text)
        assert "script" in page.tags
        assert page.outside == []
        assert not {"img", "b"} & set(page.tags)
        assert page.handlers == []
        assert "onerror=alert(1)" in text


def test_names_that_mean_something_to_a_formula_are_drawn(make: Make, tmp_path: Path) -> None:
    names = ("$x", "a_b^c {x} %s")
    landscape = make(names=names)
    for probe in (plane(directions="points", points=names, span=1.5), InterpolationProbe(path=names, resolution=3)):
        drawn(draw(probe.measure(landscape)), tmp_path)
