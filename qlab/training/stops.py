"""Members of an ensemble whose training may end before the last epoch, each by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from qlab.training.ensemble import Parameters


class Stops:
    """Which of some members have stopped, and the epoch and the parameters that each keeps.

    What makes a member stop is a subclass's business.

    Args:
        parameters: of the members.
    """

    names: ClassVar[tuple[str, ...]] = ("epoch", "stopped")
    """What is known of the members, ``[members]`` each: attributes."""

    def __init__(self, parameters: Parameters) -> None:
        first = next(iter(parameters.values()))
        self.epoch = torch.zeros(len(first), dtype=torch.int64, device=first.device)
        self.stopped = torch.zeros(len(first), dtype=torch.bool, device=first.device)
        self.best = {name: value.detach().clone() for name, value in parameters.items()}

    def state(self) -> dict[str, Tensor]:
        """Everything but the parameters kept, first axis: member."""
        return {name: getattr(self, name) for name in self.names}

    def go_on(self, known: Mapping[str, Tensor], best: Parameters) -> None:
        """Goes on from what :meth:`state` said, and the parameters kept; copies them."""
        device = self.stopped.device
        for name in self.names:
            setattr(self, name, known[name].to(device, copy=True))
        self.best = {name: best[name].to(device, copy=True) for name in self.best}

    @property
    def is_over(self) -> bool:
        """Whether all members have stopped."""
        return bool(self.stopped.all())

    @torch.no_grad()
    def keep(self, members: Tensor, parameters: Parameters) -> None:
        """Keeps the present parameters of some members, a mask ``[members]``."""
        for name, parameter in parameters.items():
            self.best[name][members] = parameter[members]

    @torch.no_grad()
    def put_back(self, parameters: Parameters) -> None:
        """Gives members that have stopped the parameters that they keep."""
        for name, parameter in parameters.items():
            parameter[self.stopped] = self.best[name][self.stopped]
