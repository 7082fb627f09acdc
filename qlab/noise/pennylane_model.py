"""PennyLane's own noise models: conditions on gates, and functions that queue what goes wrong after them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qlab.circuits.channels import is_channel
from qlab.circuits.observables import PauliSum
from qlab.deferred import Deferred
from qlab.errors import ConfigError
from qlab.noise.placement import check_capable

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")


def is_noise_model(given: Any) -> bool:
    """Whether something is a ``qml.NoiseModel``; PennyLane is not loaded for it."""
    return any(cls.__module__.startswith("pennylane.") and cls.__name__ == "NoiseModel" for cls in type(given).__mro__)


@dataclasses.dataclass(frozen=True)
class NoiseModelPlacement:
    """The noise of a ``qml.NoiseModel`` in a circuit, as ``qml.noise.add_noise`` puts it there.

    Each condition is asked of each gate, and each function's operations follow the gate, in the order of the model; a
    function that queues the gate itself says by that what comes before it. Those of ``meas_map`` follow the last gate,
    if their condition holds for ``qml.expval`` of the observable.

    PennyLane's transform compares the gates' parameters with each other, which it cannot do while circuits are
    evaluated for many weights at once; hence the same in other words. Gates are those of the circuit after templates
    were decomposed; conditions and functions must not depend on the values of weights other than through angles.

    Args:
        owner: the name of the quantum model's class, for messages.
        model: the noise model.
        n_wires: the size of the register.
        observable: what is measured.
    """

    owner: str
    model: Any
    n_wires: int
    observable: PauliSum

    def __call__(self, gates: Sequence[qml.operation.Operator]) -> list[Any]:
        """The same gates with noise among them."""
        found: list[Any] = []
        with qml.QueuingManager.stop_recording():
            for gate in gates:
                before: list[Any] = []
                after: list[Any] = []
                for condition, function in self.model.model_map.items():
                    if not condition(gate):
                        continue
                    queued = self._queued(function, gate)
                    place = next((number for number, own in enumerate(queued) if _is_same(own, gate)), None)
                    before = (queued[:place] if place is not None else []) + before
                    after += queued if place is None else queued[place + 1 :]
                found += [*before, gate, *after]
            measured = qml.expval(self.observable.operator())
            for condition, function in self.model.meas_map.items():
                if condition(measured):
                    found += self._queued(function, measured)
        return found

    def check_device(self, device: str) -> None:
        """Whether a device can have the noise.

        Raises:
            ConfigError: it keeps pure states.
        """
        check_capable(self.owner, device)

    def measured(self, observable: PauliSum) -> PauliSum:
        """The observable as it is: PennyLane's errors of the readout are channels before it."""
        return observable

    def check(self, gates: Sequence[qml.operation.Operator]) -> None:
        """Whether there is any noise.

        Args:
            gates: the recorded circuit, with it.

        Raises:
            ConfigError: no condition holds for any gate, nor for the measurement.
        """
        own = [gate for gate in gates if not is_channel(gate)]
        with qml.QueuingManager.stop_recording():
            measured = qml.expval(self.observable.operator())
            held = any(condition(gate) for condition in self.model.model_map for gate in own)
            held = held or any(condition(measured) for condition in self.model.meas_map)
        if not held:
            names = ", ".join(sorted({str(gate.name) for gate in own}))
            raise ConfigError(
                f"{self.owner}: noise: no condition of the NoiseModel holds for a gate of the circuit, which has "
                f"{names} on wires 0 to {self.n_wires - 1}, nor for the measurement of its expectation value."
            )

    def _queued(self, function: Any, item: Any) -> list[Any]:
        with qml.queuing.AnnotatedQueue() as queue:
            function(item, **self.model.metadata)
        script = qml.tape.QuantumScript.from_queue(queue)
        if script.measurements:
            raise ConfigError(
                f"{self.owner}: noise: {_name(function)} of the NoiseModel queues a measurement; accepts gates and "
                "channels."
            )
        return list(script.operations)


def _is_same(one: Any, other: Any) -> bool:
    """Whether an operation is another, or made of the same parameters, which are not compared by value."""
    if one is other:
        return True
    alike = type(one) is type(other) and one.wires == other.wires and len(one.data) == len(other.data)
    return alike and all(mine is own for mine, own in zip(one.data, other.data, strict=True))


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", None) or inspect.getdoc(function) or function)
