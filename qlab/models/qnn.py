"""The quantum model: a variational circuit on data that are amplitudes or angles."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from qlab.circuits import Entangler, Recording, bonds, light_cone, rotation_rows
from qlab.circuits.cost import held_elements, largest_tensor
from qlab.circuits.engines import Device, Engine
from qlab.circuits.explained import explained
from qlab.circuits.heisenberg import HeisenbergEngine
from qlab.circuits.observables import ObservableName, named_observable
from qlab.circuits.qnode import QNodeEngine
from qlab.circuits.trained import TrainedCircuit
from qlab.circuits.uploads import Rotation, queue_upload, upload_places
from qlab.errors import DataError
from qlab.fields import AbsentMeans, NonNegativeInt, PositiveFloat, PositiveInt
from qlab.models.base import Precision
from qlab.models.circuit_weights import own_shapes, rows_of_circuit
from qlab.models.design import Design, EncodingName, Readout
from qlab.models.features import Features
from qlab.models.noisy import NoisyModel

if TYPE_CHECKING:
    import pennylane as qml


class PennyLaneQNN(NoisyModel):
    """A variational quantum classifier: logit = scale * <O>, with O = Z on the last wire by default.

    Features are the amplitudes of the initial state, 2^n of them for n qubits; they need not have unit norm (the
    expectation value then scales with the squared norm). Alternatively, each real feature rotates a qubit of its own by
    an angle (``encoding``). The ansatz is ``depth`` rows of RX, RY, RX on every wire, each followed by a row of RZZ.

    The readout depends only on its past light cone: of angle-encoded features, on those whose qubits are in it. On a
    chain, Z on the last wire sees as many of the last features as there are rows; on a ring, 2 depth - 1. A run says so
    before it trains ("sees 3 of 12 features"); with ``observable = "mean_Z"`` the readout sees all of them.

    If a task provides reduced density matrices, as ``TransverseIsing`` does, the light cone must lie within their
    sites. The register is then the chain; of a long chain only the first k and the last 2 k sites, as weights elsewhere
    could not reach the readout. Neither time nor the number of weights grows with the chain.

    Subclasses may override :meth:`weight_shapes` and :meth:`ansatz` with PennyLane operations, and :meth:`observable`;
    every device, the light cone included, then runs those. All unitary operations on qubits can be used, with or
    without weights: gates, their powers, products, adjoints and controlled versions; ``qml.evolve``, ``qml.exp``,
    ``TrotterProduct`` and the like; ``QubitUnitary`` and ``DiagonalQubitUnitary`` of trained matrices; and templates.
    The circuit must be the same for all weights and in each call: angles and matrices are computed by PyTorch, without
    ``if``, ``float()`` or NumPy on weights, and without random numbers. Noise channels are allowed among them, with
    plain numbers as strengths, in addition to those of the field ``noise``. Measurements, state preparations,
    observables as gates, qutrits and modes of light cannot be used. :meth:`build` refuses what cannot be trained,
    naming the line that queued it, and devices on which PennyLane computes a circuit or its gradient wrongly.

    Args:
        depth: number of rows.
        entangler: RZZ on an open "chain" of neighbours (the paper's text) or on a "ring" (its released code). With
            "none" nothing couples the qubits: the circuit is a rotation of each, and Z on the last wire sees only the
            state of the last qubit. This is the control for what entangling gates add.
        scale: factor between <O> and the logit.
        initial_scale: standard deviation of the initial weights.
        device: "lightcone" evaluates exactly, and only what the readout depends on; "default.qubit" (PyTorch
            backpropagation), "default.mixed" (the same on density matrices, which may have noise), "lightning.qubit"
            and "lightning.gpu" (adjoint differentiation) run the whole circuit as a PennyLane QNode.
        dtype: precision of parameters and training.
        encoding: how features become states: "amplitude" makes 2^n features a state of n qubits; x and -x are then the
            same state, so that classes on either side of zero look the same. "angle" uses one qubit for each real
            feature; any number of qubits (40, say) is then cheap as long as the light cone is small.
        rotation: the gate whose angle is a feature, "RX" or "RY".
        encoding_scale: angle in radians for a feature of 1.
        reupload: how often the angles enter: once before the ansatz (0 or 1), or also between its rows (data
            re-uploading, arXiv:1907.02085). The rows are divided into that many blocks, as evenly as possible, longer
            ones first, each after an upload. Needs the states of the qubits in the light cone, at most 20 (with noise
            at most 8), and a step costs as many times that of a circuit without uploads as it has rows.
        observable: what is measured: Z on the last wire, the mean of Z over all wires, or Z Z on the last two.
        readout: "fixed" is logit = scale * <O>; with "affine" the factor and an offset are trained, starting from scale
            and 0.
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
        encoding: Annotated[EncodingName, AbsentMeans("amplitude")] = "amplitude",
        rotation: Annotated[Rotation, AbsentMeans("RY")] = "RY",
        encoding_scale: Annotated[PositiveFloat, AbsentMeans(1.0)] = 1.0,
        reupload: Annotated[NonNegativeInt, AbsentMeans(0)] = 0,
        observable: Annotated[ObservableName, AbsentMeans("Z_last")] = "Z_last",
        readout: Annotated[Readout, AbsentMeans("fixed")] = "fixed",
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
        self._design = Design(
            type(self).__name__, encoding, rotation, float(encoding_scale), reupload, observable, readout, depth
        )

    def weight_shapes(self) -> Mapping[str, int | Sequence[int]]:
        """The shape of each weight, by the name under which :meth:`ansatz` receives it; n stands for (n,)."""
        rotations = {"rotations": (self.depth, 3, self.n_wires)}
        if self.entangler == "none":
            return rotations
        return {**rotations, "couplings": (self.depth, len(bonds(self.n_wires, self.entangler)))}

    def ansatz(self, **weights: Tensor) -> None:
        """Queues the circuit's operations on wires ``0 .. n_wires - 1``; returns nothing."""
        pairs = bonds(self.n_wires, self.entangler)
        rotation_rows(weights["rotations"], weights.get("couplings"), pairs, before_row=self.upload)

    def observable(self) -> qml.operation.Operator:
        """What is measured, a PennyLane operator on wires ``0 .. n_wires - 1``: a Pauli word, or a real sum of some.

        The light cone is that of all terms, or each term has its own where that is cheaper.
        """
        return named_observable(self._design.observable, self.n_wires).operator()

    def upload(self, row: int) -> None:
        """Queues the data again if a block begins with a row of the ansatz (``reupload``); else does nothing.

        An ansatz of one's own calls it before each row; without it, ``reupload`` is refused.

        Args:
            row: counted from 0; before row 0 the data are there already.
        """
        if row in self._design.uploads:
            queue_upload(self.n_wires, self._design.rotation)

    def encoding_places(self) -> list[qml.operation.Operator]:
        """Places for features that are angles, before the ansatz; none for amplitudes."""
        return upload_places(self.n_wires, self._design.rotation) if self._design.encoding == "angle" else []

    def setup(self, features: Features) -> None:
        """Creates the weights and the engine that evaluates the circuit.

        Raises:
            DataError: the features do not fit the encoding: not 2^n amplitudes, or no real angles.
            ConfigError: the shapes, the ansatz or the observable cannot be used, or not on this device.
        """
        self.n_wires = self._design.n_wires(features)
        self._encoding = self._design.encoder(self.n_wires, features.block)
        shapes = own_shapes(self, self.weight_shapes())
        own = type(self).observable is not PennyLaneQNN.observable
        measured = self._design.measured(type(self), self.observable, own, self.n_wires)
        noise = self.noise_of(self.n_wires, self.device, measured)
        recording = Recording(self.ansatz, shapes, self.n_wires, noise)
        self.check_noise(noise, recording)
        self._design.check_uploads(type(self), recording)
        self._names = tuple(shapes)
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape, dtype=self.dtype)))
        if self._design.readout == "affine":
            self.readout_scale = nn.Parameter(torch.empty((), dtype=self.dtype))
            self.readout_offset = nn.Parameter(torch.empty((), dtype=self.dtype))
        measured = self.measured_with_errors(noise, measured)
        self.cone = light_cone(recording.gates, measured)
        self._reached = recording.reached(self.cone.gates)
        self.engine: Engine = self.engine_for(self.device, recording, measured, self._encoding, noise)
        self.check_shots(recording, self.cone)
        self.supports_vmap = self.device == "lightcone" and recording.batches
        self.batch_rows = bool(self.engine.batch_rows)

    @property
    def engine_name(self) -> str:
        """Which engine evaluates the circuit, why, and how many features it sees: for logs and ``qlab run``."""
        if isinstance(self.engine, QNodeEngine):
            found = f"PennyLane {self.device}"
        else:
            block = None if self.features is None else self.features.block
            found = explained(self.engine, self.cone, self.n_wires if block is None else block.length)
        seen = len(self.cone.wires)
        every = [f"sees all {seen} features"] if self.may_remark and seen == self.n_wires else []
        return "; ".join([found, *self.remarks(), *every])

    @property
    def may_remark(self) -> bool:
        """With angle encoding."""
        return self._design.encoding == "angle"

    def remarks(self) -> list[str]:
        """What should be known before it is trained: that the readout does not see all features."""
        seen = len(self.cone.wires)
        unseen = self._encoding.product and seen < self.n_wires
        return [f"sees {seen} of {self.n_wires} features"] if unseen else []

    def circuit(self, *, cone: bool = False) -> TrainedCircuit:
        """The circuit with the weights as they are now, for use outside of qlab: QNode, OpenQASM, text.

        Args:
            cone: whether to leave out all that the readout does not depend on.

        Raises:
            DataError: the model has not been built.
        """
        if self.features is None:
            raise DataError(f"{type(self).__name__} has no circuit yet; build it, or take a trained one.")
        noise = self.noise_of(self.n_wires, self.device, self._measured)
        recording = Recording(self.ansatz, self.weight_shapes(), self.n_wires, noise)
        flat = self.flat_weights().detach().cpu().double()
        made = TrainedCircuit.of(recording, flat, self._encoding, self.cone.observable, self.cone if cone else None)
        trained = self.readout_values() if self._design.readout == "affine" else None
        return dataclasses.replace(made, logit=self._design.logit_in_words(self.scale, trained))

    def readout_values(self) -> tuple[float, float]:
        """Factor and offset between <O> and the logit, as they are now."""
        if self._design.readout == "fixed":
            return self.scale, 0.0
        return float(self.readout_scale.detach()), float(self.readout_offset.detach())

    def flat_weights(self) -> Tensor:
        """All weights of the ansatz in one vector ``[n_weights]``, as the engine takes them."""
        return torch.cat([getattr(self, name).reshape(-1) for name in self._names])

    def evolved_observable(self) -> Tensor | None:
        """Of U^dagger O U on the wires of the light cone; None on devices that do not compute it."""
        with torch.no_grad():
            return self.observable_at({name: self.get_parameter(name) for name in self._names})

    def observable_at(self, weights: Mapping[str, Tensor]) -> Tensor | None:
        """See the base class."""
        engine = self.engine
        if not isinstance(engine, HeisenbergEngine) or len(engine.cones) > 1:
            return None
        return engine.observable(torch.cat([weights[name].reshape(-1) for name in self._names]))

    def to_qnode(self, device: Any = None, *, cone: bool = False, **options: Any) -> qml.QNode:
        """A QNode of features, a row ``[d]`` or rows ``[N, d]``, that returns <O>.

        The logit is ``scale`` times that; with ``readout = "affine"`` it is ``readout_scale`` times that plus
        ``readout_offset``, both parameters of the model. The QNode needs nothing of qlab's. Amplitudes are normalised
        first, since no device prepares others: for features of another norm the model's <O> is the squared norm times
        the QNode's.

        Args:
            device: a PennyLane device, or the name of one: "lightning.qubit", "qiskit.aer" (extra ``qiskit``), ...; by
                default "default.qubit", or "default.mixed" for a circuit with noise.
            cone: whether to run the qubits of the light cone alone (angle encoding).
            options: of ``qml.QNode``, such as ``shots=1000``.
        """
        return self.circuit(cone=cone).qnode(device, **options)

    def _landscape_fields(self) -> dict[str, Any]:
        """Landscapes use the light cone: the adjoint method's second derivatives would be wrong, silently."""
        return {"device": "lightcone"}

    def reached_parameters(self) -> Tensor | None:
        """Weights of gates in the light cone, and whatever is trained of the readout."""
        if type(self).forward is not PennyLaneQNN.forward or self._reached is None:
            return None
        others = self.n_parameters() - len(self._reached)
        return torch.cat([self._reached, torch.ones(others, dtype=torch.bool)])

    @property
    def twice_differentiable(self) -> bool:
        """False where the adjoint method differentiates: its second derivatives would be wrong, silently."""
        return not self.device.startswith("lightning")

    def parameter_layers(self) -> dict[str, Tensor]:
        """Rows of the circuit, of those weights whose first axis is the depth; other weights by name."""
        return rows_of_circuit(self._positions(), self.depth)

    def elements(self) -> int:
        """Pauli coefficients of the observable, or amplitudes of a batch of 32 states."""
        return largest_tensor(self.engine)

    def held_elements(self, rows: int, *, gradient: bool) -> int:
        """The observable after each block of gates, or the state after each stage of the circuit or gate of a QNode."""
        held = held_elements(self.engine, rows, gradient=gradient, gates=self.depth * self.n_wires)
        return held + (self.held_by_shifts(rows) if gradient else 0)

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator) -> None:
        """Weights from N(0, initial_scale^2); an affine readout begins as the fixed one."""
        for name in self._names:
            weight = self.get_parameter(name)
            drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            weight.copy_(drawn * self.initial_scale)
        if self._design.readout == "affine":
            self.readout_scale.fill_(self.scale)
            self.readout_offset.zero_()

    def prepare(self, x: Tensor) -> Tensor:
        """What the engine needs of the data; for a light cone the Pauli expectation values on it, ``[N, 4^k]``."""
        return self.engine.prepare(self.checked_rows(x)).to(self.dtype)

    def checked_rows(self, x: Tensor) -> Tensor:
        """Features ``[N, d]`` of the kind that the model was built for.

        Raises:
            DataError: they are not as many.
        """
        if self.features is not None and self.features.block is not None:
            self.features.block.check_width(type(self).__name__, x.shape[1])
            return x
        expected, what = (self.n_wires, "angles") if self._encoding.product else (2**self.n_wires, "amplitudes")
        if x.shape[1] != expected:
            raise DataError(
                f"{type(self).__name__} was built for {expected} {what}, got {x.shape[1]}; build it for this data set."
            )
        # The layout of prepared states follows the dtype: one for all of a data set.
        return x.to(torch.complex128) if self.features is not None and self.features.is_complex else x

    def forward(self, prepared: Tensor) -> Tensor:
        """Logits ``[N]``."""
        flat = self.flat_weights()
        values = self.expectation(flat, prepared)
        affine = self._design.readout == "affine"
        logits = self.readout_scale * values + self.readout_offset if affine else self.scale * values
        if not any(gate.trained for gate in self.cone.gates):
            logits = logits + 0.0 * flat.sum()  # a readout that no weight reaches has zero gradients, not none
        return logits
