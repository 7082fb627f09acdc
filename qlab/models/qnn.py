"""The quantum model: a variational circuit on amplitude-encoded data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

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
from qlab.circuits.exact import exact_engine
from qlab.circuits.qnode import QNodeEngine, check_device
from qlab.circuits.weights import checked_shapes
from qlab.errors import ConfigError, DataError
from qlab.fields import PositiveFloat, PositiveInt
from qlab.models.base import Features, Model, Precision

Device = Literal["lightcone", "default.qubit", "lightning.qubit", "lightning.gpu"]


class PennyLaneQNN(Model):
    """A variational quantum classifier: logit = scale * <Z> on the last wire.

    Features are the amplitudes of the initial state; they need not have unit norm (the expectation value then
    scales with the squared norm). The ansatz is ``depth`` rows of RX, RY, RX on every wire, each followed by
    a row of RZZ.

    Subclasses may override :meth:`weight_shapes` and :meth:`ansatz` with PennyLane operations; every device, the
    light cone included, then runs those. All unitary operations on qubits can be used, with or without weights:
    gates, their powers, products, adjoints and controlled versions; ``qml.evolve``, ``qml.exp``, ``TrotterProduct``
    and the like; ``QubitUnitary`` and ``DiagonalQubitUnitary`` of trained matrices; and templates. The circuit must be
    the same for all weights and at each call: angles and matrices are computed by PyTorch, without ``if``, ``float()``
    or NumPy on weights, and without random numbers. Measurements, noise channels, state preparations, observables as
    gates, qutrits and modes of light cannot be used. :meth:`build` refuses what cannot be trained, with the line that
    queued it, and devices on which PennyLane computes a circuit or its gradient wrongly.

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

    def weight_shapes(self) -> Mapping[str, int | Sequence[int]]:
        """The shape of each weight, by the name under which :meth:`ansatz` receives it; n stands for (n,)."""
        pairs = bonds(self.n_wires, self.entangler)
        return {"rotations": (self.depth, 3, self.n_wires), "couplings": (self.depth, len(pairs))}

    def ansatz(self, **weights: Tensor) -> None:
        """Queues the circuit's operations on wires ``0 .. n_wires - 1``; returns nothing."""
        rotation_rows(weights["rotations"], weights["couplings"], bonds(self.n_wires, self.entangler))

    def setup(self, features: Features) -> None:
        """Creates the weights and the engine that evaluates the circuit.

        Raises:
            DataError: there are not 2^n features.
            ConfigError: the shapes or the ansatz cannot be used, or not on this device.
        """
        self.n_wires = features.dimension.bit_length() - 1
        if self.n_wires < 1 or 2**self.n_wires != features.dimension:
            raise DataError(
                f"{type(self).__name__} encodes features as amplitudes of qubits and takes 2^n of them, got "
                f"{features.dimension}; pad them with zeros to {2 ** (self.n_wires + 1)}."
            )
        shapes = self._shapes()
        recording = Recording(self.ansatz, shapes, self.n_wires)
        self._names = tuple(shapes)
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape, dtype=self.dtype)))
        self.cone = light_cone(recording.gates, self.n_wires - 1)
        if self.device == "lightcone":
            self.engine: HeisenbergEngine | StatevectorEngine | QNodeEngine = exact_engine(recording)
        else:
            check_device(recording, self.device)
            self.engine = QNodeEngine(self.ansatz, recording, self.device)
        self.supports_vmap = self.device == "lightcone" and recording.batches
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
        if not any(gate.trained for gate in self.cone.gates):
            logits = logits + 0.0 * flat.sum()  # a readout that no weight reaches has zero gradients, not none
        return logits

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the weights, checked.

        Raises:
            ConfigError: they are no shapes, have names that cannot be parameters, or hold nothing to train.
        """
        who = f"{type(self).__name__}.weight_shapes"
        shapes = checked_shapes(self.weight_shapes(), who)
        for name in shapes:
            if hasattr(self, name) and name not in self._parameters:
                raise ConfigError(f'{who}: "{name}" is an attribute of the model; give the weight another name.')
        if not sum(math.prod(shape) for shape in shapes.values()):
            raise ConfigError(
                f"{who}: got {shapes or 'no weights'}, so that there is nothing to train; give the circuit at least "
                'one weight: return {"angles": (self.n_wires,)}.'
            )
        return shapes
