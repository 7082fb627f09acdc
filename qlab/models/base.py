"""What a model is: a torch module from prepared features to logits."""

from __future__ import annotations

import copy
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from qlab import own_code
from qlab.circuits.blocks import Block
from qlab.component import stated
from qlab.corruptions.base import Corruption
from qlab.errors import ConfigError, DataError
from qlab.fields import check_fields
from qlab.inputs import InputMap
from qlab.models.chance import TORCH, Handed, Noted, Source
from qlab.remembered import REMEMBERED
from qlab.tasks.base import Dataset
from qlab.tasks.features import CHUNK_BYTES, FeatureRows, LazyFeatures, nonzero_columns
from qlab.tasks.preprocessing import Preprocessing

Precision = Literal["float32", "float64"]

_DTYPES = {"float32": torch.float32, "float64": torch.float64}

FEW = 8
"""Batches pick their rows before an evaluation rather than their logits after it where there are so many times more."""


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """What a model must know of its inputs before it has weights.

    Args:
        dimension: the length d of a feature vector.
        is_complex: whether features are complex.
        active: which of the d features are nonzero in any sample, shape ``[d]``, bool.
        core: if the corruption changes features: which of them are nonzero in any clean sample. The others are zero in
            all rows but the corrupted ones.
        preprocessing: how they come from the columns of a table, if they do.
        block: of which sites of a chain they are reduced density matrices, if they are.
    """

    dimension: int
    is_complex: bool
    active: Tensor
    core: Tensor | None = None
    preprocessing: Preprocessing | None = None
    block: Block | None = None

    @classmethod
    def of(cls, dataset: Dataset, corruption: Corruption | None = None) -> Self:
        """The features of a data set, as it is or as ``corruption`` may leave it."""
        x = dataset.train.x
        clean = torch.stack([nonzero_columns(split.x) for split in dataset.splits.values()]).any(0)
        made, block = dataset.preprocessing, dataset.block
        if corruption is None or not corruption.changes_features:
            return cls(x.shape[1], x.is_complex(), clean, preprocessing=made, block=block)
        every = torch.ones(x.shape[1], dtype=torch.bool)
        return cls(x.shape[1], x.is_complex(), every, None if bool(clean.all()) else clean, made, block)


class Model(nn.Module, ABC):
    """A binary classifier: ``forward(prepare(x))`` is a logit, its sigmoid the probability of class 1.

    A model is made from its fields alone, then :meth:`build` gives it weights that fit the features.

    Override in a subclass: ``__init__`` with keyword-only fields (and ``**fields`` for those of the class above, passed
    to ``super().__init__``), :meth:`setup`, :meth:`reset_parameters`, :meth:`prepare` and :meth:`forward`. Leave
    :meth:`build` alone.
    ``forward`` must be a pure function of parameters and input, row by row, so that it can run under
    ``torch.func.vmap``; a model that cannot sets ``supports_vmap`` to False. What is random in training goes through
    :meth:`drop_out` or :meth:`rand_like`, whose numbers come from a generator of the trial's; PyTorch's dropout layers
    and batch statistics are refused. A built model is in evaluation mode except while it is trained. All this is tried
    on a few rows before anything is trained, see :func:`qlab.models.probe.check_model`.
    """

    kind: ClassVar[str] = "model"
    formula: ClassVar[str] = ""
    source: ClassVar[str] = ""

    supports_vmap: bool = True
    """Whether ``forward`` runs under ``torch.func.vmap``."""

    batch_rows: bool = True
    """Whether cost grows with the rows. If not, all rows are evaluated at once and a batch picks its logits."""

    may_draw: bool = True
    """Whether ``forward`` may ask for random numbers in training; it is called once to see which, before training."""

    draws_in_evaluation: bool = False
    """Whether metrics are evaluated with random numbers, which ``forward`` then asks for though it is no training."""

    handed: tuple[Tensor, ...] = ()
    """The random numbers for the next call in training or in an evaluation, ``[members, n, ...]`` each, in the order of
    being asked for."""

    _source: Source = TORCH

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

    def parameter_layers(self) -> dict[str, Tensor]:
        """Positions of each layer's parameters in the flat parameter vector, by name; one for each parameter tensor."""
        return dict(self._positions())

    ordered_layers: bool = True
    """Whether :meth:`parameter_layers` lead one after the other from the input to the output."""

    def reached_parameters(self) -> Tensor | None:
        """Which parameters the logits of a built model depend on, a mask of the flat vector ``[P]``; None for all.

        The others have derivative zero wherever the model is. Derivatives need not be taken by them.
        """
        return None

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

    def parameter_filters(self) -> list[Tensor]:
        """Positions of each filter's weights in the flat parameter vector, for filter normalisation.

        A filter is what makes one output of a layer. By default a slice along the first axis of a tensor, as in
        PyTorch's layers. Tensors of one axis are biases and belong to none, unless there are no others.
        """
        positions = self._positions()
        slices = [part for place in positions.values() if place.ndim > 1 for part in place.flatten(1)]
        return slices or [place.reshape(-1) for place in positions.values()]

    def _positions(self) -> dict[str, Tensor]:
        """For each parameter the positions of its elements in the flat parameter vector, in the parameter's shape.

        Frozen ones (``requires_grad_(False)``) are no part of it.
        """
        found: dict[str, Tensor] = {}
        start = 0
        for name, parameter in self.named_parameters():
            if not parameter.requires_grad:
                continue
            found[name] = torch.arange(start, start + parameter.numel()).reshape(parameter.shape)
            start += parameter.numel()
        return found

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
        if rows is not None and not self.batch_rows and not self.handed and not _few(rows, prepared, shared):
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

    def drop_out(self, x: Tensor, rate: float) -> Tensor:
        """Dropout for ``forward``: in training a share of the elements is set to zero and the others are scaled up.

        x_i -> x_i m_i / (1 - rate), m_i = 1 with probability 1 - rate (arXiv:1207.0580). In evaluation ``x`` as it is.

        Args:
            x: values ``[n, ...]`` with a row for each sample.
            rate: the share, in [0, 1).
        """
        if not self.training or not rate:
            return x
        return x * (self.rand_like(x) >= rate) / (1.0 - rate)

    def rand_like(self, x: Tensor) -> Tensor:
        """Random numbers for ``forward`` in training: uniform in [0, 1), one for each element of ``x``.

        The trainer draws them from a generator that the trial's seed has seeded, so that a model gets the same alone
        and in an ensemble, after an interruption and on every device. ``forward`` must ask for as many in every call.
        Ask only ``if self.training``: evaluations, landscapes and the steps of unlearning draw nothing.

        Args:
            x: ``[n, ...]``, with a row for each sample.

        Raises:
            ConfigError: the model is in evaluation mode.
        """
        if not (self.training or self.is_drawing):
            raise ConfigError(
                f"{type(self).__name__}: rand_like is for training only; write `if self.training:` before it, so that "
                "evaluations draw no random numbers."
            )
        return self._source.like(x)

    @property
    def is_drawing(self) -> bool:
        """Whether somebody has handed random numbers to this call."""
        return self._source is not TORCH

    @contextmanager
    def drawing_from(self, source: Source) -> Iterator[None]:
        """Takes the random numbers of ``forward`` from somewhere for a while."""
        before = self._source
        self._source = source
        try:
            yield
        finally:
            self._source = before

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


