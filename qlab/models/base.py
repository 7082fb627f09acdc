"""What a model is: a torch module from prepared features to logits."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from qlab import own_code
from qlab.component import stated
from qlab.errors import ConfigError, DataError
from qlab.fields import check_fields
from qlab.inputs import InputMap
from qlab.models.chance import Handed
from qlab.models.drawing import Drawing
from qlab.models.features import Features
from qlab.models.flat import FlatParameters
from qlab.models.rows import few, take_rows

Precision = Literal["float32", "float64"]

_DTYPES = {"float32": torch.float32, "float64": torch.float64}


class Model(Drawing, FlatParameters, ABC):
    """A binary classifier: ``forward(prepare(x))`` is a logit, its sigmoid the probability of class 1.

    A model is created from its fields alone; :meth:`build` then gives it weights that fit the features.

    Override in a subclass: ``__init__`` with keyword-only fields (and ``**fields`` for those of the parent class,
    passed to ``super().__init__``), :meth:`setup`, :meth:`reset_parameters`, :meth:`prepare` and :meth:`forward`. Leave
    :meth:`build` alone. ``forward`` must be a pure function of parameters and input, row by row, so that it can run
    under ``torch.func.vmap``; a model that cannot do this sets ``supports_vmap`` to False. Randomness in training must
    go through :meth:`drop_out` or :meth:`rand_like`, whose numbers come from the trial's generator; PyTorch's dropout
    layers and batch statistics are refused. A built model is in evaluation mode except while it is trained. All this is
    checked on a few rows before anything is trained, see :func:`qlab.models.probe.check_model`.
    """

    kind: ClassVar[str] = "model"
    formula: ClassVar[str] = ""
    source: ClassVar[str] = ""

    supports_vmap: bool = True
    """Whether ``forward`` runs under ``torch.func.vmap``."""

    batch_rows: bool = True
    """Whether cost grows with the rows. If not, all rows are evaluated at once and a batch picks its logits."""

    trains_angles: ClassVar[bool] = False
    """Whether it is a circuit whose angles are trained."""

    drawn_in_setup: frozenset[str] = frozenset()
    """Parameters that :meth:`setup` gives random values, as PyTorch's layers do: they have to be drawn again."""

    _given: dict[str, Any]

    def __new__(cls, *args: Any, **fields: Any) -> Self:
        """Keeps the fields as they were given: those that a subclass adds count, passed on or not."""
        made = super().__new__(cls)
        object.__setattr__(made, "_given", fields)
        return made

    def __init__(self, **fields: Any) -> None:
        super().__init__()
        self._config = check_fields(type(self), self._given)
        self.checked = False  # whether it was tried, see qlab.models.probe
        self.features: Features | None = None

    def config(self) -> dict[str, Any]:
        """The fields and their values, tuples as lists: what an experiment file would say.

        Raises:
            ConfigError: the class forgot to call ``super().__init__``.
        """
        return {name: stated(value) for name, value in self.field_values().items()}

    def described(self) -> dict[str, Any]:
        """Its class and fields, for the provenance of results."""
        return {"type": type(self).__name__, **self.config()}

    def field_values(self) -> dict[str, Any]:
        """The fields and their values, as they are.

        Raises:
            ConfigError: the class forgot to call ``super().__init__``.
        """
        if "_config" not in vars(self):
            raise ConfigError(f"{type(self).__name__}.__init__ does not call super().__init__ with its fields.")
        return dict(self._config)

    def build(self, features: Features) -> Self:
        """A copy of this model with parameters that fit ``features``, not yet initialised.

        Raises:
            DataError: the model does not take such features.
            ConfigError: one parameter has two names.
        """
        built = copy.deepcopy(self)
        built.features = features
        built.checked = False
        before = torch.get_rng_state()
        built._set_up(features)
        if not torch.equal(before, torch.get_rng_state()):
            other = copy.deepcopy(self)
            other._set_up(features)
            values = dict(other.named_parameters())
            built.drawn_in_setup = frozenset(
                name for name, value in built.named_parameters() if not torch.equal(value, values[name])
            )
        built.eval()  # whoever trains it says so
        names = [name for name, _ in built.named_parameters()]
        again = [name for name, _ in built.named_parameters(remove_duplicate=False) if name not in names]
        if again:
            raise ConfigError(
                f"{type(self).__name__}: {again[0]} is a parameter that has another name already, which checkpoints "
                "would not restore; register it once and use it in both places in forward."
            )
        return built

    def _set_up(self, features: Features) -> None:
        name = type(self).__name__
        if "_config" not in vars(self):
            raise ConfigError(f"{name}.__init__ does not call super().__init__ with its fields.")
        where = own_code.method(type(self), "setup")
        own_code.calling(where, lambda: self.setup(features), memory=True)
        for label, parameter in self.named_parameters():
            if isinstance(parameter, nn.parameter.UninitializedParameter):
                raise ConfigError(
                    f"{where}: {label} has no shape yet; lazy layers are not supported: give nn.Linear its width, "
                    "features.dimension."
                )

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of parameters, prepared features and logits: the field ``dtype``, float64 for models without it."""
        name = self._config.get("dtype", "float64")
        if name not in _DTYPES:
            raise ConfigError(f"{type(self).__name__}: dtype: got {name!r}, accepts {' or '.join(map(repr, _DTYPES))}.")
        return _DTYPES[name]

    def n_parameters(self) -> int:
        """The number of trainable parameters of a built model."""
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)

    def double_copy(self) -> Self:
        """The same function of the same parameters in double precision and twice differentiable, for landscapes.

        Raises:
            DataError: the model has no features yet.
        """
        double = {"dtype": "float64"} if "dtype" in self._config else {}
        return self._rebuilt({**double, **self._landscape_fields()}, self.state_dict())

    @property
    def input_map(self) -> InputMap | None:
        """What makes a classical model's inputs of features, if it is one of :mod:`qlab.inputs`."""
        return None

    @property
    def may_remark(self) -> bool:
        """Whether :meth:`remarks` may say something of this model once it is built."""
        return False

    def remarks(self) -> list[str]:
        """What its user should know of a built model before it is trained, for ``qlab run``: phrases."""
        return []

    def parameter_metrics(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Numbers that trained parameters have without any rows, ``[members]`` by name: logged after training.

        None by default.

        Args:
            parameters: by name, first axis: member.
        """
        return {}

    def _landscape_fields(self) -> dict[str, Any]:
        """Fields that differ in :meth:`double_copy`, besides the precision."""
        return {}

    @property
    def piecewise_linear(self) -> bool:
        """Whether every logit is piecewise linear in each single parameter, as in networks of linear layers and ReLUs.

        Its second derivatives d2z/dtheta_i^2 are then zero, and traces of Hessians need no second derivatives.
        """
        return False

    def evolved_observable(self) -> Tensor | None:
        """What the model measures on its input: Pauli coefficients ``[4^k]`` of one operator, detached.

        None if it measures no operator, or none that is written down.
        """
        return None

    def with_state(self, state: Mapping[str, Tensor]) -> Self:
        """A model of its own with the same fields and features, and the parameters and buffers of ``state``.

        Raises:
            DataError: the model has no features yet.
        """
        return self._rebuilt({}, state)

    def observable_at(self, weights: Mapping[str, Tensor]) -> Tensor | None:
        """The same at other trained parameters, by name; differentiable. None if none is written down."""
        return None

    @property
    def angle_names(self) -> tuple[str, ...]:
        """The names of the trained parameters that are angles of a circuit's gates, once it is built."""
        return ()

    def with_fields(self, **changed: Any) -> Self:
        """A model of its own with other values of some fields, and the same features, parameters and buffers.

        Args:
            changed: fields on which no parameter's shape depends, such as a circuit's ``noise``.

        Raises:
            ConfigError: the class has no such field, or does not accept the value.
            DataError: the model has no features yet.
        """
        return self._rebuilt(changed, self.state_dict())

    def _rebuilt(self, changed: Mapping[str, Any], state: Mapping[str, Tensor]) -> Self:
        if self.features is None:
            raise DataError(f"{type(self).__name__} has no weights yet; build it first.")
        fresh = type(self)(**{**self._config, **changed}).build(self.features)
        fresh.load_state_dict(dict(state))
        return fresh

    @property
    def twice_differentiable(self) -> bool:
        """Whether logits can be differentiated twice, as Hessians need."""
        return True

    def check_twice_differentiable(self) -> None:
        """Refuses a model without second derivatives.

        Raises:
            DataError: it is differentiated by its device, once.
        """
        if not self.twice_differentiable:
            device = getattr(self, "device", "its device")
            raise DataError(
                f"{type(self).__name__} on {device} has no second derivatives: the device differentiates only once. "
                'Use device = "lightcone", or "default.qubit".'
            )

    def logits_in_span(self, prepared: Tensor, basis: dict[str, Tensor], coefficients: Tensor) -> Tensor:
        """Logits at parameters theta_k = sum_j c_kj theta_j, for many k at once.

        A model whose first operation is linear in its parameters can override this and do that operation once for
        each basis vector instead of once for each k.

        Args:
            prepared: prepared features ``[N, ...]``.
            basis: parameters by name, first axis j.
            coefficients: c, shape ``[K, j]``.

        Returns:
            Shape ``[K, N]``.
        """
        points = {name: torch.tensordot(coefficients, part, dims=1) for name, part in basis.items()}
        return self.logits_of_members(points, prepared, shared=True)

    def logits_of_members(
        self, parameters: Mapping[str, Tensor], prepared: Tensor, *, shared: bool, rows: Tensor | None = None
    ) -> Tensor:
        """Logits of many parameter points at once, ``[members, N]`` or ``[members, n]``; the model's own are not used.

        A model that can do better than :meth:`forward` under ``vmap`` may override this.

        Args:
            parameters: by name, first axis: member.
            prepared: prepared features, ``[N, ...]`` if ``shared`` by all members, else ``[members, N, ...]``.
            shared: whether all members see the same rows.
            rows: which rows each member is evaluated on, ``[members, n]``; by default all.
        """
        if rows is not None and not self.batch_rows and not self.handed and not few(rows, prepared, shared):
            return self.logits_of_members(parameters, prepared, shared=shared).gather(1, rows)
        if rows is not None:
            prepared, shared = take_rows(prepared, rows, shared), False

        def evaluate(member: dict[str, Tensor], x: Tensor, numbers: tuple[Tensor, ...] = ()) -> Tensor:
            value: Tensor
            if not numbers:
                value = functional_call(self, member, (x,))
                return value
            with self.drawing_from(Handed(numbers)):
                value = functional_call(self, member, (x,))
            return value

        own = None if shared else 0
        result: Tensor
        if self.supports_vmap and self.handed:
            result = vmap(evaluate, in_dims=(0, own, 0))(dict(parameters), prepared, self.handed)
            return result
        if self.supports_vmap:
            result = vmap(evaluate, in_dims=(0, own))(dict(parameters), prepared)
            return result
        members = range(len(next(iter(parameters.values()))))
        each = [{name: part[index] for name, part in parameters.items()} for index in members]
        numbers = [tuple(part[index] for part in self.handed) for index in members]
        return torch.stack(
            [evaluate(each[index], prepared if shared else prepared[index], numbers[index]) for index in members]
        )

    def elements(self) -> int:
        """The size of the largest tensor an evaluation handles for each ensemble member; decides about threads."""
        return self.n_parameters()

    def held_elements(self, rows: int, *, gradient: bool) -> int:
        """How many elements an evaluation holds at once for each ensemble member, prepared features aside.

        Decides how many models train together, and on how many rows at a time metrics are evaluated; need not be exact.
        By default as for layers, whose outputs are as long as their parameters' last axes.

        Args:
            rows: on which it is evaluated.
            gradient: whether everything is kept for a gradient.
        """
        widths = sum(parameter.shape[-1] for parameter in self.parameters() if parameter.ndim)
        return 2 * rows * widths

    def project_parameters(self, parameters: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The nearest parameters that the model allows, for many points at once; by default all are allowed.

        Called after every step of training and unlearning, without gradients. Override it in a model whose parameters
        have to stay in a set, and draw initial ones in it. Landscapes look beyond the set.

        Args:
            parameters: by name, first axis: member; not to be changed in place. They may be NaN or infinite, which is
                no reason to raise anything.

        Returns:
            Those that differ, by name, or all.
        """
        return {}

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
            x: features, shape ``[N, d]``, float64 or complex128: some or all rows of a data set, always a tensor.

        Returns:
            Real, of the model's dtype, first dimension N; what it says of a row does not depend on the others.
        """

    @abstractmethod
    def forward(self, prepared: Tensor) -> Tensor:
        """Logits ``[N]`` of prepared features ``[N, ...]``."""
