"""What a task did to the columns of a table to make features of them: new rows go the same way."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor

from qlab.errors import DataError

Label = str | int | float | bool


@dataclasses.dataclass(frozen=True, eq=False)
class Preprocessing:
    """How features come from numbers in named columns, fitted on a training split and kept with every model.

    Rows ``x`` become ``z = (x - shift) / scale``, and with components ``(z - mean) @ components.T``. A task returns it
    with its data, ``Dataset(train, validation, preprocessing=...)``; checkpoints hold it, so that a prediction needs
    neither the task nor its files.

    Args:
        columns: names of the columns, in order.
        shift: of each column, shape ``[d]``, float64.
        scale: of each column, shape ``[d]``, float64, not zero.
        mean: of the scaled columns, shape ``[d]``, subtracted before the projection; None without components.
        components: rows to project on, shape ``[k, d]``; None where the scaled columns are the features.
        classes: what the label is for class 0 and class 1.
        label: the column that holds the label; empty if it has no name.
        normalize: whether rows are divided by their length in the end.

    Raises:
        DataError: shapes that do not fit, or a scale of zero.
    """

    columns: tuple[str, ...]
    shift: Tensor
    scale: Tensor
    mean: Tensor | None = None
    components: Tensor | None = None
    classes: tuple[Label, Label] = (0, 1)
    label: str = ""
    normalize: bool = False

    def __post_init__(self) -> None:
        d = len(self.columns)
        wanted = {"shift": self.shift, "scale": self.scale} | ({} if self.mean is None else {"mean": self.mean})
        for name, part in wanted.items():
            if part.shape != (d,):
                raise DataError(f"Preprocessing: {name} has the shape {list(part.shape)}, accepts {[d]}.")
        if self.components is not None and (self.components.ndim != 2 or self.components.shape[1] != d):
            raise DataError(f"Preprocessing: components have the shape {list(self.components.shape)}, accept [k, {d}].")
        if (self.mean is None) != (self.components is None):
            raise DataError("Preprocessing: mean and components come together.")
        if bool((self.scale == 0).any()):
            raise DataError(f"Preprocessing: the scale of {self.columns[int((self.scale == 0).nonzero()[0])]} is zero.")

    @property
    def dimension(self) -> int:
        """The number of features."""
        return len(self.columns) if self.components is None else len(self.components)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What the features are called: the columns, or the components that they are projected on."""
        if self.components is None:
            return self.columns
        d, own = len(self.columns), self.components
        if own.shape[0] >= d and torch.equal(own[:d], torch.eye(d, dtype=own.dtype)):  # padded only
            return (*self.columns, *(f"zero {number}" for number in range(1, own.shape[0] - d + 1)))
        return tuple(f"component {number}" for number in range(1, own.shape[0] + 1))

    def __call__(self, x: Tensor) -> Tensor:
        """Features ``[N, k]`` of rows ``[N, d]``, both float64."""
        z = (x.to(torch.float64) - self.shift) / self.scale
        found = z if self.components is None or self.mean is None else (z - self.mean) @ self.components.T
        return torch.nn.functional.normalize(found, dim=1) if self.normalize else found

    def described(self) -> dict[str, Any]:
        """What of it is no tensor, as JSON."""
        normalize = {"normalize": True} if self.normalize else {}
        return {"columns": list(self.columns), "classes": list(self.classes), "label": self.label, **normalize}

    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by name."""
        found = {"shift": self.shift, "scale": self.scale, "mean": self.mean, "components": self.components}
        return {name: part for name, part in found.items() if part is not None}

    @classmethod
    def restored(cls, described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """One of what :meth:`described` and :meth:`tensors` gave."""
        negative, positive = described["classes"]
        return cls(
            tuple(map(str, described["columns"])),
            classes=(negative, positive),
            label=str(described["label"]),
            normalize=bool(described.get("normalize", False)),
            **tensors,
        )