def prepare_features(model: Model, x: FeatureRows) -> Tensor:
    """What :meth:`Model.prepare` makes of all rows; many or long ones meet the model some at a time.

    Args:
        model: a built model.
        x: features ``[N, d]``, held or not.

    Returns:
        Prepared features, first dimension N.
    """
    if isinstance(x, Tensor) and x.nbytes <= CHUNK_BYTES:
        return model.prepare(x)
    one = model.prepare(x[:1].dense() if isinstance(x, LazyFeatures) else x[:1])
    # Written in place: joining the parts in the end would take twice the memory.
    found = one.new_empty((len(x), *one.shape[1:]))
    # Neither what goes into a part nor what comes out of it is large.
    some = max(1, CHUNK_BYTES // max(x.shape[1] * x.dtype.itemsize, one.nbytes))
    for start in range(0, len(x), some):
        stop = min(start + some, len(x))
        part = x.make(start, stop) if isinstance(x, LazyFeatures) else x[start:stop]
        REMEMBERED.is_part(part, x, start, stop)
        found[start:stop] = model.prepare(part)
    return found


def random_shapes(
    model: Model, parameters: Mapping[str, Tensor], prepared: Tensor, *, evaluation: bool = False
) -> list[torch.Size]:
    """What ``forward`` asks random numbers for in training, in order: shapes without the axis of rows; found by a call.

    Args:
        model: a built model.
        parameters: of one member, by name.
        prepared: prepared features of a row or more, ``[n, ...]``.
        evaluation: in the evaluation of metrics instead.
    """
    if not (model.draws_in_evaluation if evaluation else model.may_draw):
        return []
    noted, training = Noted(), model.training
    model.train(not evaluation)
    try:
        with model.drawing_from(noted), torch.no_grad():
            functional_call(model, dict(parameters), (prepared,))
    finally:
        model.train(training)
    return noted.shapes


def _few(rows: Tensor, prepared: Tensor, shared: bool) -> bool:
    """Whether picking rows ``[members, n]`` is cheaper than evaluating them all, which needs no copies of them."""
    return FEW * rows.numel() < prepared.shape[: 1 if shared else 2].numel()


def take_rows(prepared: Tensor, rows: Tensor, shared: bool) -> Tensor:
    """Rows ``[members, n]`` of prepared features that are ``[N, ...]`` if shared, else ``[members, N, ...]``."""
    return prepared[rows] if shared else prepared[torch.arange(len(rows), device=rows.device)[:, None], rows]
