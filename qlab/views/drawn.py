"""What views draw: anything that holds numbers and arrays by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Drawn(Protocol):
    """A result to draw, such as a probe's."""

    @property
    def scalars(self) -> Mapping[str, float]:
        """Numbers by name."""

    @property
    def arrays(self) -> Mapping[str, NDArray[np.float64]]:
        """Arrays by name."""

    @property
    def view(self) -> str:
        """How to draw it: a key of :data:`qlab.views.landscape.VIEWS`."""

    @property
    def about(self) -> Mapping[str, Any]:
        """What it is of."""

    @property
    def probe(self) -> str:
        """The class that found it."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings it was found with."""
