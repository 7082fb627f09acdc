"""Which engine evaluates a circuit exactly."""

from __future__ import annotations

from qlab.circuits.angle_states import AngleStatevectorEngine
from qlab.circuits.encodings import Amplitudes, Encoding
from qlab.circuits.heisenberg import HeisenbergEngine
from qlab.circuits.lightcone import LightCone, light_cone, split_cones
from qlab.circuits.observables import PauliSum, pauli_z
from qlab.circuits.operations import LARGEST_MATRIX
from qlab.circuits.recording import Recording
from qlab.circuits.statevector import StatevectorEngine
from qlab.circuits.uploads import is_upload
from qlab.errors import ConfigError

ExactEngine = HeisenbergEngine | StatevectorEngine | AngleStatevectorEngine

LARGEST_STATE = 20
"""States of at most so many qubits are made of angles: 2^20 amplitudes take 16 MiB a row, and 0.5 GiB a batch."""

_ROWS = 32
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
    # States of angles are products: what lies outside the cone is not needed for them.
    size = recording.n_wires if isinstance(encoding, Amplitudes) else len(cone.wires)
    if not uploads and _heisenberg_is_cheaper(cones, size):
        return HeisenbergEngine(recording, cones, encoding)
    if isinstance(encoding, Amplitudes):
        return StatevectorEngine(recording, cone)
    if size > LARGEST_STATE:
        raise ConfigError(too_large(size, recording.n_wires, uploads))
    return AngleStatevectorEngine(recording, cone, encoding)


def explained(engine: ExactEngine, cone: LightCone, n_wires: int) -> str:
    """Which engine it is, and why, in a phrase."""
    inside = f"light cone of {len(cone.wires)} of {n_wires} qubits, {len(cone.gates)} gates"
    if isinstance(engine, StatevectorEngine):
        return f"statevector, cheaper here than the {inside}"
    if isinstance(engine, AngleStatevectorEngine):
        why = "data re-uploading needs states" if len(engine.stages) > 1 else "cheaper here than Pauli strings"
        return f"statevector of the {inside}; {why}"
    if len(engine.cones) == 1:
        return f"observable evolved on the {inside}"
    widest = max(len(part.wires) for part in engine.cones)
    return (
        f"observable evolved part by part, on {len(engine.cones)} different light cones of up to {widest} of {n_wires} "
        "qubits"
    )


def _heisenberg_is_cheaper(cones: tuple[LightCone, ...], size: int) -> bool:
    """Whether evolving 4^k real coefficients costs less than a batch of complex states of 2^size amplitudes.

    Gates on many wires, which have no decomposition, are cheaper on states.
    """
    if any(len(gate.wires) > LARGEST_MATRIX for cone in cones for gate in cone.gates):
        return False
    per_gate_observable = sum(4 ** len(cone.wires) for cone in cones) * 16
    per_gate_states = _ROWS * 2**size * 4 * 4
    return per_gate_observable <= per_gate_states


def too_large(size: int, n_wires: int, uploads: bool) -> str:
    """Why a circuit on ``size`` of the qubits is out of reach, and what to do."""
    gibibytes = _ROWS * 16 * 2**size / 2**30
    why = "data re-uploading needs its states" if uploads else "neither its Pauli strings nor its states are few enough"
    return (
        f"The light cone of the readout has {size} of {n_wires} qubits, and {why}: 2^{size} amplitudes, "
        f"{gibibytes:,.0f} GiB for {_ROWS} rows; at most {LARGEST_STATE} qubits are possible. Use a smaller depth, "
        'entangler = "chain", an observable of fewer wires, or fewer features'
        + (", or no re-uploading (reupload = 0)." if uploads else ".")
    )
