"""Calling an ansatz: the PennyLane operations that it queues, and the line that queued each."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from qlab.circuits.places import (
    at,
    is_pennylanes,
    operation_of_error,
    place_of_caller,
    place_of_error,
    place_of_function,
)
from qlab.deferred import Deferred
from qlab.errors import ConfigError, QlabError

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")

Ansatz = Callable[..., Any]
"""Called with the weights by name; queues PennyLane operations."""

Interleave = Callable[[Sequence[Any]], list[Any]]
"""Given the gates of a circuit, in order, returns the same gates with noise channels among them."""

_VALUES = (
    "The circuit must be the same for all weights, and its angles computed by PyTorch: no if, float(), int(), .item() "
    "or NumPy function on weights; write torch.sin for np.sin and torch.where for if."
)
_RANDOM = "A circuit has no random numbers of its own; draw them in setup or from a fixed seed, and keep them."
_OUTSIDE = (
    "PennyLane looks at the values of its parameters there, outside of PyTorch, so they cannot be weights; give it "
    "plain numbers, or queue the gates that it is made of."
)


@dataclasses.dataclass(frozen=True)
class Queued:
    """An operation of an ansatz.

    Args:
        operation: as queued.
        place: the user's line that queued it, "" if not known.
    """

    operation: qml.operation.Operator
    place: str = ""


def queue_operations(ansatz: Ansatz, weights: Mapping[str, Tensor], *, places: bool = False) -> list[Queued]:
    """What an ansatz queues, given its weights.

    Raises:
        ConfigError: it measures, or returns what it should have queued.
    """
    queue = _placed_queue()() if places else qml.queuing.AnnotatedQueue()
    with queue:
        returned = ansatz(**weights)
    known = getattr(queue, "places", {})
    tape = qml.tape.QuantumScript.from_queue(queue)
    if tape.measurements:
        raise ConfigError(
            f"{at(known.get(id(tape.measurements[0]), ''))}An ansatz queues operations only; qlab measures the "
            f"observable itself, see its field and method. Leave out {_measurement(tape.measurements[0])}."
        )
    if places:
        _check_returned(returned, tape.operations, at(place_of_function(ansatz)))
    return [Queued(operation, known.get(id(operation), "")) for operation in tape.operations]


def refused(error: Exception, during: str = "", *, place: bool = True) -> ConfigError:
    """What to tell a user of an error that came up while operations were queued or evaluated.

    Args:
        error: somebody else's.
        during: the operation that was at hand, where it is known.
        place: whether to begin with the user's line.
    """
    line, package = place_of_error(error)
    during = during or operation_of_error(error)
    start = at(line) if place else ""
    said = " ".join(str(error).split("\n")[0].split())
    if "randomness" in said or "random operation" in said:
        return ConfigError(f"{start}The ansatz draws random numbers. {_RANDOM}")
    needs_values = any(
        sign in said
        for sign in (
            "vmap",
            "data pointer",
            "Can't call numpy()",
            "__array_wrap__",
            "Batching rule",
            "requires_grad=True to a scalar",
            "functorch",
        )
    )
    what = f"The ansatz could not be recorded{f': {during}' if during else ''}"
    if not needs_values:
        return ConfigError(f"{start}{what}: {type(error).__name__}: {said}")
    if "vmap" in said or "functorch" in said or "Batching rule" in said:
        said = said.split(". ")[0].removeprefix("vmap: ")
    if during or (package == "pennylane" and is_pennylanes(error)):
        return ConfigError(f"{start}{during or 'An operation'} cannot be used with weights here. {_OUTSIDE} ({said})")
    return ConfigError(f"{start}The ansatz looks at the value of a weight. {_VALUES} ({said})")


def attempt(ansatz: Ansatz, weights: Mapping[str, Tensor], *, places: bool = False) -> list[Queued]:
    """The same as :func:`queue_operations`.

    Raises:
        ConfigError: also for whatever else goes wrong.
    """
    try:
        return queue_operations(ansatz, weights, places=places)
    except QlabError:
        raise
    except Exception as error:
        raise refused(error) from error


@functools.cache
def _placed_queue() -> Any:
    """A queue that knows which line of the user's queued what; a class of PennyLane's, which is not loaded before."""

    class PlacedQueue(qml.queuing.AnnotatedQueue):  # type: ignore[misc]  # PennyLane has no types
        def __init__(self) -> None:
            super().__init__()
            self.places: dict[int, str] = {}

        def append(self, obj: Any, **kwargs: Any) -> None:
            super().append(obj, **kwargs)
            self.places[id(getattr(obj, "obj", obj))] = place_of_caller()

    return PlacedQueue


def _check_returned(returned: Any, operations: list[qml.operation.Operator], where: str) -> None:
    items = list(returned) if isinstance(returned, (list, tuple)) else [returned]
    flat = [part for item in items for part in (item if isinstance(item, (list, tuple)) else [item])]
    queued = {id(operation) for operation in operations}
    for item in flat:
        if isinstance(item, qml.operation.Operator):
            if id(item) not in queued and not operations:
                raise ConfigError(
                    f"{where}The ansatz returns {item.name} without queueing it; call qml.apply(operation) for "
                    "operations that were made elsewhere."
                )
        elif item is not None and not type(item).__module__.startswith("pennylane"):
            raise ConfigError(
                f"{where}The ansatz returns a {type(item).__name__}, which would be ignored: an ansatz queues "
                "operations, and qlab measures the observable itself. Leave out the return."
            )


def _measurement(measurement: Any) -> str:
    return f"qml.{getattr(measurement, '_shortname', None) or type(measurement).__name__}"
