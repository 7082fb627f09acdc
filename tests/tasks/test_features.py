"""Features that are not held, against the tensors they stand for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qlab.errors import DataError
from qlab.models import MLP, Features, PennyLaneQNN
from qlab.models.rows import prepare_features
from qlab.tasks import XXZ, Split
from qlab.tasks.base import digest
from qlab.tasks.features import TiedFeatures, gram, nonzero_columns
from qlab.tasks.replaced_features import DrawnRows, ReplacedFeatures
from qlab.views.data_map import project, project_lazy

D = 16
TASK = XXZ(length=4)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def tied(n, seed=0, complex_features=True):
    """Rows of 16 features, 7 of them nonzero, made of 3 coefficients; and the same as a tensor, written out."""
    g = generator(seed)
    basis = torch.randperm(D, generator=g)[:7].sort().values
    source = torch.randint(0, 3, (7,), generator=g)
    weights = torch.randn(7, generator=g, dtype=torch.float64)
    coefficients = torch.randn(n, 3, generator=g, dtype=torch.float64)
    factors = torch.randn(n, generator=g, dtype=torch.complex128 if complex_features else torch.float64)
    dense = torch.zeros(n, D, dtype=factors.dtype)
    for row in range(n):
        for column in range(7):
            dense[row, basis[column]] = factors[row] * weights[column] * coefficients[row, source[column]]
    return TiedFeatures(D, basis, source, weights, coefficients, factors), dense


def draw(n, g):
    rows = torch.randn(n, D, 2, generator=g, dtype=torch.float64)
    return torch.view_as_complex(rows)


def replaced(n, seed=0):
    """Tied rows, some replaced by random ones; and the same as a tensor."""
    lazy, dense = tied(n, seed)
    mask = torch.rand(n, generator=generator(seed + 1)) < 0.5
    dense = dense.clone()
    dense[mask] = draw(int(mask.sum()), generator(seed + 2))
    return ReplacedFeatures.where(mask, lazy, DrawnRows(draw, generator(seed + 2), n)), dense


def both(kind, n, seed):
    return tied(n, seed) if kind == "tied" else replaced(n, seed)


@st.composite
def selections(draw_from):
    """Features of up to nine rows, and rows of them: a mask, positions with repeats, negative ones too, or a slice."""
    kind, n, seed = (
        draw_from(st.sampled_from(["tied", "replaced"])),
        draw_from(st.integers(1, 9)),
        draw_from(st.integers(0, 50)),
    )
    how = draw_from(st.sampled_from(["mask", "positions", "slice"]))
    if how == "mask":
        rows = torch.tensor(draw_from(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=torch.bool)
    elif how == "positions":
        rows = torch.tensor(draw_from(st.lists(st.integers(-n, n - 1), max_size=12)), dtype=torch.int64)
    else:
        ends = st.none() | st.integers(-n - 2, n + 2)
        rows = slice(draw_from(ends), draw_from(ends), draw_from(st.none() | st.integers(1, 3)))
    return kind, n, seed, rows


@settings(deadline=None, max_examples=200)
@given(selections())
def test_selected_rows_are_those_of_the_tensor(case):
    kind, n, seed, rows = case
    lazy, dense = both(kind, n, seed)
    found, expected = lazy[rows], dense[rows]
    assert (found.shape, found.dtype, len(found)) == (expected.shape, expected.dtype, len(expected))
    torch.testing.assert_close(found.dense(), expected, atol=0, rtol=1e-14)
    again = torch.arange(len(expected)).flip(0)
    torch.testing.assert_close(found[again].dense(), expected[again], atol=0, rtol=1e-14)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(["tied", "replaced"]), st.integers(0, 9), st.integers(0, 50), st.integers(1, 3000))
def test_chunks_are_all_rows_in_order_and_no_larger_than_asked(kind, n, seed, most):
    lazy, dense = both(kind, n, seed)
    chunks = list(lazy.chunks(most))
    assert all(chunk.nbytes <= max(most, D * 16) for chunk in chunks)
    torch.testing.assert_close(torch.cat(chunks), dense, atol=0, rtol=1e-14)


@pytest.mark.parametrize("complex_features", [True, False])
def test_it_has_the_shape_and_dtype_of_its_tensor(complex_features):
    lazy, dense = tied(5, complex_features=complex_features)
    assert (lazy.shape, lazy.ndim, lazy.dtype, lazy.is_complex()) == (dense.shape, 2, dense.dtype, dense.is_complex())
    assert lazy.nbytes == dense.nbytes
    assert len(Split(lazy, torch.tensor([0, 1, 0, 1, 1]))) == 5
    with pytest.raises(DataError, match=r"x \[5, 16\] and y \[4\]"):
        Split(lazy, torch.tensor([0, 1, 0, 1]))


@pytest.mark.parametrize("kind", ["tied", "replaced"])
@pytest.mark.parametrize("seed", range(5))
def test_nonzero_columns_are_those_of_the_tensor(kind, seed):
    lazy, dense = both(kind, 4, seed)
    assert torch.equal(nonzero_columns(lazy), nonzero_columns(dense))
    silent = (
        TiedFeatures(D, lazy.basis, lazy.source, lazy.weights, lazy.coefficients, 0 * lazy.factors)
        if kind == "tied"
        else lazy[torch.zeros(4, dtype=torch.bool)]
    )
    assert not nonzero_columns(silent).any()


def test_random_rows_come_out_the_same_in_any_order():
    rows = DrawnRows(draw, generator(3), 6)
    expected = draw(6, generator(3))
    for number in (4, 0, 5, 5, 2, 4):
        assert torch.equal(rows.row(number), expected[number])


def test_random_rows_leave_the_generator_alone():
    g = generator(3)
    DrawnRows(draw, g, 5).row(4)
    assert torch.equal(draw(1, g), draw(1, generator(3)))


def test_the_digest_is_that_of_the_values():
    lazy, _ = replaced(6)
    same, _ = replaced(6)
    every = torch.arange(6)
    assert digest(lazy) == digest(same) == digest(lazy[every])
    others = [replaced(6, 1)[0], lazy.base, lazy[:5], lazy[every.flip(0)]]
    assert len({digest(lazy), *map(digest, others)}) == 5
    drawn = DrawnRows(lambda n, g: 2 * draw(n, g), generator(2), 6)
    assert digest(ReplacedFeatures(lazy.base, drawn, lazy.numbers)) != digest(lazy)


def test_what_a_tensor_can_and_these_cannot_is_said():
    lazy, _ = tied(3)
    with pytest.raises(AttributeError, match=r"no attribute 'clone': these 3 x 16 features.*not held.*x\.chunks\(\)"):
        lazy.clone()
    with pytest.raises(DataError, match=r"got int; x\[i : i \+ 1\]"):
        lazy[0]
    with pytest.raises(DataError, match=r"got a tensor of shape \[1, 1\]"):
        lazy[torch.tensor([[0]])]
    with pytest.raises(DataError, match="A mask of 2 rows does not fit features of 3"):
        lazy[torch.tensor([True, False])]
    with pytest.raises(IndexError):
        lazy[torch.tensor([3])]
    with pytest.raises(DataError, match="7 columns, 7 sources, 7 weights, 3 rows and 2 factors"):
        TiedFeatures(D, lazy.basis, lazy.source, lazy.weights, lazy.coefficients, lazy.factors[:2])


@pytest.mark.parametrize("most_bytes", [1, 1000, 10**9])
def test_inner_products_of_rows(most_bytes):
    lazy, dense = replaced(7)
    expected = (dense.conj() @ dense.mT).real
    torch.testing.assert_close(gram(lazy, most_bytes), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("kind", ["tied", "replaced"])
def test_principal_components_are_those_of_the_tensor_up_to_signs(kind):
    lazy, dense = both(kind, 9, 4)
    found, expected = project_lazy(lazy), project(dense.numpy())
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-10)
    np.testing.assert_allclose(np.abs(found.T @ expected), np.diag((expected**2).sum(0)), atol=1e-9)


def test_models_prepare_rows_some_at_a_time(monkeypatch):
    """A chunk of one row, of two, of all; held or not."""
    states = TASK.load().train.x
    seen = []

    class Watched(PennyLaneQNN):
        def prepare(self, x):
            seen.append(len(x))
            return super().prepare(x)

    model = Watched(depth=2).build(Features(16, True, torch.ones(16, dtype=torch.bool)))
    whole = prepare_features(model, states)
    assert seen == [197]
    for rows in (1, 2, 50):
        seen.clear()
        monkeypatch.setattr("qlab.models.rows.CHUNK_BYTES", rows * 16 * 16)  # as much as 4^2 expectation values
        torch.testing.assert_close(prepare_features(model, states), whole, atol=1e-14, rtol=0)
        assert max(seen) == rows
        assert sum(seen) == 197 + 1  # one more to see what comes out
    assert prepare_features(model, states[:0]).shape == (0, 16)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_prepared_rows_have_the_models_dtype(dtype, n):
    lazy, dense = tied(n)
    features = Features(D, True, torch.ones(D, dtype=torch.bool))
    model = MLP(hidden=(3,), dtype=dtype).build(features)
    torch.testing.assert_close(prepare_features(model, lazy), model.prepare(dense))
