"""What surrounds the ansatz of a quantum model: how data enter, what is measured, and how that becomes a logit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, get_args

from qlab import own_code
from qlab.circuits import Recording
from qlab.circuits.blocks import Block, ReducedStates
from qlab.circuits.encodings import Amplitudes, Angles, Encoding
from qlab.circuits.observables import ObservableName, PauliSum, named_observable, observable_of
from qlab.circuits.uploads import Rotation, data_rows
from qlab.errors import ConfigError, DataError
from qlab.models.features import Features

EncodingName = Literal["amplitude", "angle"]
Readout = Literal["fixed", "affine"]


@dataclasses.dataclass(frozen=True)
class Design:
    """The fields of a quantum model besides those of its ansatz; see :class:`qlab.models.PennyLaneQNN`.

    Args:
        owner: the name of the model's class, for messages.
        encoding: of features.
        rotation: of angle encoding.
        encoding_scale: of angle encoding.
        reupload: how often features enter.
        observable: by name.
        readout: from expectation value to logit.
        depth: rows of the ansatz.
    """

    owner: str
    encoding: EncodingName
    rotation: Rotation
    encoding_scale: float
    reupload: int
    observable: ObservableName
    readout: Readout
    depth: int

    def __post_init__(self) -> None:
        choices = {"encoding": EncodingName, "rotation": Rotation, "observable": ObservableName, "readout": Readout}
        for name, accepted in choices.items():
            if getattr(self, name) not in get_args(accepted):
                listed = ", ".join(f'"{choice}"' for choice in get_args(accepted))
                raise ConfigError(f"{self.owner}: {name}: got {getattr(self, name)!r}, accepts one of {listed}.")
        if self.encoding == "amplitude":
            idle = {"rotation": "RY", "encoding_scale": 1.0, "reupload": 0}
            used = [name for name, value in idle.items() if getattr(self, name) != value]
            if used and not (used == ["reupload"] and self.reupload == 1):
                raise ConfigError(
                    f'{self.owner}: {used[0]} belongs to encoding = "angle" and does nothing with amplitudes; set '
                    "that, or leave it out."
                )
        if self.reupload > self.depth:
            raise ConfigError(
                f"{self.owner}: reupload: got {self.reupload}, accepts at most depth = {self.depth}: each upload is "
                "followed by at least one row."
            )

    @property
    def uploads(self) -> frozenset[int]:
        """The rows before which data are uploaded again: all first rows of blocks but the very first.

        ``depth`` rows make ``reupload`` blocks as even as possible, longer ones first.
        """
        blocks = max(1, self.reupload)
        size, longer = divmod(self.depth, blocks)
        return frozenset(block * size + min(block, longer) for block in range(1, blocks))

    def n_wires(self, features: Features) -> int:
        """The qubits that features take.

        Raises:
            DataError: they do not fit the encoding.
        """
        n = features.dimension
        if features.block is not None:
            if self.encoding != "amplitude":
                raise DataError(
                    f'{self.owner}: encoding: got "{self.encoding}" for reduced density matrices of '
                    f"{features.block.words}, which are those of states already; leave it out."
                )
            features.block.check_width(self.owner, n)
            return len(features.block.register)
        if self.encoding == "angle":
            if features.is_complex:
                raise DataError(
                    f'{self.owner}: encoding = "angle" takes real features, and these are complex; use encoding = '
                    '"amplitude", or a task with real features (moduli, or real and imaginary parts side by side).'
                )
            if n < 1:
                raise DataError(f'{self.owner}: encoding = "angle" takes at least one feature, got none.')
            return n
        n_wires = n.bit_length() - 1
        if n_wires < 1 or 2**n_wires != n:
            raise DataError(
                f"{self.owner} encodes features as amplitudes of qubits and takes 2^n of them, got {n}; pad them with "
                f'zeros to {2 ** (n_wires + 1)}, or use encoding = "angle", one qubit for each feature. The tasks '
                "Table and Sklearn have pad = true, normalize = true and reduce for this."
            )
        return n_wires

    def logit_in_words(self, scale: float, trained: tuple[float, float] | None) -> str:
        """The logit as a formula of the expectation value, with factor and offset if they are trained."""
        factor, offset = (scale, 0.0) if trained is None else trained
        added = "" if trained is None else f" {'-' if offset < 0 else '+'} {abs(offset):.12g}"
        return f"{factor:.12g} * value{added}"

    def encoder(self, n_wires: int, block: Block | None = None) -> Encoding:
        """What turns features into states."""
        if block is not None:
            return ReducedStates(block)
        if self.encoding == "amplitude":
            return Amplitudes(n_wires)
        return Angles(n_wires, self.rotation, self.encoding_scale)

    def check_uploads(self, cls: type, recording: Recording) -> None:
        """Whether an ansatz uploads the data as often as the fields say.

        Raises:
            ConfigError: it does not.
        """
        rows = data_rows([gate.operation for gate in recording.gates], recording.n_wires)
        if rows != len(self.uploads):
            raise ConfigError(
                f"{own_code.method(cls, 'ansatz')}: reupload = {self.reupload} takes {len(self.uploads)} uploads in "
                f"the ansatz besides the one before it, and there are {rows}: call self.upload(row) before each of the "
                "rows 0 to depth - 1, which does it where a block begins; or leave reupload out."
            )

    def measured(self, cls: type, method: Callable[[], Any], own: bool, n_wires: int) -> PauliSum:
        """What a model measures.

        Args:
            cls: the model's class.
            method: its method ``observable``.
            own: whether that overrides qlab's.
            n_wires: the size of the register.

        Raises:
            ConfigError: it cannot be measured.
        """
        if not own:
            return named_observable(self.observable, n_wires)
        who = own_code.method(cls, "observable")
        if self.observable != "Z_last":
            raise ConfigError(
                f'{who} says what is measured, and the field observable = "{self.observable}" too; leave the field out.'
            )
        return observable_of(own_code.calling(who, method), n_wires, who)
