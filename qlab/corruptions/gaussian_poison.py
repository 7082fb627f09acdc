"""Gaussian noise on features."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor

from qlab.corruptions.base import Corrupted, Corruption
from qlab.errors import ConfigError
from qlab.fields import PositiveFloat
from qlab.tasks.base import Split, Task
from qlab.tasks.features import FeatureRows, LazyFeatures, dense_rows
from qlab.tasks.replaced_features import DrawnRows, OtherRows, ReplacedFeatures, is_copied


class GaussianPoison(Corruption):
    """Adds Gaussian noise to the features of a fraction of the training rows, equally many in each class; labels stay.

    This hardly harms any model, and no model can know the noise unless it was trained on it. So the audit
    ``gaussian_unlearning_score`` can say whether a model has unlearned it without any oracle. Rows are not normalised
    again, since their noise would then not be Gaussian.

    Args:
        ratio: the fraction of training rows that are poisoned.
        strength: standard deviation of the noise on each real number, relative to the root mean square of the clean
            features.
    """

    changes_features: ClassVar[bool] = True
    formula: ClassVar[str] = "x' = x + xi, xi_j ~ N(0, strength^2 mean x^2), of complex x real and imaginary parts"
    source: ClassVar[str] = "arXiv:2406.17216"

    strength: PositiveFloat = 0.5

    def check_task(self, task: Task) -> None:
        """See the base class."""
        if task.block is not None:
            raise ConfigError(
                f"GaussianPoison: the features of {type(task).__name__} are reduced density matrices, and with noise "
                "on their numbers they are those of no state; accepts tasks of states, pictures or other numbers."
            )

    def apply(self, split: Split, task: Task, generator: torch.Generator) -> Corrupted:
        """A copy of ``split`` with noise on some rows."""
        mask = self.choose_rows(split, generator)
        if not mask.any():
            return Corrupted(split, mask, split.y)
        draw = functools.partial(_noise, d=split.x.shape[1], dtype=split.x.dtype, std=self.std(split.x))
        if isinstance(split.x, LazyFeatures) or not is_copied(split.x):
            rows = _NoisyRows(split.x, torch.nonzero(mask).flatten(), DrawnRows(draw, generator, int(mask.sum())))
            return Corrupted(Split(ReplacedFeatures.where(mask, split.x, rows), split.y, split.about), mask, split.y)
        x = split.x.clone()
        x[mask] += draw(int(mask.sum()), generator)
        return Corrupted(Split(x, split.y, split.about), mask, split.y)

    def std(self, x: FeatureRows) -> float:
        """Standard deviation of each real number of the noise.

        Args:
            x: the clean features of all rows.
        """
        chunks = x.chunks() if isinstance(x, LazyFeatures) else (x,)
        squares = math.fsum(float(part.abs().square().sum()) for part in chunks)
        numbers = x.shape[0] * x.shape[1] * (2 if x.dtype.is_complex else 1)
        return self.strength * math.sqrt(squares / numbers)


class _NoisyRows(OtherRows):
    """Rows with noise that is drawn again whenever it is needed."""

    def __init__(self, base: FeatureRows, sources: Tensor, noise: DrawnRows) -> None:
        self._base, self._sources, self._noise = base, sources, noise

    def row(self, number: int) -> Tensor:
        """See the base class."""
        source = int(self._sources[number])
        return dense_rows(self._base[source : source + 1])[0] + self._noise.row(number)

    def parts(self) -> Iterator[Tensor]:
        """See the base class."""
        yield self._sources
        yield from self._noise.parts()


def _noise(n: int, generator: torch.Generator, d: int, dtype: torch.dtype, std: float) -> Tensor:
    """Noise of n rows, the same as of n calls for one."""
    width = 2 * d if dtype.is_complex else d
    real = torch.empty(n, width, dtype=torch.float64)
    for row in real:
        row.normal_(0.0, std, generator=generator)
    if dtype.is_complex:
        return torch.view_as_complex(real.reshape(n, d, 2)).to(dtype)
    return real.to(dtype)
