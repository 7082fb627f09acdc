"""Any channel, by its Kraus matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import annotated_types as at
import numpy as np
from numpy.typing import NDArray

from qlab.deferred import Deferred
from qlab.errors import ConfigError
from qlab.noise.base import Channel

if TYPE_CHECKING:
    import pennylane as qml
else:
    qml = Deferred("pennylane")

Matrix = tuple[tuple[float, ...], ...]

_CLOSE = 1e-8


class QubitChannel(Channel):
    """Any channel on one or two qubits, by its Kraus matrices.

    Args:
        real: real parts of the Kraus matrices, 2 x 2 or 4 x 4: a list of matrices, each a list of rows.
        imaginary: imaginary parts, in the same shape; none stands for zero.
    """

    formula: ClassVar[str] = "rho' = sum_i K_i rho K_i^dagger, sum_i K_i^dagger K_i = 1"
    source: ClassVar[str] = "PennyLane's QubitChannel"

    real: Annotated[tuple[Matrix, ...], at.MinLen(1)]
    imaginary: tuple[Matrix, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        matrices = self.matrices()
        total = np.einsum("iab,iac->bc", matrices.conj(), matrices)
        off = float(np.abs(total - np.eye(len(total))).max())
        if not off <= _CLOSE:
            raise ConfigError(
                f"the Kraus matrices do not preserve traces: the sum of K^dagger K is off the identity by {off:.2g}; "
                f"accepts at most {_CLOSE:g}. Write numbers with all their digits."
            )

    @property
    def n_qubits(self) -> int:
        """One, or two for 4 x 4 matrices."""
        return len(self.real[0]) // 2

    def matrices(self) -> NDArray[np.complex128]:
        """The Kraus matrices, ``[m, 2^k, 2^k]``.

        Raises:
            ConfigError: they are no square matrices of 2 or 4 rows, or the parts differ in shape.
        """
        parts = [_array("real", self.real)]
        parts.append(_array("imaginary", self.imaginary) if self.imaginary else np.zeros_like(parts[0]))
        if parts[0].shape != parts[1].shape:
            raise ConfigError(
                f"imaginary: got matrices of the shape {list(parts[1].shape)}, accepts that of real, "
                f"{list(parts[0].shape)}."
            )
        return np.asarray(parts[0] + 1j * parts[1])

    def on(self, wires: tuple[int, ...]) -> qml.operation.Operator:
        """See the base class."""
        return qml.QubitChannel(list(self.matrices()), wires=wires)


def _array(name: str, matrices: tuple[Matrix, ...]) -> NDArray[np.float64]:
    sizes = {len(row) for matrix in matrices for row in matrix} | {len(matrix) for matrix in matrices}
    if sizes not in ({2}, {4}):
        raise ConfigError(f"{name}: accepts 2 x 2 matrices, or 4 x 4 matrices, all of one size: [[[1, 0], [0, 1]]].")
    return np.array(matrices, dtype=np.float64)
