"""What a model is: a torch module from prepared features to logits."""

from __future__ import annotations

import copy
import dataclasses
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from qlab.corruptions.base import Corruption
from qlab.fields import check_fields
from qlab.tasks.base import Dataset

Precision = Literal["float32", "float64"]


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """What a model must know of its inputs before it has weights.

    Args:
        dimension: the length d of a feature vector.
        is_complex: whether features are complex.
        active: which of the d features are nonzero in any sample, shape ``[d]``, bool.
    """

    dimension: int
    is_complex: bool
    active: Tensor

    @classmethod
    def of(cls, dataset: Dataset, corruption: Corruption | None = None) -> Self:
        """The features of a data set, as it is or as ``corruption`` may leave it."""
        x = dataset.train.x
        if corruption is not None and corruption.changes_features:
            active = torch.ones(x.shape[1], dtype=torch.bool)
        else:
            active = (x != 0).any(0) | (dataset.validation.x != 0).any(0)
        return cls(x.shape[1], x.is_complex(), active)


class Model(nn.Module, ABC):
    """A binary classifier: ``forward(prepare(x))`` is a logit, its sigmoid the probability of class 1.

    A model is made from its fields alone, then :meth:`build` gives it weights that fit the features.

    Override in a subclass: ``__init__`` with keyword-only fields that it passes to ``super().__init__``,
    :meth:`setup`, :meth:`reset_parameters`, :meth:`prepare` and :meth:`forward`. Leave :meth:`build` alone.
    ``forward`` must be a pure function of parameters and input, row by row, so that it can run under
    ``torch.func.vmap``; a model that cannot sets ``supports_vmap`` to False.
    """

    kind: ClassVar[str] = "model"
    formula: ClassVar[str] = ""
    source: ClassVar[str] = ""

    supports_vmap: bool = True
    """Whether ``forward`` runs under ``torch.func.vmap``."""

    batch_rows: bool = True
    """Whether cost grows with the rows. If not, all rows are evaluated at once and a batch picks its logits."""

    def __init__(self, **fields: Any) -> None:
        super().__init__()
        self._config = check_fields(type(self), fields)
        self.features: Features | None = None

    def config(self) -> dict[str, Any]:
        """The fields and their values, tuples as lists: what an experiment file would say."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self._config.items()}

    def build(self, features: Features) -> Self:
        """A copy of this model with parameters that fit ``features``, not yet initialised.

        Raises:
            DataError: the model does not take such features.
        """
        built = copy.deepcopy(self)
        built.features = features
        built.setup(features)
        return built

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of parameters, prepared features and logits: the field ``dtype``, float64 for models without it."""
        return {"float32": torch.float32, "float64": torch.float64}[self._config.get("dtype", "float64")]

    def n_parameters(self) -> int:
        """The number of trainable parameters of a built model."""
        return sum(parameter.numel() for parameter in self.parameters())

    def elements(self) -> int:
        """The size of the largest tensor an evaluation handles for each ensemble member; decides about threads."""
        return self.n_parameters()

    @abstractmethod
    def setup(self, features: Features) -> None:
        """Creates the parameters (and whatever else depends on the features)."""

    @abstractmethod
    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draws initial parameters in place; ``generator`` is the only source of randomness."""

    @abstractmethod
    def prepare(self, x: Tensor) -> Tensor:
        """Whatever of the computation needs no parameters, done once per data set.

        Args:
            x: features, shape ``[N, d]``, float64 or complex128.

        Returns:
            Real, of the model's dtype, first dimension N.
        """

    @abstractmethod
    def forward(self, prepared: Tensor) -> Tensor:
        """Logits ``[N]`` of prepared features ``[N, ...]``."""
