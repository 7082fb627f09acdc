"""Whether one of PennyLane's devices computes a circuit and its gradient rightly."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from qlab.circuits.encodings import StateEncoding
from qlab.circuits.exact import exact_engine
from qlab.circuits.observables import PauliSum
from qlab.circuits.places import at
from qlab.circuits.qnode import QNodeEngine
from qlab.circuits.queueing import queue_operations
from qlab.circuits.recording import Recording
from qlab.circuits.uploads import is_upload
from qlab.deferred import Deferred
from qlab.errors import ConfigError

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")

_AGREE = 1e-7
"""Values and gradients of a device agree with an engine's to rounding, 1e-12 or so; wrong ones are off by much more."""


@dataclasses.dataclass(frozen=True)
class _Surroundings:
    """What belongs to a circuit besides its gates."""

    device: str
    observable: PauliSum | None
    encoding: StateEncoding


def check_device(recording: Recording, device: str, observable: PauliSum | None, encoding: StateEncoding) -> None:
    """Whether a device runs the circuit, and its value and gradient are right, at one state and one set of weights.

    PennyLane's adjoint method is wrong for some operations. Costs what one row of a training step costs.

    Raises:
        ConfigError: they are not; with the operation that is to blame.
    """
    if recording.noisy and any(is_upload(gate.operation) for gate in recording.gates):
        return  # no other engine runs it, and default.mixed differentiates by backpropagation
    around = _Surroundings(device, observable, encoding)
    fault = _fault(recording, around)
    if not fault:
        return
    name, place = "this circuit", ""
    queued = queue_operations(recording.ansatz, _weights(recording), places=True)
    for suspect in {item.operation.name: item for item in reversed(queued)}.values():
        less = _without(recording, suspect.operation.name)
        rest = Recording(less, recording.shapes, recording.n_wires, recording.noise)
        if not _fault(rest, around):
            name, place = suspect.operation.name, suspect.place
            break
    raise ConfigError(
        f'{at(place)}device = "{device}" {fault.format(name)} Use device = "lightcone", or queue the gates that '
        "it is made of."
    )


def _fault(recording: Recording, around: _Surroundings) -> str:
    """What is wrong with a circuit on a device, with a gap for the name of what is to blame; "" if nothing is."""
    engine = QNodeEngine(recording.ansatz, recording, around.device, around.observable, around.encoding)
    reference = exact_engine(recording, around.observable, around.encoding)
    generator = torch.Generator().manual_seed(0)
    state = around.encoding.example(generator)
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
