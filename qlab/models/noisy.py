"""Fields of quantum models for noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from qlab.circuits.attenuation import EvolvedNorm, norm_of
from qlab.circuits.engines import Engine
from qlab.circuits.heisenberg import HeisenbergEngine
from qlab.circuits.lightcone import LightCone
from qlab.circuits.observables import PauliSum
from qlab.circuits.recording import Recording
from qlab.circuits.sampling import evaluated_at_shifts, sampled, shifted_weights
from qlab.errors import ConfigError
from qlab.fields import AbsentMeans, PositiveInt
from qlab.models.base import Model
from qlab.noise import Channel, ReadoutError
from qlab.noise.placement import Placement

Gradient = Literal["exact", "parameter-shift"]

_CAPABLE = ("lightcone", "default.mixed")
"""Devices that can have noise."""


class NoisyModel(Model):
    """A model whose circuit may have noise.

    Args:
        noise: channels, each a table with its name, its strengths, and where it acts: ``noise = [{ channel =
            "BitFlip", p = [0.0, 0.01], after = "all" }]``; see `qlab list channels`. A list of strengths is swept.
            Needs device "lightcone" (exact: the adjoint channels act on the observable, on at most 10 qubits of its
            light cone) or "default.mixed" (PennyLane's density matrices). In Python they are objects:
            ``noise=(BitFlip(p=0.01),)``, after ``from qlab.noise import BitFlip``.
        shots: in training each expectation value is the mean of so many outcomes, drawn by row and step from the
            trial's seed with their exact (binomial) distribution; "exact" draws nothing. Evaluation, landscapes and
            unlearning are exact. Needs an observable that is one Pauli word, as "Z_last".
        gradient: with shots: "exact" has the gradient of the exact expectation value at the sampled logit;
            "parameter-shift" also samples the gradient, as a device does: each weight in the light cone is moved by
            +pi/2 and -pi/2, with shots of its own for each row. On the light cone only, and only where every weight is
            the angle of one rotation; costs 2 P + 1 evaluations for P such weights.
    """

    engine: Engine
    _names: tuple[str, ...]
    _measured: PauliSum
    _largest: float

    def __init__(
        self,
        *,
        noise: Annotated[tuple[Channel, ...], AbsentMeans(())] = (),
        shots: Annotated[PositiveInt | Literal["exact"], AbsentMeans("exact")] = "exact",
        gradient: Annotated[Gradient, AbsentMeans("exact")] = "exact",
        **fields: Any,
    ) -> None:
        super().__init__(noise=noise, shots=shots, gradient=gradient, **fields)
        self._shots = 0 if shots == "exact" else int(shots)
        self._gradient: Gradient = gradient
        if gradient != "exact" and not self._shots:
            raise ConfigError(
                f'{type(self).__name__}: gradient = "{gradient}" belongs to shots, and there are none; set shots, '
                "or leave gradient out."
            )
        self._channels = tuple(noise)

    @property
    def is_noisy(self) -> bool:
        """Whether there are channels."""
        return bool(self._channels)

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

    def check_shots(self, recording: Recording, cone: LightCone) -> None:
        """Whether expectation values of the circuit can be sampled.

        Raises:
            ConfigError: they, or their gradient, cannot.
        """
        self.may_draw = bool(self._shots)  # else there is no chance in circuits
        if not self._shots:
            return
        owner, words = type(self).__name__, len(self._measured.terms)
        if words > 1:
            raise ConfigError(
                f"{owner}: shots: got {self._shots} with an observable of {words} Pauli words, accepts one word: their "
                'outcomes come in one measurement and are correlated. Use observable = "Z_last" or "ZZ_last", or leave '
                "shots out."
            )
        self._largest = abs(self._measured.terms[0][0])
        if self._gradient == "parameter-shift":
            if not isinstance(self.engine, HeisenbergEngine):
                raise ConfigError(
                    f'{owner}: gradient = "parameter-shift" needs device = "lightcone" and an observable that is '
                    'evolved on its light cone; use gradient = "exact".'
                )
            self.register_buffer("_shifted", shifted_weights(recording, cone), persistent=False)

    def expectation(self, flat: Tensor, prepared: Tensor) -> Tensor:
        """<O> of rows of prepared features, ``[N]``; in training from shots, if there are any."""
        values: Tensor = self.engine(flat, prepared)
        if not (self._shots and self.training):
            return values
        factor = self._largest * self.engine.norms(prepared).to(values)
        safe = factor.clamp_min(torch.finfo(values.dtype).tiny)
        if self._gradient == "exact":
            outcome = factor * sampled(values / safe, self.rand_like(values), self._shots)
            return values + (outcome - values).detach()
        used = self.get_buffer("_shifted")
        every = torch.cat([values.detach()[None], evaluated_at_shifts(self.engine, flat, prepared, used)]).mT
        outcomes = factor[:, None] * sampled(every / safe[:, None], self.rand_like(every), self._shots)
        above, below = outcomes[:, 1:].split(len(used), dim=1)
        moved = (flat - flat.detach())[used]  # zero, with the gradient that is sampled
        return outcomes[:, 0] + ((above - below) / 2.0) @ moved

    def measured_with_errors(self, placement: Placement | None, observable: PauliSum) -> PauliSum:
        """The observable with the errors of its readout."""
        self._measured = observable
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
        evolved, before, members = EvolvedNorm(engine), norm_of(self._measured), len(next(iter(parameters.values())))
        flat = torch.cat([parameters[name].detach().flatten(1) for name in self._names], dim=1)
        found = [evolved.at(flat[member]) / before for member in range(members)]
        return {"noise_attenuation": torch.tensor(found, dtype=torch.float64)}

    def check_noise(self, placement: Placement | None, recording: Recording) -> None:
        """Whether the circuit has the gates that the channels are put after.

        Raises:
            ConfigError: it does not.
        """
        if placement is not None:
            placement.check([gate.operation for gate in recording.gates])
