"""scikit-learn's classifiers as models: any class of them is one, its arguments are the fields."""

from __future__ import annotations

import functools
import inspect
import numbers
import operator
import re
import sys
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType, new_class
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from qlab.errors import ConfigError, DataError, nearest
from qlab.fields import fields_of, identity_of, show
from qlab.models.estimator import Array, Estimator

SMALLEST = float(np.finfo(np.float64).eps)
"""Probabilities are kept this far from 0 and 1, so that their log-odds are finite: within 36.04, as in sklearn's
``log_loss``."""

_ELSEWHERE = {
    "random_state": "random_state comes from the seed of each trial; leave it out, and ask for seeds in [run].",
    "n_jobs": "n_jobs does not change a result, and would take cores from other trials; leave it out, and run trials "
    "side by side: qlab run --jobs N.",
    "verbose": "verbose does not change a result; leave it out.",
    "warm_start": "warm_start has no meaning here, where every trial is fitted once; leave it out.",
}

_PARTS = ("estimator", "estimators", "base_estimator", "final_estimator", "steps", "transformer", "param_grid")
"""Arguments that are estimators themselves."""

_WRITE = (
    "write a class of your own beside the experiment file, which puts them together: a subclass of "
    "qlab.models.Estimator (`qlab describe Estimator`)"
)


class ScikitLearn(Estimator):
    """A classifier from scikit-learn, or one that follows its interface.

    Logits are ``decision_function``; for classes without it, the log-odds of ``predict_proba``, with probabilities kept
    :data:`SMALLEST` away from 0 and 1; for classes with neither, 1 or -1, as ``predict`` says. Losses are those of
    ``predict_proba``; decision values of classes without it, such as the margins of support vector machines, are not
    log-odds, so these classes have only accuracies and no losses.

    The fields are the arguments of the class, ``inputs`` and ``sites``. Those that are not given have scikit-learn's
    defaults and are not part of a trial's identity, nor is the version of scikit-learn, which is recorded in its run's
    tag ``qlab.engine``: results stay valid, and comparable in their store, when the library is upgraded.
    """

    formula: ClassVar[str] = "z = decision_function(x), else log p / (1 - p) with p = predict_proba(x)"
    source: ClassVar[str] = "https://scikit-learn.org"
    refused: ClassVar[Mapping[str, str]] = _ELSEWHERE

    defaults: ClassVar[Mapping[str, str]] = {}
    """What scikit-learn takes for arguments that are left out, as text."""

    @classmethod
    @abstractmethod
    def wrapped(cls) -> type:
        """The class of scikit-learn."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.build()

    def __reduce__(self) -> tuple[Any, ...]:
        learned = {name: value for name, value in vars(self).items() if name not in fields_of(type(self))}
        return _again, (self.wrapped(), self.config(), learned)

    def config(self) -> dict[str, Any]:
        """The arguments that were given, tuples as lists; and ``inputs`` and ``sites`` if they are not the default."""
        return identity_of(type(self), {name: value for name, value in super().config().items() if value is not None})

    def arguments(self) -> dict[str, Any]:
        """Those of scikit-learn's class that were given, tuples as lists."""
        return {name: value for name, value in self.config().items() if name not in fields_of(ScikitLearn)}

    def build(self, random_state: int | None = None) -> Any:
        """The classifier itself, not fitted.

        Raises:
            ConfigError: it does not take these arguments; says so in scikit-learn's words.
        """
        cls, given = self.wrapped(), {name: _plain(value) for name, value in self.arguments().items()}
        seeded = {"random_state": random_state} if "random_state" in inspect.signature(cls).parameters else {}
        try:
            made = cls(**given, **seeded)
            if hasattr(made, "_parameter_constraints"):  # else it is found out when the trial is fitted
                made._validate_params()
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{cls.__name__}: {error}") from error
        return made

    def fit(self, x: Array, y: NDArray[np.int64], generator: np.random.Generator) -> None:
        """Fits it, with a ``random_state`` of the generator if it has one."""
        self.fitted = self.build(int(generator.integers(2**32))).fit(x, y)

    def decision(self, x: Array) -> Array:
        """See the class."""
        fitted = self._fitted()
        if hasattr(fitted, "decision_function"):
            return np.asarray(fitted.decision_function(x))
        if hasattr(fitted, "predict_proba"):
            return _logit(fitted.predict_proba(x)[:, 1])
        return np.where(fitted.predict(x) == 1, 1.0, -1.0)

    def log_odds(self, x: Array, decision: Array) -> Array | None:
        """See the class; where the decision is the log-odds, as of logistic regression, it is taken as it is."""
        fitted = self._fitted()
        if not hasattr(fitted, "predict_proba"):
            return None
        if not hasattr(fitted, "decision_function"):
            return decision
        found = fitted.predict_proba(x)[:, 1]
        with np.errstate(over="ignore"):
            same = np.allclose(1.0 / (1.0 + np.exp(-decision)), found, rtol=0.0, atol=1e-9)
        return decision if same else _logit(found)

    def _fitted(self) -> Any:
        if "fitted" not in vars(self):
            raise DataError(f"{type(self).__name__} is not fitted yet; call fit(x, y, generator) first.")
        return self.fitted


