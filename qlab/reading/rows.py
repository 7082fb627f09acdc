"""Rows to predict on: CSV, Parquet and NPZ files, data frames and arrays, checked against what a model takes."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from qlab.errors import DataError, nearest
from qlab.models.features import Features
from qlab.tasks.checks import check_density
from qlab.tasks.table_file import TableFile

_MOST_NAMED = 6
_ROUNDED = 1e-3
"""What density matrices in a file may be off by: their numbers may be rounded."""

_ARRAY = "x"
"""The array of an NPZ file that holds rows of numbers, if it has several."""


def features_in(path: Path, features: Features) -> Tensor:
    """What a model takes, ``[N, d]``, from the rows of a file.

    Args:
        path: CSV, TSV, Parquet or NPZ. With the columns that the task was trained on, in any order, or an NPZ file with
            an array of them in their order; for a task without named columns its features, one to a column.
        features: of the trained model.

    Raises:
        DataError: the file cannot be read or does not fit; the message names line or row, and column.
    """
    source, made = str(path), features.preprocessing
    if not path.is_file():
        raise DataError(f"{path}: {'is a folder' if path.is_dir() else 'there is no such file'}.")
    if made is None or not made.columns:
        return features_of(features, read_file(path), source)
    try:
        table = TableFile.read(path, source)
        if path.suffix.lower() == ".npz" and not set(made.columns) <= set(table.frame.columns):
            return features_of(features, read_file(path), source)
        x = table.numbers(_columns(table.frame, made.columns, source), choosable=False)
    except DataError as error:
        raise DataError(str(error).removeprefix("Table: ").removeprefix("path: ")) from None
    return features_of(features, x, source)


def read_file(path: Path) -> pd.DataFrame | NDArray[Any]:
    """What is in a file: a frame of a table with named columns, an array of an NPZ file with one array of rows.

    Nothing is unpickled.

    Raises:
        DataError: it cannot be read, or is of another kind.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".csv":
            return pd.read_csv(path, header=None if _begins_with_numbers(path) else 0)
        if suffix in (".parquet", ".pq"):
            return pd.read_parquet(path)
        if suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return _of_arrays({name: arrays[name] for name in arrays.files}, path)
    except (OSError, ValueError, zipfile.BadZipFile, ImportError) as error:  # of pandas, PyArrow and NumPy
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    raise DataError(f'{path}: has the suffix "{path.suffix}", accepts .csv, .parquet or .npz.')


def _begins_with_numbers(path: Path) -> bool:
    """Whether the first line of a CSV file is a row of numbers, not of names; 0, 1, 2, ... are names."""
    with path.open(encoding="utf-8", newline="") as file:
        first = [cell.strip() for cell in next(csv.reader(file), [])]
    if not first or first == [str(place) for place in range(len(first))]:
        return False
    try:
        return bool([float(cell) for cell in first])
    except ValueError:
        return False


def _of_arrays(arrays: dict[str, NDArray[Any]], path: Path) -> pd.DataFrame | NDArray[Any]:
    """Rows of numbers, or columns by name."""
    tables = [name for name, array in arrays.items() if array.ndim == 2]
    if len(tables) == 1 or _ARRAY in tables:
        return arrays[_ARRAY if _ARRAY in tables else tables[0]]
    if arrays and not tables and all(array.ndim == 1 for array in arrays.values()):
        if len({len(array) for array in arrays.values()}) == 1:
            return pd.DataFrame(arrays)
        lengths = ", ".join(f"{name} {len(array)}" for name, array in arrays.items())
        raise DataError(f"{path}: its columns are of different lengths: {lengths}.")
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items()) or "none"
    raise DataError(f'{path}: has the arrays {shapes}, accepts one of shape [N, d], or called "{_ARRAY}", or columns.')


