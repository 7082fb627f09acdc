"""The shapes of a circuit's weights, and whether an ansatz takes them."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Any

from qlab.circuits.places import at, place_of_function
from qlab.errors import ConfigError, nearest

Shapes = dict[str, tuple[int, ...]]


def checked_shapes(given: object, who: str = "weight_shapes") -> Shapes:
    """Shapes by name, each a tuple of Python integers.

    Args:
        given: a mapping of names to shapes. A number n stands for (n,), any sequence of integers for a tuple.
        who: names the source in messages.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"{who}: got {_shown(given)}, accepts a dictionary of names and shapes: "
            'return {"angles": (self.depth, self.n_wires)}.'
        )
    found: Shapes = {}
    for name, shape in given.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise ConfigError(
                f"{who}: got the name {name!r}, accepts names that can be arguments of the ansatz: letters, digits, _."
            )
        found[name] = _shape(shape, f"{who}: {name}")
    return found


def _shape(given: Any, who: str) -> tuple[int, ...]:
    one = isinstance(given, (int, float, str)) or not hasattr(given, "__iter__") or getattr(given, "ndim", 1) == 0
    sizes = [given] if one else None
    try:
        if sizes is None:
            sizes = list(given)
        if any(isinstance(size, bool) for size in sizes):
            raise TypeError
        shape = tuple(operator.index(size) for size in sizes)
    except TypeError:
        whole = [size for size in sizes or () if isinstance(size, float) and size.is_integer()]
        hint = f" Write {int(whole[0])} or use // for whole numbers." if whole else ""
        raise ConfigError(
            f"{who}: got the shape {_shown(given)}, accepts integers: (2, 3), or 6 for (6,).{hint}"
        ) from None
    if any(size < 0 for size in shape):
        raise ConfigError(f"{who}: got the shape {shape}, accepts sizes of at least 0.")
    return shape


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else type(value).__name__


def check_ansatz(ansatz: Callable[..., Any], names: tuple[str, ...]) -> None:
    """Whether an ansatz can be called with weights of these names, as keyword arguments.

    Raises:
        ConfigError: it cannot, or is no plain function.
    """
    where = at(place_of_function(ansatz))
    if inspect.isgeneratorfunction(ansatz) or inspect.iscoroutinefunction(ansatz):
        raise ConfigError(
            f"{where}The ansatz has a yield or is async, so that calling it queues nothing; write a plain function."
        )
    try:
        parameters = inspect.signature(ansatz).parameters
    except (TypeError, ValueError):
        return
    kinds = inspect.Parameter
    takes_all = any(parameter.kind is kinds.VAR_KEYWORD for parameter in parameters.values())
    by_name = [name for name, p in parameters.items() if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)]
    listed = f"weight_shapes has {', '.join(names) or 'no weights'}"
    for name, parameter in parameters.items():
        if parameter.kind is kinds.POSITIONAL_ONLY and parameter.default is kinds.empty:
            raise ConfigError(
                f'{where}The ansatz takes "{name}" by position only, but weights are given by name; remove the "/".'
            )
        if name in by_name and name not in names and parameter.default is kinds.empty:
            raise ConfigError(
                f'{where}The ansatz takes "{name}", which is no weight: {listed}.{nearest(name, names)} Other numbers '
                "of the model are its fields: self.depth."
            )
    for name in names:
        if not takes_all and name not in by_name:
            raise ConfigError(
                f'{where}The ansatz does not take the weight "{name}": {listed}, it takes '
                f"{', '.join(by_name) or 'no arguments'}.{nearest(name, by_name)}"
            )
