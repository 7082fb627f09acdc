"""The classical model: a multi-layer perceptron."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, ClassVar

import annotated_types as at
import torch
from torch import Tensor, nn

from qlab.errors import DataError
from qlab.fields import PositiveInt
from qlab.models.base import Features, Model, Precision


class MLP(Model):
    """Fully connected layers with ReLU between them; complex features enter as real and imaginary parts.

    Weights are Glorot-uniform, biases zero. Kernels have shape ``[in, out]``. Inputs that are zero in every
    sample are left out: their weights never receive a gradient. They still count as fan-in, and their initial
    weights are still drawn, so the result is that of the full network.

    Args:
        hidden: units of each hidden layer.
        dtype: precision of parameters and training.
    """

    formula: ClassVar[str] = "z = W_3 relu(W_2 relu(W_1 x + b_1) + b_2) + b_3"
    source: ClassVar[str] = "arXiv:2508.02422, Methods and supplement IV.A"

    def __init__(
        self,
        *,
        hidden: Annotated[tuple[PositiveInt, ...], at.MinLen(1)] = (64, 16),
        dtype: Precision = "float32",
    ) -> None:
        super().__init__(hidden=hidden, dtype=dtype)
        self.hidden: tuple[int, ...] = self._config["hidden"]

    def setup(self, features: Features) -> None:
        """Creates kernels and biases for the active inputs."""
        active = torch.cat([features.active] * (2 if features.is_complex else 1))
        self.active: Tensor
        self.register_buffer("active", active, persistent=False)
        widths = [int(active.sum()), *self.hidden, 1]
        self.kernels = nn.ParameterList()
        self.biases = nn.ParameterList()
        for fan_in, fan_out in itertools.pairwise(widths):
            self.kernels.append(torch.empty(fan_in, fan_out, dtype=self.dtype))
            self.biases.append(torch.empty(fan_out, dtype=self.dtype))

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator) -> None:
        """Kernels uniform in +-sqrt(6 / (fan_in + fan_out)), biases zero."""
        for layer, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            fan_in = len(self.active) if layer == 0 else kernel.shape[0]
            limit = math.sqrt(6.0 / (fan_in + kernel.shape[1]))
            full = torch.rand(fan_in, kernel.shape[1], generator=generator, dtype=torch.float64)
            drawn = full[self.active.cpu()] if layer == 0 else full
            kernel.copy_((2.0 * drawn - 1.0) * limit)
            bias.zero_()

    def prepare(self, x: Tensor) -> Tensor:
        """Real and imaginary parts side by side, active inputs only, shape ``[N, inputs]``."""
        parts = torch.cat([x.real, x.imag], dim=1) if x.is_complex() else x
        if parts.shape[1] != len(self.active):
            raise DataError(
                f"MLP was built for {len(self.active)} real inputs, got {parts.shape[1]}; build it for this data set."
            )
        active = self.active.to(x.device)
        if bool((parts[:, ~active] != 0).any()):
            raise DataError(
                "MLP left out inputs that were zero in every sample it was built for, but they are nonzero "
                "here; build it with these samples."
            )
        return parts[:, active].to(self.dtype)

    def forward(self, prepared: Tensor) -> Tensor:
        """Logits ``[N]`` of prepared features ``[N, inputs]``."""
        hidden = prepared
        for layer, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            hidden = hidden @ kernel + bias
            if layer < len(self.hidden):
                hidden = torch.relu(hidden)
        return hidden[..., 0]

    def parameter_layers(self) -> dict[str, Tensor]:
        """A layer is a kernel with its bias."""
        positions = self._positions()
        return {
            f"layer {layer + 1}": torch.cat(
                [positions[f"{part}.{layer}"].reshape(-1) for part in ("kernels", "biases")]
            )
            for layer in range(len(self.kernels))
        }

    def parameter_filters(self) -> list[Tensor]:
        """A filter is the weights into one unit, a column of a kernel."""
        positions = self._positions()
        return [column for name, place in positions.items() if name.startswith("kernels") for column in place.mT]

    @property
    def piecewise_linear(self) -> bool:
        """True, unless a subclass computes something else."""
        return type(self).forward is MLP.forward

    def logits_in_span(self, prepared: Tensor, basis: dict[str, Tensor], coefficients: Tensor) -> Tensor:
        """The first layer is linear in its parameters: the data meet each basis vector's kernel once."""
        if type(self).forward is not MLP.forward:
            return super().logits_in_span(prepared, basis, coefficients)
        first = prepared @ basis["kernels.0"] + basis["biases.0"][:, None, :]
        hidden = torch.tensordot(coefficients, first, dims=1)
        for layer in range(1, len(self.kernels)):
            kernel = torch.tensordot(coefficients, basis[f"kernels.{layer}"], dims=1)
            bias = torch.tensordot(coefficients, basis[f"biases.{layer}"], dims=1)
            hidden = torch.relu(hidden) @ kernel + bias[:, None, :]
        return hidden[..., 0]
