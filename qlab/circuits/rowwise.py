"""The observable evolved anew for each row, where data are uploaded again in the middle of a noisy circuit."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import vmap

from qlab.circuits.encodings import Angles
from qlab.circuits.heisenberg import HeisenbergEngine
from qlab.circuits.lightcone import LightCone, light_cone
from qlab.circuits.observables import PauliSum
from qlab.circuits.recording import Recording
from qlab.circuits.uploads import bound
from qlab.deferred import Deferred

qml = Deferred("pennylane")


class RowwiseEngine(nn.Module):
    """<O> = sum_P c_P(theta, x) tr(rho_x P): gates whose angles are features are gates like any other.

    The circuit is recorded once more with the features among its weights, and the observable evolved through its light
    cone for each row, side by side. Costs as much as :class:`HeisenbergEngine` times the number of rows.

    Args:
        recording: the circuit, with places for data.
        observable: what is measured.
        encoding: of the data.
    """

    batch_rows: ClassVar[bool] = True

    def __init__(self, recording: Recording, observable: PauliSum, encoding: Angles) -> None:
        super().__init__()
        self.encoding = encoding
        self.n_wires = recording.n_wires
        name = "features"
        while name in recording.shapes:
            name += "_"

        def with_data(**weights: Tensor) -> None:
            features = weights.pop(name)
            with qml.QueuingManager.stop_recording():
                gates = recording.operations(torch.cat([weight.reshape(-1) for weight in weights.values()]))
            bound(gates, features)

        shapes = {**recording.shapes, name: (recording.n_wires,)}
        recorded = Recording(with_data, shapes, recording.n_wires)
        self.cone: LightCone = light_cone(recorded.gates, observable)
        self.evolved = HeisenbergEngine(recorded, self.cone, encoding)

    @property
    def steps(self) -> int:
        """The blocks of gates that the observable passes through."""
        return self.evolved.steps

    @property
    def coefficients(self) -> int:
        """How many numbers the observable of each row has."""
        return self.evolved.coefficients

    def prepare(self, x: Tensor) -> Tensor:
        """Pauli expectation values before the first upload in the circuit, then all angles, ``[N, 4^k + n]``."""
        return torch.cat([self.evolved.prepare(x), self.encoding.angles(x)], dim=1)

    def forward(self, flat: Tensor, prepared: Tensor) -> Tensor:
        """Expectation values, shape ``[N]``, of prepared data at weights ``[n_weights]``."""

        def of_row(row: Tensor) -> Tensor:
            pauli, angles = row.split([self.coefficients, self.n_wires])
            return pauli @ self.evolved.observable(torch.cat([flat, angles]))

        values: Tensor = vmap(of_row)(prepared)
        return values

    def norms(self, prepared: Tensor) -> Tensor:
        """Squared norms of the states of prepared data, ``[N]``: ones."""
        return torch.ones_like(prepared[:, 0])
