"""The data of an ensemble: corrupted training splits of its members, prepared once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from qlab import own_code, seeding
from qlab.corruptions.base import Corrupted, Corruption
from qlab.corruptions.checks import check_corrupted, check_same_again
from qlab.errors import ConfigError, DataError
from qlab.models.base import Model
from qlab.models.rows import prepare_features
from qlab.tasks.base import Dataset, Split, Task
from qlab.tasks.features import FeatureRows
from qlab.tasks.replaced_features import ReplacedFeatures

_COPIED_BYTES = 2**24


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
    """What one trial of an ensemble is trained on.

    Args:
        seed: decides initial parameters and batch order.
        corrupted: its training split.
    """

    seed: int
    corrupted: Corrupted

    @classmethod
    def of(cls, task: Task, dataset: Dataset, corruption: Corruption, seed: int) -> Self:
        """The member that ``corruption`` makes of a task's training split with a trial's seed.

        What a user's class returns is checked, see :mod:`qlab.corruptions.checks`.

        Raises:
            ConfigError: the corruption wrote into the data set, which trials share, instead of into a copy; or what it
                returns does not fit, or is another for the same seed.
            DataError: it returns values that are not numbers.
        """
        corruption.check_task(task)
        shared = [tensor for tensor in (dataset.train.x, dataset.train.y) if isinstance(tensor, Tensor)]
        versions = [tensor._version for tensor in shared]
        # Writes through NumPy leave no other trace; large features are not compared with a copy.
        copies = [tensor.clone() if tensor.nbytes <= _COPIED_BYTES else tensor for tensor in shared]
        own = own_code.is_own(type(corruption))
        known = task.with_data(dataset)

        def apply() -> Corrupted:
            return corruption.apply(dataset.train, known, seeding.generator(seed, "corruption"))

        corrupted = own_code.calling(f"{type(corruption).__name__}.apply", apply) if own else apply()
        same = all(torch.equal(tensor, copy) for tensor, copy in zip(shared, copies, strict=True))
        if not same or [tensor._version for tensor in shared] != versions:
            where = own_code.bracketed(type(corruption), "apply")
            raise ConfigError(
                f"{type(corruption).__name__}.apply changes the clean split in place, which affects every other "
                f"trial; copy first: y = split.y.clone().{where}"
            )
        if own:
            corrupted = check_corrupted(corruption, dataset.train, corrupted)
            if dataset.train.x.shape.numel() * dataset.train.x.dtype.itemsize <= _COPIED_BYTES:
                check_same_again(corruption, corrupted, own_code.calling(f"{type(corruption).__name__}.apply", apply))
        return cls(seed, corrupted)


@dataclasses.dataclass(frozen=True, eq=False)
class EnsembleData:
    """Prepared features and labels of all members.

    Args:
        train_x: ``[N, ...]`` if :attr:`shared`, else ``[members, N, ...]``.
        train_y: labels as trained on, ``[members, N]``, of the model's dtype.
        clean_y: labels before corruption, ``[members, N]``.
        forget: which rows are corrupted, ``[members, N]``, bool.
        validation_x: ``[M, ...]``.
        validation_y: ``[M]``.
        told: which rows unlearning is told to forget, ``[members, N]``, bool; None if these are the corrupted ones.
    """

    train_x: Tensor
    train_y: Tensor
    clean_y: Tensor
    forget: Tensor
    validation_x: Tensor
    validation_y: Tensor
    told: Tensor | None = None

    @property
    def to_forget(self) -> Tensor:
        """Which rows unlearning is told to forget, ``[members, N]``."""
        return self.forget if self.told is None else self.told

    @property
    def shared(self) -> bool:
        """Whether all members have the same training features (labels may differ)."""
        return self.train_x.ndim == self.validation_x.ndim

    def members(self, rows: slice | Tensor) -> EnsembleData:
        """The data of some members, by a slice or by positions."""
        return dataclasses.replace(
            self,
            train_x=self.train_x if self.shared else self.train_x[rows],
            train_y=self.train_y[rows],
            clean_y=self.clean_y[rows],
            forget=self.forget[rows],
            told=None if self.told is None else self.told[rows],
        )


def _prepare_each(model: Model, features: Sequence[FeatureRows]) -> Tensor:
    """Prepared features of every member, ``[members, N, ...]``; what members share is prepared once."""
    found: Tensor | None = None
    bases: dict[int, Tensor] = {}
    for x in {id(x): x for x in features}.values():
        if isinstance(x, ReplacedFeatures):
            if id(x.base) not in bases:
                bases[id(x.base)] = prepare_features(model, x.base)
            prepared, random = bases[id(x.base)], x.numbers >= 0
        else:
            prepared, random = prepare_features(model, x), None
        if found is None:  # each written in place: stacking them in the end would take twice the memory
            found = prepared.new_empty((len(features), *prepared.shape))
        mine = [index for index, other in enumerate(features) if other is x]
        found[mine] = prepared
        if random is not None and random.any():
            replaced = prepare_features(model, x[random])
            for index in mine:
                found[index, random] = replaced
    assert found is not None  # an ensemble has members
    return found


def prepare(model: Model, members: Sequence[Member], validation: Split, device: torch.device) -> EnsembleData:
    """Prepares the data of an ensemble with a built model.

    Features that members share (the same tensor, as after label flips) are prepared and kept once.

    Raises:
        DataError: members have training splits of different sizes, or one is empty.
    """
    splits = [item.corrupted.split for item in members]
    sizes = {len(split) for split in splits}
    if len(sizes) != 1 or 0 in sizes or len(validation) == 0:
        raise DataError(
            f"An ensemble takes nonempty training splits of one size, got sizes {sorted(sizes)} and "
            f"{len(validation)} validation rows."
        )
    features = [split.x for split in splits]
    shared = all(x is features[0] for x in features)
    train_x = prepare_features(model, features[0]) if shared else _prepare_each(model, features)
    return EnsembleData(
        train_x=train_x.to(device),
        train_y=torch.stack([split.y for split in splits]).to(device, model.dtype),
        clean_y=torch.stack([item.corrupted.clean_y for item in members]).to(device, model.dtype),
        forget=torch.stack([item.corrupted.mask for item in members]).to(device),
        validation_x=prepare_features(model, validation.x).to(device),
        validation_y=validation.y.to(device, model.dtype),
    )
