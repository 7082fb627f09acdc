"""What a task is: a binary classification problem that yields a training, a validation and perhaps a test split."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import Tensor

from qlab import own_code
from qlab.circuits.blocks import Block
from qlab.component import Component
from qlab.errors import ConfigError, DataError
from qlab.tasks import checks, conversion
from qlab.tasks.features import FeatureRows, LazyFeatures
from qlab.tasks.files import digest_of, missing_beside
from qlab.tasks.preprocessing import Preprocessing


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Samples and their labels.

    Input that can mean only one thing is converted; anything else is refused with what to write instead. For features:
    tensors of other number types, on another device or with a gradient, NumPy arrays, data frames of numbers, lists of
    numbers. For labels: the same, and bool or a column ``[N, 1]``. Arrays are copied; float64, complex128 and int64
    tensors on the CPU are used as they are.

    Args:
        x: features, shape ``[N, d]``, float64 or complex128: a tensor, or an object that makes its rows when they are
            needed.
        y: labels in {0, 1}, shape ``[N]``, int64.
        about: further values for each sample, shape ``[N]`` each, such as ``delta`` of an XXZ ground state.

    Raises:
        DataError: it does not fit, or could mean several things.
    """

    x: FeatureRows
    y: Tensor
    about: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in (("x", conversion.features(self.x)), ("y", conversion.labels(self.y))):
            object.__setattr__(self, name, value)
        if self.y.shape != self.x.shape[:1]:
            raise DataError(
                f"A split takes x of shape [N, d] and y of shape [N], got x {list(self.x.shape)} and "
                f"y {list(self.y.shape)}."
            )
        object.__setattr__(self, "about", conversion.further(self.about, len(self.y)))

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
    """The splits of a task. Only ``train`` is ever corrupted; ``validation`` and ``test`` stay clean.

    Before anything is trained, each split must have samples of both classes, not all the same, finite numbers, and
    features of one kind, see :func:`load_data`. A feature may be the same in all samples, as amplitudes outside a
    symmetry sector and the margins of images are.

    Args:
        train: the training split.
        validation: the validation split, evaluated during training; it may be used to choose settings.
        test: the test split, if there is one; evaluated once, after the last epoch, so that nothing is chosen by it.
        origin: for qlab's own tasks that read images: digests of the two splits as they were read, before anything was
            computed from them, so that they are the same on every machine.
        preprocessing: how the features are computed from the columns of a table, for predictions on new rows.
        block: the sites of a chain of which the features are reduced density matrices, if they are: x is then real,
            ``[N, 4^k]``, see :class:`qlab.circuits.blocks.Block`. By default features are amplitudes, or anything else.
    """

    train: Split
    validation: Split
    test: Split | None = None
    origin: tuple[str, str] | None = dataclasses.field(default=None, kw_only=True)
    preprocessing: Preprocessing | None = dataclasses.field(default=None, kw_only=True)
    block: Block | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name, split in self.splits.items():
            if not isinstance(split, Split):
                raise DataError(f"Dataset: {name} is of type {type(split).__name__}, accepts a split: Split(x, y).")
        made = self.preprocessing
        if made is not None and made.dimension != self.train.x.shape[1]:
            raise DataError(
                f"Dataset: its preprocessing makes {made.dimension} features, its rows have {self.train.x.shape[1]}."
            )

    @property
    def splits(self) -> dict[str, Split]:
        """The splits that there are, by name: ``train``, ``validation``, ``test``."""
        test = {} if self.test is None else {"test": self.test}
        return {"train": self.train, "validation": self.validation, **test}


