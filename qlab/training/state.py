"""The state of a training under way: what it takes to go on as if nothing had happened."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from qlab.errors import DataError
from qlab.models.base import Model
from qlab.training.ensemble import Parameters

_FORMAT = 2

_READ = (1, 2)
"""States of format 1 are of Adam, the only optimizer there was; what came later is absent from them."""

_PARTS = ("parameters", "trajectory", "stopping", "best", "noise")

_MOMENTS = ("first_moments", "second_moments")

GENERATORS = "generators"
"""The name under which the states of generators of random numbers are kept."""

WRITING_SHARE = 0.02
"""Writing states takes at most this fraction of the time."""


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingState:
    """An ensemble between two epochs. All tensors are on the CPU; their first axis is that of the members.

    Args:
        epoch: how many epochs are done.
        steps: how many steps of the optimizer.
        parameters: by name.
        moments: the optimizer's running means, each by name of the parameter: Adam's of the gradients and of their
            squares, SGD's momentum.
        orders: states of the generators of batch orders, ``[members, bytes]``.
        history: metrics so far, ``[members, evaluations]``.
        evaluated: the epochs that were evaluated.
        trajectory: parameters at the snapshots so far, ``[members, snapshots, ...]``; empty if there are none.
        snapshots: the epochs of the snapshots so far.
        stopping: what is known of when each member stops, by name, ``[members]``; empty if none may before the end.
        best: the parameters that members keep which stop, by name: with early stopping the best so far.
        noise: states of the generators of the models' own random numbers, ``[members, bytes]`` under one name; empty if
            they draw none.
    """

    epoch: int
    steps: int
    parameters: Parameters
    moments: tuple[Parameters, ...]
    orders: Tensor
    history: dict[str, NDArray[np.float64]]
    evaluated: tuple[int, ...]
    trajectory: Parameters
    snapshots: tuple[int, ...]
    stopping: Parameters = dataclasses.field(default_factory=dict)
    best: Parameters = dataclasses.field(default_factory=dict)
    noise: Parameters = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.orders)

    def members(self, rows: slice) -> Self:
        """The state of some members."""
        parts: dict[str, Any] = {
            part: {name: value[rows] for name, value in getattr(self, part).items()} for part in _PARTS
        }
        parts["moments"] = tuple({name: value[rows] for name, value in part.items()} for part in self.moments)
        history = {name: values[rows] for name, values in self.history.items()}
        return dataclasses.replace(self, **parts, orders=self.orders[rows], history=history)

    def fits(self, model: Model) -> bool:
        """Whether these are parameters of a built model."""
        found = {name: value.shape[1:] for name, value in self.parameters.items()}
        return found == {name: parameter.shape for name, parameter in model.named_parameters()}

    def generators(self) -> list[torch.Generator]:
        """The members' generators of batch orders, where they were."""
        return _generators(self.orders)

    def noise_generators(self) -> list[torch.Generator]:
        """The members' generators of random numbers in ``forward``, where they were; none if there are none."""
        return _generators(self.noise[GENERATORS]) if self.noise else []

    @property
    def together(self) -> tuple[Any, ...]:
        """Equal for states that can go on together."""
        return self.epoch, self.steps, self.evaluated, self.snapshots, tuple(sorted(self.history))

    @classmethod
    def stack(cls, states: Sequence[Self]) -> Self:
        """The state of an ensemble from those of its members, which agree in :attr:`together`."""
        parts: dict[str, Any] = {
            part: {name: torch.cat([getattr(state, part)[name] for state in states]) for name in getattr(first, part)}
            for first in states[:1]
            for part in _PARTS
        }
        parts["moments"] = tuple(
            {name: torch.cat([state.moments[number][name] for state in states]) for name in part}
            for number, part in enumerate(states[0].moments)
        )
        history = {name: np.concatenate([state.history[name] for state in states]) for name in states[0].history}
        orders = torch.cat([state.orders for state in states])
        return dataclasses.replace(states[0], **parts, orders=orders, history=history)

    def save(self, path: Path) -> None:
        """Writes the state to a safetensors file."""
        tensors = {f"{part}/{name}": value for part in _PARTS for name, value in getattr(self, part).items()}
        for label, moments in zip(_MOMENTS, self.moments, strict=False):
            tensors |= {f"{label}/{name}": value for name, value in moments.items()}
        tensors |= {f"history/{name}": torch.from_numpy(values.copy()) for name, values in self.history.items()}
        tensors["orders"] = self.orders
        about = {
            "format": _FORMAT,
            "epoch": self.epoch,
            "steps": self.steps,
            "evaluated": self.evaluated,
            "snapshots": self.snapshots,
        }
        contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
        safetensors.torch.save_file(contiguous, path, {"qlab": json.dumps(about)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what :meth:`save` wrote.

        Raises:
            DataError: not such a file, or of another version.
        """
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                about: Any = json.loads((file.metadata() or {})["qlab"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            if about["format"] not in _READ:
                raise DataError(
                    f"{path} is a state of format {about['format']}; this qlab reads {_READ[0]} and {_READ[1]}."
                )
            return cls(
                epoch=int(about["epoch"]),
                steps=int(about["steps"]),
                moments=tuple(part for label in _MOMENTS if (part := _part(tensors, label))),
                orders=tensors["orders"],
                history={name: values.numpy() for name, values in _part(tensors, "history").items()},
                evaluated=tuple(about["evaluated"]),
                snapshots=tuple(about["snapshots"]),
                **{part: _part(tensors, part) for part in _PARTS},
            )
        except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} is not a training state that this qlab can read: {error}") from error


class Checkpoints:
    """Decides when the state of a training is worth writing, and has it written.

    Args:
        write: writes a state.
        seconds: from one state to the next, at least; longer if writing takes more than :data:`WRITING_SHARE` of
            that. 0 writes after every epoch.
    """

    def __init__(self, write: Callable[[TrainingState], None], seconds: float) -> None:
        self._write = write
        self._seconds = seconds
        self._next = time.monotonic() + seconds

    def offer(self, state: Callable[[], TrainingState]) -> None:
        """Writes the state if it is time to."""
        start = time.monotonic()
        if start < self._next:
            return
        self._write(state())
        end = time.monotonic()
        self._next = end + (max(self._seconds, (end - start) / WRITING_SHARE) if self._seconds else 0.0)


def _generators(states: Tensor) -> list[torch.Generator]:
    found = [torch.Generator() for _ in states]
    for generator, state in zip(found, states, strict=True):
        generator.set_state(state.clone())
    return found


def _part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}/"): value for name, value in tensors.items() if name.startswith(f"{part}/")}
