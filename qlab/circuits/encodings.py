"""How features become states of qubits, and what the engines need of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from qlab.circuits.blocks import ReducedStates
from qlab.circuits.pauli import pauli_expectations
from qlab.circuits.uploads import Rotation
from qlab.deferred import Deferred
from qlab.remembered import REMEMBERED

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")


class Amplitudes:
    """2^n features are the amplitudes of n qubits; they need not have unit norm.

    Args:
        n_wires: the size of the register.
    """

    product: ClassVar[bool] = False
    """Whether states are products, so that those of some wires are known without the others."""

    def __init__(self, n_wires: int) -> None:
        self.n_wires = n_wires

    def pauli(self, x: Tensor, wires: Sequence[int]) -> Tensor:
        """tr(rho P) of all Pauli strings P on k wires, ``[N, 4^k]``, of features ``[N, 2^n]``; not to be written to."""
        what = ("pauli", tuple(wires), self.n_wires)
        return REMEMBERED.of(x, what, lambda: pauli_expectations(x, wires, self.n_wires))

    def states(self, x: Tensor, wires: Sequence[int]) -> Tensor:
        """Amplitudes with the bits of k wires apart from those of the others, ``[N, 2^k, 2^(n - k)]``, complex128."""
        others = [wire for wire in range(self.n_wires) if wire not in wires]
        order = [0, *(1 + wire for wire in wires), *(1 + wire for wire in others)]
        amplitudes = x.to(torch.complex128).reshape(-1, *[2] * self.n_wires).permute(order)
        return amplitudes.reshape(len(x), 2 ** len(wires), 2 ** len(others))

    def for_device(self, x: Tensor) -> Tensor:
        """Real and imaginary parts, ``[N, 2^n, 2]``, float64."""
        return torch.view_as_real(x.to(torch.complex128)).contiguous()

    def example(self, generator: torch.Generator) -> Tensor:
        """Some features of unit norm, ``[1, 2^n]``."""
        state = torch.randn(1, 2**self.n_wires, generator=generator, dtype=torch.complex128)
        return state / torch.linalg.vector_norm(state)

    def normalised(self, prepared: Tensor) -> tuple[Tensor, Tensor]:
        """States of unit norm ``[N, 2^n]``, as devices take them, and squared norms ``[N]``."""
        states = torch.complex(prepared[..., 0], prepared[..., 1])
        norms = torch.linalg.vector_norm(states, dim=1)
        unit = torch.where(norms[:, None] > 0, states / norms.clamp_min(torch.finfo(norms.dtype).tiny)[:, None], 1.0)
        unit = torch.where(norms[:, None] > 0, unit, unit / unit.shape[1] ** 0.5)
        return unit.to(torch.complex128), norms.square()

    def queue(self, data: Any) -> None:
        """Queues the preparation of states, of unit norm."""
        qml.StatePrep(data, wires=range(self.n_wires), validate_norm=False)


class Angles:
    """Each feature turns a qubit of its own: R(scale x_i) |0> on wire i, with R one of RX and RY.

    Such states are products, and so are their Pauli expectation values: on k wires they take k numbers, whatever the
    size of the register.

    Args:
        n_wires: the size of the register, as many as features.
        rotation: "RX" or "RY".
        scale: angle of a feature of 1, in radians.
    """

    product: ClassVar[bool] = True

    def __init__(self, n_wires: int, rotation: Rotation, scale: float) -> None:
        self.n_wires = n_wires
        self.rotation: Rotation = rotation
        self.scale = scale

    def angles(self, x: Tensor) -> Tensor:
        """Angles ``[N, n]``, float64."""
        return self.scale * x.to(torch.float64)

    def pauli(self, x: Tensor, wires: Sequence[int]) -> Tensor:
        """tr(rho P) of all Pauli strings P on k wires, ``[N, 4^k]``; costs O(N 4^k).

        RY(a)|0> has <I, X, Y, Z> = (1, sin a, 0, cos a), RX(a)|0> has (1, 0, -sin a, cos a).
        """
        angles = self.angles(x)[:, list(wires)]
        sine, cosine, one, zero = (
            torch.sin(angles),
            torch.cos(angles),
            torch.ones_like(angles),
            torch.zeros_like(angles),
        )
        single = torch.stack([one, sine, zero, cosine] if self.rotation == "RY" else [one, zero, -sine, cosine], dim=-1)
        found = torch.ones(len(x), 1, dtype=torch.float64, device=x.device)
        for position in range(len(wires)):
            found = (found[:, :, None] * single[:, position, None, :]).reshape(len(x), -1)
        return found

    def states(self, x: Tensor, wires: Sequence[int]) -> Tensor:
        """Amplitudes of the product state of k wires, ``[N, 2^k, 1]``, complex128."""
        angles = self.angles(x)[:, list(wires)] / 2.0
        one = torch.sin(angles) + 0.0j if self.rotation == "RY" else -1.0j * torch.sin(angles)
        pairs = torch.stack([torch.cos(angles) + 0.0j, one], dim=-1)
        found = torch.ones(len(x), 1, dtype=torch.complex128, device=x.device)
        for position in range(len(wires)):
            found = (found[:, :, None] * pairs[:, position, None, :]).reshape(len(x), -1)
        return found[:, :, None]

    def for_device(self, x: Tensor) -> Tensor:
        """The angles."""
        return self.angles(x)

    def example(self, generator: torch.Generator) -> Tensor:
        """Some features, ``[1, n]``."""
        return torch.rand(1, self.n_wires, generator=generator, dtype=torch.float64) / self.scale

    def normalised(self, prepared: Tensor) -> tuple[Tensor, Tensor]:
        """The angles, and squared norms, which are 1."""
        return prepared.to(torch.float64), torch.ones(len(prepared), dtype=torch.float64, device=prepared.device)

    def queue(self, data: Any) -> None:
        """Queues the rotations by angles ``[..., n]``."""
        qml.AngleEmbedding(data, wires=range(self.n_wires), rotation=self.rotation[1])


StateEncoding = Amplitudes | Angles
"""Those of which the state of the whole register is known."""

Encoding = StateEncoding | ReducedStates
