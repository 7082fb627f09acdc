"""Splits: what they accept; digests of tensors."""

from __future__ import annotations

import pytest
import torch

from qlab.errors import DataError
from qlab.tasks import Split
from qlab.tasks.base import digest

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
