"""The engine of PennyLane's devices: the whole circuit as a QNode."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from qlab.circuits.channels import kraus_matrices
from qlab.circuits.encodings import Amplitudes, StateEncoding
from qlab.circuits.observables import PauliSum, pauli_z
from qlab.circuits.operations import matrix_of
from qlab.circuits.recording import Recording
from qlab.circuits.uploads import bound, queue_with_data
from qlab.deferred import Deferred
from qlab.errors import ConfigError, MissingExtraError
from qlab.version import DISTRIBUTION

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")

MIXED = "default.mixed"
"""PennyLane's device for noise."""

_EXTRAS = {"lightning.gpu": "gpu"}

_LARGEST = {"default.qubit": 20, "default.mixed": 9}
_LARGEST_ELSEWHERE = 28
"""Devices hold 2^n amplitudes: of a batch of rows at once, or of one row after the other."""


class QNodeEngine(nn.Module):
    """The whole circuit as a PennyLane QNode.

    Args:
        ansatz: queues the operations, given the weights by name.
        recording: cuts the flat weights into named ones.
        device: a PennyLane device name.
        observable: what is measured; Z on the last wire by default.
        encoding: of the data; amplitudes by default.

    Raises:
        MissingExtraError: the device is not installed.
        ConfigError: the register is too large for it.
    """

    batch_rows: ClassVar[bool] = True

    def __init__(
        self,
        ansatz: Any,
        recording: Recording,
        device: str,
        observable: PauliSum | None = None,
        encoding: StateEncoding | None = None,
    ) -> None:
        super().__init__()
        self._arguments = (ansatz, recording, device, observable, encoding)
        self.n_wires = recording.n_wires
        self.encoding = coded = encoding or Amplitudes(self.n_wires)
        measured = observable or pauli_z(self.n_wires - 1)
        if self.n_wires > _LARGEST.get(device, _LARGEST_ELSEWHERE):
            held = f"2^{self.n_wires} amplitudes" if device != MIXED else f"4^{self.n_wires} matrix elements"
            raise ConfigError(
                f'device = "{device}" simulates the whole register of {self.n_wires} qubits, {held}, and takes at most '
                f'{_LARGEST.get(device, _LARGEST_ELSEWHERE)}; use device = "lightcone", which needs those of the light '
                "cone alone."
            )
        try:
            simulator = qml.device(device, wires=self.n_wires)
        except (qml.exceptions.DeviceError, ImportError) as error:
            extra = _EXTRAS.get(device)
            how = f'Install it with "pip install {DISTRIBUTION}[{extra}]"' if extra else "Install pennylane-lightning"
            raise MissingExtraError(
                f'device = "{device}" cannot be used here: {error} {how}, or choose device = "lightcone", which '
                "needs no device."
            ) from None
        if recording.noisy and device != MIXED:
            name = next(gate.operation.name for gate in recording.gates if gate.channel is not None)
            raise ConfigError(
                f'device = "{device}" keeps pure states, and the circuit has noise ({name}); use device = "lightcone", '
                f'or "{MIXED}", which keeps density matrices of the whole register.'
            )

        if device not in (MIXED, "default.qubit"):
            _keep_double(simulator)

        def circuit(flat: Tensor, data: Tensor) -> Any:
            coded.queue(data)
            if device == MIXED:
                bound(_for_matrices(recording, flat), data)
            elif coded.product:
                queue_with_data(ansatz, recording.named(flat), data)
            else:
                ansatz(**recording.named(flat))
            return qml.expval(measured.operator())

        method = "backprop" if device in (MIXED, "default.qubit") else "adjoint"
        self._qnode = qml.QNode(circuit, simulator, interface="torch", diff_method=method)

    def __deepcopy__(self, memo: dict[int, Any]) -> QNodeEngine:
        """An engine with a device of its own: devices hold state vectors that cannot be copied."""
        return QNodeEngine(*copy.deepcopy(self._arguments, memo))

    def prepare(self, x: Tensor) -> Tensor:
        """Real and imaginary parts of the amplitudes, ``[N, 2^n, 2]``, or angles ``[N, n]``, float64."""
        return self.encoding.for_device(x)

    def norms(self, prepared: Tensor) -> Tensor:
        """Squared norms of the states of prepared data, ``[N]``."""
        return self.encoding.normalised(prepared)[1]

    def forward(self, flat: Tensor, prepared: Tensor) -> Tensor:
        """Expectation values, shape ``[N]``; devices get states of unit norm, the norm is put back after."""
        data, norms = self.encoding.normalised(prepared)
        values: Tensor = self._qnode(flat, data)
        return values.to(flat.dtype) * norms.to(flat.dtype)


def _for_matrices(recording: Recording, flat: Tensor) -> list[Any]:
    """The gates and channels as default.mixed computes them in double precision and without a warning, not queued.

    Of diagonal gates it takes the eigenvalues, which PennyLane computes in single precision for PyTorch's tensors; the
    Kraus matrices of Pauli errors it makes with a cast that warns.
    """
    diagonal = qml.ops.qubit.attributes.diagonal_in_z_basis
    found: list[Any] = []
    with qml.QueuingManager.stop_recording():
        for operation in recording.operations(flat):
            if operation in diagonal and operation.parameters:
                found.append(qml.QubitUnitary(matrix_of(operation).to(torch.complex128), wires=operation.wires))
            elif isinstance(operation, qml.PauliError):
                found.append(qml.QubitChannel(list(kraus_matrices(operation).numpy()), wires=operation.wires))
            else:
                found.append(operation)
    return found


def _keep_double(simulator: Any) -> None:
    """Makes a device hand over expectation values as float64 arrays.

    The lightning devices return Python floats, which PennyLane's torch interface turns into torch's default dtype:
    float32, and with it an error of 1e-8 in values and gradients.
    """
    execute, differentiate = simulator.execute, simulator.execute_and_compute_derivatives

    def execute_double(*args: Any, **kwargs: Any) -> Any:
        return _as_arrays(execute(*args, **kwargs))

    def differentiate_double(*args: Any, **kwargs: Any) -> Any:
        results, jacobians = differentiate(*args, **kwargs)
        return _as_arrays(results), jacobians

    simulator.execute, simulator.execute_and_compute_derivatives = execute_double, differentiate_double


def _as_arrays(results: Any) -> Any:
    if isinstance(results, (list, tuple)):
        return type(results)(_as_arrays(result) for result in results)
    return np.asarray(results, dtype=np.float64)
