"""qlab's models as scikit-learn's classifiers, for pipelines, grid searches and cross-validation::

from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from qlab.sklearn import QNNClassifier

pipeline = make_pipeline(StandardScaler(), QNNClassifier(epochs=50))
search = GridSearchCV(pipeline, {"qnnclassifier__depth": [1, 2, 4]}).fit(X, y)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from qlab.corruptions import Corrupted
from qlab.errors import ConfigError
from qlab.fields import fields_of
from qlab.models import MLP, Features, Model, PennyLaneQNN
from qlab.registry import find
from qlab.tasks import Split
from qlab.training import Member, Trainer

__all__ = ["MLPClassifier", "QNNClassifier"]

Array = NDArray[np.float64]


class _ModelClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A model with its trainer: the parameters are the fields of both, and ``random_state``."""

    _model: ClassVar[type[Model]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__init__ = _initialiser(cls._model)  # type: ignore[method-assign]

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Trains the model.

        Args:
            X: real features ``[N, d]``.
            y: labels of two classes, ``[N]``, of any type.

        Raises:
            ValueError: the data cannot be used, a parameter does not take its value, or the training diverged.
        """
        features, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        classes, codes = np.unique(labels, return_inverse=True)
        if len(classes) > 2:
            raise ValueError("Only binary classification is supported. The type of the target is multiclass.")
        if len(classes) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of two classes, but the data contain one class: {classes[0]}."
            )
        given = self.get_params(deep=False)
        model = self._model(**{name: given[name] for name in fields_of(self._model)})
        given["loss"] = _loss(given["loss"])
        trainer = Trainer(**{name: given[name] for name in fields_of(Trainer)})
        if trainer.stop_at:
            raise ValueError(
                f"stop_at: got {trainer.stop_at:g}, but {type(self).__name__} is not told which rows are corrupted; "
                "leave it 0."
            )
        x = torch.from_numpy(self._encoded(features))
        split = Split(x, torch.from_numpy(codes.astype(np.int64)))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        member = Member(seed, Corrupted(split, torch.zeros(len(x), dtype=torch.bool), split.y))
        built = model.build(Features(x.shape[1], False, torch.ones(x.shape[1], dtype=torch.bool)))
        built.checked = True  # which is for models of users
        trained = trainer.fit(built, [member], split, evaluate_every=trainer.epochs)
        if trained.health[0] == "diverged":
            raise ValueError(f"{type(self).__name__}: the training diverged; give a lower learning_rate.")
        self.classes_ = classes
        self.n_iter_ = trainer.epochs
        if trainer.early_stopping:  # it ends so many epochs after the best
            self.n_iter_ = min(trainer.epochs, int(trained.history["best_epoch"][0, -1]) + trainer.early_stopping)
        self.loss_ = float(trained.history["train_loss"][0, -1])
        trained.model.load_state_dict(trained.state_of(0))
        self.model_ = trained.model if trained.model.dtype == torch.float64 else trained.model.double_copy()
        return self

    @torch.no_grad()
    def decision_function(self, X: ArrayLike) -> Array:
        """Logits ``[N]``, in double precision: positive for the second of ``classes_``."""
        check_is_fitted(self)
        features = validate_data(self, X, dtype=np.float64, reset=False)
        prepared = self.model_.prepare(torch.from_numpy(self._encoded(features)))
        return np.asarray(self.model_(prepared).numpy())

    def predict_proba(self, X: ArrayLike) -> Array:
        """Probabilities of both classes, ``[N, 2]``: 1 - sigmoid(z) and sigmoid(z)."""
        z = torch.from_numpy(self.decision_function(X))
        return np.stack([torch.sigmoid(-z).numpy(), torch.sigmoid(z).numpy()], axis=1)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The likelier class of each row, ``[N]``."""
        positive = self.decision_function(X) > 0
        return np.asarray(self.classes_[positive.astype(int)])

    def _encoded(self, features: Array) -> Array:
        """What the model takes as features; a copy, since those that are given may not be written to."""
        return np.array(features, dtype=np.float64, order="C")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


def _loss(given: Any) -> Any:
    """A loss that is given as experiment files do, by its name or as a table."""
    table = {"type": given} if isinstance(given, str) else given
    if not isinstance(table, Mapping):
        return given
    if "type" not in table:
        raise ConfigError(f'loss: got {dict(table)}, accepts a table with a type: {{"type": "CrossEntropy"}}.')
    cls = find("loss", str(table["type"]))
    return cls(**{name: value for name, value in table.items() if name != "type"})


def _initialiser(model: type[Model]) -> Callable[..., None]:
    """An ``__init__`` of a parameter for each field of a model and of the trainer, as scikit-learn reads it."""
    defaults = {name: field.default for cls in (model, Trainer) for name, field in fields_of(cls).items()}
    defaults["random_state"] = None

    def init(self: Any, **given: Any) -> None:
        for name in given:
            if name not in defaults:
                raise TypeError(f"{type(self).__name__}.__init__() got an unexpected keyword argument {name!r}")
        for name, default in defaults.items():
            setattr(self, name, given.get(name, default))

    kinds = inspect.Parameter
    parameters = [kinds(name, kinds.KEYWORD_ONLY, default=default) for name, default in defaults.items()]
    signature = inspect.Signature([kinds("self", kinds.POSITIONAL_OR_KEYWORD), *parameters])
    init.__signature__ = signature  # type: ignore[attr-defined]
    init.__name__ = init.__qualname__ = "__init__"
    return init


class QNNClassifier(_ModelClassifier):
    """:class:`qlab.PennyLaneQNN` as a scikit-learn classifier of real features and two classes.

    With ``encoding = "amplitude"`` a row x becomes the state (x, 1, 0, ..., 0) / sqrt(|x|^2 + 1) of as many qubits as
    that takes, two at least: the 1 keeps the length and the sign of x, which a state alone does not. With ``"angle"``
    every feature turns a qubit of its own. Scale features first, as with :class:`sklearn.preprocessing.StandardScaler`.

    Parameters are the fields of ``PennyLaneQNN`` and of ``Trainer`` (``qlab describe`` explains them), and
    ``random_state``: an int for the same result each time. A ``loss`` is an object, a name or a table:
    ``{"type": "GeneralizedCrossEntropy", "q": 0.5}``.

    Attributes:
        classes_: the two classes.
        model_: the trained circuit, a torch module.
        loss_: mean of ``loss`` over all rows that were given, for ``model_``.
        n_iter_: epochs that were trained: with ``early_stopping`` until it ended the training. ``model_`` is then that
            of the best epoch.
        n_features_in_: number of features; ``feature_names_in_`` their names, if the data had some.
    """

    _model: ClassVar[type[Model]] = PennyLaneQNN

    def _encoded(self, features: Array) -> Array:
        if getattr(self, "encoding", "amplitude") != "amplitude":
            return super()._encoded(features)
        n, d = features.shape
        states = np.zeros((n, max(4, 2 ** int(d).bit_length())))
        states[:, :d] = features
        states[:, d] = 1.0
        return states / np.linalg.norm(states, axis=1, keepdims=True)


class MLPClassifier(_ModelClassifier):
    """:class:`qlab.MLP` as a scikit-learn classifier of real features and two classes.

    Parameters are the fields of ``MLP`` and of ``Trainer`` (``qlab describe`` explains them), and ``random_state``: an
    int for the same result each time. A ``loss`` is an object, a name or a table:
    ``{"type": "GeneralizedCrossEntropy", "q": 0.5}``. Predictions are in double precision.

    Attributes:
        classes_: the two classes.
        model_: the trained network, a torch module.
        loss_: mean of ``loss`` over all rows that were given, for ``model_``.
        n_iter_: epochs that were trained: with ``early_stopping`` until it ended the training. ``model_`` is then that
            of the best epoch.
        n_features_in_: number of features; ``feature_names_in_`` their names, if the data had some.
    """

    _model: ClassVar[type[Model]] = MLP
