"""Feature vectors too long to be held for all samples at once: made from less, some rows at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from qlab.errors import DataError

CHUNK_BYTES = 64 * 2**20
"""So many bytes of feature vectors are made, or read, at once."""

Selection = Tensor | slice
"""Some rows: a bool mask ``[N]``, positions ``[n]``, or a slice."""


class LazyFeatures(ABC):
    """Features of shape ``[N, d]`` that are not held; stands where a tensor of them would.

    It has a tensor's shape, dtype and selection of rows; values come in dense chunks from :meth:`chunks`. It cannot be
    changed: :class:`~qlab.tasks.replaced_features.ReplacedFeatures` are other rows in place of some.

    Override :meth:`take`, :meth:`make` and :meth:`parts`; leave the rest alone.

    Args:
        n: the number of rows N.
        dimension: the length d of a row.
        dtype: float64 or complex128.
    """

    def __init__(self, n: int, dimension: int, dtype: torch.dtype) -> None:
        self.shape = torch.Size((n, dimension))
        self.dtype = dtype
        self.ndim = 2

    @abstractmethod
    def take(self, positions: Tensor) -> LazyFeatures:
        """The rows at positions ``[n]``, int64, none of them negative."""

    @abstractmethod
    def make(self, start: int, stop: int) -> Tensor:
        """The rows from ``start`` to before ``stop``, dense: ``[stop - start, d]``."""

    @abstractmethod
    def parts(self) -> Iterator[Tensor]:
        """Tensors that decide the values: what a digest is made of."""

    def finite_parts(self) -> bool:
        """Whether it is known, without making rows, that all of their values are finite numbers."""
        return False

    def nonzero_columns(self) -> Tensor:
        """Which of the d features are nonzero in any row, ``[d]``, bool."""
        found = torch.zeros(self.shape[1], dtype=torch.bool)
        for rows in self.chunks():
            found |= (rows != 0).any(0)
        return found

    @property
    def nbytes(self) -> int:
        """What all rows would take if they were held."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def is_complex(self) -> bool:
        """Whether the features are complex."""
        return self.dtype.is_complex

    def chunks(self, most_bytes: int = CHUNK_BYTES) -> Iterator[Tensor]:
        """All rows in order as dense tensors of at most so many bytes, or one row; one empty tensor if there are none.

        Args:
            most_bytes: of a tensor.
        """
        n = max(1, most_bytes // (self.shape[1] * self.dtype.itemsize))
        for start in range(0, max(len(self), 1), n):
            yield self.make(start, min(start + n, len(self)))

    def dense(self) -> Tensor:
        """All rows as one tensor, see :attr:`nbytes`."""
        return self.make(0, len(self))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Selection) -> LazyFeatures:
        if not isinstance(rows, (Tensor, slice)) or (isinstance(rows, Tensor) and rows.ndim != 1):
            raise DataError(
                f"Features that are not held in memory are indexed by a slice, a bool mask [{len(self)}] or "
                f"positions [n], got "
                f"{_described(rows)}; x[i : i + 1].dense()[0] is one row."
            )
        if isinstance(rows, Tensor) and rows.dtype == torch.bool and len(rows) != len(self):
            raise DataError(f"A mask of {len(rows)} rows does not fit features of {len(self)}.")
        # A tensor of positions knows all that selecting rows of tensors allows.
        return self.take(torch.arange(len(self))[rows])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(
            f"{type(self).__name__} has no attribute {name!r}: these {self.shape[0]} x {self.shape[1]} features would "
            f"take {self.nbytes / 1e9:.1f} GB and are not held. x.chunks() makes some rows at a time, x[rows].dense() "
            "makes a tensor."
        )


FeatureRows = Tensor | LazyFeatures
"""Features ``[N, d]``, held or not."""


