"""Z of every qubit at the end of a circuit: many readouts of one circuit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from qlab.circuits.angle_states import AngleStatevectorEngine
from qlab.circuits.blocks import ReducedStates
from qlab.circuits.encodings import Amplitudes, Encoding
from qlab.circuits.evolution import by_basis_state
from qlab.circuits.exact import LARGEST_STATE, too_large
from qlab.circuits.heisenberg import HeisenbergEngine
from qlab.circuits.lightcone import light_cone
from qlab.circuits.observables import named_observable
from qlab.circuits.recording import Recording
from qlab.circuits.statevector import StatevectorEngine
from qlab.circuits.uploads import is_upload
from qlab.errors import ConfigError


class EveryZ(nn.Module):
    """<Z_i> of all n qubits of a circuit.

    Where the Pauli expectation values on the light cones of all readouts are no more numbers than a state has, each
    readout is evolved through its cone; else every state is evolved once, and all are read off it.

    Args:
        recording: the circuit.
        encoding: of the data.

    Raises:
        ConfigError: both are out of reach.
    """

    def __init__(self, recording: Recording, encoding: Encoding) -> None:
        super().__init__()
        n = recording.n_wires
        cones = [light_cone(recording.gates, wire) for wire in range(n)]
        reduced = isinstance(encoding, ReducedStates)
        if isinstance(encoding, ReducedStates):
            encoding.check_cone(sorted({wire for cone in cones for wire in cone.wires}))
        uploads = any(is_upload(gate.operation) for gate in recording.gates)
        self.sizes = [4 ** len(cone.wires) for cone in cones]
        self.by_cones = reduced or (not uploads and sum(self.sizes) <= 2 * 2 ** min(n, LARGEST_STATE))
        if self.by_cones or isinstance(encoding, ReducedStates):
            self.engines = nn.ModuleList(HeisenbergEngine(recording, cone, encoding) for cone in cones)
            return
        if recording.noisy:
            raise ConfigError(
                f"The circuit has noise, and the readouts of its {n} qubits have light cones with more Pauli strings "
                "than a state has amplitudes: a noisy state is no state vector. Use a smaller depth."
            )
        whole = light_cone(recording.gates, named_observable("mean_Z", n))
        if isinstance(encoding, Amplitudes):
            self.engines = nn.ModuleList([StatevectorEngine(recording, whole, EachZ(range(n)))])
        elif n <= LARGEST_STATE:
            self.engines = nn.ModuleList([AngleStatevectorEngine(recording, whole, encoding, EachZ(range(n)))])
        else:
            raise ConfigError(too_large(n, n, uploads))

    def prepare(self, x: Tensor) -> Tensor:
        """What the readouts need of the data, ``[N, ...]``, float64."""
        parts = [engine.prepare(x) for engine in self.engines]  # type: ignore[operator]
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    def forward(self, flat: Tensor, prepared: Tensor) -> Tensor:
        """Expectation values, shape ``[N, n]``, of prepared data at weights ``[n_weights]``."""
        if not self.by_cones:
            values: Tensor = self.engines[0](flat, prepared)
            return values
        parts = prepared.split(self.sizes, dim=1)
        return torch.stack([engine(flat, part) for engine, part in zip(self.engines, parts, strict=True)], dim=1)


class EachZ(nn.Module):
    """<Z> of each qubit of states as in :mod:`qlab.circuits.evolution`.

    Args:
        wires: those of the states.
    """

    def __init__(self, wires: Sequence[int]) -> None:
        super().__init__()
        self.wires = tuple(wires)

    def forward(self, states: Tensor, axes: Sequence[int]) -> Tensor:
        """Expectation values ``[rows, wires]``; of states without unit norm times their squared norm."""
        rows = states.shape[-1]
        probabilities = by_basis_state(states, axes, self.wires).square().sum(0)
        halves = [probabilities.reshape(2**place, 2, -1, rows) for place in range(len(self.wires))]
        return torch.stack([(half[:, 0] - half[:, 1]).sum((0, 1)) for half in halves], dim=1)
