"""Results: frozen, and the same after a round trip through a file."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qlab.errors import DataError
from qlab.landscape import HessianProbe, InterpolationProbe, Landscape, ProbeResult, SliceProbe
from qlab.models import checkpoint

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def same(first, second):
    assert first.scalars.keys() == second.scalars.keys()
    for name, value in first.scalars.items():
        assert second.scalars[name] == value or (math.isnan(value) and math.isnan(second.scalars[name]))
    assert first.arrays.keys() == second.arrays.keys()
    for name, array in first.arrays.items():
        assert second.arrays[name].shape == array.shape
        np.testing.assert_array_equal(second.arrays[name], array)
    for field in ("view", "about", "probe", "config"):
        assert getattr(first, field) == getattr(second, field)


@settings(max_examples=60, deadline=None)
@given(
    scalars=st.dictionaries(NAMES, st.floats(), max_size=3),
    arrays=st.dictionaries(NAMES, hnp.arrays(np.float64, SHAPES), max_size=3),
    about=st.dictionaries(st.text(max_size=5), JSON, max_size=3),
    words=st.tuples(st.text(max_size=5), st.text(max_size=5)),
)
def test_round_trip(tmp_path_factory, scalars, arrays, about, words):
    result = ProbeResult(scalars, arrays, words[0], about, words[1], {"span": 1.0})
    path = tmp_path_factory.mktemp("round") / "result.safetensors"
    assert result.save(path) == path
    same(result, ProbeResult.load(path))


@pytest.mark.parametrize("name", ["empty", "qlab.probe", "a/b", "loss"])
def test_a_probe_may_name_its_arrays_as_it_likes(tmp_path, name):
    result = ProbeResult({}, {name: np.arange(3.0)})
    same(result, ProbeResult.load(result.save(tmp_path / "result")))


def test_an_array_without_axes_stays_without(tmp_path):
    result = ProbeResult({}, {"loss": np.array(0.5)})
    same(result, ProbeResult.load(result.save(tmp_path / "result")))


def test_scalars_that_are_not_finite(tmp_path):
    result = ProbeResult({"nan": math.nan, "inf": math.inf, "minus": -math.inf})
    same(result, ProbeResult.load(result.save(tmp_path / "result")))


def test_numbers_and_arrays_of_other_types_become_doubles(tmp_path):
    result = ProbeResult(
        {"int": 3, "numpy": np.float32(0.5)},
        {"ints": np.arange(4), "single": np.ones((2, 2), np.float32), "reversed": np.arange(6.0).reshape(2, 3).T[::-1]},
    )
    loaded = ProbeResult.load(result.save(tmp_path / "result"))
    assert loaded.scalars == {"int": 3.0, "numpy": 0.5}
    assert {array.dtype for array in loaded.arrays.values()} == {np.dtype(np.float64)}
    for name, array in result.arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], array)


def test_results_of_probes_round_trip(toys, tmp_path):
    split = toys.real_split(8, 4)
    model, other = (toys.build(toys.Bend(), split, seed=seed) for seed in (0, 1))
    landscape = Landscape(model, split, points={"oracle": other})
    for number, result in enumerate(
        [
            landscape.measure(SliceProbe(resolution=4)),
            landscape.measure(HessianProbe()),
            landscape.measure(InterpolationProbe(path=("trained", "oracle"))),
        ]
    ):
        same(result, ProbeResult.load(result.save(tmp_path / str(number))))


def test_results_are_frozen():
    result = ProbeResult({"a": 1.0})
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.scalars = {}
    assert hash(result) != hash(ProbeResult({"a": 1.0}))  # results are told apart by identity: arrays do not compare


def test_files_are_plain_safetensors_that_others_can_read(tmp_path):
    path = ProbeResult({"trace": 2.0}, {"loss": np.eye(2)}, about={"seed": 3}).save(tmp_path / "result")
    with safetensors.safe_open(path, framework="numpy") as file:
        [described] = file.metadata().values()
        np.testing.assert_array_equal(file.get_tensor("loss"), np.eye(2))
    assert json.loads(described)["scalars"] == {"trace": 2.0}
    assert json.loads(described)["about"] == {"seed": 3}


def test_saving_twice_gives_the_same_bytes_and_replaces(tmp_path):
    result = ProbeResult({"a": 1.0, "b": 2.0}, {"x": np.ones(3), "y": np.zeros(2)}, about={"seed": 1})
    first = result.save(tmp_path / "result").read_bytes()
    ProbeResult({"other": 1.0}).save(tmp_path / "result")
    assert result.save(tmp_path / "result").read_bytes() == first


def written(tmp_path, content):
    path = tmp_path / "file.safetensors"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 40, -1, -8], ids=str)
def test_truncated_files(tmp_path, kept):
    whole = ProbeResult({"a": 1.0}, {"x": np.arange(16.0)}).save(tmp_path / "whole").read_bytes()
    path = written(tmp_path, whole[:kept])
    with pytest.raises(DataError, match=r"file\.safetensors is not a probe's result"):
        ProbeResult.load(path)


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("/tmp/qlab-test-bomb"),)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 64,
        b"\xff" * 64,
        b'{"scalars": {}}',
        b"PK\x03\x04 not a zip",
        pickle.dumps(Bomb()),
        b"\x08" + b"\0" * 7 + b"not json",
    ],
    ids=["nothing", "zeros", "ones", "json", "zip", "pickle", "header"],
)
def test_garbage(tmp_path, content):
    with pytest.raises(DataError, match=r"file\.safetensors is not a probe's result that this qlab can read"):
        ProbeResult.load(written(tmp_path, content))
    assert not Path("/tmp/qlab-test-bomb").exists()


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(DataError, match="missing is not a probe's result"):
        ProbeResult.load(tmp_path / "missing")
    with pytest.raises(DataError, match="not a probe's result"):
        ProbeResult.load(tmp_path)


def test_a_checkpoint_is_not_a_result_nor_a_result_a_checkpoint(toys, tmp_path):
    from qlab.models import MLP

    split = toys.real_split(4, 3)
    model = toys.build(MLP(hidden=(2,)), split)
    checkpoint.save(tmp_path / "model", model, model.state_dict(), "MLP")
    with pytest.raises(DataError, match="model is not a probe's result"):
        ProbeResult.load(tmp_path / "model")
    ProbeResult({}).save(tmp_path / "result")
    with pytest.raises(DataError, match="not a checkpoint"):
        checkpoint.load(tmp_path / "result")


def test_safetensors_of_somebody_else(tmp_path):
    safetensors.numpy.save_file({"x": np.ones(2)}, tmp_path / "theirs")
    with pytest.raises(DataError, match="theirs is not a probe's result"):
        ProbeResult.load(tmp_path / "theirs")


@pytest.mark.parametrize(
    "described",
    ["", "{", "3", '"text"', "null", "[]", "{}", '{"format": 1}', '{"format": 1, "scalars": {}, "colour": "red"}'],
)
def test_descriptions_that_make_no_sense(tmp_path, described):
    safetensors.numpy.save_file({"x": np.ones(2)}, tmp_path / "file", {"qlab.probe": described})
    with pytest.raises(DataError, match="file is not a probe's result"):
        ProbeResult.load(tmp_path / "file")


def test_a_result_of_a_later_qlab(tmp_path):
    described = json.dumps({"format": 2, "scalars": {}, "colour": "red"})
    safetensors.numpy.save_file({"x": np.ones(2)}, tmp_path / "file", {"qlab.probe": described})
    with pytest.raises(DataError, match="another format than this qlab reads"):
        ProbeResult.load(tmp_path / "file")


def test_a_notebook_shows_a_picture():
    arrays = {"position": np.arange(3.0)[None], "loss": np.ones((1, 3)), "accuracy": np.ones((1, 3))}
    result = ProbeResult({"barrier": 0.0}, arrays, "path", {"path": ["a", "b"]})
    data, _ = result._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")
