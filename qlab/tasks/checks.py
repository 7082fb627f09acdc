"""Checks of a data set where it enters: whatever would make numbers that are not what they seem is refused there."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from qlab.circuits.blocks import Block
from qlab.errors import DataError
from qlab.tasks.features import FeatureRows, LazyFeatures

_NAMED = 3

ROUNDING = 1e-6
"""What density matrices may be off by: they may come from single precision."""

_ROWS = 256
"""So many density matrices are looked at together."""


def check_data(name: str, x: FeatureRows, y: Tensor) -> None:
    """Checks one split of a loaded data set.

    Features that are the same in all samples are no fault of a column; a split is refused if all of its samples are
    the same.

    Args:
        name: of the split.
        x: features ``[N, d]``.
        y: labels ``[N]``.

    Raises:
        DataError: no samples or features, a value that is not a number, all samples the same, or a class is missing.
    """
    if not len(x):
        raise DataError(f"The {name} split is empty: it needs samples of both classes.")
    if not x.shape[1]:
        raise DataError(f"The {name} split has no features: x has the shape {list(x.shape)}.")
    check_finite(x, f"The {name} split: x")
    present = sorted(set(y.tolist()))
    if len(present) == 1:
        raise DataError(
            f"The {name} split has one class: all {len(y)} labels are {present[0]}. It needs samples of both; shuffle "
            "before splitting if they are sorted by class."
        )
    if len(x) > 1 and _all_rows_equal(x):
        raise DataError(
            f"The {name} split: all {len(x)} samples have the same features, so that nothing tells the classes apart."
        )


def check_density(what: str, x: FeatureRows, block: Block, rounding: float = ROUNDING) -> None:
    """Checks that rows are density matrices: Hermitian, of trace one, without negative eigenvalues.

    Args:
        what: names them in the message.
        x: features ``[N, 4^k]``.
        block: the sites.
        rounding: what they may be off by.

    Raises:
        DataError: some are none.
    """
    if not isinstance(x, Tensor) or x.is_complex() or x.shape[1] != block.dimension:
        kind = type(x).__name__ if not isinstance(x, Tensor) else f"{x.dtype} {list(x.shape)}"
        raise DataError(
            f"{what}: got {kind}, accepts float64 [N, {block.dimension}]: expectation values of the "
            f"4^{len(block.sites)} Pauli strings on {block.words}."
        )
    check_finite(x, what)
    off = torch.nonzero((x[:, 0] - 1.0).abs() > rounding).flatten()
    if len(off):
        row = int(off[0])
        raise DataError(
            f"{what}: row {row} has the trace {x[row, 0]:g}, accepts 1: the first column is the identity's expectation "
            "value."
        )
    lowest = torch.cat([torch.linalg.eigvalsh(block.density(part, block.sites))[:, 0] for part in x.split(_ROWS)])
    off = torch.nonzero(lowest < -rounding).flatten()
    if len(off):
        row = int(off[0])
        raise DataError(
            f"{what}: row {row} is no density matrix: its lowest eigenvalue is {lowest[row]:.3g}. Columns are "
            "tr(rho P) with P in the order of base-4 digits I, X, Y, Z, the first site first."
        )


def check_alike(train: FeatureRows, other: FeatureRows, name: str) -> None:
    """Checks that a split has features of the training split's kind.

    Args:
        train: features of the training split.
        other: features of the other split.
        name: of the other split.

    Raises:
        DataError: other widths or types.
    """
    if train.shape[1] != other.shape[1]:
        raise DataError(
            f"The train split has {train.shape[1]} features, the {name} split {other.shape[1]}: both need the same."
        )
    if train.dtype != other.dtype:
        raise DataError(
            f"The train split has features of {train.dtype}, the {name} split of {other.dtype}: both need "
            "the same; x.to(torch.complex128) makes real ones complex."
        )


def check_finite(x: FeatureRows, what: str) -> None:
    """Checks that every value is a number; features that are not held are made some rows at a time.

    Args:
        x: features ``[N, d]``, or values ``[N]``.
        what: names them in the message.

    Raises:
        DataError: some are NaN or infinite, or rows are not of the shape and type that they are said to be.
    """
    if isinstance(x, Tensor) and not (x.is_floating_point() or x.is_complex()):
        return
    if isinstance(x, LazyFeatures) and x.finite_parts():
        return
    bad, first, place = 0, "", ""
    start = 0
    for rows in _chunks(x):
        wrong = ~torch.isfinite(rows)
        if bool(wrong.any()):
            positions = torch.nonzero(wrong)[:_NAMED].tolist()
            if not bad:
                value = rows[tuple(positions[0])]
                first = "NaN" if bool(torch.isnan(value)) else "infinite"
                place = ", ".join(_place(start, position) for position in positions)
            bad += int(wrong.sum())
        start += len(rows)
    if bad:
        count = "1 value is" if bad == 1 else f"{bad} values are"
        others = f" and {bad - _NAMED} more" if bad > _NAMED else ""
        raise DataError(
            f"{what}: {count} not a finite number ({first} in {place}{others}). Leave such samples out, as in "
            "keep = x.isfinite().all(1), or fill them, as in x.nan_to_num()."
        )


def _place(start: int, position: list[int]) -> str:
    row, *column = position
    return f"row {start + row}" + "".join(f", column {part}" for part in column)


def _chunks(x: FeatureRows) -> Iterator[Tensor]:
    if isinstance(x, Tensor):
        yield x
        return
    start = 0
    for rows in x.chunks():
        if not isinstance(rows, Tensor) or rows.ndim != 2 or rows.shape[1] != x.shape[1] or rows.dtype != x.dtype:
            found = f"{rows.dtype} {list(rows.shape)}" if isinstance(rows, Tensor) else type(rows).__name__
            raise DataError(
                f"{type(x).__name__}.make: got {found}, accepts rows of {x.dtype} and length {x.shape[1]}, as it says."
            )
        yield rows
        start += len(rows)
    if start != len(x):
        raise DataError(f"{type(x).__name__}.make: got {start} rows, accepts the {len(x)} asked for.")


def _all_rows_equal(x: FeatureRows) -> bool:
    first: Tensor | None = None
    for rows in _chunks(x):
        first = rows[:1] if first is None else first
        if not bool((rows == first).all()):
            return False
    return True
