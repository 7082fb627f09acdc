"""The classical model: a multi-layer perceptron."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import annotated_types as at
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from qlab.errors import DataError
from qlab.fields import AbsentMeans, PositiveInt
from qlab.inputs import DEFAULT_SITES, InputMap, InputsName, Sites, input_map
from qlab.models.base import Model, Precision
from qlab.models.chance import Handed
from qlab.models.features import Features
from qlab.models.rows import take_rows

Activation = Literal["relu", "tanh", "gelu"]

DropoutRate = Annotated[float, at.Interval(ge=0.0, lt=1.0)]

_ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "gelu": torch.nn.functional.gelu}

_DRAWN = 2**23
"""So many initial weights are drawn at once."""


class MLP(Model):
    """Fully connected layers, by default with ReLU between them; complex features enter as real and imaginary parts.

    It can also be given other ``inputs``, such as what a circuit sees of a state: expectation values of Pauli strings
    on its light cone. These are computed once for a data set, however many models ask for them.

    Weights are Glorot-uniform, biases zero. Kernels have shape ``[in, out]``. Inputs that are zero in every sample are
    left out, since their weights never receive a gradient. They still count as fan-in, and their initial weights are
    still drawn, so the result is that of the full network.

    Args:
        hidden: number of units in each hidden layer.
        activation: activation between layers: "relu", "tanh" or "gelu". Only with "relu" are logits piecewise linear in
            each parameter, so that traces of Hessians are exact without second derivatives.
        dropout: the fraction of hidden units set to zero, drawn anew for each row of each batch during training
            (arXiv:1207.0580); there is none in evaluations, landscapes and unlearning steps.
        inputs: what it is given of each row: "amplitudes", the features as they are; "modulus", |x_j|; or, for states
            of qubits (2^L features) on ``sites``: "pauli", tr(rho P) of all Pauli strings but the identity, 4^k - 1 on
            k sites, as a circuit sees them; "density", the diagonal of the reduced density matrix and the real and
            imaginary parts of what is above it, 4^k numbers.
        sites: for "pauli" and "density": how many of the last sites (4: the light cone of the paper's chain of depth
            4); or a list of sites, 0 the first, -1 the last; or "ring-D", the light cone of a ring of D rows: 2 D - 1
            sites around the last; or, for "pauli" only, "pairs", all strings on one or two sites of the chain. At most
            7. A list of numbers is a list of sites, never a sweep; a list of lists, or one that contains a string, is
            swept.
        dtype: precision of parameters and training.
    """

    formula: ClassVar[str] = "z = W_3 relu(W_2 relu(W_1 x + b_1) + b_2) + b_3"
    source: ClassVar[str] = "arXiv:2508.02422, Methods and supplement IV.A"

    def __init__(
        self,
        *,
        hidden: Annotated[tuple[PositiveInt, ...], at.MinLen(1)] = (64, 16),
        dtype: Precision = "float32",
        activation: Annotated[Activation, AbsentMeans("relu")] = "relu",
        dropout: Annotated[DropoutRate, AbsentMeans(0.0)] = 0.0,
        inputs: Annotated[InputsName, AbsentMeans("amplitudes")] = "amplitudes",
        sites: Annotated[Sites, AbsentMeans(DEFAULT_SITES)] = DEFAULT_SITES,
        **fields: Any,
    ) -> None:
        super().__init__(
            hidden=hidden, dtype=dtype, activation=activation, dropout=dropout, inputs=inputs, sites=sites, **fields
        )
        self._inputs = input_map(type(self).__name__, inputs, sites)
        self.hidden = tuple(hidden)
        self._activation = _ACTIVATIONS[activation]
        self._rate = dropout

    @property
    def input_map(self) -> InputMap:
        """See the base class."""
        return self._inputs

    def setup(self, features: Features) -> None:
        """Creates kernels and biases for the active inputs."""
        self._inputs = self._inputs.on(features.block)
        self._inputs.check(features.dimension, features.is_complex)
        active = self._inputs.kept(features.active, features.is_complex)
        core = active if features.core is None else self._inputs.kept(features.core, features.is_complex)
        # Inputs that only corrupted rows use come last, so that the others' part of the kernel is one block.
        positions = torch.cat([torch.nonzero(core).flatten(), torch.nonzero(active & ~core).flatten()])
        self.active: Tensor
        self.positions: Tensor
        self.register_buffer("active", active, persistent=False)
        self.register_buffer("positions", positions, persistent=False)
        self.n_core = int(core.sum())
        # A subclass with a forward of its own gets plain inputs.
        self.marked = self.n_core < len(positions) and type(self).forward is MLP.forward
        widths = [len(positions), *self.hidden, 1]
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
            inputs = self.positions.cpu() if layer == 0 else torch.arange(fan_in)
            # Most of a long kernel may belong to inputs that are left out: it is not held as a whole.
            some = max(1, _DRAWN // kernel.shape[1])
            for start in range(0, fan_in, some):
                full = torch.rand(min(some, fan_in - start), kernel.shape[1], generator=generator, dtype=torch.float64)
                mine = torch.nonzero((inputs >= start) & (inputs < start + some)).flatten()
                kernel[mine] = ((2.0 * full[inputs[mine] - start] - 1.0) * limit).to(kernel)
            bias.zero_()

    def prepare(self, x: Tensor) -> Tensor:
        """Inputs that can be nonzero, shape ``[N, inputs]``, core inputs first; real before imaginary parts.

        If there are inputs outside the core, a last column marks the rows that use them.
        """
        if self._inputs.sited and self.features is not None and x.shape[1] != self.features.dimension:
            states = "amplitudes" if self.features.block is None else "numbers"
            raise DataError(
                f"MLP was built for states of {self.features.dimension} {states}, got {x.shape[1]}; build it for "
                "this data set."
            )
        parts = self._inputs(x)
        if parts.shape[1] != len(self.active):
            raise DataError(
                f"MLP was built for {len(self.active)} real inputs, got {parts.shape[1]}; build it for this data set."
            )
        active = self.active.to(x.device)
        if bool((parts[:, ~active] != 0).any()):
            raise DataError(
                "MLP left out inputs that were zero in every sample it was built for, but they are nonzero "
                "here; build it with these samples. A corruption that changes features says so in its class: "
                "changes_features = True."
            )
        inputs = parts[:, self.positions.to(x.device)].to(self.dtype)
        if not self.marked:
            return inputs
        return torch.cat([inputs, inputs[:, self.n_core :].any(1, keepdim=True).to(self.dtype)], dim=1)

    def forward(self, prepared: Tensor) -> Tensor:
        """Logits ``[N]`` of prepared features ``[N, inputs]``."""
        hidden = prepared[..., :-1] if self.marked else prepared
        for layer, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            hidden = hidden @ kernel + bias
            if layer < len(self.hidden):
                hidden = self.drop_out(self._activation(hidden), self._rate)
        return hidden[..., 0]

    def logits_of_members(
        self, parameters: Mapping[str, Tensor], prepared: Tensor, *, shared: bool, rows: Tensor | None = None
    ) -> Tensor:
        """Rows that are zero outside the core inputs, all but randomised ones, meet that part of the kernel only."""
        if not self.marked:
            return super().logits_of_members(parameters, prepared, shared=shared, rows=rows)
        members = len(parameters["kernels.0"])
        if rows is None:
            rows = torch.arange(prepared.shape[-2], device=prepared.device).expand(members, -1)
        marks = prepared[..., -1]
        full = (marks[rows] if shared else marks.gather(1, rows)) != 0
        # As many rows for every member: those with fewer get some to which the rest of the kernel adds zero.
        most = int(full.sum(1).max())
        places = torch.argsort(~full, dim=1, stable=True)[:, :most]
        core = take_rows(prepared[..., : self.n_core], rows, shared)
        rest = take_rows(prepared[..., self.n_core : -1], rows.gather(1, places), shared)
        hidden = _FirstLayer.apply(parameters["kernels.0"], core, rest, places) + parameters["biases.0"][:, None, :]
        with self.drawing_from(Handed(self.handed) if self.handed else self._source):
            for layer in range(1, len(self.kernels)):
                hidden = self.drop_out(self._activation(hidden), self._rate)
                hidden = hidden @ parameters[f"kernels.{layer}"] + parameters[f"biases.{layer}"][:, None, :]
        return hidden[..., 0]

    def held_elements(self, rows: int, *, gradient: bool) -> int:
        """Units before and after activation and dropout; with a part of the kernel for few rows, a copy of inputs."""
        copied = len(self.positions) if self.marked else 0
        dropped = 3 if gradient and self._rate else 0
        return rows * (copied + (2 + dropped) * sum(self.hidden))

    def parameter_layers(self) -> dict[str, Tensor]:
        """A layer is a kernel with its bias; those that a subclass has frozen are left out."""
        positions = self._positions()
        layers = {
            f"layer {layer + 1}": [name for part in ("kernels", "biases") if (name := f"{part}.{layer}") in positions]
            for layer in range(len(self.kernels))
        }
        return {
            layer: torch.cat([positions[name].reshape(-1) for name in names])
            for layer, names in layers.items()
            if names
        }

    def parameter_filters(self) -> list[Tensor]:
        """A filter is the weights into one unit, a column of a kernel."""
        positions = self._positions()
        return [column for name, place in positions.items() if name.startswith("kernels") for column in place.mT]

    @property
    def piecewise_linear(self) -> bool:
        """True with ReLU, unless a subclass computes something else."""
        return type(self).forward is MLP.forward and self._activation is torch.relu

    def logits_in_span(self, prepared: Tensor, basis: dict[str, Tensor], coefficients: Tensor) -> Tensor:
        """The first layer is linear in its parameters: the data meet each basis vector's kernel once."""
        if type(self).forward is not MLP.forward:
            return super().logits_in_span(prepared, basis, coefficients)
        inputs = prepared[..., :-1] if self.marked else prepared
        first = inputs @ basis["kernels.0"] + basis["biases.0"][:, None, :]
        hidden = torch.tensordot(coefficients, first, dims=1)
        for layer in range(1, len(self.kernels)):
            kernel = torch.tensordot(coefficients, basis[f"kernels.{layer}"], dims=1)
            bias = torch.tensordot(coefficients, basis[f"biases.{layer}"], dims=1)
            hidden = self._activation(hidden) @ kernel + bias[:, None, :]
        return hidden[..., 0]


class _FirstLayer(torch.autograd.Function):
    """x @ kernel for rows of which few use the last inputs; gradients of the kernel only, first derivatives only.

    A kernel of many inputs is several megabytes, and training is bound by moving them: its gradient is written once, in
    place, instead of in parts that are then joined.
    """

    @staticmethod
    def forward(ctx: Any, kernel: Tensor, core: Tensor, rest: Tensor, places: Tensor) -> Tensor:
        """``[members, n, units]`` of core inputs ``[members, n, c]`` and of the rest ``[members, k, r]`` at places."""
        ctx.save_for_backward(kernel, core, rest, places)
        first = core @ kernel[:, : core.shape[-1]]
        index = places[..., None].expand(-1, -1, first.shape[-1])
        return first.scatter_add_(1, index, rest @ kernel[:, core.shape[-1] :])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        """The kernel's gradient."""
        kernel, core, rest, places = ctx.saved_tensors
        found = torch.empty_like(kernel)
        torch.bmm(core.mT, gradient, out=found[:, : core.shape[-1]])
        chosen = gradient.gather(1, places[..., None].expand(-1, -1, gradient.shape[-1]))
        torch.bmm(rest.mT, chosen, out=found[:, core.shape[-1] :])
        return found, None, None, None
