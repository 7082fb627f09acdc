"""The control for training a circuit: a circuit drawn at random and kept, of which a linear readout is trained."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from qlab.circuits import Entangler, Recording
from qlab.circuits.every_z import EveryZ
from qlab.circuits.observables import PauliSum
from qlab.circuits.trained import TrainedCircuit
from qlab.circuits.uploads import Rotation
from qlab.fields import AbsentMeans, NonNegativeInt, PositiveFloat, PositiveInt
from qlab.models.base import Model, Precision
from qlab.models.design import EncodingName
from qlab.models.features import Features
from qlab.models.known_values import KnownValues
from qlab.models.qnn import PennyLaneQNN
from qlab.models.rows import take_rows


class RandomQNN(PennyLaneQNN):
    """Random features from a circuit: only a linear readout of all its qubits is trained, and nothing of the circuit
    itself.

    This is a quantum extreme learning machine. The circuit is that of PennyLaneQNN. All of its angles are drawn from
    U[-pi, pi) by the trial's seed and stay as they are, also in unlearning; they are part of the checkpoint. What is
    trained are the n + 1 numbers of the readout, in which the logit is linear, so that the landscape of cross-entropy
    is convex. Compared with the trained circuit, it shows how much of a result is due to training the circuit.

    Subclasses may override :meth:`weight_shapes` and :meth:`ansatz`, as for PennyLaneQNN.

    Args:
        depth: number of rows.
        entangler: RZZ on an open "chain" of neighbours, on a "ring", or "none".
        initial_scale: standard deviation of the readout's initial weights; its offset starts at 0.
        dtype: precision of parameters and training.
        encoding: how features become states, as in PennyLaneQNN.
        rotation: the gate whose angle is a feature, "RX" or "RY".
        encoding_scale: angle in radians of a feature of 1.
        reupload: how often angles enter, as in PennyLaneQNN.
    """

    formula: ClassVar[str] = "z = sum_i w_i <x| U^dagger Z_i U |x> + b, angles of U ~ U[-pi, pi) and fixed"
    source: ClassVar[str] = "quantum extreme learning machines: Mujal et al., arXiv:2102.11831"

    trains_angles: ClassVar[bool] = False

    def __init__(
        self,
        *,
        depth: PositiveInt = 4,
        entangler: Entangler = "chain",
        initial_scale: PositiveFloat = 0.01,
        dtype: Precision = "float64",
        encoding: Annotated[EncodingName, AbsentMeans("amplitude")] = "amplitude",
        rotation: Annotated[Rotation, AbsentMeans("RY")] = "RY",
        encoding_scale: Annotated[PositiveFloat, AbsentMeans(1.0)] = 1.0,
        reupload: Annotated[NonNegativeInt, AbsentMeans(0)] = 0,
    ) -> None:
        super().__init__(
            depth=depth,
            entangler=entangler,
            initial_scale=initial_scale,
            dtype=dtype,
            encoding=encoding,
            rotation=rotation,
            encoding_scale=encoding_scale,
            reupload=reupload,
            observable="mean_Z",  # its light cone is that of all readouts
        )

    def setup(self, features: Features) -> None:
        """Creates the circuit's weights, which take no gradient, and the readout."""
        super().setup(features)
        for name in self._names:
            self.get_parameter(name).requires_grad_(False)
        self.readouts = EveryZ(Recording(self.ansatz, self.weight_shapes(), self.n_wires), self._encoding)
        self.readout_weights = nn.Parameter(torch.empty(self.n_wires, dtype=self.dtype))
        self.readout_offset = nn.Parameter(torch.empty((), dtype=self.dtype))
        self.known_values = KnownValues(self.readouts)

    @property
    def engine_name(self) -> str:
        """How the readouts are evaluated: for logs and ``qlab run``."""
        way = "each on its light cone" if self.readouts.by_cones else "of evolved states"
        return f"{self.n_wires} readouts of a random circuit, {way}, once for each trial"

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator) -> None:
        """Angles from U[-pi, pi), the readout's weights from N(0, initial_scale^2), its offset 0."""
        for name in self._names:
            weight = self.get_parameter(name)
            drawn = torch.rand(weight.shape, generator=generator, dtype=torch.float64)
            weight.copy_(math.pi * (2.0 * drawn - 1.0))
        drawn = torch.randn(self.n_wires, generator=generator, dtype=torch.float64)
        self.readout_weights.copy_(drawn * self.initial_scale)
        self.readout_offset.zero_()

    def prepare(self, x: Tensor) -> Tensor:
        """What the readouts need of the data, ``[N, ...]``: no weights, which differ from trial to trial."""
        return self.readouts.prepare(self.checked_rows(x)).to(self.dtype)

    def forward(self, prepared: Tensor) -> Tensor:
        """Logits ``[N]``."""
        values: Tensor = self.readouts(self.flat_weights().detach(), prepared)
        return values @ self.readout_weights + self.readout_offset

    def logits_of_members(
        self, parameters: Mapping[str, Tensor], prepared: Tensor, *, shared: bool, rows: Tensor | None = None
    ) -> Tensor:
        """Expectation values are computed once for each circuit and data: they do not change in training."""
        if type(self).forward is not RandomQNN.forward:
            return super().logits_of_members(parameters, prepared, shared=shared, rows=rows)
        weights, offset = parameters["readout_weights"], parameters["readout_offset"]
        own = {name: parameters.get(name, self.get_parameter(name)[None]) for name in self._names}
        flat = torch.cat([part.detach().flatten(1) for part in own.values()], dim=1).expand(len(weights), -1)
        values = self.known_values.of(flat, prepared, shared=shared)
        if rows is not None:
            values = take_rows(values, rows, shared=False)
        return (values @ weights[:, :, None])[..., 0] + offset[:, None]

    def circuit(self, *, cone: bool = False) -> TrainedCircuit:
        """The circuit with its angles and the readout as they are now; its observable is sum_i w_i Z_i.

        Args:
            cone: whether to leave out all that the readout does not depend on.

        Raises:
            DataError: the model has not been built.
        """
        found = super().circuit(cone=cone)
        weights = self.readout_weights.detach().cpu().double().tolist()
        measured = PauliSum(tuple((weight, ((wire, "Z"),)) for wire, weight in enumerate(weights)))
        offset = float(self.readout_offset.detach())
        logit = self._design.logit_in_words(1.0, (1.0, offset))
        return dataclasses.replace(found, observable=measured, logit=logit)

    ordered_layers: bool = False  # the readout is one

    def reached_parameters(self) -> None:
        """All of the readout."""
        return None

    def parameter_layers(self) -> dict[str, Tensor]:
        """Weights and offset of the readout: what is trained."""
        return Model.parameter_layers(self)

    def elements(self) -> int:
        """Of the readouts, which is all that is evaluated in a step."""
        return self.n_parameters()

    def held_elements(self, rows: int, *, gradient: bool) -> int:
        """Expectation values and what becomes of them."""
        return 2 * rows * (self.n_wires + 1)

    def _landscape_fields(self) -> dict[str, Any]:
        return {}
