"""Checks of what a probe found: scalars are numbers, arrays are arrays of numbers, under names that can be logged."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from qlab import own_code
from qlab.errors import ConfigError
from qlab.landscape.result import ProbeResult
from qlab.tracking.names import COLUMNS, PLAIN_PARAMS

_NAME = re.compile(r"[A-Za-z0-9_]+")

_LABELS = ("model", "corruption", "ratio", "probe", "probe_type", "reason")

RESERVED = frozenset({name for name in (*COLUMNS, *PLAIN_PARAMS, *_LABELS) if _NAME.fullmatch(name)})
"""What tables of runs call other things: scalars have other names."""


def checked(probe: type, found: object) -> ProbeResult:
    """What a probe's ``compute`` returned, its scalars as floats and its arrays as NumPy arrays of float64.

    Args:
        probe: the probe's class.
        found: what it returned.

    Raises:
        ConfigError: not a result, a name that cannot be logged, or a value that is not a number.
    """
    where, place = f"{probe.__name__}.compute", own_code.defined(probe, "compute")
    try:
        return _checked(where, found)
    except ConfigError as error:
        raise ConfigError(f"{error} [{place}]" if place else str(error)) from error


def _checked(where: str, found: object) -> ProbeResult:
    if not isinstance(found, ProbeResult):
        raise ConfigError(
            f'{where}: got {type(found).__name__}, accepts a ProbeResult: return ProbeResult({{"name": number}}).'
        )
    for what, values in (("scalars", found.scalars), ("arrays", found.arrays), ("about", found.about)):
        if not isinstance(values, Mapping):
            raise ConfigError(f"{where}: got {what} of type {type(values).__name__}, accepts values by name, a dict.")
    for name in found.scalars:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name in RESERVED:
            raise ConfigError(
                f'{where}: got a scalar named "{name}", accepts names of letters, digits and _ '
                f"other than {', '.join(sorted(RESERVED))}."
            )
    return dataclasses.replace(
        found,
        scalars={name: _scalar(where, name, value) for name, value in found.scalars.items()},
        arrays={str(name): _array(where, name, value) for name, value in found.arrays.items()},
    )


def _scalar(where: str, name: str, value: Any) -> float:
    one = value.detach().cpu().resolve_conj().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if one.shape != () or one.dtype.kind not in "biuf":
        got = f"an array of shape {list(one.shape)}" if one.shape else f"{value!r} ({type(value).__name__})"
        way = "; arrays go to ProbeResult(scalars, arrays)" if one.shape else ""
        raise ConfigError(f"{where}: the scalar {name} is {got}, accepts a number: float(value){way}.")
    return float(one)


def _array(where: str, name: str, value: Any) -> NDArray[np.float64]:
    if isinstance(value, Tensor):
        value = value.detach().cpu().resolve_conj().numpy()
    if not isinstance(value, np.ndarray):
        try:
            value = np.asarray(value)
        except ValueError:
            value = np.asarray(str(value))
    if value.dtype.kind not in "biuf":
        way = ": its real and imaginary part as two" if value.dtype.kind == "c" else ": array.numpy()"
        raise ConfigError(f"{where}: the array {name} is of {value.dtype}, accepts an array of real numbers{way}.")
    found: NDArray[np.float64] = value.astype(np.float64, copy=False)
    return found