def adapted(name: str, cls: Any) -> type[ScikitLearn] | None:
    """A classifier of scikit-learn as an estimator; None if a class is nothing of scikit-learn's kind.

    Args:
        name: as an experiment file names it.
        cls: anything.

    Raises:
        ConfigError: it is no classifier, or takes other estimators as arguments; says what to do.
    """
    if not inspect.isclass(cls):
        return None
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    if not issubclass(cls, (BaseEstimator, ClassifierMixin)):
        return None
    regressor = issubclass(cls, RegressorMixin)
    needed = [item.name for item in _parameters(cls) if item.default is item.empty or _is_needed(cls, item)]
    if issubclass(cls, ClassifierMixin) or (needed and not regressor):
        parts = [item for item in needed if item in _PARTS] or needed
        if parts:
            what = "other estimators" if set(parts) <= set(_PARTS) else "arguments"
            raise ConfigError(
                f'model "{name}" cannot be used: it needs {what} ({", ".join(parts)}) that an experiment file cannot '
                f"hold; {_WRITE}."
            )
        if inspect.isabstract(cls):
            raise ConfigError(f'model "{name}" cannot be used: it is a base class; name a classifier made of it.')
        if lacking := [item for item in ("fit", "predict") if not callable(getattr(cls, item, None))]:
            raise ConfigError(
                f'model "{name}" cannot be used: it is a base class without {" and ".join(lacking)}; name a classifier '
                "made of it."
            )
        known: Any = cls
        return _adapted(known)
    what = "a regressor" if regressor else "no classifier"
    module_name, _, class_name = name.partition(":")
    others = [item for item, _ in classifiers(sys.modules[module_name])] if module_name in sys.modules else []
    choices = f" Classifiers in {module_name}: {', '.join(others)}." if others else ""
    raise ConfigError(
        f'model "{name}" cannot be used: it is {what}, and tasks are binary classification.'
        f"{nearest(class_name, others)}{choices}"
    )


def classifiers(module: ModuleType) -> Iterator[tuple[str, type]]:
    """The classifiers in a module that can be models."""
    for item, value in sorted(vars(module).items()):
        try:
            if not item.startswith("_") and adapted(item, value) is not None:
                yield item, value
        except ConfigError:
            continue


def _again(cls: type, given: Mapping[str, Any], learned: Mapping[str, Any]) -> ScikitLearn:
    made = _adapted(cls)(**given)
    vars(made).update(learned)
    return made


@functools.cache
def _adapted(cls: Any) -> type[ScikitLearn]:
    import sklearn

    types = {item.name: _type_of(cls, item) for item in _parameters(cls) if item.name not in _ELSEWHERE}
    known = {name: kind for name, kind in types.items() if kind is not None}
    defaults = {item.name: item.default for item in _parameters(cls)}
    mine = cls.__module__.partition(".")[0] == "sklearn"
    namespace = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": _documentation(cls, known),
        "__annotations__": {name: kind | None for name, kind in known.items()},
        "engine_name": f"scikit-learn {sklearn.__version__}",
        "source": f"https://scikit-learn.org, {cls.__module__}.{cls.__qualname__}" if mine else cls.__module__,
        "defaults": {name: show(defaults[name]) for name in known},
        "wrapped": classmethod(lambda _: cls),
        **dict.fromkeys(known),
    }
    return new_class(cls.__name__, (ScikitLearn,), exec_body=lambda body: body.update(namespace))