class TiedFeatures(LazyFeatures):
    """Rows with few independent values: x[n, basis[j]] = factors[n] weights[j] coefficients[n, source[j]], else 0.

    So are ground states that share the symmetries of their Hamiltonian. Takes the memory of the coefficients, and of
    ``basis``, ``source`` and ``weights`` once for all selections.

    Args:
        dimension: the length d of a row.
        basis: the columns that are not zero, ``[m]``, int64.
        source: which coefficient each is made of, ``[m]``, int64.
        weights: what it is multiplied by, ``[m]``, float64.
        coefficients: ``[N, k]``, float64.
        factors: one for each row, ``[N]``; their dtype is that of the features.
    """

    def __init__(
        self, dimension: int, basis: Tensor, source: Tensor, weights: Tensor, coefficients: Tensor, factors: Tensor
    ) -> None:
        super().__init__(len(coefficients), dimension, factors.dtype)
        if not len(basis) == len(source) == len(weights) or len(factors) != len(coefficients):
            raise DataError(
                f"Tied features take as many sources and weights as columns, and a factor for each row, got "
                f"{len(basis)} columns, {len(source)} sources, {len(weights)} weights, {len(coefficients)} rows and "
                f"{len(factors)} factors."
            )
        self.basis, self.source, self.weights = basis, source, weights
        self.coefficients, self.factors = coefficients, factors

    def take(self, positions: Tensor) -> TiedFeatures:
        """Rows that share everything but coefficients and factors."""
        coefficients, factors = self.coefficients[positions], self.factors[positions]
        return TiedFeatures(self.shape[1], self.basis, self.source, self.weights, coefficients, factors)

    def make(self, start: int, stop: int) -> Tensor:
        """Scatters the values to their columns."""
        rows = torch.zeros(stop - start, self.shape[1], dtype=self.dtype)
        for row, coefficients, factor in zip(
            rows, self.coefficients[start:stop], self.factors[start:stop], strict=True
        ):
            row[self.basis] = coefficients[self.source] * self.weights * factor
        return rows

    def real_and_imaginary(self) -> TiedFeatures:
        """The same as real rows of length 2d: real parts of all features, then imaginary parts."""
        parts = torch.view_as_real(self.factors.to(torch.complex128))
        return TiedFeatures(
            2 * self.shape[1],
            basis=torch.cat([self.basis, self.basis + self.shape[1]]),
            source=torch.cat([self.source, self.source + self.coefficients.shape[1]]),
            weights=self.weights.repeat(2),
            coefficients=torch.cat([parts[:, :1] * self.coefficients, parts[:, 1:] * self.coefficients], dim=1),
            factors=torch.ones(len(self), dtype=torch.float64),
        )

    def parts(self) -> Iterator[Tensor]:
        """Everything that is held."""
        yield from (self.basis, self.source, self.weights, self.coefficients, self.factors)

    def finite_parts(self) -> bool:
        """Values are products of what is held, none of them large."""
        return all(bool(part.isfinite().all()) for part in (self.weights, self.coefficients, self.factors))

    def nonzero_columns(self) -> Tensor:
        """Without making a row."""
        present = (self.coefficients[self.factors != 0] != 0).any(0)
        found = torch.zeros(self.shape[1], dtype=torch.bool)
        found[self.basis[present[self.source] & (self.weights != 0)]] = True
        return found


def inner_products(x: FeatureRows, most_bytes: int = 4 * CHUNK_BYTES) -> Tensor:
    """Inner products of rows, <x_n, x_m>, shape ``[N, N]``, of the dtype of the features.

    Of features that are not held makes every row N b / ``most_bytes`` times, b its bytes.
    """
    if not isinstance(x, LazyFeatures):
        return x.conj() @ x.mT
    found = torch.empty(len(x), len(x), dtype=x.dtype)
    n = max(1, most_bytes // (2 * x.shape[1] * x.dtype.itemsize))
    blocks = [(start, min(start + n, len(x))) for start in range(0, len(x), n)]
    for index, (start, stop) in enumerate(blocks):
        left = x.make(start, stop)
        for other, end in blocks[: index + 1]:
            right = left if other == start else x.make(other, end)
            products = left.conj() @ right.mT
            found[start:stop, other:end], found[other:end, start:stop] = products, products.mT.conj()
    return found


def gram(x: LazyFeatures, most_bytes: int = 4 * CHUNK_BYTES) -> Tensor:
    """The same of complex rows as vectors of real and imaginary parts: Re <x_n, x_m>, ``[N, N]``, float64."""
    return inner_products(x, most_bytes).real.contiguous()


def dense_rows(x: FeatureRows) -> Tensor:
    """Features as one tensor, whether they are held or not."""
    return x.dense() if isinstance(x, LazyFeatures) else x


def nonzero_columns(x: FeatureRows) -> Tensor:
    """Which features are nonzero in any row, ``[d]``, bool."""
    return x.nonzero_columns() if isinstance(x, LazyFeatures) else (x != 0).any(0)


def _described(value: object) -> str:
    return f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
