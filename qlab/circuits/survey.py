"""What is found out about an ansatz before it is used: which gates it has, and what their parameters depend on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from qlab.circuits.channels import Adjoint, adjoint_of, is_channel
from qlab.circuits.operations import check, check_unitary, expand, matrix_or_reason, why_not
from qlab.circuits.places import at
from qlab.circuits.queueing import Ansatz, Interleave, Queued, attempt, queue_operations, refused
from qlab.deferred import Deferred
from qlab.errors import ConfigError, QlabError

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")

_VIEWS = (
    "Select", "Slice", "View", "UnsafeView", "ReshapeAlias", "Alias", "Unsqueeze", "Squeeze", "Unbind", "Split",
    "SplitWithSizes", "T", "Transpose", "Permute", "Expand", "Index", "Clone", "Stack", "Cat", "AsStrided",
)  # fmt: skip
"""Autograd nodes that move elements without changing them."""

_STEP = 1e-5
"""Of the finite differences that derivatives are held against."""


@dataclasses.dataclass(frozen=True)
class Placed:
    """A gate, and the operation of the ansatz that it is part of."""

    operation: qml.operation.Operator
    queued: Queued


@dataclasses.dataclass(frozen=True)
class Fact:
    """What a gate's parameters depend on.

    Args:
        values: of each parameter, at two points, first axis: point.
        tracked: for each parameter, whether it has a gradient.
        moved: for each parameter, whether it is an element of the weights, moved but not changed.
        trained: whether the gate's matrix has a gradient.
        constant: whether the gate is the same for all weights.
        channel: what it does to observables, if it is a noise channel.
    """

    values: list[Tensor]
    tracked: list[bool]
    moved: list[bool]
    trained: bool
    constant: bool
    channel: Adjoint | None = None

    @property
    def scalars(self) -> int:
        """How many parameters count among those of the circuit: all of them, if they are angles or not constant."""
        if self.channel is not None:
            return 0
        plain = all(value.ndim == 1 and not value.is_complex() for value in self.values)
        return len(self.values) if plain or not self.constant else 0


def placed(ansatz: Ansatz, weights: Mapping[str, Tensor], noise: Interleave | None = None) -> list[Placed]:
    """The gates of an ansatz, decomposed, and noise between them.

    Raises:
        ConfigError: it cannot be called, or an operation cannot be used; with the line that queued it.
    """
    found: list[Placed] = []
    for queued in attempt(ansatz, weights, places=True):
        operation = queued.operation
        reason = why_not(operation)
        if reason:
            raise ConfigError(f"{at(queued.place)}The ansatz contains {operation.name}, which {reason}.")
        try:
            parts = expand(operation)
        except Exception as error:
            raise _placed_error(refused(error, operation.name), queued.place) from error
        for part in parts:
            reason = why_not(part)
            if reason:
                raise ConfigError(f"{at(queued.place)}The ansatz contains {operation.name}: its {part.name} {reason}.")
            found.append(Placed(part, queued))
    if noise is None:
        return found
    known = {id(item.operation): item for item in found}
    try:
        with_noise = noise([item.operation for item in found])
    except QlabError:
        raise
    except Exception as error:  # in a function of PennyLane's noise models
        raise refused(error) from error
    return [known.get(id(part)) or Placed(part, Queued(part)) for part in with_noise]


def check_register(item: Placed, n_wires: int) -> None:
    """Raises ConfigError for a gate that is not on the register."""
    try:
        check(item.operation, n_wires)
    except ConfigError as error:
        raise _placed_error(error, item.queued.place) from None


def facts(tracked: Sequence[Placed], values: Sequence[list[Tensor]]) -> list[Fact]:
    """What the parameters of each gate depend on.

    Args:
        tracked: the gates at the first point, recorded with gradients.
        values: of the parameters of each gate, at two points.

    Raises:
        ConfigError: an ansatz is random, a gate is not unitary, or PennyLane loses its gradient.
    """
    found: list[Fact] = []
    unitary: set[object] = set()
    if len(tracked) != len(values):
        raise ConfigError(_RANDOM_GATES)
    for item, both in zip(tracked, values, strict=True):
        operation = item.operation
        first = parameters(operation)
        if not all(_same(one, two[0]) for one, two in zip(first, both, strict=True)):
            raise ConfigError(
                f"{at(item.queued.place)}{operation.name} gets other parameters at each call. {_RANDOM_GATES}"
            )
        grads = [value.requires_grad for value in first]
        trained = any(grads)
        if is_channel(operation):
            found.append(Fact(both, grads, [False] * len(first), False, True, _channel(item, both, trained)))
            continue
        kind = (type(operation), len(operation.wires), str(operation.hyperparameters))
        angles = all(value.ndim == 0 and not value.is_complex() for value in first)
        batched = operation.name in qml.ops.qubit.attributes.supports_broadcasting
        if not (angles and batched and kind in unitary):
            try:
                matrix = matrix_or_reason(operation)
                check_unitary(operation, matrix)
            except ConfigError as error:
                raise _placed_error(error, item.queued.place) from error
            if trained and not matrix.requires_grad:
                raise ConfigError(_lost(item.queued, operation))
            trained = matrix.requires_grad
            unitary.add(kind)
        constant = not trained and all(bool((value[0] == value[1]).all()) for value in both)
        found.append(Fact(both, grads, [_is_view(value) for value in first], trained, constant))
    return found


def _channel(item: Placed, values: Sequence[Tensor], trained: bool) -> Adjoint:
    """What a channel does to observables.

    Raises:
        ConfigError: it depends on weights, or is none.
    """
    name = item.operation.name
    if trained or not all(bool((value[0] == value[1]).all()) for value in values):
        raise ConfigError(
            f"{at(item.queued.place)}The strength of {name} depends on weights, and noise is not trained; give it "
            "plain numbers, such as a field of the model."
        )
    try:
        return adjoint_of(item.operation)
    except ConfigError as error:
        raise _placed_error(error, item.queued.place) from None


def check_derivatives(ansatz: Ansatz, named: Callable[[Tensor], dict[str, Tensor]], point: Tensor) -> None:
    """Whether gradients pass through the decompositions of operations: some of PennyLane's leave PyTorch on the way.

    Derivatives of an operation's gates are held against finite differences, unless the ansatz itself detaches weights.

    Raises:
        ConfigError: a gradient is lost.
    """
    direction = torch.rand(len(point), generator=torch.Generator().manual_seed(2), dtype=torch.float64) - 0.5
    flat = point.clone().requires_grad_()
    middle = _projections(ansatz, named(flat))
    above, below = (_projections(ansatz, named(point + sign * _STEP * direction)) for sign in (1, -1))
    for (queued, *here), (_, *high), (_, *low) in zip(middle, above, below, strict=True):
        slopes = []
        for value, up, down in zip(here, high, low, strict=True):
            exact = torch.zeros(())
            if value.requires_grad:
                [gradient] = torch.autograd.grad(value, flat, retain_graph=True)
                exact = gradient @ direction
            slopes.append((float(exact), float((up - down) / (2 * _STEP))))
        given, gates = slopes
        # Angles that the ansatz detaches are its own choice; PennyLane detaches matrices that it is given.
        own = not _close(*given) and all(value.ndim == 0 for value in parameters(queued.operation))
        if not own and not _close(*gates):
            raise ConfigError(_lost(queued, queued.operation))


def parameters(operation: qml.operation.Operator) -> list[Tensor]:
    """All parameters as tensors; Python numbers in double precision."""
    return [
        parameter
        if isinstance(parameter, Tensor)
        else torch.as_tensor(parameter.toarray() if hasattr(parameter, "toarray") else np.asarray(parameter))
        for parameter in operation.parameters
    ]


_RANDOM_GATES = (
    "The circuit must be the same at each call: no random numbers, no counters; draw numbers in setup and keep them."
)


def _lost(queued: Queued, operation: qml.operation.Operator) -> str:
    inner = f" (its {operation.name})" if operation is not queued.operation else ""
    return (
        f"{at(queued.place)}{queued.operation.name}{inner} cannot be trained: PennyLane leaves PyTorch there, "
        "and its gradient is lost. Give it plain numbers instead of weights, or queue the gates that it is made of."
    )


def _projections(ansatz: Ansatz, weights: Mapping[str, Tensor]) -> list[tuple[Queued, Tensor, Tensor]]:
    """For each operation of an ansatz a number that depends on all of its parameters, and one on all its gates."""
    found = []
    for queued in queue_operations(ansatz, weights, places=True):
        if is_channel(queued.operation):
            continue
        gates = expand(queued.operation)
        found.append(
            (queued, _project(parameters(queued.operation)), _project([matrix_or_reason(gate) for gate in gates]))
        )
    return found


def _project(tensors: Sequence[Tensor]) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for number, tensor in enumerate(tensors):
        turns = torch.arange(1, tensor.numel() + 1, dtype=torch.float64) * (number + 1)
        total = total + (tensor.reshape(-1).to(torch.complex128) * torch.exp(1j * turns)).real.sum()
    return total


def _close(exact: float, difference: float) -> bool:
    return not abs(exact - difference) > 1e-4 * max(1.0, abs(exact), abs(difference))  # NaN is not told from NaN


def _same(one: Tensor, two: Tensor) -> bool:
    one = one.detach()
    return one.shape == two.shape and torch.allclose(one, two.to(one.dtype), rtol=1e-9, atol=1e-12, equal_nan=True)


def _placed_error(error: ConfigError, place: str) -> ConfigError:
    text = str(error)
    return ConfigError(text if not place or text.startswith(place) else f"{at(place)}{text}")


def _is_view(parameter: Tensor) -> bool:
    """Whether a tensor is an element of the weights, moved but not changed."""
    if parameter.grad_fn is None:
        return False
    pending: list[Any] = [parameter.grad_fn]
    while pending:
        node = pending.pop()
        name = node.name().split("::")[-1]
        if name != "AccumulateGrad" and name.rstrip("0123456789").removesuffix("Backward") not in _VIEWS:
            return False
        pending.extend(parent for parent, _ in node.next_functions if parent is not None)
    return True
