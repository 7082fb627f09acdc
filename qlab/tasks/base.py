"""What a task is: a binary classification problem that yields a training and a validation split."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from qlab.component import Component
from qlab.errors import DataError
from qlab.tasks.features import FeatureRows, LazyFeatures
from qlab.tasks.files import digest_of


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Samples and their labels.

    Args:
        x: features, shape ``[N, d]``, float64 or complex128: a tensor, or what makes its rows when they are needed.
        y: labels in {0, 1}, shape ``[N]``, int64.
        about: further values of each sample, shape ``[N]`` each, such as ``delta`` of an XXZ ground state.
    """

    x: FeatureRows
    y: Tensor
    about: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.x.ndim != 2 or self.y.shape != self.x.shape[:1]:
            raise DataError(
                f"A split takes x of shape [N, d] and y of shape [N], got x {list(self.x.shape)} and "
                f"y {list(self.y.shape)}."
            )
        if self.y.dtype != torch.int64:
            raise DataError(f"Labels must be int64, got {self.y.dtype}; convert them with y.long().")
        for name, values in self.about.items():
            if values.shape[:1] != self.y.shape:
                raise DataError(
                    f"about[{name!r}] takes one value for each of {len(self.y)} samples, got {len(values)}."
                )
        if not bool(((self.y == 0) | (self.y == 1)).all()):
            raise DataError(f"Labels must be 0 or 1, got {sorted(set(self.y.tolist()))[:10]}.")

    def __len__(self) -> int:
        return len(self.y)


def digest(*features: FeatureRows) -> str:
    """SHA-256 of dtypes, shapes and values, first 16 hexadecimal digits; of rows that are not held what makes them."""
    sha = hashlib.sha256()
    for tensor in (part for item in features for part in _parts(item)):
        sha.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        real = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
        sha.update(real.contiguous().numpy().data)
    return sha.hexdigest()[:16]


def _parts(item: FeatureRows) -> Iterator[Tensor]:
    return item.parts() if isinstance(item, LazyFeatures) else iter([item])


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """The two splits of a task. Only ``train`` is ever corrupted; ``validation`` stays clean."""

    train: Split
    validation: Split


class Task(Component):
    """A binary classification problem.

    Override :meth:`load` and :meth:`random_features`, and :meth:`files` if files decide the data. Beside them the data
    must depend on the fields (and the generator) alone: the same fields give the same data on every machine.
    """

    kind: ClassVar[str] = "task"

    @abstractmethod
    def load(self) -> Dataset:
        """The data of the task."""

    @abstractmethod
    def random_features(self, n: int, generator: torch.Generator) -> Tensor:
        """``n`` feature vectors without structure, normalised as the task's are, shape ``[n, d]``.

        A task whose features are :class:`~qlab.tasks.features.LazyFeatures` draws one after the other: ``n`` at once
        are those of ``n`` calls for one.
        """

    def files(self) -> Iterable[Path | str]:
        """The files, or folders of files, that decide the data: what is in them is part of a trial's identity.

        Relative paths start at the folder of the file in which the class is written, as
        ``Path(__file__).parent / path`` does. By default none.
        """
        return ()

    @functools.cached_property
    def files_digest(self) -> str | None:
        """A digest of what is in :meth:`files`, as it was when it was first asked for; None without files.

        Raises:
            ConfigError: a file is not there or cannot be read.
        """
        return digest_of(self)
