"""Steps along gradients, by PyTorch's own kernels.

The classes of ``torch.optim`` load PyTorch's compiler at their first use, which nothing here needs: 1.6 s of every
process, and a quarter of a millisecond of every step. These call what those classes call.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

OptimizerName = Literal["Adam", "AdamW", "SGD"]


class Optimizer(Protocol):
    """Changes parameters by their gradients."""

    def zero_grad(self) -> None:
        """Forgets the gradients."""

    def step(self) -> None:
        """Takes a step, of parameters that have a gradient."""


class SGD:
    """Stochastic gradient descent: g <- g + weight_decay theta, b <- momentum b + g, theta <- theta - learning_rate b.

    As ``torch.optim.SGD`` without dampening; without momentum b is g.

    Args:
        parameters: by name; changed in place.
        learning_rate: the step size.
        momentum: what is kept of earlier gradients from step to step.
        weight_decay: of an L2 penalty weight_decay / 2 |theta|^2.
        moments: what it goes on from: b of each parameter by name, in a list of one; copied. Zero by default.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        learning_rate: float,
        *,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        moments: Sequence[Mapping[str, Tensor]] = (),
    ) -> None:
        self.parameters, self.learning_rate = dict(parameters), learning_rate
        self.momentum, self.weight_decay = momentum, weight_decay
        self.moments = _moments(self.parameters, 1 if momentum else 0, moments)

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for parameter in self.parameters.values():
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Takes a step, of parameters that have a gradient."""
        if self.momentum or self.weight_decay:
            self._fused_step()
            return
        for parameter in self.parameters.values():
            if parameter.grad is not None:
                parameter.add_(parameter.grad, alpha=-self.learning_rate)

    def _fused_step(self) -> None:
        names, parameters, gradients = _with_gradient(self.parameters)
        sgd(
            parameters,
            gradients,
            [self.moments[0][name] if self.momentum else None for name in names],
            fused=True,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            lr=self.learning_rate,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )


class Adam(SGD):
    """Adam with beta_1 = 0.9, beta_2 = 0.999 and eps = 1e-8 (Kingma and Ba, arXiv:1412.6980), fused into one pass.

    Args:
        parameters: by name; changed in place.
        learning_rate: the step size.
        weight_decay: of an L2 penalty weight_decay / 2 |theta|^2; if ``decoupled`` the share of theta that a step of
            learning rate 1 takes away.
        moments: what it goes on from: first and second moments of each parameter by name; copied. Zero by default.
        steps: how many have been taken to get there.
        decoupled: AdamW (Loshchilov and Hutter, arXiv:1711.05101): weight decay is no part of the gradient, so that it
            is not divided by the root of the second moment.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        learning_rate: float,
        *,
        weight_decay: float = 0.0,
        moments: Sequence[Mapping[str, Tensor]] = (),
        steps: int = 0,
        decoupled: bool = False,
    ) -> None:
        super().__init__(parameters, learning_rate, weight_decay=weight_decay)
        self.moments = _moments(self.parameters, 2, moments)
        self.decoupled = decoupled
        # The kernel counts for each parameter by itself, and on its device.
        self._steps = {
            name: torch.tensor(float(steps), device=parameter.device) for name, parameter in self.parameters.items()
        }

    @torch.no_grad()
    def step(self) -> None:
        """Takes a step, of parameters that have a gradient."""
        names, parameters, gradients = _with_gradient(self.parameters)
        first, second = self.moments
        adam(
            parameters,
            gradients,
            [first[name] for name in names],
            [second[name] for name in names],
            [],
            [self._steps[name] for name in names],
            fused=True,
            decoupled_weight_decay=self.decoupled,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            eps=1e-8,
            maximize=False,
        )


@dataclasses.dataclass(frozen=True)
class Rule:
    """Which optimizer takes the steps, with its settings.

    Args:
        name: of the optimizer.
        momentum: of SGD.
        weight_decay: see the optimizers.
    """

    name: OptimizerName = "Adam"
    momentum: float = 0.0
    weight_decay: float = 0.0

    @property
    def moments(self) -> int:
        """How many tensors of the parameters' shape the optimizer keeps from step to step."""
        return 2 if self.name != "SGD" else int(self.momentum > 0.0)

    def make(
        self,
        parameters: Mapping[str, Tensor],
        learning_rate: float,
        moments: Sequence[Mapping[str, Tensor]] = (),
        steps: int = 0,
    ) -> SGD:
        """The optimizer of some parameters, at its beginning or going on from moments after some steps."""
        decay = self.weight_decay
        if self.name == "SGD":
            return SGD(parameters, learning_rate, momentum=self.momentum, weight_decay=decay, moments=moments)
        decoupled = self.name == "AdamW"
        return Adam(parameters, learning_rate, weight_decay=decay, moments=moments, steps=steps, decoupled=decoupled)


def _with_gradient(parameters: Mapping[str, Tensor]) -> tuple[list[str], list[Tensor], list[Tensor]]:
    """Names, values and gradients of the parameters that have a gradient."""
    found = [(name, value, value.grad) for name, value in parameters.items() if value.grad is not None]
    return [name for name, _, _ in found], [value for _, value, _ in found], [gradient for _, _, gradient in found]


def _moments(
    parameters: Mapping[str, Tensor], count: int, found: Sequence[Mapping[str, Tensor]]
) -> tuple[dict[str, Tensor], ...]:
    """So many moments of each parameter: copies of those found, else zero."""
    if not found:
        return tuple(
            {name: torch.zeros_like(parameter, requires_grad=False) for name, parameter in parameters.items()}
            for _ in range(count)
        )
    # States are kept on the CPU, wherever the parameters are.
    return tuple(
        {name: part[name].to(parameter.device, copy=True) for name, parameter in parameters.items()}
        for part in found[:count]
    )
