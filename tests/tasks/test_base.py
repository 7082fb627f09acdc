"""Splits: what they accept; digests of tensors."""

from __future__ import annotations

import pytest
import torch

from qlab.errors import DataError
from qlab.tasks import Dataset, Split, Task
from qlab.tasks.base import digest, load_data

X = torch.arange(6, dtype=torch.float64).reshape(3, 2)
Y = torch.tensor([0, 1, 1])


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        pytest.param(X, Y[:2], r"x \[3, 2\] and y \[2\]", id="rows differ"),
        pytest.param(X.flatten(), Y, r"x \[6\]", id="x has one axis"),
        pytest.param(X, Y[:, None].repeat(1, 2), r"y \[3, 2\]", id="y has two axes"),
        pytest.param(X, Y + 1, r"0 or 1, got \[1, 2\]", id="labels 1 and 2"),
    ],
)
def test_split_refuses_what_does_not_fit(x, y, message):
    with pytest.raises(DataError, match=message):
        Split(x, y)


def test_length_is_the_number_of_rows():
    assert len(Split(X, Y)) == 3


def test_digest_depends_on_values_shape_dtype_and_order_alone():
    assert digest(X.clone(), Y.clone()) == digest(X, Y)
    others = [
        digest(X + 1e-15 * torch.eye(3, 2, dtype=torch.float64), Y),
        digest(X, 1 - Y),
        digest(X.float(), Y),
        digest(torch.complex(X, torch.zeros_like(X)), Y),
        digest(X.flip(0), Y),
        digest(X.reshape(2, 3), Y),
        digest(Y, X),
        digest(X),
    ]
    assert len({digest(X, Y), *others}) == len(others) + 1


def test_digest_does_not_depend_on_memory_layout():
    columns = X.mT.contiguous().mT
    assert not columns.is_contiguous()
    assert digest(columns) == digest(X)
    z = torch.complex(X, X + 1)
    assert digest(z.conj()) == digest(torch.complex(X, -(X + 1)))


class Given(Task):
    """Returns the data set it is made with."""

    def load(self):
        return DATASETS[-1]

    def random_features(self, n, generator):
        return torch.randn(n, 2, dtype=torch.float64, generator=generator)


DATASETS: list[Dataset] = []


@pytest.mark.parametrize(
    ("test", "message"),
    [
        pytest.param(Split(X[:2] * torch.nan, Y[:2]), "The test split: x: 4 values are not a finite number", id="NaN"),
        pytest.param(Split(X[1:], Y[1:]), "The test split has one class", id="one class"),
        pytest.param(Split(X[:, :1], Y), "train split has 2 features, the test split 1", id="narrow"),
        pytest.param(Split(X + 0j, Y), r"the test split of torch\.complex128", id="complex"),
    ],
)
def test_a_test_split_is_checked_like_the_validation_split(test, message):
    split = Split(X, Y)
    DATASETS[:] = [Dataset(split, split, test)]
    with pytest.raises(DataError, match=message):
        load_data(Given())


def test_the_splits_that_there_are_by_name():
    split = Split(X, Y)
    assert list(Dataset(split, split).splits) == ["train", "validation"]
    assert list(Dataset(split, split, split).splits) == ["train", "validation", "test"]
    with pytest.raises(DataError, match=r"test is of type tuple, accepts a split"):
        Dataset(split, split, (X, Y))
