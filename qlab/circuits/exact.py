"""Which engine evaluates a circuit exactly."""

from __future__ import annotations

from qlab.circuits.angle_states import AngleStatevectorEngine
from qlab.circuits.blocks import ReducedStates
from qlab.circuits.encodings import Amplitudes, Angles, Encoding
from qlab.circuits.heisenberg import HeisenbergEngine
from qlab.circuits.lightcone import LightCone, light_cone, split_cones
from qlab.circuits.observables import PauliSum, pauli_z
from qlab.circuits.operations import LARGEST_MATRIX
from qlab.circuits.recording import Recording
from qlab.circuits.rowwise import RowwiseEngine
from qlab.circuits.statevector import StatevectorEngine
from qlab.circuits.uploads import is_upload
from qlab.errors import ConfigError

ExactEngine = HeisenbergEngine | StatevectorEngine | AngleStatevectorEngine | RowwiseEngine

LARGEST_STATE = 20
"""States of at most so many qubits are made of angles: 2^20 amplitudes take 16 MiB a row, and 0.5 GiB a batch."""

LARGEST_NOISY = 10
"""Under noise the observable is evolved on at most so many qubits: 4^10 coefficients take 8 MiB a gate and model."""

LARGEST_ROWWISE = 8
"""The same where the observable is evolved for each row, as data are uploaded again: 16 MiB a gate, model and batch."""

ROWS = 32
"""A batch, for the choice between engines."""


def exact_engine(
    recording: Recording, observable: PauliSum | None = None, encoding: Encoding | None = None
) -> ExactEngine:
    """The cheaper engine for a circuit; amplitudes, and Z on the last wire, are the defaults.

    Raises:
        ConfigError: all are out of reach.
    """
    observable = observable or pauli_z(recording.n_wires - 1)
    encoding = encoding or Amplitudes(recording.n_wires)
    cone = light_cone(recording.gates, observable)
    cones = split_cones(recording.gates, observable)
    uploads = any(is_upload(gate.operation) for gate in cone.gates)
    if isinstance(encoding, ReducedStates):
        encoding.check_cone(cone.wires)
        _check_width(cone, "reduced density matrices")
    if any(gate.channel is not None for gate in cone.gates):
        return _noisy_engine(recording, cone, cones, encoding)
    if isinstance(encoding, ReducedStates):
        return HeisenbergEngine(recording, cones, encoding)
    # States of angles are products: what lies outside the cone is not needed for them.
    size = recording.n_wires if isinstance(encoding, Amplitudes) else len(cone.wires)
    if not uploads and _heisenberg_is_cheaper(cones, size):
        return HeisenbergEngine(recording, cones, encoding)
    if isinstance(encoding, Amplitudes):
        return StatevectorEngine(recording, cone)
    if size > LARGEST_STATE:
        raise ConfigError(too_large(size, recording.n_wires, uploads))
    return AngleStatevectorEngine(recording, cone, encoding)


def _noisy_engine(
    recording: Recording, cone: LightCone, cones: tuple[LightCone, ...], encoding: Encoding
) -> HeisenbergEngine | RowwiseEngine:
    """The engine for a cone with channels in it: states do not stay pure, so the observable is evolved.

    Raises:
        ConfigError: it is out of reach.
    """
    uploads = any(is_upload(gate.operation) for gate in cone.gates)
    _check_width(cone, "noise", ', or use device = "default.mixed"')
    if uploads and isinstance(encoding, Angles):
        if len(cone.wires) > LARGEST_ROWWISE:
            raise ConfigError(
                f"The light cone of the readout has {len(cone.wires)} of {recording.n_wires} qubits. With noise and "
                f"data re-uploading (reupload) its observable is evolved for each row, with 4^{len(cone.wires)} = "
                f"{4 ** len(cone.wires):,} coefficients; at most {LARGEST_ROWWISE} qubits are possible. Use a smaller "
                'depth, entangler = "chain", an observable of fewer wires, no re-uploading (reupload = 0), or device = '
                '"default.mixed".'
            )
        return RowwiseEngine(recording, cone.observable, encoding)
    widest = max(len(part.wires) for part in cones)
    if widest > LARGEST_NOISY:
        raise ConfigError(
            f"The light cone of the readout has {widest} of {recording.n_wires} qubits, and under noise its observable "
            f"has 4^{widest} = {4**widest:,} coefficients; at most {LARGEST_NOISY} qubits are possible "
            f'({4**LARGEST_NOISY:,}). Use a smaller depth, entangler = "chain", or an observable of fewer wires.'
        )
    k = len(cone.wires)
    rest = 0 if encoding.product else recording.n_wires - k
    known = not isinstance(encoding, ReducedStates)
    few = known and k <= LARGEST_NOISY and sum(4 ** len(part.wires) for part in cones) > ROWS * 2 ** (k + rest)
    return HeisenbergEngine(recording, cone if few else cones, encoding, states=few)


def _check_width(cone: LightCone, under: str, otherwise: str = "") -> None:
    """Refuses gates on more wires than the evolution of an observable takes.

    Raises:
        ConfigError: there is one.
    """
    wide = next((gate for gate in cone.gates if len(gate.wires) > LARGEST_MATRIX), None)
    if wide is not None:
        raise ConfigError(
            f"{wide.operation.name} acts on {len(wide.wires)} wires, and with {under} a gate may act on at most "
            f"{LARGEST_MATRIX}; queue the gates that it is made of{otherwise}."
        )


def _heisenberg_is_cheaper(cones: tuple[LightCone, ...], size: int) -> bool:
    """Whether evolving 4^k real coefficients costs less than a batch of complex states of 2^size amplitudes.

    Gates on many wires, which have no decomposition, are cheaper on states.
    """
    if any(len(gate.wires) > LARGEST_MATRIX for cone in cones for gate in cone.gates):
        return False
    per_gate_observable = sum(4 ** len(cone.wires) for cone in cones) * 16
    per_gate_states = ROWS * 2**size * 4 * 4
    return per_gate_observable <= per_gate_states


def too_large(size: int, n_wires: int, uploads: bool) -> str:
    """Why a circuit on ``size`` of the qubits is out of reach, and what to do."""
    gibibytes = ROWS * 16 * 2**size / 2**30
    why = "data re-uploading needs its states" if uploads else "neither its Pauli strings nor its states are few enough"
    return (
        f"The light cone of the readout has {size} of {n_wires} qubits, and {why}: 2^{size} amplitudes, "
        f"{gibibytes:,.0f} GiB for {ROWS} rows; at most {LARGEST_STATE} qubits are possible. Use a smaller depth, "
        'entangler = "chain", an observable of fewer wires, or fewer features'
        + (", or no re-uploading (reupload = 0)." if uploads else ".")
    )
