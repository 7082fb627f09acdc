"""Data, corruptions, methods and probes that break one clause each, and data that are converted."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

from qlab import Corrupted, Corruption, Dataset, LandscapeProbe, ProbeResult, Split, Task
from qlab.corruptions import FeatureRandomization
from qlab.errors import DataError, QlabError
from qlab.landscape.checks import checked
from qlab.tasks.base import load_data
from qlab.training import Member

X = torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.arange(8) % 2


def changed(row, column, value):
    x = X.clone()
    x[row, column] = value
    return x


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (X.float(), Y),
        (X, Y.int()),
        (X, Y.double()),
        (X, Y.bool()),
        (X, Y[:, None]),
        (X.clone().requires_grad_(), Y),
        (X.numpy(), Y.numpy()),
        (X.numpy().astype(">f4"), Y.numpy().astype(np.int8)),
        (X.tolist(), Y.tolist()),
        (pd.DataFrame(X.numpy()), pd.Series(Y.numpy())),
        (pd.DataFrame(X.numpy()), pd.DataFrame({"y": Y.numpy()})),
        (pd.DataFrame(X.numpy()), pd.Series(Y.numpy(), dtype="Int64")),
        (list(X), Y),
        (X.numpy().astype(object), Y),
    ],
)
def test_what_means_one_thing_is_converted(x, y):
    split = Split(x, y)
    assert (split.x.dtype, split.y.dtype) == (torch.float64, torch.int64)
    torch.testing.assert_close(split.x, X, atol=1e-6, rtol=0)
    assert torch.equal(split.y, Y)
    assert not split.x.requires_grad


def test_what_fits_is_taken_as_it_is():
    about = {"delta": X[:, 0]}
    split = Split(X, Y, about)
    assert split.x is X
    assert split.y is Y
    assert split.about is about


def test_single_precision_complex_and_whole_numbers_become_double():
    assert Split(X.to(torch.complex64), Y).x.dtype == torch.complex128
    assert Split(torch.ones(8, 2, dtype=torch.int32), Y).x.dtype == torch.float64


def test_an_array_is_copied():
    array = X.numpy().copy()
    split = Split(array, Y)
    array[:] = 0.0
    assert torch.equal(split.x, X)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X, Y * 2 - 1, r"got \[-1, 1\]; .*\(y \+ 1\) // 2.*\(1 - y\) // 2"),
        (X, Y + 1, r"got \[1, 2\]; y = y - 1"),
        (X, np.array(["cat", "dog"] * 4), r"'cat', 'dog'.*label == 'dog'"),
        (X, pd.Series(["no", "yes"] * 4), r"'no', 'yes'.*label == 'yes'"),
        (X, torch.where(Y == 1, 0.5, 0.0), "0 or 1"),
        (X, Y.double().index_fill(0, torch.tensor([2]), torch.nan), r"y\[2\] is NaN"),
        (X, torch.nn.functional.one_hot(Y), r"y\.argmax\(1\)"),
        (scipy.sparse.csr_matrix(X.numpy()), Y, r"x\.toarray\(\)"),
        (X.to_sparse(), Y, r"x\.to_dense\(\)"),
        (np.ma.masked_array(X.numpy()), Y, "masked array"),
        (pd.DataFrame({"a": X[:, 0].numpy(), "name": ["q"] * 8}), Y, r"column 'name'.*drop\(columns=\['name'\]\)"),
        ([[1.0, 2.0], [1.0]], Y[:2], "2 in row 0 and 1 in row 1"),
        (np.array([[1.0, "q"]] * 8, dtype=object), Y, r"x\[0\]\[1\]: got 'q'"),
        (X.reshape(2, 3, 4), Y[:2], r"x\.flatten\(1\)"),
        (X[:, 0], Y, r"x\[:, None\]"),
        (torch.full((8, 1), 2**60 + 1), Y, "double precision cannot hold"),
        (None, Y, "got None, accepts a tensor"),
        (X, Y[:3], r"x \[8, 3\] and y \[3\]"),
    ],
)
def test_what_could_mean_several_things_is_refused_with_what_to_write(x, y, message):
    with pytest.raises(DataError) as caught:
        Split(x, y)
    assert re.search(message, str(caught.value)), str(caught.value)


def task_of(make):
    class Given(Task):
        """Data that are given."""

        def load(self):
            return make()

        def random_features(self, n, generator):
            return torch.randn(n, 3, dtype=torch.float64, generator=generator)

    return Given()


GOOD = Split(X, Y)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Dataset(Split(changed(3, 2, torch.nan), Y), GOOD),
            r"train split: x: 1 value .*NaN in row 3, column 2",
        ),
        (
            lambda: Dataset(GOOD, Split(changed(5, 0, -torch.inf), Y)),
            r"validation split: .*infinite in row 5, column 0",
        ),
        (lambda: Dataset(GOOD, Split(X, Y, {"delta": changed(1, 0, torch.nan)[:, 0]})), r"about\['delta'\]: .*row 1"),
        (lambda: Dataset(Split(X, 0 * Y), GOOD), "train split has one class: all 8 labels are 0"),
        (lambda: Dataset(GOOD, Split(X, 0 * Y + 1)), "validation split has one class"),
        (lambda: Dataset(GOOD, Split(X[:0], Y[:0])), "validation split is empty"),
        (lambda: Dataset(GOOD, Split(X[:, :2], Y)), "3 features, the validation split 2"),
        (lambda: Dataset(GOOD, Split(X + 0j, Y)), r"to\(torch\.complex128\)"),
        (lambda: Dataset(Split(torch.ones(8, 3), Y), GOOD), "all 8 samples have the same features"),
        (lambda: (X, Y), "got tuple, accepts a data set"),
        (lambda: Dataset((X, Y), GOOD), r"train is of type tuple, accepts a split"),
        (lambda: [][1], r"IndexError: .*\[in test_broken_data\.py, line \d+, in <lambda>\]"),
    ],
)
def test_data_are_checked_where_they_enter(make, message):
    with pytest.raises(DataError) as caught:
        load_data(task_of(make))
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "test_broken_data.py, line " in str(caught.value)


def test_a_column_that_is_constant_is_no_fault():
    x = X.clone()
    x[:, 1] = 0.0
    assert load_data(task_of(lambda: Dataset(Split(x, Y), GOOD))).train.x is not None


def corruption_of(make, **attributes):
    return type(
        "Odd", (Corruption,), {"apply": lambda self, s, t, g: make(self, s, g), "__module__": __name__, **attributes}
    )


def flipped(self, split, generator):
    mask = self.choose_rows(split, generator)
    return mask, torch.where(mask, 1 - split.y, split.y)


def nan_rows(self, split, generator):
    mask, _ = flipped(self, split, generator)
    return Corrupted(Split(torch.where(mask[:, None], torch.nan, split.x), split.y), mask, split.y)


def every_row(self, split, generator):
    mask, y = flipped(self, split, generator)
    return Corrupted(Split(split.x + 1, y), mask, split.y)


def unseeded(self, split, generator):
    mask = torch.rand(len(split)) < 0.5
    return Corrupted(Split(split.x, torch.where(mask, 1 - split.y, split.y)), mask, split.y)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (nan_rows, "not a finite number"),
        (every_row, "changed, which the mask does not mark"),
        (lambda self, s, g: Corrupted(Split(s.x, 1 - s.y), torch.zeros(8, dtype=torch.bool), s.y), "labels of 8 rows"),
        (lambda self, s, g: Corrupted(s, flipped(self, s, g)[0], 1 - s.y), "clean_y differs"),
        (lambda self, s, g: Corrupted(s, flipped(self, s, g)[0].long(), s.y), r"mask\.bool\(\)"),
        (lambda self, s, g: Corrupted(s, torch.tensor([1, 2]), s.y), r"mask\[positions\] = True"),
        (
            lambda self, s, g: Corrupted(Split(s.x[:4], s.y[:4]), torch.zeros(4, dtype=torch.bool), s.y[:4]),
            "got 4 rows",
        ),
        (lambda self, s, g: Corrupted(Split(s.x[:, :2], s.y), flipped(self, s, g)[0], s.y), "features of length 2"),
        (lambda self, s, g: s, "got Split, accepts a corrupted split"),
        (unseeded, "different rows or values for the same seed"),
        (lambda self, s, g: s.nothing, r"AttributeError: .*\[in test_broken_data"),
    ],
)
def test_what_a_corruption_returns_is_checked(make, message):
    task = task_of(lambda: Dataset(GOOD, GOOD))
    with pytest.raises(QlabError) as caught:
        Member.of(task, task.load(), corruption_of(make)(ratio=0.5), 0)
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "test_broken_data.py, line " in str(caught.value)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda n: torch.randn(n), r"x \[4\]"),
        (lambda n: torch.randn(n, 2, dtype=torch.float64), r"got the shape \[4, 2\], accepts \[4, 3\]"),
        (lambda n: torch.full((n, 3), torch.nan, dtype=torch.float64), "not a finite number"),
        (lambda n: torch.randn(n, 3) + 0j, r"x\.real"),
        (lambda n: {}["q"], "KeyError: 'q'"),
    ],
)
def test_random_features_are_checked(draw, message):
    task = task_of(lambda: Dataset(GOOD, GOOD))
    task = type("Drawn", (type(task),), {"random_features": lambda self, n, g: draw(n), "__module__": __name__})()
    with pytest.raises(DataError) as caught:
        Member.of(task, Dataset(GOOD, GOOD), FeatureRandomization(ratio=0.5), 0)
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "test_broken_data.py, line " in str(caught.value)


class Found(LandscapeProbe):
    """Says what it is told."""

    def compute(self, landscape):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (ProbeResult({"a": "high"}), "the scalar a is 'high'"),
        (ProbeResult({"a": np.ones(3)}), r"array of shape \[3\].*float\(value\)"),
        (ProbeResult({"a": 1j}), "accepts a number"),
        (ProbeResult({"a": None}), "accepts a number"),
        (ProbeResult(3.0), "scalars of type float, accepts values by name"),
        (ProbeResult({"a": 1.0}, {"b": ["q"]}), "accepts an array of real numbers"),
        (ProbeResult({"a": 1.0}, {"b": np.ones(2) * 1j}), "real and imaginary part"),
    ],
)
def test_what_a_probe_found_is_numbers(found, message):
    with pytest.raises(QlabError) as caught:
        checked(Found, found)
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "test_broken_data.py, line " in str(caught.value)


def test_numbers_of_other_libraries_become_floats_and_arrays():
    given = ProbeResult({"a": torch.tensor(1.5), "b": np.float32(2), "c": 3}, {"d": torch.ones(2), "e": [1, 2]})
    result = checked(Found, given)
    assert result.scalars == {"a": 1.5, "b": 2.0, "c": 3.0}
    assert all(type(value) is float for value in result.scalars.values())
    assert all(array.dtype == np.float64 for array in result.arrays.values())
