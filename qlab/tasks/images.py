"""Two classes of small pictures as unit vectors: what MNIST, its relatives and scikit-learn's digits share."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor

from qlab import seeding
from qlab.errors import ConfigError, DataError
from qlab.fields import NonNegativeInt, PositiveInt
from qlab.own_code import is_own
from qlab.tasks.base import Dataset, Split, Task, digest

Normalization = Literal["l2", "column"]


class ImageTask(Task):
    """Two classes of images, flattened and zero-padded to the next power of two.

    Override :meth:`pictures`, and :attr:`shape`.

    Args:
        classes: the collection's labels of class 0 and class 1.
        per_class: training images of each class.
        validation: validation images of both classes together, none of which is a training image.
        normalization: "l2" divides an image by its norm (the paper's text); "column" divides each column of pixels by
            its own norm (the paper's released code), so that the vectors do not have unit norm.
        subset_seed: decides which images are used.
    """

    source: ClassVar[str] = "arXiv:2508.02422, Methods and supplement IV.D"
    shape: ClassVar[tuple[int, int]]
    """Height and width of a picture."""

    classes: tuple[NonNegativeInt, NonNegativeInt] = (1, 9)
    per_class: PositiveInt = 250
    validation: PositiveInt = 1000
    normalization: Normalization = "l2"
    subset_seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
        if self.classes[0] == self.classes[1] or max(self.classes) > 9:
            raise ConfigError(f"{name}: classes: got {list(self.classes)}, accepts two different labels from 0 to 9.")

    @abstractmethod
    def pictures(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor] | None]:
        """Training pictures with their labels, and those for validation; None if there is one collection for both.

        Pictures are ``[N, height, width]``, float64, never negative; labels ``[N]``.
        """

    @property
    def place(self) -> str:
        """Where the pictures are read, as messages say it."""
        return "their collection"

    @property
    def dimension(self) -> int:
        """The length of a feature vector: the next power of two."""
        height, width = self.shape
        return 1 << (height * width - 1).bit_length()

    @property
    def expected_features(self) -> tuple[int, bool]:
        """Pixels, padded, are real."""
        return self.dimension, False

    def load(self) -> Dataset:
        """Training pictures in the order of the classes, validation pictures drawn from the others."""
        generator = seeding.generator(self.subset_seed, "images")
        (x, labels), other = self.pictures()
        drawn = [_permuted(torch.nonzero(labels == label).flatten(), generator) for label in self.classes]
        for label, rows in zip(self.classes, drawn, strict=True):
            self._enough("per_class", self.per_class, len(rows), f"images of class {label}")
        train = torch.cat([rows[: self.per_class] for rows in drawn])
        if other is None:
            rest = torch.cat([rows[self.per_class :] for rows in drawn])
            x_validation, labels_validation = x[rest], labels[rest]
        else:
            x_validation, labels_validation = other
            kept = torch.isin(labels_validation, torch.tensor(self.classes))
            x_validation, labels_validation = x_validation[kept], labels_validation[kept]
        self._enough("validation", self.validation, len(labels_validation), "images for validation")
        chosen = _permuted(torch.arange(len(labels_validation)), generator)[: self.validation]
        pictures = (x[train], labels[train]), (x_validation[chosen], labels_validation[chosen])
        # Of grey levels and labels as they are in the files: what is computed of them may differ in its last digits.
        origin = None if is_own(type(self)) else (digest(*pictures[0]), digest(*pictures[1]))
        return Dataset(self._split(*pictures[0]), self._split(*pictures[1]), origin=origin)

    def random_features(self, n: int, generator: torch.Generator) -> Tensor:
        """Real Gaussian vectors, normalised as the pictures are."""
        if self.normalization == "l2":
            vectors = torch.randn(n, self.dimension, generator=generator, dtype=torch.float64)
            return vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        return self._features(torch.randn(n, *self.shape, generator=generator, dtype=torch.float64))

    def _split(self, pictures: Tensor, labels: Tensor) -> Split:
        return Split(self._features(pictures), (labels == self.classes[1]).long(), {"label": labels})

    def _features(self, pictures: Tensor) -> Tensor:
        """Normalised, flattened and padded, ``[N, dimension]``; nothing is divided by zero."""
        axes = (1, 2) if self.normalization == "l2" else (1,)
        norm = torch.linalg.vector_norm(pictures, dim=axes, keepdim=True)
        flat = (pictures / torch.where(norm > 0, norm, 1.0)).flatten(1)
        return torch.nn.functional.pad(flat, (0, self.dimension - flat.shape[1]))

    def _enough(self, field: str, wanted: int, there: int, what: str) -> None:
        if wanted > there:
            raise DataError(f"{type(self).__name__}: {field}: got {wanted}, but there are {there} {what}.")


def _permuted(rows: Tensor, generator: torch.Generator) -> Tensor:
    return rows[torch.randperm(len(rows), generator=generator)]