class Task(Component):
    """A binary classification problem.

    Override :meth:`load` and :meth:`random_features`, :meth:`files` if the data depend on files, and
    :meth:`boundary_distance` if the boundary between the classes is known. Apart from files, the data must depend only
    on the fields (and the generator): the same fields give the same data on every machine.
    """

    kind: ClassVar[str] = "task"

    quick_to_load: ClassVar[bool] = False
    """Whether loading only reads what is here, rather than to compute or download it: a dry run then does it, too."""

    @abstractmethod
    def load(self) -> Dataset:
        """The data of the task: a training and a validation split, and a test split if there is one."""

    @abstractmethod
    def random_features(self, n: int, generator: torch.Generator) -> Tensor:
        """``n`` feature vectors without structure, normalised as the task's are, shape ``[n, d]``.

        A task whose features are :class:`~qlab.tasks.features.LazyFeatures` draws one after the other: ``n`` at once
        are those of ``n`` calls for one.
        """

    def boundary_distance(self, split: Split) -> Tensor:
        """How far each row of a split is from the boundary between the classes: not negative, shape ``[N]``, float64.

        Override it in a task that knows its boundary: a corruption may then take the rows nearest to it.

        Raises:
            ConfigError: the task knows none.
        """
        raise ConfigError(f"{type(self).__name__} knows no distance of its rows from a boundary between the classes.")

    @property
    def expected_features(self) -> tuple[int, bool] | None:
        """How many features there are, and whether they are complex, where the fields say so; None by default.

        What comes of it is checked before anything is loaded.
        """
        return None

    @property
    def expected_labels(self) -> Tensor | None:
        """The labels of the training rows, ``[N]``, int64, where the fields say so; None by default.

        What comes of their number is checked before anything is loaded.
        """
        return None

    @property
    def block(self) -> Block | None:
        """The sites whose reduced density matrices the task hands over instead of states; None by default.

        Override it in a task of states too large for amplitudes, and give the data set the same block.
        """
        return None

    @classmethod
    def knows_boundary(cls) -> bool:
        """Whether the task has a :meth:`boundary_distance`."""
        return cls.boundary_distance is not Task.boundary_distance

    def with_data(self, dataset: Dataset) -> Self:
        """This task with its data known, for one whose :meth:`random_features` depend on them; by default itself."""
        return self

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


def load_data(task: Task) -> Dataset:
    """The data of a task, checked; whatever goes wrong in its code comes out as one of qlab's errors.

    Raises:
        DataError: it does not load, or what it returns makes no sense; the message names split, row and column, and the
            file and line of a user's class.
    """
    try:
        found = own_code.calling(f"The task {type(task).__name__} does not load", task.load, DataError)
    except DataError as error:
        raise DataError(f"{error}{missing_beside(task, error.__cause__)}") from error.__cause__
    where = own_code.method(type(task), "load")
    if not isinstance(found, Dataset):
        raise DataError(
            f"{where}: got {type(found).__name__}, accepts a data set: return Dataset(Split(x, y), "
            "Split(validation_x, validation_y))."
        )
    try:
        if found.block != task.block:
            said = [f"Dataset(..., block={block!r})" for block in (task.block, found.block)]
            raise DataError(f"got {said[1]}, accepts what the task's property block says, {said[0]}.")
        for name, split in found.splits.items():
            if found.block is not None:
                checks.check_density(f"The {name} split: x", split.x, found.block)
            checks.check_data(name, split.x, split.y)
            for key, values in split.about.items():
                checks.check_finite(values, f"The {name} split: about[{key!r}]")
            checks.check_alike(found.train.x, split.x, name)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    return found


def draw_features(task: Task, n: int, generator: torch.Generator, like: FeatureRows) -> Tensor:
    """Random features of a task, checked against the type and length of those they replace.

    Args:
        task: draws them.
        n: how many rows.
        generator: the source of randomness.
        like: features of the same task.

    Raises:
        DataError: rows of another shape, or that are not finite numbers.
    """
    where = own_code.method(type(task), "random_features")
    found: FeatureRows = own_code.calling(where, lambda: task.random_features(n, generator), DataError)
    try:
        if n:
            found = conversion.features(found)
            checks.check_finite(found, "the random features")
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    if not isinstance(found, Tensor) or found.shape != (n, like.shape[1]):
        shape = list(found.shape) if isinstance(found, (Tensor, LazyFeatures)) else type(found).__name__
        raise DataError(
            f"{where}: got the shape {shape}, accepts {[n, like.shape[1]]}: {n} rows of the same length as the data."
        )
    if found.is_complex() and not like.is_complex():
        raise DataError(f"{where}: got complex numbers, accepts real ones like the data: x.real.")
    return found.to(like.dtype)


def boundary_distances(task: Task, split: Split) -> Tensor:
    """Distances of a split's rows from the boundary between the classes, checked.

    Raises:
        ConfigError: the task knows none.
        DataError: what its method returns is not a number for each row, none of them negative.
    """
    where = own_code.method(type(task), "boundary_distance")
    found: object = own_code.calling(where, lambda: task.boundary_distance(split), DataError)
    if not isinstance(found, Tensor) or found.shape != (len(split),) or found.is_complex():
        shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise DataError(f"{where}: got {shape}, accepts a tensor of {len(split)} distances, one for each row.")
    if not bool((found.isfinite() & (found >= 0)).all()):
        raise DataError(f"{where}: got distances that are negative or no numbers; take .abs().")
    return found.double()
