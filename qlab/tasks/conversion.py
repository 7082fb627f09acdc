"""What a split takes for features and labels besides the right tensors: converted where it means one thing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qlab.errors import DataError
from qlab.tasks.features import FeatureRows, LazyFeatures

_EXACT = 2**53
"""Integers up to here are exact in double precision."""

_MOST_NAMED = 8

_KINDS = {"O": "objects", "U": "strings", "S": "bytes", "M": "dates", "m": "time spans", "V": "records", "T": "strings"}

_WAYS = {
    "scipy": "x.toarray()",
    "polars": "x.to_numpy()",
    "pyarrow": "x.to_pandas()",
    "xarray": "x.to_numpy()",
    "jax": "np.asarray(x)",
    "jaxlib": "np.asarray(x)",
    "tensorflow": "x.numpy()",
    "cupy": "x.get()",
    "datasets": 'x.with_format("numpy")',
    "sklearn": "Split(bunch.data, bunch.target)",
}
"""What makes an array of other libraries' objects, by the library."""


def features(x: Any) -> FeatureRows:
    """Features ``[N, d]``, float64 or complex128, dense, on the CPU and without a gradient; unchanged if they are.

    Raises:
        DataError: not numbers, or not of two axes.
    """
    if isinstance(x, LazyFeatures):
        return x
    found = _tensor(x, "x")
    if found.dtype not in (torch.float64, torch.complex128):
        found = _doubled(found, "x")
    if found.ndim == 1:
        raise DataError(
            f"A split takes x of shape [N, d], a row for each sample, got x {list(found.shape)}; of one feature "
            "x[:, None] makes a column, of one sample x[None] a row."
        )
    if found.ndim != 2:
        way = "; x.flatten(1) makes a row of each sample" if found.ndim > 2 else ""
        raise DataError(f"A split takes x of shape [N, d], a row for each sample, got x {list(found.shape)}{way}.")
    return found


def labels(y: Any) -> Tensor:
    """Labels ``[N]``, int64, 0 or 1; unchanged if they are.

    Raises:
        DataError: other values, or of another shape.
    """
    if isinstance(y, Tensor) and y.dtype == torch.int64 and y.ndim == 1 and y.device.type == "cpu":
        _zero_or_one(y)
        return y
    y = _decoded(y)
    found = _tensor(y, "y")
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1:
        way = "; y.argmax(1) makes labels of one-hot rows" if found.ndim == 2 else ""
        raise DataError(f"A split takes y of shape [N], a label for each sample, got y {list(found.shape)}{way}.")
    if found.dtype.is_complex:
        raise DataError("y: got complex numbers, accepts labels 0 and 1.")
    _zero_or_one(found)
    return found.to(torch.int64)


def further(about: Any, rows: int) -> Mapping[str, Tensor]:
    """Further values of each sample, ``[N]`` each; unchanged if they are tensors.

    Raises:
        DataError: not a value for each sample.
    """
    if not isinstance(about, Mapping):
        raise DataError(f'about: got {_what(about)}, accepts values by name: about={{"delta": delta}}.')
    if all(isinstance(part, Tensor) and _plain(part) and part.shape == (rows,) for part in about.values()):
        return about
    found = {}
    for name, values in about.items():
        part = _tensor(values, f"about[{name!r}]")
        if part.ndim == 2 and part.shape[1] == 1:
            part = part[:, 0]
        if part.shape != (rows,):
            raise DataError(
                f"about[{name!r}] takes one value for each of {rows} samples, got the shape {list(part.shape)}."
            )
        found[name] = part
    return found


def _zero_or_one(y: Tensor) -> None:
    if bool(((y == 0) | (y == 1)).all()):
        return
    if y.is_floating_point() and bool(y.isnan().any()):
        row = int(torch.nonzero(y.isnan())[0])
        raise DataError(
            f"Labels must be 0 or 1; y[{row}] is NaN, and {int(y.isnan().sum())} of {len(y)} in all: leave such "
            "samples out."
        )
    values = sorted(set(y.tolist()))
    raise DataError(f"Labels must be 0 or 1, got {_some(values)}; {_way_to_labels(values)}.")


