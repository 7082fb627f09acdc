"""MNIST and its relatives, through torchvision."""

from __future__ import annotations

import sys
from typing import Any, ClassVar

import torch
from torch import Tensor

from qlab.errors import DataError
from qlab.fields import NonNegativeInt
from qlab.tasks.images import ImageTask
from qlab.tasks.user_folder import data_folder

_OPERATORS = ("nms", "qnms")
"""Operators that PyPI's torchvision looks for at import and does not find beside a PyTorch without CUDA."""

_defined: list[Any] = []
"""Libraries of operators: what they define lives as long as they do."""


class MNIST(ImageTask):
    """Two of MNIST's handwritten digits: 28 x 28 pixels, zero-padded to 1,024 amplitudes, 10 qubits.

    Training images come from the training files, validation images from the test files. They are downloaded on first
    use (about 12 MB, checked against their checksums) to ``QLAB_DATA``, by default the user's cache directory.
    """

    formula: ClassVar[str] = "x = pixels / |pixels|, or each column of pixels by its own norm"
    shape: ClassVar[tuple[int, int]] = (28, 28)
    collection: ClassVar[str] = "MNIST"
    """The class in torchvision.datasets."""

    @property
    def place(self) -> str:
        """The folder of the files."""
        return f"{data_folder() / self.collection / 'raw'} (QLAB_DATA names another folder)"

    def pictures(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Grey levels from 0 to 255.

        Raises:
            DataError: the files are not there and cannot be downloaded, or cannot be read.
        """
        return self._read(train=True), self._read(train=False)

    def _read(self, train: bool) -> tuple[Tensor, Tensor]:
        name, folder = self.collection, data_folder()
        try:
            collection = getattr(_datasets(), name)
            try:
                found = collection(root=str(folder), train=train, download=False)
            except RuntimeError:  # how torchvision says that the files are not there
                found = collection(root=str(folder), train=train, download=True)
            pictures, labels = found.data, found.targets
            if len(pictures) != len(labels) or tuple(pictures.shape[1:]) != self.shape:
                raise ValueError(f"{len(labels)} labels for pictures of shape {list(pictures.shape)}")
        except Exception as error:  # no network, a full disk, a truncated file: torchvision raises what it meets
            reason = " ".join(str(error).split()).rstrip(".: ") or type(error).__name__
            raise DataError(
                f"{name}: its files are not in {folder / name / 'raw'} and could not be downloaded, or cannot be read: "
                f"{reason}. Put train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
                "t10k-labels-idx1-ubyte there (QLAB_DATA names another folder), or use the task Digits, which needs "
                "no download."
            ) from error
        return pictures.double(), labels.long()


class FashionMNIST(MNIST):
    """Two kinds of clothing from Zalando's images, in MNIST's format: 28 x 28 pixels, 10 qubits.

    Args:
        classes: 0 T-shirt, 1 trouser, 2 pullover, 3 dress, 4 coat, 5 sandal, 6 shirt, 7 sneaker, 8 bag, 9 ankle boot.
    """

    collection: ClassVar[str] = "FashionMNIST"
    source: ClassVar[str] = "Xiao et al., 2017, arXiv:1708.07747"

    classes: tuple[NonNegativeInt, NonNegativeInt] = (0, 1)


class KMNIST(MNIST):
    """Two of ten cursive Japanese characters, in MNIST's format: 28 x 28 pixels, 10 qubits.

    Args:
        classes: of the ten rows of hiragana, 0 is o, 9 is wo.
    """

    collection: ClassVar[str] = "KMNIST"
    source: ClassVar[str] = "Clanuwat et al., 2018, arXiv:1812.01718"

    classes: tuple[NonNegativeInt, NonNegativeInt] = (0, 1)


def _datasets() -> Any:
    """torchvision.datasets; where its import fails for want of operators that data do not use, they are defined."""
    try:
        from torchvision import datasets
    except RuntimeError:
        for module in [module for module in sys.modules if module.partition(".")[0] == "torchvision"]:
            del sys.modules[module]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in _OPERATORS:
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _defined.append(library)
        from torchvision import datasets
    return datasets