def features_of(features: Features, rows: Any, source: str) -> Tensor:
    """What a model takes, ``[N, d]``, from rows as its task's files have them.

    Args:
        features: of the trained model.
        rows: a data frame with the columns that the task was trained on (others are left alone), or an array or
            tensor of numbers ``[N, d]`` in their order.
        source: what the rows are, for messages.

    Raises:
        DataError: columns are missing, the width is wrong, or a value is missing, no number or not finite.
    """
    made = features.preprocessing
    if isinstance(rows, pd.DataFrame):
        if made is not None and made.columns:
            rows = rows[_columns(rows, made.columns, source)]
        table = _numbers(rows, source)
    else:
        table = _array(rows, source)
    width = features.dimension if made is None else len(made.columns)
    if table.ndim != 2 or table.shape[1] != width:
        raise DataError(
            f"{source}: has the shape {list(table.shape)}, accepts [N, {width}]: {width} numbers for each row, as the "
            f"model was trained on{_named(made.columns if made is not None else ())}."
        )
    if table.is_complex() and not features.is_complex:
        raise DataError(f"{source}: has complex numbers; the model was trained on real ones.")
    flawed = torch.nonzero(~torch.isfinite(table))
    if len(flawed):
        row, column = (int(part) for part in flawed[0])
        name = made.columns[column] if made is not None else str(column)
        raise DataError(
            f"{source}: row {row}, column {name}: {table[row, column].item()} is not a finite number, and "
            f"{len(flawed)} in all; fill them in or leave these rows out."
        )
    if features.block is not None:
        check_density(source, table, features.block, _ROUNDED)
    found = table if made is None else made(table)
    return found.to(torch.complex128) if features.is_complex else found


def _columns(rows: pd.DataFrame, wanted: Sequence[str], source: str) -> list[Any]:
    """The frame's columns of these names."""
    by_name = {str(name): name for name in rows.columns}
    missing = [name for name in wanted if name not in by_name]
    if missing:
        shown = ", ".join(missing[:_MOST_NAMED]) + (f" and {len(missing) - _MOST_NAMED} more" * (len(missing) > 6))
        has = ", ".join([*by_name][:_MOST_NAMED]) + (", ..." if len(by_name) > _MOST_NAMED else "")
        raise DataError(
            f"{source}: has no column {shown}.{nearest(missing[0], by_name)} It has: {has}. The model was trained on "
            f"{len(wanted)} columns{_named(wanted)}."
        )
    repeated = [str(name) for name in rows.columns[rows.columns.duplicated()] if str(name) in wanted]
    if repeated:
        raise DataError(f"{source}: has the column {repeated[0]} more than once.")
    return [by_name[name] for name in wanted]


def _numbers(rows: pd.DataFrame, source: str) -> Tensor:
    """A frame's values; texts and missing values are refused with their place."""
    for name in rows.columns:
        column = rows[name]
        if pd.api.types.is_numeric_dtype(column) and not column.isna().any():
            continue
        values = pd.to_numeric(column, errors="coerce")
        wrong = [place for place, value in enumerate(values) if pd.isna(value)]
        if wrong:
            value = column.iloc[wrong[0]]
            what = "the value is missing" if pd.isna(value) else f'got "{value}", accepts a number'
            raise DataError(
                f"{source}: row {wrong[0]}, column {name}: {what}, and {len(wrong)} in all; fill them in or leave "
                "these rows out. Rows are counted from 0, below the names."
            )
        raise DataError(f"{source}: column {name} holds {column.dtype}, accepts numbers.")
    try:
        array = rows.to_numpy(dtype=complex if any(map(pd.api.types.is_complex_dtype, rows.dtypes)) else float)
    except (TypeError, ValueError) as error:
        raise DataError(f"{source}: holds what are no numbers: {error}") from None
    return torch.from_numpy(np.array(array))


def _array(rows: Any, source: str) -> Tensor:
    found = rows if isinstance(rows, Tensor) else np.asarray(rows)
    if isinstance(found, np.ndarray):
        if found.dtype.kind not in "biufc":
            raise DataError(f"{source}: holds {found.dtype}, accepts numbers.")
        found = torch.from_numpy(np.array(found))
    return found.detach().cpu().to(torch.complex128 if found.is_complex() else torch.float64)


def _named(columns: Sequence[str]) -> str:
    if not columns:
        return ""
    return f" ({', '.join(columns[:_MOST_NAMED])}{', ...' if len(columns) > _MOST_NAMED else ''})"
