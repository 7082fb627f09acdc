"""The quantum model: a variational circuit on amplitude-encoded data."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from qlab.circuits import (
    Entangler,
    HeisenbergEngine,
    Recording,
    StatevectorEngine,
    bonds,
    light_cone,
    rotation_rows,
)
from qlab.deferred import Deferred
from qlab.errors import DataError, MissingExtraError
from qlab.fields import PositiveFloat, PositiveInt
from qlab.models.base import Features, Model, Precision

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")

Device = Literal["lightcone", "default.qubit", "lightning.qubit", "lightning.gpu"]

_EXTRAS = {"lightning.gpu": "gpu"}


class PennyLaneQNN(Model):
    """A variational quantum classifier: logit = scale * <Z> on the last wire.

    Features are the amplitudes of the initial state; they need not have unit norm (the expectation value then
    scales with the squared norm). The ansatz is ``depth`` rows of RX, RY, RX on every wire, each followed by
    a row of RZZ.

    Subclasses may override :meth:`weight_shapes` and :meth:`ansatz` with any PennyLane operations; every
    device, the light cone included, then runs those.

    Args:
        depth: number of rows.
        entangler: RZZ on an open "chain" of neighbours (the paper's text) or on a "ring" (its released code).
        scale: factor between <Z> and the logit.
        initial_scale: standard deviation of the initial weights.
        device: "lightcone" evaluates only what the readout depends on, exactly; "default.qubit" (PyTorch
            backpropagation), "lightning.qubit" and "lightning.gpu" (adjoint differentiation) run the whole
            circuit as a PennyLane QNode.
        dtype: precision of parameters and training.
    """

    formula: ClassVar[str] = "z = scale * <x| U(theta)^dagger Z_last U(theta) |x>"
    source: ClassVar[str] = "arXiv:2508.02422, Methods and Fig. 4"

    def __init__(
        self,
        *,
        depth: PositiveInt = 4,
        entangler: Entangler = "chain",
        scale: PositiveFloat = 5.0,
        initial_scale: PositiveFloat = 0.01,
        device: Device = "lightcone",
        dtype: Precision = "float64",
        **fields: Any,
    ) -> None:
        super().__init__(
            depth=depth,
            entangler=entangler,
            scale=scale,
            initial_scale=initial_scale,
            device=device,
            dtype=dtype,
            **fields,
        )
        self.depth: int = depth
        self.entangler: Entangler = entangler
        self.scale = float(scale)
        self.initial_scale = float(initial_scale)
        self.device: Device = device

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each weight, by the name under which :meth:`ansatz` receives it."""
        pairs = bonds(self.n_wires, self.entangler)
        return {"rotations": (self.depth, 3, self.n_wires), "couplings": (self.depth, len(pairs))}

    def ansatz(self, **weights: Tensor) -> None:
        """Queues the circuit's operations on wires ``0 .. n_wires - 1``."""
        rotation_rows(weights["rotations"], weights["couplings"], bonds(self.n_wires, self.entangler))

    def setup(self, features: Features) -> None:
        """Creates the weights and the engine that evaluates the circuit."""
        self.n_wires = features.dimension.bit_length() - 1
        if self.n_wires < 1 or 2**self.n_wires != features.dimension:
            raise DataError(
                f"{type(self).__name__} encodes features as amplitudes of qubits and takes 2^n of them, got "
                f"{features.dimension}; pad them with zeros to {2 ** (self.n_wires + 1)}."
            )
        shapes = self.weight_shapes()
        self._names = tuple(shapes)
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape, dtype=self.dtype)))
        recording = Recording(self.ansatz, shapes, self.n_wires)
        self.cone = light_cone(recording.gates, self.n_wires - 1)
        if self.device == "lightcone":
            engine = HeisenbergEngine if self._heisenberg_is_cheaper() else StatevectorEngine
            self.engine: HeisenbergEngine | StatevectorEngine | QNodeEngine = engine(recording, self.cone)
        else:
            self.engine = QNodeEngine(self.ansatz, recording, self.device)
        self.supports_vmap = self.device == "lightcone"
        self.batch_rows = bool(self.engine.batch_rows)

    @property
    def engine_name(self) -> str:
        """Which engine evaluates the circuit, and why: for logs and ``qlab run``."""
        inside = f"light cone of {len(self.cone.wires)} of {self.n_wires} qubits, {len(self.cone.gates)} gates"
        if isinstance(self.engine, HeisenbergEngine):
            return f"observable evolved on the {inside}"
        if isinstance(self.engine, StatevectorEngine):
            return f"statevector, cheaper here than the {inside}"
        return f"PennyLane {self.device}"

    def _landscape_fields(self) -> dict[str, Any]:
        """Landscapes use the light cone: the adjoint method's second derivatives would be wrong, silently."""
        return {"device": "lightcone"}

    def parameter_layers(self) -> dict[str, Tensor]:
        """Rows of the circuit, of those weights whose first axis is the depth; other weights by name."""
        found: dict[str, list[Tensor]] = {}
        for name, place in self._positions().items():
            by_row = place.ndim > 0 and place.shape[0] == self.depth
            parts = {f"row {row + 1}": place[row] for row in range(self.depth)} if by_row else {name: place}
            for label, part in parts.items():
                found.setdefault(label, []).append(part.reshape(-1))
        return {label: torch.cat(parts) for label, parts in found.items()}

    def elements(self) -> int:
        """Pauli coefficients of the observable, or amplitudes of a batch of 32 states."""
        return 4 ** len(self.cone.wires) if isinstance(self.engine, HeisenbergEngine) else 32 * 2**self.n_wires

    def held_elements(self, rows: int, *, gradient: bool) -> int:
        """The observable after each block of gates, or the state after each stage of the circuit or gate of a QNode."""
        if isinstance(self.engine, HeisenbergEngine):
            blocks = len(self.engine.unitaries.blocks) if gradient else 2
            return 3 * blocks * 4 ** len(self.cone.wires) + 2 * rows
        kept = len(self.engine.stages) if isinstance(self.engine, StatevectorEngine) else self.depth * self.n_wires
        # A state before and after it is rearranged for a stage.
        return rows * 2 ** (self.n_wires + 1) * (4 + (2 * kept if gradient else 0))

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator) -> None:
        """Weights from N(0, initial_scale^2)."""
        for name in self._names:
            weight = self.get_parameter(name)
            drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            weight.copy_(drawn * self.initial_scale)

    def prepare(self, x: Tensor) -> Tensor:
        """What the engine needs of the states; for a light cone the Pauli expectation values on it, ``[N, 4^k]``."""
        if x.shape[1] != 2**self.n_wires:
            raise DataError(
                f"{type(self).__name__} was built for {2**self.n_wires} amplitudes, got {x.shape[1]}; build it "
                "for this data set."
            )
        if self.features is not None and self.features.is_complex:
            x = x.to(torch.complex128)  # the layout of prepared states follows the dtype: one for all of a data set
        return self.engine.prepare(x).to(self.dtype)

    def forward(self, prepared: Tensor) -> Tensor:
        """Logits ``[N]``."""
        flat = torch.cat([getattr(self, name).reshape(-1) for name in self._names])
        logits = self.scale * self.engine(flat, prepared)
        if not any(gate.slots for gate in self.cone.gates):
            logits = logits + 0.0 * flat.sum()  # a readout that no weight reaches has zero gradients, not none
        return logits

    def _heisenberg_is_cheaper(self) -> bool:
        """Whether evolving 4^k real coefficients costs less than a batch of 32 complex states of 2^n amplitudes."""
        per_gate_observable = 4 ** len(self.cone.wires) * 16
        per_gate_states = 32 * 2**self.n_wires * 4 * 4
        return per_gate_observable <= per_gate_states


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