def _parameters(cls: type) -> list[inspect.Parameter]:
    every = inspect.signature(cls).parameters.values()
    return [item for item in every if item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)]


def _is_needed(cls: type, parameter: inspect.Parameter) -> bool:
    """Whether an argument that is left out by default must be an estimator nevertheless."""
    constraints = getattr(cls, "_parameter_constraints", {}).get(parameter.name, [None])
    return parameter.default is None and parameter.name in _PARTS and None not in constraints


def _type_of(cls: type, parameter: inspect.Parameter) -> Any:
    """The type of an argument as far as an experiment file can hold it; None if it cannot."""
    constraints = getattr(cls, "_parameter_constraints", {}).get(parameter.name)
    found: list[Any]
    if constraints is None or constraints == "no_validation":
        if parameter.name in _PARTS:
            return None
        found = [bool, int, float, str]
        if isinstance(parameter.default, (tuple, list)):
            found.append(tuple[int | float | str, ...])
    else:
        found = [kind for constraint in constraints for kind in _types_of(constraint)]
    if type(parameter.default) in (int, float, bool, str) and not found:
        found.append(type(parameter.default))
    unique = list(dict.fromkeys(found))
    return functools.reduce(operator.or_, unique) if unique else None


def _types_of(constraint: Any) -> Iterable[Any]:
    """The types that one of scikit-learn's constraints of an argument allows."""
    kind = type(constraint).__name__
    options = getattr(constraint, "options", None)
    if kind in ("StrOptions", "Options") and options:
        plain = sorted((item for item in options if type(item) in (str, int, bool)), key=str)
        return [Literal[tuple(plain)]] if plain else []
    if kind in ("Interval", "RealNotInt"):
        return [int] if constraint.type is numbers.Integral else [float]
    if constraint == "boolean":
        return [bool]
    if constraint == "cv_object":
        return [int]
    if constraint in ("array-like", tuple, list):
        return [tuple[int | float | str, ...]]
    by_type = {numbers.Integral: int, numbers.Real: float, int: int, float: float, str: str, bool: bool}
    found = by_type.get(constraint) if isinstance(constraint, type) else None
    return [] if found is None else [found]


def _documentation(cls: type, types: Mapping[str, Any]) -> str:
    """The first words of a class's documentation, and those of its arguments."""
    import docstring_parser

    parsed = docstring_parser.parse(inspect.getdoc(cls) or "")
    said = {item.arg_name: item.description or "" for item in parsed.params if item.args[0] == "param"}
    lines = [f"    {name}: {_sentence(said.get(name, ''))}" for name in types]
    about = parsed.short_description or cls.__name__
    return "\n".join([about, "", *_ABOUT, "", "Args:", *lines]) if lines else "\n".join([about, "", *_ABOUT])


_ABOUT = (
    "An estimator without gradients: it is fitted at once. [training] does not apply to it; probes, and unlearning by",
    "gradients, are left out for it; Retrain fits it again without the corrupted rows. Its random_state, if it has",
    "one, comes from the seed. Complex features enter as real and imaginary parts, side by side; those that are zero",
    "in every sample are left out; states may enter as other inputs. Logits are decision_function, else the log-odds",
    "of predict_proba (clipped to +-36), else +-1; without predict_proba there are no losses, since decision values",
    "are no log-odds then.",
)


def _sentence(text: str) -> str:
    plain = re.sub(r":\w+:`~?([^`<]*)[^`]*`", r"\1", " ".join(text.split()))
    first, dot, _ = plain.partition(". ")
    return first + "." if dot else plain or "See the documentation of its library."


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _logit(p: Any) -> Array:
    kept = np.clip(np.asarray(p, dtype=np.float64), SMALLEST, 1.0 - SMALLEST)
    return np.log(kept) - np.log1p(-kept)
