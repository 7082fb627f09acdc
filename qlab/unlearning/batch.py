"""What the members of an ensemble are given in an unlearning step."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """What members are given in a step; first axis: member.

    Args:
        student: parameters by name.
        teacher: parameters by name.
        retain: features and labels.
        forget: features, polluted and clean labels.
        kept: what the method computed before the first step.
        said: the teachers' logits on these rows, by the name of the set, as far as they were asked for before.
        shared: whether the features of both sets have no axis of members, who have them in common.
    """

    student: Mapping[str, Tensor]
    teacher: Mapping[str, Tensor]
    retain: tuple[Tensor, Tensor]
    forget: tuple[Tensor, Tensor, Tensor]
    kept: Mapping[str, Tensor]
    said: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    shared: bool = False

    def parts(self) -> dict[str, Any]:
        """As what ``vmap`` maps over."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "shared"}

    def axes(self) -> dict[str, Any]:
        """Where the axis of members is in each of :meth:`parts`; None where there is none."""
        x = None if self.shared else 0
        return dict.fromkeys(self.parts(), 0) | {"retain": (x, 0), "forget": (x, 0, 0)}

    def some(self, rows: slice | int) -> Batch:
        """Some members, or one alone without their axis."""

        axes = self.axes()
        parts = {name: _taken(part, rows, axes[name]) for name, part in self.parts().items()}
        return Batch(**parts, shared=self.shared)

    def __len__(self) -> int:
        return len(self.retain[1])


def _taken(part: Any, rows: slice | int, axes: Any) -> Any:
    """Some members of nested tensors."""
    if isinstance(part, Mapping):
        return {name: _taken(value, rows, axes) for name, value in part.items()}
    if isinstance(part, tuple):
        return tuple(_taken(value, rows, axis) for value, axis in zip(part, axes, strict=True))
    return part if axes is None else part[rows]
