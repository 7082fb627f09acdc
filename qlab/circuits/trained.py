"""A trained circuit outside of qlab: as a PennyLane QNode, as OpenQASM, as text."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from torch import Tensor

from qlab.circuits.blocks import ReducedStates
from qlab.circuits.channels import is_channel
from qlab.circuits.encodings import Amplitudes, Angles, Encoding
from qlab.circuits.gate_matrices import bind
from qlab.circuits.lightcone import LightCone
from qlab.circuits.observables import PauliSum
from qlab.circuits.operations import matrix_of
from qlab.circuits.recording import Recording
from qlab.circuits.survey import parameters
from qlab.circuits.uploads import bound, is_upload, upload_places
from qlab.deferred import Deferred
from qlab.errors import ConfigError, DataError, MissingExtraError
from qlab.version import DISTRIBUTION

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")


_PURE = ("default.qubit", "lightning.")
"""Devices without noise."""


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedCircuit:
    """A circuit with its weights bound, of PennyLane operations with plain numbers.

    Args:
        operations: the gates and noise channels in order; those whose angle is a feature are places for it.
        wires: its qubits: the register, or those of the light cone.
        encoding: of features.
        observable: what is measured.
        whole: whether it is the circuit of all the register.
        logit: the model's logit as a formula of the value, for people.
    """

    operations: tuple[qml.operation.Operator, ...]
    wires: tuple[int, ...]
    encoding: Encoding
    observable: PauliSum
    whole: bool
    logit: str = ""

    @classmethod
    def of(
        cls, recording: Recording, flat: Tensor, encoding: Encoding, observable: PauliSum, cone: LightCone | None
    ) -> Self:
        """The circuit at some weights.

        Args:
            recording: the circuit.
            flat: its weights, ``[n_weights]``.
            encoding: of features.
            observable: what is measured.
            cone: its light cone, to leave out all else.
        """
        operations = recording.operations(flat.detach())
        kept = operations
        if cone is not None:  # channels may be on fewer wires there
            kept = [operations[gate.number] if gate.channel is None else gate.operation for gate in cone.gates]
        wires = tuple(range(recording.n_wires)) if cone is None else cone.wires
        return cls(tuple(map(_plain, kept)), wires, encoding, observable, cone is None)

    @property
    def noisy(self) -> bool:
        """Whether there are noise channels in it."""
        return any(map(is_channel, self.operations))

    def qnode(self, device: Any = None, **options: Any) -> qml.QNode:
        """Features, a row ``[d]`` or rows ``[N, d]``, to the expectation value(s).

        Args:
            device: a PennyLane device, or the name of one; by default "default.qubit", under noise "default.mixed".
            options: of ``qml.QNode``, such as ``shots``.

        Raises:
            MissingExtraError: there is no such device here.
            ConfigError: the features cannot be prepared on the qubits of the cone alone.
        """
        if isinstance(self.encoding, ReducedStates):
            raise ConfigError(
                f"The task hands over reduced density matrices of {self.encoding.block.words}, which no circuit "
                "prepares; take the text or OpenQASM of the circuit without features, and prepare the states yourself."
            )
        if isinstance(self.encoding, Amplitudes) and not self.whole:
            raise ConfigError(
                "The qubits of a light cone are entangled with the others when features are amplitudes, so that no "
                'circuit prepares them alone; take the whole circuit (cone=False), or encoding = "angle".'
            )
        device = device or ("default.mixed" if self.noisy else "default.qubit")
        if self.noisy and isinstance(device, str) and device.startswith(_PURE):
            raise ConfigError(f'device = "{device}" keeps pure states, and the circuit has noise; use "default.mixed".')
        simulator = _device(device, self.wires) if isinstance(device, str) else device

        def circuit(features: Any) -> Any:
            self._queue(features)
            return qml.expval(self.observable.operator())

        return qml.QNode(circuit, simulator, **options)

    def openqasm(self, features: Any = None) -> str:
        """OpenQASM 2.0, with the gates of ``qelib1.inc``; the first qubit is the first of :attr:`wires`.

        Noise has no place in a program for a device that has its own; a comment says that it was left out. Measured is
        in the basis of the observable, if that is one for all of its terms.

        Args:
            features: a row ``[d]``: the program then prepares it. Needed where features are angles in the circuit.

        Raises:
            ConfigError: features are needed, or cannot be prepared.
            DataError: they are of the wrong shape.
        """
        if features is None and any(map(is_upload, self.operations)):
            raise ConfigError(
                "Data re-uploading puts features into the middle of the circuit, and OpenQASM 2 has no free angles; "
                "give a row of features: --rows FILE --row N, or openqasm(x[0])."
            )
        if features is not None and isinstance(self.encoding, Amplitudes) and not self.whole:
            raise ConfigError("No circuit prepares amplitudes on the qubits of a light cone alone; leave features out.")
        if features is not None and isinstance(self.encoding, ReducedStates):
            raise ConfigError("No circuit prepares reduced density matrices; leave features out.")
        if features is not None and np.ndim(features) != 1:
            raise DataError(f"OpenQASM takes one row of features, got the shape {list(np.shape(features))}.")
        gates = dataclasses.replace(self, operations=tuple(item for item in self.operations if not is_channel(item)))
        with qml.queuing.AnnotatedQueue() as queue:
            if features is None:
                bound(gates.operations, None)
            else:
                gates._queue(features)
            measured = self._rotate()
        tape = qml.tape.QuantumScript(queue.queue)
        lines = qml.to_openqasm(
            tape, wires=qml.wires.Wires(self.wires), rotations=False, measure_all=False
        ).splitlines()
        # A global phase is no gate of OpenQASM 2, and changes nothing that is measured.
        head, program = lines[:2], [line for line in lines[3:] if not line.startswith("gphase")]
        registers = [f"qreg q[{len(self.wires)}];", f"creg c[{len(self.wires)}];"]
        place = {wire: number for number, wire in enumerate(self.wires)}
        ends = [f"measure q[{place[wire]}] -> c[{place[wire]}];" for wire in measured]
        comments = [f"// {line}" for line in self._comments(features, measured)]
        return "\n".join([*head, *comments, *registers, *program, *ends, ""])

    def text(self, decimals: int = 2) -> str:
        """The circuit drawn in letters; features as x0, x1, ..."""
        first = self._places() if isinstance(self.encoding, Angles) else []
        tape = qml.tape.QuantumScript([*first, *self.operations], [qml.expval(self.observable.operator())])
        drawn: str = qml.drawer.tape_text(tape, wire_order=self.wires, decimals=decimals, max_length=160)
        return drawn

    def _places(self) -> list[qml.operation.Operator]:
        assert isinstance(self.encoding, Angles)
        places = upload_places(self.encoding.n_wires, self.encoding.rotation)
        return [place for place in places if place.wires[0] in self.wires]

    def _queue(self, features: Any) -> None:
        """Queues the preparation of features and the gates."""
        assert not isinstance(self.encoding, ReducedStates)  # no circuit prepares them
        x = features if hasattr(features, "shape") else np.asarray(features)
        expected = 2**self.encoding.n_wires if isinstance(self.encoding, Amplitudes) else self.encoding.n_wires
        if len(x.shape) not in (1, 2) or x.shape[-1] != expected:
            raise DataError(f"The circuit takes rows of {expected} features, [d] or [N, d]; got {list(x.shape)}.")
        if isinstance(self.encoding, Amplitudes):
            qml.StatePrep(x, wires=self.wires, normalize=True)
            bound(self.operations, None)
        else:
            bound([*self._places(), *self.operations], self.encoding.scale * x)

    def _rotate(self) -> list[int]:
        """Queues what turns the observable into a product of Z; the wires to measure, none if there is no one basis."""
        letters: dict[int, set[str]] = {}
        for _, word in self.observable.terms:
            for wire, letter in word:
                letters.setdefault(wire, set()).add(letter)
        if any(len(found) > 1 for found in letters.values()):
            return []
        for wire, (letter,) in letters.items():
            if letter == "Y":
                qml.adjoint(qml.S(wire))
            if letter in "XY":
                qml.Hadamard(wire)
        return sorted(letters)

    def _comments(self, features: Any, measured: Sequence[int]) -> list[str]:
        numbered = ", ".join(f"q[{number}] is wire {wire}" for number, wire in enumerate(self.wires))
        said = [] if self.whole else [f"the light cone alone: {numbered}"]
        if features is None:
            said.append(f"to be prepared before: {self._preparation()}")
        if self.noisy:
            said.append(f"the model's {sum(map(is_channel, self.operations))} noise channels are left out")
        said.append(f"the model's value is the expectation of {self.observable}")
        if self.logit:
            said.append(f"its logit is {self.logit}")
        if not measured:
            said.append("its terms have no common basis, so nothing is measured here")
        return said

    def _preparation(self) -> str:
        coded = self.encoding
        if isinstance(coded, ReducedStates):
            sites = ", ".join(str(site) for site in coded.sites(self.wires))
            return f"the state of the sites {sites} of a chain of {coded.block.length:,}"
        if isinstance(coded, Amplitudes):
            return "2^n features as amplitudes, q[0] most significant" if self.whole else "the state of these qubits"
        return f"{coded.rotation.lower()}({coded.scale:g} * x[i]) on wire i, for each feature x[i]"


def _plain(operation: qml.operation.Operator) -> qml.operation.Operator:
    """An operation with NumPy's numbers instead of tensors."""
    if is_upload(operation) or is_channel(operation) or not operation.parameters:
        return operation
    values = [value.detach().numpy() for value in parameters(operation)]
    with qml.QueuingManager.stop_recording():
        expected = matrix_of(operation).detach().numpy()
        try:
            made = bind(operation, values)
            if np.allclose(qml.matrix(made, wire_order=operation.wires), expected, rtol=0, atol=1e-12):
                return made
        except Exception:  # a class that cannot be bound again is taken as its matrix
            pass
        return qml.QubitUnitary(expected, wires=operation.wires)


def _device(name: str, wires: Sequence[int]) -> Any:
    try:
        return qml.device(name, wires=wires)
    except (qml.exceptions.DeviceError, ImportError) as error:
        raise MissingExtraError(
            f'device = "{name}" cannot be used here: {error} "default.qubit" and "lightning.qubit" come with qlab, '
            f'"qiskit.aer" with the extra qiskit: pip install "{DISTRIBUTION}[qiskit]". A device of your own can be '
            "given itself."
        ) from None
