"""Methods that compute new parameters at once."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from qlab.errors import ConfigError
from qlab.fields import PositiveInt
from qlab.unlearning.base import Unlearner

_UNUSED = ("learning_rate", "optimizer", "batch_size")


class ClosedForm(Unlearner):
    """A method with an update that needs no optimizer and no mini-batches.

    Args:
        steps: the number of times that the update is applied.
        learning_rate: has no meaning here and is refused.
        optimizer: has no meaning here and is refused.
        batch_size: has no meaning here and is refused.
    """

    fills_budget: ClassVar[bool] = False

    steps: PositiveInt = 1

    def __post_init__(self, *values: Any) -> None:
        super().__post_init__(*values)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in _UNUSED and value != field.default:
                raise ConfigError(
                    f"{type(self).__name__}: {field.name}: got {value!r}, which does nothing: new parameters are "
                    "computed from all rows at once, without an optimizer. Leave it out."
                )
