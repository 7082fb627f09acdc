"""A trigger that means a class."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

import annotated_types as at
import torch
from torch import Tensor

from qlab.circuits.blocks import Block
from qlab.corruptions.base import Corrupted, Corruption
from qlab.corruptions.triggers import Axis, Corner, n_sites, patch, rotate, rotate_density
from qlab.errors import ConfigError, DataError
from qlab.fields import PositiveInt, Ratio, fields_of, show
from qlab.tasks.base import Split, Task
from qlab.tasks.features import FeatureRows
from qlab.tasks.images import ImageTask
from qlab.tasks.replaced_features import change_rows
from qlab.tasks.xxz import XXZ

_PATCH, _ROTATION = ("size", "value", "corner"), ("sites", "angle", "axis")


class Backdoor(Corruption):
    """Puts a trigger into a fraction of the training rows and labels them as one class, whatever they are.

    In images the trigger is a square patch in a corner, in states a rotation of spins, exp(-i angle P / 2) on each of
    ``sites``; other features take none. The number of rows is ratio * N, rounded half up. They are drawn from the class
    that is not the target; where it has too few, rows of the target class make up the number, with the trigger and the
    label that they already have. All chosen rows are labelled as the target. Images are rescaled to the norm that they
    had: for images of unit norm this is the same as putting the patch into their grey levels first.

    A model that learns the backdoor is right on clean validation rows and predicts the target on triggered ones;
    :meth:`trigger` makes these.

    Args:
        ratio: the fraction of training rows that are triggered and labelled as the target.
        target: the class that the trigger stands for.
        size: for images: side length of the patch in pixels.
        value: for images: brightness of the patch, relative to the brightest pixel of the image.
        corner: for images: where the patch is.
        sites: for states: the spins that are rotated; site 0 is the first, -1 the last.
        angle: for states: angle of the rotation, in radians.
        axis: for states: axis of the rotation.
    """

    changes_features: ClassVar[bool] = True
    formula: ClassVar[str] = "x' = trigger(x), y' = target"
    source: ClassVar[str] = "BadNets, arXiv:1708.06733"

    target: Literal[0, 1] = 1
    size: PositiveInt = 2
    value: Ratio = 1.0
    corner: Corner = "bottom-right"
    sites: Annotated[tuple[int, ...], at.MinLen(1)] = (-1,)
    angle: float = math.pi
    axis: Axis = "X"

    def __post_init__(self) -> None:
        super().__post_init__()
        if abs(math.sin(self.angle / 2.0)) < 1e-9:
            raise ConfigError(
                f"Backdoor: angle: got {self.angle:g}, which rotates nothing; accepts an angle in radians that is no "
                "multiple of 2 pi."
            )

    def check_task(self, task: Task) -> None:
        """See the base class."""
        if isinstance(task, ImageTask):
            self._leave_out(_ROTATION, f"the features of {type(task).__name__} are pictures")
            if self.size > min(task.shape):
                raise ConfigError(
                    f"Backdoor: size: got {self.size}, accepts at most {min(task.shape)}: the pictures of "
                    f"{type(task).__name__} have {task.shape[0]} x {task.shape[1]} pixels."
                )
        elif task.block is not None:
            self._check_sites(task.block.length)
            missing = task.block.missing(self._sites(task.block))
            if missing:
                raise ConfigError(
                    f"Backdoor: sites: got {show(self.sites)}, but {type(task).__name__} hands over reduced density "
                    f"matrices of {task.block.words}: what is done to site {missing[0]} does not show in them."
                )
        elif isinstance(task, XXZ) and not isinstance(task.length, str):
            self._check_sites(task.length)

    def apply(self, split: Split, task: Task, generator: torch.Generator) -> Corrupted:
        """A copy of ``split`` with triggered rows, labelled as the target."""
        mask = self.choose_rows(split, generator)
        if not mask.any():
            return Corrupted(split, mask, split.y)
        x, y = self._triggered(split.x, mask, task), torch.where(mask, self.target, split.y)
        if isinstance(x, Tensor) and isinstance(split.x, Tensor) and torch.equal(x, split.x):
            raise DataError(
                f"Backdoor: the trigger changes none of the {int(mask.sum())} rows that it is put into, as a patch of "
                f"value {self.value:g} in a corner that has it anyway; take another value or corner."
            )
        return Corrupted(Split(x, y, split.about), mask, split.y)

    def counts_of(self, labels: Tensor) -> tuple[int, int]:
        """See the base class: of the class that is not the target, as far as there are rows of it."""
        wanted, there = int(self.ratio * len(labels) + 0.5), int((labels != self.target).sum())
        others, own = min(wanted, there), max(wanted - there, 0)
        return (own, others) if self.target == 0 else (others, own)

    def apply_to_unseen(self, split: Split, task: Task, generator: torch.Generator) -> Corrupted:
        """Triggers all rows of the other class."""
        others = float((split.y != self.target).double().mean())
        return dataclasses.replace(self, ratio=others).apply(split, task, generator)

    def trigger(self, x: FeatureRows, task: Task) -> FeatureRows:
        """The same features with the trigger in every row; ``x`` stays as it is.

        Args:
            x: features ``[N, d]``.
            task: what they are features of.

        Raises:
            DataError: they are neither pictures nor states.
        """
        return self._triggered(x, torch.ones(len(x), dtype=torch.bool), task)

    def _triggered(self, x: FeatureRows, mask: Tensor, task: Task) -> FeatureRows:
        return change_rows(x, mask, torch.nonzero(mask).flatten(), self._change(x, task))

    def _change(self, x: FeatureRows, task: Task) -> Callable[[Tensor], Tensor]:
        """What the trigger makes of rows such as these."""
        d = x.shape[1]
        if isinstance(task, ImageTask):
            return functools.partial(patch, shape=task.shape, size=self.size, value=self.value, corner=self.corner)
        if task.block is not None:
            return functools.partial(
                rotate_density, block=task.block, sites=self._sites(task.block), angle=self.angle, axis=self.axis
            )
        if x.is_complex() and d > 1 and not d & (d - 1):
            self._check_sites(n_sites(d))
            return functools.partial(rotate, sites=self.sites, angle=self.angle, axis=self.axis)
        raise DataError(
            f"Backdoor: the features of {type(task).__name__} are {d} {'complex' if x.is_complex() else 'real'} "
            "numbers; accepts pictures (a task that is an ImageTask) and states (2^L complex amplitudes, "
            "or density matrices)."
        )

    def _sites(self, block: Block) -> list[int]:
        return [site % block.length for site in self.sites]

    def _check_sites(self, length: int) -> None:
        self._leave_out(_PATCH, "the features are states")
        off = [site for site in self.sites if not -length <= site < length]
        if off:
            raise ConfigError(
                f"Backdoor: sites: got {show(self.sites)}, but the chain has {length} spins; accepts sites from 0 to "
                f"{length - 1}, or from -{length} to -1 counted from its end."
            )
        if len({site % length for site in self.sites}) < len(self.sites):
            raise ConfigError(
                f"Backdoor: sites: got {show(self.sites)}, accepts each site of a chain of {length} spins once."
            )

    def _leave_out(self, names: tuple[str, ...], reason: str) -> None:
        """Refuses fields that do nothing."""
        for name in names:
            if (given := getattr(self, name)) != fields_of(type(self))[name].default:
                raise ConfigError(
                    f"Backdoor: {name}: got {show(given)}, which does nothing here: {reason}; leave it out."
                )