def _way_to_labels(values: Sequence[Any]) -> str:
    known = [float(value) for value in values]
    if known in ([-1.0, 1.0], [-1.0]):
        return "y = (y + 1) // 2 makes class 1 of the label 1, y = (1 - y) // 2 of the label -1"
    if known in ([1.0, 2.0], [2.0]):
        return "y = y - 1 makes them 0 and 1"
    if len(known) == 2:
        return f"y = y == {values[1]} makes class 1 of the label {values[1]}"
    if len(known) <= _MOST_NAMED and all(value == int(value) for value in known):
        return "choose two classes: keep = (y == a) | (y == b); x, y = x[keep], y[keep] == b"
    return "y = y > threshold makes two classes of numbers"


def _some(values: Sequence[Any]) -> str:
    shown = ", ".join(repr(value) for value in values[:_MOST_NAMED])
    return f"[{shown}]" if len(values) <= _MOST_NAMED else f"[{shown}, ...] ({len(values)} values)"


def _decoded(y: Any) -> Any:
    """Labels that a library keeps in classes of its own, as numbers; strings are nobody's to decide."""
    values: Any = y
    if _library(y) == "pandas":
        values = _from_pandas(y, "y")
    if isinstance(values, (list, tuple)) and any(isinstance(value, str) for value in values):
        values = np.asarray(values, dtype=object)
    if isinstance(values, np.ndarray) and values.dtype.kind in "OUST":
        words = sorted({str(value) for value in values.reshape(-1)})
        if any(isinstance(value, (str, bytes, np.str_)) for value in values.reshape(-1)):
            one = words[-1]
            raise DataError(
                f"Labels must be 0 or 1, got {_some(words)}; y = torch.tensor([label == {one!r} for label in y]) makes "
                f"class 1 of {one!r}."
            )
    return values


def _tensor(values: Any, what: str) -> Tensor:
    """Numbers as a dense tensor on the CPU without a gradient."""
    if not isinstance(values, Tensor):
        return _from_array(_array(values, what), what)
    if _plain(values):
        return values
    if values.is_sparse or values.layout != torch.strided:
        raise DataError(f"{what}: got a sparse tensor, accepts a dense one: {_word(what)}.to_dense().")
    if values.is_quantized:
        raise DataError(f"{what}: got a quantized tensor, accepts numbers: {_word(what)}.dequantize().")
    if values.device.type == "meta":
        raise DataError(f"{what}: got a tensor on the device meta, which holds no values.")
    return values.detach().cpu()


def _plain(values: Tensor) -> bool:
    return (
        values.layout == torch.strided
        and values.device.type == "cpu"
        and not values.requires_grad
        and not values.is_quantized
    )


def _doubled(values: Tensor, what: str) -> Tensor:
    """In double precision; what it cannot hold is refused."""
    whole = not values.is_floating_point() and not values.is_complex()
    if whole and values.dtype in (torch.int64, torch.uint64) and values.numel():
        largest = max(abs(int(values.max())), abs(int(values.min())))
        if largest > _EXACT:
            raise DataError(
                f"{what}: got integers up to {largest}, which double precision cannot hold; scale them first: "
                f"{_word(what)}.double() / {largest}."
            )
    return values.to(torch.complex128 if values.is_complex() else torch.float64)


def _array(values: Any, what: str) -> NDArray[Any]:
    """An array of numbers from another library, or from lists of numbers."""
    library = _library(values)
    if library == "pandas":
        return _from_pandas(values, what)
    if isinstance(values, np.ma.MaskedArray):
        raise DataError(
            f"{what}: got a masked array, accepts numbers: {_word(what)}.filled(0.0), or leave masked rows out."
        )
    if isinstance(values, np.ndarray):
        return values
    if library in _WAYS:
        raise DataError(
            f"{what}: got {_what(values)}, accepts a tensor: {_WAYS[library].replace('x', _word(what), 1)} makes an "
            f"array, which is accepted too."
        )
    if isinstance(values, (list, tuple, range)):
        return _from_list(list(values), what)
    raise DataError(f"{what}: got {_what(values)}, accepts a tensor, or an array or lists of numbers.")


