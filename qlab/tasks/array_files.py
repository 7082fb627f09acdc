"""Tables in files that keep arrays: Parquet and NPZ."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qlab.deferred import Deferred
from qlab.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = Deferred("pandas")


def read_parquet(path: Path, name: str) -> pd.DataFrame:
    """The columns of a Parquet file.

    Args:
        path: of the file.
        name: of the file, for messages.

    Raises:
        DataError: it is none.
    """
    try:
        found = pd.read_parquet(path)
    except ImportError:
        raise DataError(f"Table: {name}: Parquet files need the package pyarrow: pip install pyarrow.") from None
    except OSError:
        raise
    except Exception as error:  # whatever a damaged file makes of it
        said = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"Table: {name}: it is not a Parquet file that can be read: {said}.") from None
    found.columns = pd.Index([str(column) for column in found.columns])
    return found.reset_index(drop=True)


def read_npz(path: Path, name: str) -> pd.DataFrame:
    """The columns of an NPZ file: arrays of one axis, and those of arrays of two, numbered; nothing is unpickled.

    Args:
        path: of the file.
        name: of the file, for messages.

    Raises:
        DataError: it is none, or its arrays form no table.
    """
    columns: dict[str, NDArray[Any]] = {}
    sources: dict[str, str] = {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for key in arrays.files:
                array = arrays[key]
                if array.ndim == 2:
                    found = {f"{key}{place}": array[:, place] for place in range(array.shape[1])}
                elif array.ndim == 1:
                    found = {key: array}
                else:
                    raise DataError(
                        f'Table: {name}: the array "{key}" has the shape {list(array.shape)}, accepts [N] or [N, d].'
                    )
                if np.iscomplexobj(array):
                    raise DataError(f'Table: {name}: the array "{key}" is complex, accepts real numbers.')
                if (twice := next((label for label in found if label in columns), None)) is not None:
                    raise DataError(
                        f'Table: {name}: two columns are both called "{twice}", of the arrays "{sources[twice]}" and '
                        f'"{key}" (the columns of an array "x" are x0, x1, ...); rename one of the arrays.'
                    )
                columns |= found
                sources |= dict.fromkeys(found, key)
    except (zipfile.BadZipFile, ValueError, EOFError, AttributeError) as error:
        said = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise DataError(f"Table: {name}: it is not an NPZ file of numbers and text: {said}.") from None
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"Table: {name}: its arrays have different lengths: {_lengths(lengths)}.")
    return pd.DataFrame({key: _native(values) for key, values in columns.items()})


def _lengths(lengths: dict[str, int]) -> str:
    return ", ".join(f'"{key}" {length}' for key, length in list(lengths.items())[:6])


def _native(values: NDArray[Any]) -> Any:
    """Bytes as text; big-endian numbers, which pandas does not take, in the machine's order."""
    if values.dtype.kind == "S":
        return [value.decode("utf-8", "replace") for value in values.tolist()]
    order: Callable[[Any], Any] = values.dtype.newbyteorder
    return values.astype(order("=")) if values.dtype.kind in "biuf" else values
