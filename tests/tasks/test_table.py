"""Rows of a file: what becomes of them, against scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from qlab import FeatureRandomization, Member, Table
from qlab.errors import ConfigError, DataError
from qlab.models import MLP, Features, PennyLaneQNN
from qlab.tasks.base import load_data
from qlab.tasks.files import placed

CELLS = Path(__file__).parents[1] / "support" / "cells.csv"
FRAME = pd.read_csv(CELLS)


def table(**fields):
    return Table(**({"path": str(CELLS), "label": "kind", "positive": "M"} | fields))


def halves(seed=0):
    """The rows of 24 for training, 8 and 8, as a user of scikit-learn would split them."""
    y = (FRAME["kind"] == "M").to_numpy()
    rest, test = train_test_split(np.arange(40), test_size=8, stratify=y, random_state=seed)
    train, validation = train_test_split(rest, test_size=8, stratify=y[rest], random_state=seed)
    return [np.sort(rows) for rows in (train, validation, test)]


@pytest.mark.parametrize(
    ("fields", "steps"),  # of a pipeline
    [
        pytest.param({}, [StandardScaler()], id="standard"),
        pytest.param({"scale": "minmax"}, [MinMaxScaler()], id="minmax"),
        pytest.param({"scale": "none"}, ["passthrough"], id="none"),
        pytest.param({"reduce": 2}, [StandardScaler(), PCA(2, svd_solver="full")], id="standard, reduced"),
        pytest.param({"scale": "minmax", "reduce": 4}, [MinMaxScaler(), PCA(4, svd_solver="full")], id="turned"),
    ],
)
def test_features_are_those_of_a_pipeline_fitted_on_training_rows(fields, steps):
    data = table(**fields).load()
    x = FRAME.drop(columns="kind").to_numpy(dtype=float)
    train, validation, test = halves()
    pipeline = make_pipeline(*steps).fit(x[train])
    for split, rows in ((data.train, train), (data.validation, validation), (data.test, test)):
        np.testing.assert_allclose(split.x, pipeline.transform(x[rows]), atol=1e-12)
        assert split.y.tolist() == (FRAME["kind"][rows] == "M").astype(int).tolist()


def test_new_rows_go_the_same_way():
    data = table(reduce=3, pad=True, normalize=True).load()
    made = data.preprocessing
    rows = halves()[1]
    assert made.columns == ("area", "edge", "texture", "age")
    assert (made.classes, made.label) == (("B", "M"), "kind")
    x = torch.from_numpy(FRAME[list(made.columns)].to_numpy(dtype=float)[rows])
    assert torch.equal(made(x), data.validation.x)


def test_columns_are_in_the_order_that_is_asked_for():
    names = ("age", "area")
    made = table(columns=names, scale="none").load()
    np.testing.assert_array_equal(made.train.x, FRAME[list(names)].to_numpy(dtype=float)[halves()[0]])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), test=st.sampled_from([0.0, 0.1, 0.2, 0.35]))
def test_splits_share_no_row_lack_none_and_keep_the_classes(seed, test):
    data = table(split=(0.8 - test, 0.2, test), seed=seed, scale="none").load()
    assert (data.test is None) == (test == 0.0)
    sizes = {name: len(split) for name, split in data.splits.items()}
    assert sizes == {"train": 32 - round(40 * test), "validation": 8} | ({"test": round(40 * test)} if test else {})
    found = [tuple(row) for split in data.splits.values() for row in split.x.tolist()]
    assert sorted(found) == sorted(map(tuple, FRAME.drop(columns="kind").to_numpy(dtype=float).tolist()))
    assert all(abs(int(split.y.sum()) - len(split) / 2) <= 1 for split in data.splits.values())


def test_test_rows_stay_while_other_fractions_change():
    first, second = (table(split=(0.8 - part, part, 0.2), scale="none").load().test for part in (0.2, 0.4))
    assert torch.equal(first.x, second.x)


def test_padding_is_for_amplitudes_and_other_models_do_not_see_it(tmp_path):
    file = tmp_path / "six.csv"
    x = np.random.default_rng(0).normal(size=(60, 6))
    pd.DataFrame(x, columns=list("abcdef")).assign(label=np.arange(60) % 2).to_csv(file, index=False)
    plain, padded = (load_data(Table(path=str(file), pad=pad)) for pad in (False, True))
    assert padded.train.x.shape[1] == 8
    torch.testing.assert_close(padded.train.x[:, :6], plain.train.x)
    assert not padded.train.x[:, 6:].any()
    PennyLaneQNN(depth=1).build(Features.of(padded))
    assert MLP(hidden=(3,)).build(Features.of(padded)).prepare(padded.train.x).shape[1] == 6
    with pytest.raises(DataError, match=r"2\^n"):
        PennyLaneQNN(depth=1).build(Features.of(plain))


def test_normalised_rows_have_unit_length_after_all_else():
    plain, unit = table(reduce=3).load().train.x, table(reduce=3, normalize=True).load().train.x
    torch.testing.assert_close(unit, plain / plain.norm(dim=1, keepdim=True))


@pytest.mark.parametrize("fields", [{}, {"reduce": 2}, {"scale": "none"}, {"scale": "minmax", "pad": True}])
def test_random_features_have_the_moments_of_the_training_rows(fields):
    task = table(columns=("area", "edge", "age"), **fields)
    x = task.load().train.x
    drawn = task.random_features(200_000, torch.Generator().manual_seed(0))
    deviation = x.std(0, correction=0)
    error = 4.0 * deviation / 200_000**0.5
    assert bool(((drawn.mean(0) - x.mean(0)).abs() <= error).all())
    assert bool(((drawn.std(0) - deviation).abs() <= error).all())
    if x.shape[1] > 1:
        correlation = torch.corrcoef(drawn[:, :2].T)[0, 1]
        assert abs(float(correlation)) < 4.0 / 200_000**0.5


def test_random_features_need_no_file_once_the_data_are_known(tmp_path):
    (tmp_path / "t.csv").write_bytes(CELLS.read_bytes())
    task = table(path=str(tmp_path / "t.csv"))
    data = task.load()
    (tmp_path / "t.csv").unlink()
    corrupted = Member.of(task, data, FeatureRandomization(ratio=0.5), 0).corrupted
    assert bool((corrupted.split.x != data.train.x).any(1).eq(corrupted.mask).all())


def test_relative_paths_start_at_the_folder_of_the_experiment_or_at_the_current_one(tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_bytes(CELLS.read_bytes())
    task = table(path="t.csv")
    assert placed(task, tmp_path).files_digest == table(path=str(tmp_path / "t.csv")).files_digest
    with pytest.raises(ConfigError, match=r'there is no file "t\.csv" in .*where relative paths start'):
        assert task.files_digest
    monkeypatch.chdir(tmp_path)
    assert torch.equal(table(path="t.csv").load().train.x, table().load().train.x)


@pytest.mark.parametrize("ending", [".parquet", ".npz", ".tsv"])
def test_other_formats_hold_the_same(tmp_path, ending):
    file = tmp_path / f"t{ending}"
    if ending == ".parquet":
        FRAME.to_parquet(file)
    elif ending == ".tsv":
        FRAME.to_csv(file, sep="\t", index=False)
    else:
        x = FRAME.drop(columns="kind").to_numpy(dtype=float)
        np.savez(file, kind=FRAME["kind"].to_numpy(dtype="U1"), x=x)
    found = table(path=str(file)).load()
    assert torch.equal(found.train.x, table().load().train.x)
    assert torch.equal(found.train.y, table().load().train.y)


@pytest.mark.parametrize(
    ("values", "positive"),
    [
        pytest.param([0, 1], 1, id="whole"),
        pytest.param([-1.0, 1.0], 1, id="floats"),
        pytest.param([False, True], True, id="booleans"),
        pytest.param([False, True], 1, id="booleans by number"),
        pytest.param(["None", "attack"], "attack", id="a word that may mean nothing"),
        pytest.param(["NA", "EU"], "EU", id="another"),
    ],
)
def test_labels_of_any_type(tmp_path, values, positive):
    FRAME.assign(kind=[values[row % 2] for row in range(40)]).to_csv(tmp_path / "t.csv", index=False)
    found = table(path=str(tmp_path / "t.csv"), positive=positive).load()
    assert torch.equal(found.train.y, table().load().train.y)
    assert list(found.preprocessing.classes) == values


def test_every_digit_of_a_number_is_read(tmp_path):
    values = [0.1 + 0.2, 1 / 3, 2.5e-308, 1.7976931348623157e308, 123456789.12345679]
    lines = [f"{value!r},{row % 2}" for row, value in enumerate(values * 8)]
    (tmp_path / "t.csv").write_text("\n".join(["x,label", *lines]))
    data = Table(path=str(tmp_path / "t.csv"), scale="none").load()
    found = sorted(set(data.train.x.flatten().tolist()))
    np.testing.assert_allclose(found, sorted(values), rtol=1e-15)


def test_features_are_named():
    assert table().load().preprocessing.feature_names == ("area", "edge", "texture", "age")
    padded = table(columns=("age", "edge", "area"), pad=True).load().preprocessing
    assert padded.feature_names == ("age", "edge", "area", "zero 1")
    reduced = table(reduce=2, pad=True).load().preprocessing
    assert reduced.feature_names == ("component 1", "component 2")


def test_rows_are_known_by_their_number():
    data = table(scale="none").load()
    rows = data.test.about["table row"]
    np.testing.assert_array_equal(data.test.x, FRAME.drop(columns="kind").to_numpy(dtype=float)[rows - 1])
