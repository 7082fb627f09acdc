"""The quantum model of the paper's released Hessian study: rows of RX and RY with a ring of CNOTs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from qlab.circuits import bonds
from qlab.deferred import Deferred
from qlab.models.qnn import PennyLaneQNN

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")


class CNOTQNN(PennyLaneQNN):
    """A variational quantum classifier of ``depth`` rows of RX and RY on every wire, each followed by CNOTs.

    The CNOTs go from every wire to the next, on a "chain" or a "ring" (``entangler``), or there are none. Unlike RZZ
    gates, they spread the light cone over the whole register. Everything else is as in PennyLaneQNN.
    """

    source: ClassVar[str] = "released code of arXiv:2508.02422, Hessian study"

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Two angles for every wire of every row."""
        return {"rotations": (self.depth, 2, self.n_wires)}

    def ansatz(self, **weights: Tensor) -> None:
        """RX, RY, CNOTs; the data again where a block begins."""
        for number, row in enumerate(weights["rotations"]):
            self.upload(number)
            for wire in range(self.n_wires):
                qml.RX(row[0, wire], wires=wire)
                qml.RY(row[1, wire], wires=wire)
            for pair in bonds(self.n_wires, self.entangler):
                qml.CNOT(wires=pair)
