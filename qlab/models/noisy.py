"""Fields of quantum models for noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor

from qlab.circuits.attenuation import EvolvedNorm, norm_of
from qlab.circuits.encodings import Encoding
from qlab.circuits.engines import Device, Engine, engine_of
from qlab.circuits.heisenberg import HeisenbergEngine
from qlab.circuits.lightcone import LightCone
from qlab.circuits.observables import PauliSum
from qlab.circuits.outcome_engines import OutcomeEngine, outcome_engine
from qlab.circuits.outcomes import Outcomes
from qlab.circuits.recording import Recording
from qlab.circuits.sampling import evaluated_at_shifts, sampled, sampled_sums, shifted_weights
from qlab.component import stated
from qlab.errors import ConfigError
from qlab.fields import AbsentMeans, Shots, show
from qlab.models.base import Model
from qlab.models.features import Features
from qlab.noise import Channel, DeviceNoise
from qlab.noise.device import ALONE, IN_PYTHON
from qlab.noise.pennylane_model import NoiseModelPlacement, is_noise_model
from qlab.noise.placement import Placement
from qlab.own_code import is_own

AnyPlacement = Placement | NoiseModelPlacement

Gradient = Literal["exact", "parameter-shift"]


class NoisyModel(Model):
    """A model whose circuit may have noise.

    Args:
        noise: channels, each a table with its name, its strengths and where it acts: ``noise = [{ channel = "BitFlip",
            p = [0.0, 0.01], after = "all" }]``; see `qlab list channels`. A list of strengths is swept. Needs device
            "lightcone" (exact: the adjoint channels act on the observable, on at most 10 qubits of its light cone) or
            "default.mixed" (PennyLane's density matrices). In Python, channels are objects:
            ``noise=(BitFlip(p=0.01),)``, after ``from qlab.noise import BitFlip``; or PennyLane's noise model,
            ``noise=qml.NoiseModel(...)``, applied as by ``qml.noise.add_noise``. A model with such a noise model is
            trained and measured like any other, but no file can say what its functions do, so experiments and
            checkpoints refuse it. Instead of a list, the noise of a quantum computer can be taken from its calibration:
            ``noise = { device = "kingston", qubits = [0, 1, 2] }``, in Python ``noise=DeviceNoise.read("kingston")``;
            see `qlab list devices` and `qlab describe DeviceNoise`.
        shots: in training, each expectation value is the mean of this many outcomes, drawn for each row and step from
            the trial's seed with their exact distribution; "exact" draws nothing. A single Pauli word has binomial
            counts. Words of a sum, as in "mean_Z", that commute qubit by qubit share their shots, in one measurement
            with a common basis, so that they are correlated; otherwise each of the groups that PennyLane makes of them
            gets that many shots. Sums need device "lightcone".
        evaluate_shots: the same for the metrics of training and of unlearning: each evaluation, including held-out rows
            and the test split, has draws of its own from the trial's seed and the number of the epoch or step, so that
            a run that continues after an interruption finds the same values; the health of a run is that of these
            numbers. Independent of ``shots``. "exact" draws nothing; landscapes, distances to oracles, `qlab predict`
            and calls of a model are exact in any case, unlike a QNode with shots: :meth:`PennyLaneQNN.to_qnode` makes
            one, with its own randomness.
        gradient: with shots: "exact" uses the gradient of the exact expectation value at the sampled logit;
            "parameter-shift" also samples the gradient, as a device does: each weight in the light cone is shifted by
            +pi/2 and -pi/2, with separate shots for each row. On the light cone only, and only where every weight is
            the angle of one rotation; costs 2 P + 1 evaluations for P such weights.
    """

    trains_angles: ClassVar[bool] = True

    engine: Engine
    _names: tuple[str, ...]
    _measured: PauliSum
    _largest: float

    def __init__(
        self,
        *,
        noise: Annotated[tuple[Channel, ...], AbsentMeans(())] = (),
        shots: Annotated[Shots | Literal["exact"], AbsentMeans("exact")] = "exact",
        evaluate_shots: Annotated[Shots | Literal["exact"], AbsentMeans("exact")] = "exact",
        gradient: Annotated[Gradient, AbsentMeans("exact")] = "exact",
        **fields: Any,
    ) -> None:
        given: Any = noise
        if isinstance(given, Mapping) and "device" in given:
            raise ConfigError(f"{type(self).__name__}: noise: got {show(noise)}, accepts objects. {IN_PYTHON}")
        if isinstance(noise, DeviceNoise):
            noise = (noise,)
            object.__setattr__(self, "_given", self._given | {"noise": noise})
        model = noise if is_noise_model(noise) else None
        if model is not None:
            noise = ()
            object.__setattr__(self, "_given", {key: value for key, value in self._given.items() if key != "noise"})
        super().__init__(noise=noise, shots=shots, evaluate_shots=evaluate_shots, gradient=gradient, **fields)
        self._noise_model: Any = model
        if model is not None:
            self._config["noise"] = model  # for copies
        self._shots = 0 if shots == "exact" else int(shots)
        self._evaluate_shots = 0 if evaluate_shots == "exact" else int(evaluate_shots)
        self._gradient: Gradient = gradient
        if gradient != "exact" and not self._shots:
            raise ConfigError(
                f'{type(self).__name__}: gradient = "{gradient}" belongs to shots, and there are none; set shots, '
                "or leave gradient out."
            )
        self._channels = tuple(noise)
        if len(self._channels) > 1 and any(isinstance(channel, DeviceNoise) for channel in self._channels):
            raise ConfigError(f"{type(self).__name__}: noise: {ALONE}")

    @property
    def angle_names(self) -> tuple[str, ...]:
        """All weights of the ansatz."""
        return self._names if self.trains_angles else ()

    @property
    def is_noisy(self) -> bool:
        """Whether there are channels."""
        return bool(self._channels) or self._noise_model is not None

    @property
    def has_shots(self) -> bool:
        """Whether anything is sampled."""
        return bool(self._shots or self._evaluate_shots)

    def check_any_register(self) -> None:
        """Whether the noise fits some register, as long as it is not known how many features there will be.

        Channels are put into the smallest register of three qubits or more that has the wires they name, a device's
        into one of two. A circuit of qlab's own is built there: it has the same gates on any register.

        Raises:
            ConfigError: it fits none.
        """
        named = [max(channel.wires, default=-1) + 1 for channel in self._channels]
        named += [
            len(values) for channel in self._channels if not channel.wires for values in channel.by_wire().values()
        ]
        n = max([3, *named])
        for channel in self._channels:
            if isinstance(channel, DeviceNoise):  # of a larger circuit's pairs the device may lack some
                n = min(2, len(channel.qubits))
        config = self.field_values()
        if is_own(type(self)):
            Placement(type(self).__name__, self._channels, n).check_device(config.get("device", "lightcone"))
            return
        dimension = n if config.get("encoding") == "angle" else 2**n
        self.build(Features(dimension, False, torch.ones(dimension, dtype=torch.bool)))

    def config(self) -> dict[str, Any]:
        """See the base class.

        Raises:
            ConfigError: the noise is PennyLane's noise model.
        """
        if self._noise_model is not None:
            raise ConfigError(
                f"{type(self).__name__}: noise: a qml.NoiseModel consists of functions, which no experiment file, "
                "trial or checkpoint can hold. Use qlab's channels, noise=(BitFlip(p=0.01, after=1),), or a subclass "
                "of Channel in a file of your own; or train with a Trainer and keep model.state_dict()."
            )
        return super().config()

    def described(self) -> dict[str, Any]:
        """See the base class; of a noise model what PennyLane prints."""
        if self._noise_model is None:
            return super().described()
        values = {name: stated(value) for name, value in self.field_values().items()}
        return {"type": type(self).__name__, **values, "noise": repr(self._noise_model)}

    def noise_of(self, n_wires: int, device: str, observable: PauliSum) -> AnyPlacement | None:
        """The channels in their places, for a register; None without noise.

        Args:
            n_wires: the size of the register.
            device: where the circuit runs.
            observable: what is measured, without errors of the readout.

        Raises:
            ConfigError: a channel does not fit the register, or the device cannot have noise.
        """
        if not self.is_noisy:
            return None
        made: AnyPlacement = Placement(type(self).__name__, self._channels, n_wires)
        if self._noise_model is not None:
            made = NoiseModelPlacement(type(self).__name__, self._noise_model, n_wires, observable)
        made.check_device(device)
        return made

    def engine_for(
        self,
        device: Device,
        recording: Recording,
        measured: PauliSum,
        encoding: Encoding,
        placement: AnyPlacement | None,
    ) -> Engine:
        """The engine of the circuit: with shots of a sum of Pauli words one that knows all outcomes.

        Args:
            device: as of :func:`engine_of`.
            recording: the circuit.
            measured: the observable with the errors of its readout.
            encoding: of features.
            placement: the noise.

        Raises:
            ConfigError: there is none.
        """
        shots = self._shots or self._evaluate_shots
        if not shots or len(self._measured.terms) == 1:
            return engine_of(device, self.ansatz, recording, measured, encoding)  # type: ignore[arg-type]
        owner = f"{type(self).__name__}: {'shots' if self._shots else 'evaluate_shots'}"
        if device != "lightcone":
            raise ConfigError(
                f"{owner}: got {shots} with an observable of {len(self._measured.terms)} Pauli words, whose outcomes "
                f'are correlated; on device = "{device}" accepts one word. Use device = "lightcone".'
            )

        def read(wire: int, letter: str) -> tuple[float, float]:
            found = PauliSum(((1.0, ((wire, letter),)),))
            found = found if placement is None else placement.measured(found)
            terms = {word: coefficient for coefficient, word in found.terms}
            return terms.get(((wire, letter),), 0.0), terms.get((), 0.0)

        try:
            return outcome_engine(recording, self._measured, encoding, Outcomes.of(self._measured, read))
        except ConfigError as error:
            raise ConfigError(f"{owner}: {error}") from None

    def check_shots(self, recording: Recording, cone: LightCone) -> None:
        """Whether expectation values of the circuit can be sampled, and how.

        Raises:
            ConfigError: the gradient cannot.
        """
        self.may_draw = bool(self._shots)  # else there is no chance in circuits
        self.draws_in_evaluation = bool(self._evaluate_shots)
        self._largest = abs(self._measured.terms[0][0])
        if self._shots and self._gradient == "parameter-shift":
            if not isinstance(self.engine, HeisenbergEngine):
                raise ConfigError(
                    f'{type(self).__name__}: gradient = "parameter-shift" needs device = "lightcone" and an observable '
                    'that is evolved on its light cone; use gradient = "exact".'
                )
            self.register_buffer("_shifted", shifted_weights(recording, cone), persistent=False)

    def expectation(self, flat: Tensor, prepared: Tensor) -> Tensor:
        """<O> of rows of prepared features, ``[N]``; from shots in training, or in an evaluation, if there are any."""
        shots = self._shots if self.training else self._evaluate_shots * self.is_drawing
        if not shots:
            exact: Tensor = self.engine(flat, prepared)
            return exact
        look = self.engine.outcomes if isinstance(self.engine, OutcomeEngine) else self.engine
        found: Tensor = look(flat, prepared)
        values = found @ self.engine.values.to(found) if isinstance(self.engine, OutcomeEngine) else found
        if self._gradient == "exact" or not self.training:
            return values + (self._drawn(found, prepared, shots) - values).detach()
        used = self.get_buffer("_shifted")
        every = torch.cat([found.detach()[None], evaluated_at_shifts(look, flat, prepared, used)]).movedim(0, 1)
        outcomes = self._drawn(every, prepared, shots)
        above, below = outcomes[:, 1:].split(len(used), dim=1)
        moved = (flat - flat.detach())[used]  # zero, with the gradient that is sampled
        return outcomes[:, 0] + ((above - below) / 2.0) @ moved

    def held_by_shifts(self, rows: int) -> int:
        """Elements that the observables and values at shifted weights take, see :meth:`Model.held_elements`."""
        if self._gradient == "exact" or not isinstance(self.engine, HeisenbergEngine):
            return 0
        return 2 * len(self.get_buffer("_shifted")) * (3 * self.engine.coefficients + 2 * rows)

    def _drawn(self, found: Tensor, prepared: Tensor, shots: int) -> Tensor:
        """Means of outcomes: of expectation values ``[N, ...]``, or of probabilities of sums ``[N, ..., sum V]``."""
        norms = self.engine.norms(prepared).to(found)
        norms = norms.reshape(-1, *[1] * (found.ndim - 1))
        if isinstance(self.engine, OutcomeEngine):
            sizes = self.engine.sizes
            safe = norms.clamp_min(torch.finfo(found.dtype).tiny)
            numbers = self.rand_like(found[..., len(sizes) :])
            return norms[..., 0] * sampled_sums(found / safe, numbers, self.engine.values, sizes, shots)
        factor = self._largest * norms
        safe = factor.clamp_min(torch.finfo(found.dtype).tiny)
        return factor * sampled(found / safe, self.rand_like(found), shots)

    def measured_with_errors(self, placement: AnyPlacement | None, observable: PauliSum) -> PauliSum:
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
        if not isinstance(engine, HeisenbergEngine) or not self.is_noisy:
            return {}
        evolved, before, members = EvolvedNorm(engine), norm_of(self._measured), len(next(iter(parameters.values())))
        flat = torch.cat([parameters[name].detach().flatten(1) for name in self._names], dim=1)
        found = [evolved.at(flat[member]) / before for member in range(members)]
        return {"noise_attenuation": torch.tensor(found, dtype=torch.float64)}

    def check_noise(self, placement: AnyPlacement | None, recording: Recording) -> None:
        """Whether the circuit has the gates that the channels are put after.

        Raises:
            ConfigError: it does not.
        """
        if placement is not None:
            placement.check([gate.operation for gate in recording.gates])
