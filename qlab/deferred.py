"""Modules that are loaded at their first use."""

from __future__ import annotations

import importlib
from typing import Any


class Deferred:
    """Stands for a module in code that may never need it; its first attribute loads it.

    Type checkers are to see the module itself::

        if TYPE_CHECKING:
            import pennylane as qml
        else:
            qml = Deferred("pennylane")

    Args:
        name: the module's full name.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # copying and inspecting code asks whether these are there
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)

    def __repr__(self) -> str:
        return f"Deferred({self._name!r})"
