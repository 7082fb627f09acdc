"""Data sets that come with scikit-learn, or are drawn by it: no download, no file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from qlab.errors import ConfigError, DataError
from qlab.fields import NonNegativeFloat, PositiveInt, show
from qlab.tasks.columns import Columns, ColumnsTask, chosen, listed

Name = Literal["breast_cancer", "iris", "wine", "digits", "moons", "circles", "blobs", "classification"]

_MEASURED = ("breast_cancer", "iris", "wine", "digits")


class Sklearn(ColumnsTask):
    """A data set that comes with scikit-learn, or is drawn by it; nothing is downloaded.

    "breast_cancer" (569 rows, 30 columns), "iris" (150, 4), "wine" (178, 13) and "digits" (1,797, 64) are measured:
    class 1 is the class ``positive``, by its name or number, class 0 all others. "moons", "circles", "blobs" and
    "classification" are drawn with ``seed``: ``n`` rows with as many of either class.

    Args:
        name: of the data set.
        positive: the class that is class 1, by name or number: "malignant" or 0 of breast_cancer.
        n: rows of a data set that is drawn.
        noise: deviation of the Gaussian noise on its features; of blobs the deviation of each.
        seed: of the split, and of data that are drawn.
        features: how many features blobs and classification have; moons and circles have two.
    """

    formula: ClassVar[str] = "x = (columns - shift) / scale, projected on principal components if reduce > 0"
    source: ClassVar[str] = "scikit-learn's load_breast_cancer, load_iris, ..., make_moons, ..., make_classification"

    name: Name = "breast_cancer"
    n: PositiveInt = 400
    noise: NonNegativeFloat = 0.1
    features: PositiveInt = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        drawn = self.name not in _MEASURED
        fixed = {"features": 4} if self.name in ("moons", "circles") else {}
        for field, default in (fixed if drawn else {"n": 400, "noise": 0.1, "features": 4}).items():
            if (given := getattr(self, field)) != default:
                raise ConfigError(
                    f'Sklearn: {field}: got {given}, which "{self.name}" is not drawn with; leave it out.'
                )
        if drawn and self.positive not in (0, 1):
            raise ConfigError(
                f'Sklearn: positive: got {show(self.positive)}, accepts 0 or 1: "{self.name}" has no names.'
            )

    def rows(self) -> Columns:
        """All rows of the data set."""
        names, x, target, classes = _measured(self.name) if self.name in _MEASURED else self._drawn()
        number = classes.index(self.positive) if self.positive in classes else self.positive
        if isinstance(number, (bool, str)) or number not in range(len(classes)):
            raise DataError(
                f'Sklearn: positive: got {show(self.positive)}, accepts a class of "{self.name}": {listed(classes)}, '
                f"or its number from 0 to {len(classes) - 1}."
            )
        wanted = chosen("Sklearn", self.columns, names, f'"{self.name}"')
        positive = classes[int(number)]
        others = [name for name in classes if name != positive]
        negative = others[0] if len(others) == 1 else f"not {positive}"
        x = np.ascontiguousarray(x[:, [names.index(name) for name in wanted]])
        return Columns(tuple(wanted), x, target == number, (negative, positive), "target")

    def _drawn(self) -> tuple[list[str], NDArray[np.float64], NDArray[np.int64], list[Any]]:
        from sklearn import datasets

        if self.n < 6:
            raise DataError(f"Sklearn: n: got {self.n}, accepts at least 6: two rows in each split.")
        given: dict[str, Any] = {"n_samples": self.n, "random_state": self.seed}
        if self.name == "blobs":
            x, y, *_ = datasets.make_blobs(**given, n_features=self.features, centers=2, cluster_std=self.noise)
        elif self.name == "classification":
            informative = min(2, self.features)
            x, y = datasets.make_classification(
                **given,
                n_features=self.features,
                n_informative=informative,
                n_redundant=min(2, self.features - informative),
                n_clusters_per_class=1,
                flip_y=0.0,  # whose labels are wrong is a corruption's to say
            )
            x = x + self.noise * np.random.RandomState(self.seed).standard_normal(x.shape)
        else:
            make: Callable[..., Any] = datasets.make_moons if self.name == "moons" else datasets.make_circles
            x, y = make(**given, noise=self.noise, **({"factor": 0.5} if self.name == "circles" else {}))
        return [f"x{number}" for number in range(x.shape[1])], x, y, [0, 1]


def _measured(name: str) -> tuple[list[str], NDArray[np.float64], NDArray[np.int64], list[Any]]:
    """Names of columns, values, the number of each row's class, and the names of the classes."""
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")()
    classes = [item.item() if hasattr(item, "item") else item for item in found.target_names]
    return [str(column) for column in found.feature_names], found.data.astype(np.float64), found.target, classes
