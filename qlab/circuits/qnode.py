"""The engine of PennyLane's devices: the whole circuit as a QNode."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from qlab.circuits.exact import exact_engine
from qlab.circuits.places import at
from qlab.circuits.queueing import queue_operations
from qlab.circuits.recording import Recording
from qlab.deferred import Deferred
from qlab.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")

_EXTRAS = {"lightning.gpu": "gpu"}

_AGREE = 1e-7
"""Values and gradients of a device agree with an engine's to rounding, 1e-12 or so; wrong ones are off by much more."""


class QNodeEngine(nn.Module):
    """The whole circuit as a PennyLane QNode.

    Args:
        ansatz: queues the operations, given the weights by name.
        recording: cuts the flat weights into named ones.
        device: a PennyLane device name.

    Raises:
        MissingExtraError: the device is not installed.
    """

    batch_rows: ClassVar[bool] = True

    def __init__(self, ansatz: Any, recording: Recording, device: str) -> None:
        super().__init__()
        self._arguments = (ansatz, recording, device)
        self.n_wires = recording.n_wires
        wires = range(self.n_wires)
        try:
            simulator = qml.device(device, wires=self.n_wires)
        except (qml.exceptions.DeviceError, ImportError) as error:
            extra = _EXTRAS.get(device)
            how = f'Install it with "pip install qlab[{extra}]"' if extra else "Install pennylane-lightning"
            raise MissingExtraError(
                f'device = "{device}" cannot be used here: {error} {how}, or choose device = "lightcone", which '
                "needs no device."
            ) from None

        if device != "default.qubit":
            _keep_double(simulator)

        def circuit(flat: Tensor, states: Tensor) -> Any:
            qml.StatePrep(states, wires=wires, validate_norm=False)
            ansatz(**recording.named(flat))
            return qml.expval(qml.PauliZ(self.n_wires - 1))

        method = "backprop" if device == "default.qubit" else "adjoint"
        self._qnode = qml.QNode(circuit, simulator, interface="torch", diff_method=method)

    def __deepcopy__(self, memo: dict[int, Any]) -> QNodeEngine:
        """An engine with a device of its own: devices hold state vectors that cannot be copied."""
        return QNodeEngine(*copy.deepcopy(self._arguments, memo))

    def prepare(self, x: Tensor) -> Tensor:
        """Real and imaginary parts of the amplitudes, shape ``[N, 2^n, 2]``, float64."""
        return torch.view_as_real(x.to(torch.complex128)).contiguous()

    def forward(self, flat: Tensor, prepared: Tensor) -> Tensor:
        """Expectation values, shape ``[N]``; devices get states of unit norm, the norm is put back after."""
        states = torch.complex(prepared[..., 0], prepared[..., 1])
        norms = torch.linalg.vector_norm(states, dim=1)
        unit = torch.where(norms[:, None] > 0, states / norms.clamp_min(torch.finfo(norms.dtype).tiny)[:, None], 1.0)
        unit = torch.where(norms[:, None] > 0, unit, unit / unit.shape[1] ** 0.5)
        values: Tensor = self._qnode(flat, unit.to(torch.complex128))
        return values.to(flat.dtype) * norms.square()


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


def check_device(recording: Recording, device: str) -> None:
    """Whether a device runs the circuit, and its value and gradient are right, at one state and one set of weights.

    PennyLane's adjoint method is wrong for some operations. Costs what one row of a training step costs.

    Raises:
        ConfigError: they are not; with the operation that is to blame.
    """
    fault = _fault(recording, device)
    if not fault:
        return
    name, place = "this circuit", ""
    queued = queue_operations(recording.ansatz, _weights(recording), places=True)
    for suspect in {item.operation.name: item for item in reversed(queued)}.values():
        rest = Recording(_without(recording, suspect.operation.name), recording.shapes, recording.n_wires)
        if not _fault(rest, device):
            name, place = suspect.operation.name, suspect.place
            break
    raise ConfigError(
        f'{at(place)}device = "{device}" {fault.format(name)} Use device = "lightcone", or queue the gates that '
        "it is made of."
    )


def _fault(recording: Recording, device: str) -> str:
    """What is wrong with a circuit on a device, with a gap for the name of what is to blame; "" if nothing is."""
    engine, reference = QNodeEngine(recording.ansatz, recording, device), exact_engine(recording)
    generator = torch.Generator().manual_seed(0)
    state = torch.randn(1, 2**recording.n_wires, generator=generator, dtype=torch.complex128)
    state = state / torch.linalg.vector_norm(state)
    flat = torch.cat([weight.reshape(-1) for weight in _weights(recording).values()])
    expected, expected_gradient = _value_and_gradient(reference, flat, state)
    try:
        value, gradient = _value_and_gradient(engine, flat, state)
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split()).replace("{", "{{").replace("}", "}}")
        return f"cannot run {{}}: {said.removesuffix('.')}."
    if not abs(float(value - expected)) <= _AGREE:
        return f"gives {float(value):.6g} for {{}} where its matrix gives {float(expected):.6g}."
    off = (gradient - expected_gradient).abs()
    if not bool((off <= _AGREE * expected_gradient.abs().max().clamp_min(1.0)).all()):
        return (
            f"differentiates {{}} wrongly, a fault of PennyLane's: the value is right, a derivative off by "
            f"{float(off.max()):.2g}."
        )
    return ""


def _weights(recording: Recording) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return recording.named(torch.rand(recording.n_weights, generator=generator, dtype=torch.float64))


def _without(recording: Recording, name: str) -> Any:
    """An ansatz without the operations of a name."""

    def ansatz(**weights: Tensor) -> None:
        for queued in queue_operations(recording.ansatz, weights):
            if queued.operation.name != name:
                qml.apply(queued.operation)

    return ansatz


def _value_and_gradient(engine: Any, flat: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        weights = flat.clone().requires_grad_()
        value = engine(weights, engine.prepare(state)).sum() + 0.0 * weights.sum()
        [gradient] = torch.autograd.grad(value, weights)
    return value.detach(), gradient
