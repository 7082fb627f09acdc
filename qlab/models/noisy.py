"""Fields of quantum models for noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from torch import Tensor

from qlab.circuits.attenuation import EvolvedNorm, norm_of
from qlab.circuits.engines import Engine
from qlab.circuits.heisenberg import HeisenbergEngine
from qlab.circuits.observables import PauliSum
from qlab.circuits.recording import Recording
from qlab.errors import ConfigError
from qlab.fields import AbsentMeans
from qlab.models.base import Model
from qlab.noise import Channel, ReadoutError
from qlab.noise.placement import Placement

_CAPABLE = ("lightcone", "default.mixed")
"""Devices that can have noise."""


class NoisyModel(Model):
    """A model whose circuit may have noise.

    Args:
        noise: channels, each a table with its name, its strengths, and where it acts: ``noise = [{ channel =
            "BitFlip", p = [0.0, 0.01], after = "all" }]``; see `qlab list channels`. A list of strengths is swept.
            Needs device "lightcone" (exact: the adjoint channels act on the observable, on at most 10 qubits of its
            light cone) or "default.mixed" (PennyLane's density matrices).
    """

    engine: Engine
    _names: tuple[str, ...]

    def __init__(self, *, noise: Annotated[tuple[Channel, ...], AbsentMeans(())] = (), **fields: Any) -> None:
        super().__init__(noise=noise, **fields)
        self._norm = 1.0
        self._channels = tuple(noise)

    def noise_of(self, n_wires: int, device: str) -> Placement | None:
        """The channels in their places, for a register; None without noise.

        Raises:
            ConfigError: a channel does not fit the register, or the device cannot have noise.
        """
        if not self._channels:
            return None
        owner = type(self).__name__
        if device not in _CAPABLE and not all(isinstance(channel, ReadoutError) for channel in self._channels):
            raise ConfigError(
                f'{owner}: noise: device = "{device}" keeps pure states and has no noise; use device = "lightcone", or '
                '"default.mixed" for PennyLane\'s density matrices.'
            )
        return Placement(owner, self._channels, n_wires)

    def measured_with_errors(self, placement: Placement | None, observable: PauliSum) -> PauliSum:
        """The observable with the errors of its readout."""
        self._norm = norm_of(observable)
        return observable if placement is None else placement.measured(observable)

    def parameter_metrics(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """``noise_attenuation``: by how much noise shrinks the observable, at these weights.

        The observable, evolved to the beginning of the circuit, has some Pauli coefficients; that of the circuit
        without noise has the same norm as what is measured, whatever the weights. Their ratio, the identity left out,
        is 1 without noise: were the noise nothing but smaller logits, the noiseless circuit with ``scale`` times this
        factor would do the same. Not of device "default.mixed".
        """
        engine = self.engine
        if not isinstance(engine, HeisenbergEngine) or not self._channels:
            return {}
        evolved, members = EvolvedNorm(engine), len(next(iter(parameters.values())))
        flat = torch.cat([parameters[name].detach().flatten(1) for name in self._names], dim=1)
        found = [evolved.at(flat[member]) / self._norm for member in range(members)]
        return {"noise_attenuation": torch.tensor(found, dtype=torch.float64)}

    def check_noise(self, placement: Placement | None, recording: Recording) -> None:
        """Whether the circuit has the gates that the channels are put after.

        Raises:
            ConfigError: it does not.
        """
        if placement is not None:
            placement.check([gate.operation for gate in recording.gates])