def _from_list(values: list[Any], what: str) -> NDArray[Any]:
    if values and all(isinstance(value, Tensor) for value in values):
        shapes = {tuple(value.shape) for value in values}
        if len(shapes) > 1:
            raise DataError(f"{what}: got a list of tensors of shapes {sorted(shapes)}, accepts rows of one length.")
        stacked: NDArray[Any] = torch.stack([value.detach().cpu() for value in values]).resolve_conj().numpy()
        return stacked
    widths = {len(value): row for row, value in enumerate(values) if isinstance(value, Sequence | np.ndarray)}
    if len(widths) > 1 and not any(isinstance(value, str) for value in values):
        (first, row), (second, other) = list(widths.items())[:2]
        raise DataError(
            f"{what}: got rows of different lengths, {first} in row {row} and {second} in row {other}, accepts rows "
            f"of equal length."
        )
    try:
        return np.asarray(values) if values else np.zeros(0)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{what}: got lists that do not form an array: {error}.") from None


def _from_pandas(values: Any, what: str) -> NDArray[Any]:
    """A data frame or a series, empty cells as NaN; a column that is not numbers is named."""
    columns = dict(values.items()) if hasattr(values, "columns") else {}
    for name, column in columns.items():
        if getattr(column.dtype, "kind", "O") not in "biufc" and what != "y":
            raise DataError(
                f"{what}: the column {name!r} holds {column.dtype}, accepts numbers: leave it out with "
                f"{_word(what)}.drop(columns=[{name!r}]), or convert it."
            )
    kinds = {getattr(column.dtype, "kind", "O") for column in columns.values()} or {
        getattr(values.dtype, "kind", "O") if hasattr(values, "dtype") else "O"
    }
    if kinds <= set("biuf") and (columns or what != "y"):
        numbers: NDArray[Any] = values.to_numpy(dtype=np.float64, na_value=np.nan)
        return numbers
    if kinds <= set("biuf"):
        return np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan))
    return np.asarray(values.to_numpy())


def _from_array(values: NDArray[Any], what: str) -> Tensor:
    """A tensor of its own: what is written into the array afterwards does not reach it."""
    if values.dtype.kind == "O":
        values = _numbers(values, what)
    if values.dtype.kind not in "biufc":
        raise DataError(
            f"{what}: got an array of {_KINDS.get(values.dtype.kind, str(values.dtype))} ({values.dtype}), accepts "
            f"numbers: {_word(what)}.astype(float)."
        )
    if values.dtype.kind == "c":
        return torch.from_numpy(np.array(values, dtype=np.complex128, order="C"))
    if values.dtype.kind == "f":
        return torch.from_numpy(np.array(values, dtype=np.float64, order="C"))
    if values.dtype.kind == "u" and values.dtype.itemsize == 8 and values.size and int(values.max()) > _EXACT:
        raise DataError(f"{what}: got integers up to {values.max()}, which double precision cannot hold.")
    return torch.from_numpy(np.array(values, dtype=np.bool_ if values.dtype.kind == "b" else np.int64, order="C"))


def _numbers(values: NDArray[Any], what: str) -> NDArray[Any]:
    """Numbers that are kept as objects; the first that is none is named."""
    kinds: list[Callable[[Any], Any]] = [float, complex]
    for convert in kinds:
        try:
            return np.array([convert(value) for value in values.reshape(-1)]).reshape(values.shape)
        except (TypeError, ValueError, OverflowError):
            continue
    for place, value in np.ndenumerate(values):
        try:
            complex(value)
        except (TypeError, ValueError, OverflowError):
            where = "".join(f"[{index}]" for index in place)
            raise DataError(f"{what}{where}: got {value!r} ({type(value).__name__}), accepts a number.") from None
    raise DataError(f"{what}: got an array of objects, accepts numbers: {_word(what)}.astype(float).")


def _word(what: str) -> str:
    return what if what in ("x", "y") else "values"


def _library(value: Any) -> str:
    root = type(value).__module__.partition(".")[0]
    return root if root in sys.modules else ""


def _what(value: Any) -> str:
    if value is None:
        return "None"
    name, module = type(value).__name__, type(value).__module__.partition(".")[0]
    if callable(value) and not isinstance(value, type) and hasattr(value, "__name__"):
        return f"the function {value.__name__}, not what it returns"
    return name if module == "builtins" else f"a {module} {name}"
