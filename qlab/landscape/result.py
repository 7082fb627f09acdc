"""What a probe found: numbers, arrays, and where they are from; stored as one safetensors file."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from qlab.errors import DataError

_FORMAT = 1


@dataclasses.dataclass(frozen=True, eq=False)
class ProbeResult:
    """What a probe found. In a notebook it draws itself.

    Args:
        scalars: numbers by name, as they are logged.
        arrays: arrays by name, float64.
        view: how to draw it: a key of :data:`qlab.views.landscape.VIEWS`, or "" for a table of the scalars.
        about: where it is from: model, samples, seed, and whatever the probe adds. JSON values.
        probe: the probe's class.
        config: the probe's fields.
    """

    scalars: Mapping[str, float]
    arrays: Mapping[str, NDArray[np.float64]] = dataclasses.field(default_factory=dict)
    view: str = ""
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    probe: str = ""
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def plot(self) -> Any:
        """A HoloViews object of the result."""
        from qlab.views.landscape import draw

        return draw(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        """What a notebook shows: the interactive plot after ``hv.extension("bokeh")``, else a picture of it."""
        import holoviews as hv

        from qlab.views.saving import save_png

        plot = self.plot()
        data, metadata = hv.Store.render(plot)
        if data:
            return data, metadata
        with tempfile.TemporaryDirectory() as folder:
            return {"image/png": save_png(plot, Path(folder) / "plot.png", dpi=100).read_bytes()}, {}

    def save(self, path: Path) -> Path:
        """Writes the result to a file that :meth:`load` reads."""
        described = {
            "format": _FORMAT,
            "scalars": {name: float(value) for name, value in self.scalars.items()},
            "view": self.view,
            "about": dict(self.about),
            "probe": self.probe,
            "config": dict(self.config),
            "arrays": list(self.arrays),
        }
        arrays = {name: np.array(value, dtype=np.float64, order="C") for name, value in self.arrays.items()}
        metadata = {"qlab.probe": json.dumps(described, default=_as_json)}
        safetensors.numpy.save_file(arrays or {"none": np.zeros(0)}, path, metadata)
        return path

    @classmethod
    def load(cls, path: Path) -> ProbeResult:
        """Reads a result.

        Raises:
            DataError: not a result that this qlab can read.
        """
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                described: Any = json.loads((file.metadata() or {})["qlab.probe"])
                if described.pop("format") != _FORMAT:
                    raise DataError(f"{path} holds a result of another format than this qlab reads ({_FORMAT}).")
                arrays = {name: file.get_tensor(name) for name in described.pop("arrays")}
            return cls(arrays=arrays, **described)
        except (OSError, safetensors.SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} is not a probe's result that this qlab can read: {error}") from error


def _as_json(value: Any) -> Any:
    """NumPy numbers and arrays, which a user's probe may say things with, as JSON values."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"about and config take JSON values, got {type(value).__name__}")
