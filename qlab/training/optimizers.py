"""Steps along gradients, by PyTorch's own kernels.

The classes of ``torch.optim`` load PyTorch's compiler at their first use, which nothing here needs: 1.6 s of every
process, and a quarter of a millisecond of every step. These call what those classes call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.optim.adam import adam


class Optimizer(Protocol):
    """Changes parameters by their gradients."""

    def zero_grad(self) -> None:
        """Forgets the gradients."""

    def step(self) -> None:
        """Takes a step, of parameters that have a gradient."""


class SGD:
    """theta <- theta - learning_rate * gradient.

    Args:
        parameters: by name; changed in place.
        learning_rate: the step size.
    """

    def __init__(self, parameters: Mapping[str, Tensor], learning_rate: float) -> None:
        self.parameters, self.learning_rate = dict(parameters), learning_rate

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for parameter in self.parameters.values():
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Takes a step, of parameters that have a gradient."""
        for parameter in self.parameters.values():
            if parameter.grad is not None:
                parameter.add_(parameter.grad, alpha=-self.learning_rate)


class Adam(SGD):
    """Adam with beta_1 = 0.9, beta_2 = 0.999 and eps = 1e-8 (Kingma and Ba, arXiv:1412.6980), fused into one pass.

    Args:
        parameters: by name; changed in place.
        learning_rate: the step size.
        first_moments: of each parameter, to go on from; copied. Zero by default.
        second_moments: likewise.
        steps: how many have been taken to get there.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        learning_rate: float,
        first_moments: Mapping[str, Tensor] | None = None,
        second_moments: Mapping[str, Tensor] | None = None,
        steps: int = 0,
    ) -> None:
        super().__init__(parameters, learning_rate)
        self.first_moments = _moments(self.parameters, first_moments)
        self.second_moments = _moments(self.parameters, second_moments)
        # The kernel counts for each parameter by itself, and on its device.
        self._steps = {
            name: torch.tensor(float(steps), device=parameter.device) for name, parameter in self.parameters.items()
        }

    @torch.no_grad()
    def step(self) -> None:
        """Takes a step, of parameters that have a gradient."""
        names = [name for name, parameter in self.parameters.items() if parameter.grad is not None]
        adam(
            [self.parameters[name] for name in names],
            [gradient for name in names if (gradient := self.parameters[name].grad) is not None],
            [self.first_moments[name] for name in names],
            [self.second_moments[name] for name in names],
            [],
            [self._steps[name] for name in names],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.learning_rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )


def _moments(parameters: Mapping[str, Tensor], found: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    if found is None:
        return {name: torch.zeros_like(parameter, requires_grad=False) for name, parameter in parameters.items()}
    # States are kept on the CPU, wherever the parameters are.
    return {name: found[name].to(parameter.device, copy=True) for name, parameter in parameters.items()}
