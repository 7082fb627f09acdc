"""Handwritten digits that come with scikit-learn: an image task without a download."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from qlab.fields import PositiveInt
from qlab.tasks.images import ImageTask


class Digits(ImageTask):
    """Two of scikit-learn's handwritten digits, 8 x 8 pixels: 64 amplitudes, 6 qubits. Nothing is downloaded.

    There are 174 to 183 images of each digit, for training and validation together.

    Args:
        per_class: training images of each class.
        validation: validation images of both classes together, none of which is a training image.
    """

    formula: ClassVar[str] = "x = pixels / |pixels|"
    source: ClassVar[str] = "scikit-learn's load_digits: Alpaydin and Kaynak, 1998, UCI repository"
    shape: ClassVar[tuple[int, int]] = (8, 8)
    quick_to_load: ClassVar[bool] = True

    per_class: PositiveInt = 100
    validation: PositiveInt = 150

    @property
    def place(self) -> str:
        """The package that they come with."""
        return "the installed scikit-learn"

    def pictures(self) -> tuple[tuple[Tensor, Tensor], None]:
        """All of them, grey levels from 0 to 16."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        pictures = torch.from_numpy(digits.images).double()
        return (pictures, torch.from_numpy(digits.target).long()), None
