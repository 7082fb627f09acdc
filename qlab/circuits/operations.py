"""What is made of a PennyLane operation: its matrix, the gates it consists of, or the reason why it cannot be used."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from qlab.circuits.queueing import refused
from qlab.deferred import Deferred
from qlab.errors import ConfigError, QlabError

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")

LARGEST_MATRIX = 4
"""Operations on more wires than this are decomposed, if PennyLane knows how."""

_WIDEST = 8
"""Those that it cannot decompose are taken as one matrix of up to so many wires."""


def why_not(operation: qml.operation.Operator) -> str:
    """Why an operation is no gate, and what to do instead; "" if nothing is known against it."""
    usable = operation.has_matrix or operation.has_decomposition or isinstance(operation, qml.operation.Channel)
    return _why_not(type(operation)) or (  # type: ignore[arg-type]  # a class of Any, as PennyLane has no types
        ""
        if usable
        else "has no matrix and no decomposition into gates; only unitary operations on qubits and noise channels can "
        "be used"
    )


@functools.cache
def _why_not(operation: type) -> str:
    if issubclass(operation, qml.Identity):  # one for qubits and modes of light
        return ""
    kinds = {
        qml.ops.MidMeasure: "measures; qlab measures the observable after the circuit, so leave it out",
        qml.ops.PauliMeasure: "measures; qlab measures the observable after the circuit, so leave it out",
        qml.ops.Conditional: "depends on a measurement; use a controlled gate, qml.ctrl, instead",
        qml.operation.StatePrepBase: "prepares a state, but the features are the initial state; queue gates "
        "instead, such as qml.X to flip a wire",
        qml.QubitDensityMatrix: "prepares a state, but the features are the initial state; leave it out",
        qml.SparseHamiltonian: "is an observable; qml.evolve makes a gate of one",
        qml.operation.CV: "acts on modes of light, not on qubits; use qubit gates",
    }
    if operation.__module__.startswith("pennylane.ops.qutrit"):
        return "acts on qutrits, not on qubits; use qubit gates"
    return next((reason for kind, reason in kinds.items() if issubclass(operation, kind)), "")


def keeps(operation: qml.operation.Operator) -> bool:
    """Whether an operation is taken as one gate, by its matrix, rather than as those that it consists of."""
    if not operation.has_matrix:
        return False
    if isinstance(operation, qml.ops.Pow) and not isinstance(operation.z, int) and operation.has_decomposition:
        return False  # a rotation to a power is a rotation
    return len(operation.wires) <= LARGEST_MATRIX


def expand(operation: qml.operation.Operator) -> list[qml.operation.Operator]:
    """The gates that an operation consists of; itself if it is kept."""
    if keeps(operation):
        return [operation]
    if not operation.has_decomposition:
        return [operation]
    try:
        with qml.QueuingManager.stop_recording():
            parts = operation.decomposition()
    except qml.exceptions.DecompositionUndefinedError:
        return [operation]
    return [gate for part in parts for gate in expand(part)]


def check(operation: qml.operation.Operator, n_wires: int) -> None:
    """Whether a gate acts on the register, once.

    Raises:
        ConfigError: it does not.
    """
    name = operation.name
    outside = [wire for wire in operation.wires if wire not in range(n_wires)]
    if outside:
        raise ConfigError(f"The ansatz puts {name} on wire {outside[0]}; the register has wires 0 to {n_wires - 1}.")
    if operation.batch_size is not None:
        shapes = [tuple(getattr(parameter, "shape", ())) for parameter in operation.parameters]
        raise ConfigError(
            f"The ansatz gives {name} parameters of shapes {shapes}; it takes one value for each, not a batch: "
            f"index the weights."
        )
    if len(operation.wires) > _WIDEST:
        raise ConfigError(
            f"The ansatz contains {name} on {len(operation.wires)} wires, which PennyLane cannot decompose; as a "
            f"single matrix at most {_WIDEST} wires are supported. Queue smaller gates; for evolution, "
            "qml.TrotterProduct."
        )


def check_unitary(operation: qml.operation.Operator, matrix: Tensor) -> None:
    """Raises ConfigError for a matrix that is not unitary, or not one of qubits."""
    size = 2 ** len(operation.wires)
    matrix = matrix.detach().to(torch.complex128)
    eye = torch.eye(size, dtype=torch.complex128)
    if matrix.shape != (size, size) or not torch.allclose(matrix @ matrix.mH, eye, atol=1e-6):
        raise ConfigError(f"The ansatz contains {operation.name}, which is not unitary.{_unitary_hint(operation)}")


def _unitary_hint(operation: qml.operation.Operator) -> str:
    if isinstance(operation, qml.ops.Exp):
        return " qml.exp(H, 1j * t) with real t is, and so is qml.evolve(H, t), for a Hermitian H."
    if isinstance(operation, (qml.Hermitian, qml.Projector, qml.SparseHamiltonian, qml.ops.Sum, qml.ops.SProd)):
        return " Observables generate gates: qml.evolve(H, t)."
    if any(torch.is_complex(torch.as_tensor(parameter)) for parameter in operation.parameters):
        return " Angles are real; matrices must be unitary for all weights."
    return ""


def matrix_of(operation: qml.operation.Operator) -> Tensor:
    """The matrix of an operation on its wires, in their order, ``[2^k, 2^k]``; also under ``torch.func`` transforms.

    PennyLane's own, except for classes whose matrix looks at the values of its parameters, or writes into tensors.
    """
    kind, ops = type(operation), qml.ops
    if kind is qml.QubitUnitary and isinstance(operation.data[0], Tensor):
        return operation.data[0]
    if kind is qml.DiagonalQubitUnitary:
        return torch.diag_embed(torch.as_tensor(operation.data[0]))
    if isinstance(operation, ops.Adjoint):
        return _adjoint(matrix_of(operation.base))
    if kind in (ops.Controlled, ops.ControlledOp, qml.ControlledQubitUnitary):
        return _controlled(matrix_of(operation.base), operation.control_values)
    if isinstance(operation, ops.Pow):
        return _power(matrix_of(operation.base), operation.z)
    if isinstance(operation, ops.Exp):
        base = matrix_of(operation.base).to(torch.complex128)
        return torch.linalg.matrix_exp(operation.coeff * base)
    if isinstance(operation, ops.SProd):
        return operation.scalar * matrix_of(operation.base)
    if isinstance(operation, ops.LinearCombination):
        terms = [c * on_wires(matrix_of(o), o.wires, operation.wires) for c, o in zip(*operation.terms(), strict=True)]
        return torch.stack([term.to(torch.complex128) for term in terms]).sum(0)
    if isinstance(operation, (ops.Prod, ops.Sum)):
        return _composed(operation)
    return torch.as_tensor(qml.matrix(operation, wire_order=operation.wires))


def matrix_or_reason(operation: qml.operation.Operator) -> Tensor:
    """The matrix of an operation.

    Raises:
        ConfigError: there is none.
    """
    try:
        return matrix_of(operation)
    except QlabError:
        raise
    except Exception as error:
        raise refused(error, operation.name) from error


def on_wires(matrix: Tensor, wires: Sequence[Any], all_wires: Sequence[Any]) -> Tensor:
    """A matrix on some wires as one on more of them, in their order."""
    wires, all_wires = list(wires), list(all_wires)
    rest = [wire for wire in all_wires if wire not in wires]
    wide = torch.kron(matrix, torch.eye(2 ** len(rest), dtype=matrix.dtype, device=matrix.device))
    order = [[*wires, *rest].index(wire) for wire in all_wires]
    n = len(all_wires)
    permuted = wide.reshape([2] * (2 * n)).permute(*order, *(n + axis for axis in order))
    return permuted.reshape(2**n, 2**n)


def _controlled(base: Tensor, control_values: Sequence[Any]) -> Tensor:
    """The base where all controls have their values, else the identity."""
    on = torch.zeros(2 ** len(control_values), dtype=base.dtype, device=base.device)
    position = int("".join("1" if value else "0" for value in control_values) or "0", 2)
    on = torch.nn.functional.one_hot(torch.tensor(position, device=base.device), len(on)).to(base.dtype)
    eye = torch.eye(len(base), dtype=base.dtype, device=base.device)
    return torch.kron(torch.diag(1 - on), eye) + torch.kron(torch.diag(on), base)


def _power(base: Tensor, exponent: Any) -> Tensor:
    """An integer power by multiplication, any other in the base's eigenbasis, by principal logarithms."""
    if isinstance(exponent, int):
        return torch.linalg.matrix_power(base if exponent >= 0 else _adjoint(base), abs(exponent))
    values, vectors = torch.linalg.eig(base.to(torch.complex128))
    return (vectors * torch.exp(exponent * torch.log(values))) @ torch.linalg.inv(vectors)


def _adjoint(matrix: Tensor) -> Tensor:
    # Not conj(): it is lazy, and vmap cannot take the imaginary part of what it returns.
    return (torch.complex(matrix.real, -matrix.imag) if matrix.is_complex() else matrix).mT.contiguous()


def _composed(operation: Any) -> Tensor:
    """A product or sum of operators."""
    parts = [on_wires(matrix_of(part).to(torch.complex128), part.wires, operation.wires) for part in operation.operands]
    if isinstance(operation, qml.ops.Sum):
        return torch.stack(parts).sum(0)
    product = parts[0]
    for part in parts[1:]:
        product = product @ part
    return product
