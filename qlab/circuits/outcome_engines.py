"""Engines that know the probabilities of all outcomes of a measurement, and with them expectation values."""

from __future__ import annotations

from torch import Tensor, nn

from qlab.circuits.angle_states import AngleStatevectorEngine
from qlab.circuits.blocks import ReducedStates
from qlab.circuits.encodings import Amplitudes, Angles, Encoding
from qlab.circuits.exact import LARGEST_NOISY, LARGEST_STATE, ROWS, too_large
from qlab.circuits.heisenberg import HeisenbergEngine
from qlab.circuits.lightcone import LightCone, light_cone
from qlab.circuits.observables import PauliSum
from qlab.circuits.outcomes import OutcomeProbabilities, Outcomes
from qlab.circuits.recording import Recording
from qlab.circuits.statevector import StatevectorEngine
from qlab.circuits.uploads import is_upload
from qlab.errors import ConfigError


class _KnowsOutcomes(nn.Module):
    """The values of outcomes, ``[sum V]``, and their numbers V by measurement."""

    values: Tensor
    sizes: list[int]

    def keep(self, outcomes: Outcomes) -> None:
        """Takes them."""
        self.sizes = outcomes.sizes
        self.register_buffer("values", outcomes.values, persistent=False)


class _ReadOff(_KnowsOutcomes):
    """Reads outcomes off the states that the next base class evolves and measures with their probabilities."""

    def outcomes(self, flat: Tensor, prepared: Tensor) -> Tensor:
        """Probabilities ``[N, V]`` of :attr:`values`, times the squared norms of the states."""
        found: Tensor = super().forward(flat, prepared)
        return found

    def forward(self, flat: Tensor, prepared: Tensor) -> Tensor:
        """Expectation values, shape ``[N]``."""
        return self.outcomes(flat, prepared) @ self.values.to(flat)


class EvolvedOutcomes(_KnowsOutcomes, HeisenbergEngine):
    """Projectors onto the outcomes, evolved through the light cone of all of them: V observables instead of one.

    Args:
        recording: the circuit.
        cone: the light cone of the observable.
        encoding: of the data.
        outcomes: what is measured.
    """

    def __init__(self, recording: Recording, cone: LightCone, encoding: Encoding, outcomes: Outcomes) -> None:
        super().__init__(recording, cone, encoding, starts=outcomes.projectors())
        self.keep(outcomes)

    @property
    def coefficients(self) -> int:
        """How many are evolved."""
        return len(self.values) * super().coefficients

    def outcomes(self, flat: Tensor, prepared: Tensor) -> Tensor:
        """Probabilities ``[N, V]`` of :attr:`values`, times the squared norms of the states."""
        return prepared @ super().observable(flat).reshape(len(self.values), -1).mT

    def observable(self, flat: Tensor) -> Tensor:
        """See :class:`HeisenbergEngine`."""
        return self.values.to(flat) @ super().observable(flat).reshape(len(self.values), -1)


class OutcomeStates(_ReadOff, StatevectorEngine):
    """States, of which the probabilities of outcomes are read off; see :class:`StatevectorEngine`.

    Args:
        recording: the circuit.
        cone: the light cone of the observable.
        outcomes: what is measured.
    """

    def __init__(self, recording: Recording, cone: LightCone, outcomes: Outcomes) -> None:
        super().__init__(recording, cone, OutcomeProbabilities(outcomes, range(recording.n_wires)))
        self.keep(outcomes)


class AngleOutcomeStates(_ReadOff, AngleStatevectorEngine):
    """The same of features that are angles.

    Args:
        recording: the circuit.
        cone: the light cone of the observable.
        encoding: of the data.
        outcomes: what is measured.
    """

    def __init__(self, recording: Recording, cone: LightCone, encoding: Angles, outcomes: Outcomes) -> None:
        super().__init__(recording, cone, encoding, OutcomeProbabilities(outcomes, cone.wires))
        self.keep(outcomes)


OutcomeEngine = EvolvedOutcomes | OutcomeStates | AngleOutcomeStates


def outcome_engine(recording: Recording, observable: PauliSum, encoding: Encoding, outcomes: Outcomes) -> OutcomeEngine:
    """The cheaper engine that knows all outcomes of the measurement of a sum.

    Args:
        recording: the circuit.
        observable: what is measured, without errors of the readout.
        encoding: of features.
        outcomes: of it, with errors of the readout.

    Raises:
        ConfigError: all are out of reach.
    """
    cone = light_cone(recording.gates, observable)
    noisy = any(gate.channel is not None for gate in cone.gates)
    uploads = any(is_upload(gate.operation) for gate in cone.gates)
    if isinstance(encoding, ReducedStates):
        encoding.check_cone(cone.wires)
    count, k = sum(outcomes.sizes), len(cone.wires)
    if noisy and uploads:
        raise ConfigError(
            "Shots of a sum of Pauli words, noise and data re-uploading (reupload) together are not evaluated on the "
            "light cone; leave one of them out, or measure one word."
        )
    if noisy and count * 4**k > 4**LARGEST_NOISY:
        raise ConfigError(
            f"Shots of a sum of {len(observable.terms)} Pauli words take the probabilities of {count} outcomes. Under "
            f"noise these are {count} observables on the light cone of {k} of {recording.n_wires} qubits, with "
            f"{count} * 4^{k} = {count * 4**k:,} coefficients; at most {4**LARGEST_NOISY:,} are possible. Use a "
            'smaller depth, an observable of fewer wires or of one word, or shots = "exact".'
        )
    size = k if encoding.product else recording.n_wires
    if (
        noisy
        or isinstance(encoding, ReducedStates)
        or (not uploads and k <= LARGEST_NOISY and count * 4**k <= ROWS * 2**size)
    ):
        return EvolvedOutcomes(recording, cone, encoding, outcomes)
    if isinstance(encoding, Amplitudes):
        return OutcomeStates(recording, cone, outcomes)
    if size > LARGEST_STATE:
        raise ConfigError(too_large(size, recording.n_wires, uploads))
    return AngleOutcomeStates(recording, cone, encoding, outcomes)
