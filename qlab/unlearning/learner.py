"""A model as an unlearning method sees it: its logits, its parameters, and derivatives of its loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.func import functional_call

from qlab.errors import ConfigError, DataError
from qlab.losses import Loss
from qlab.models import Model
from qlab.unlearning import derivatives
from qlab.unlearning.cost import Cost
from qlab.unlearning.samples import Samples

RowLoss = Loss | Callable[[Tensor, Tensor], Tensor]
"""Of logits and labels ``[n]`` the loss of each row, ``[n]``."""

HESSIAN_BYTES = 2**30
"""A Hessian of more than this is refused."""


@dataclasses.dataclass(frozen=True, eq=False)
class Setting:
    """What the learners of a run have in common.

    Args:
        model: the built model; its own parameters are not used.
        loss: with which the teachers were trained.
        cost: where derivatives are counted.
        changed: positions, in the model's flat parameter vector, of the parameters that the method changes, ascending;
            None for all. The model's vector holds its parameters in the order of ``named_parameters``, without frozen
            ones.
        members: how many models are evaluated together; this limits what is computed at once for each.
        training: the mode in which logits are computed.
    """

    model: Model
    loss: Loss
    cost: Cost
    changed: Tensor | None = None
    members: int = 1
    training: bool = False

    @property
    def shapes(self) -> dict[str, torch.Size]:
        """Of the trained parameters, by name, in the order of the flat vector."""
        return trained_shapes(self.model)

    @property
    def n_parameters(self) -> int:
        """P, the length of a learner's flat vector."""
        return self.model.n_parameters() if self.changed is None else len(self.changed)


class Learner:
    """A model at a point of its parameter space: the student, or the teacher.

    Called with prepared features ``[n, ...]``, it returns logits ``[n]``. Derivatives are those of the mean loss over
    some rows, with the loss with which the teacher was trained, or another. They are taken with respect to the flat
    parameter vector: theta ``[P]`` holds the parameters in the order of ``model.named_parameters()``, each flattened
    row by row (last index fastest). Parameters that the model has frozen, such as the angles of RandomQNN, and those
    that the method leaves as they are (:meth:`~qlab.Unlearner.changed_layers`) are not part of it.
    Derivatives have the model's dtype; no gradient flows through them. Models that draw random numbers in training draw
    none here.

    The cost of logits and derivatives is counted, see :class:`~qlab.unlearning.cost.Cost`.

    Args:
        setting: what it has in common with other learners.
        parameters: by name.
        differentiated: whether its logits are differentiated, as the student's are in a loss; this decides what they
            cost.
    """

    def __init__(self, setting: Setting, parameters: Mapping[str, Tensor], *, differentiated: bool = False) -> None:
        self._setting = setting
        self._all = dict(parameters)
        self._differentiated = differentiated

    def __call__(self, x: Tensor) -> Tensor:
        """Logits ``[n]`` of prepared features ``[n, ...]``."""
        self._setting.cost.add_logits(len(x), differentiated=self._differentiated)
        return self._logits(self._all, x, self._setting.training)

    @property
    def model(self) -> Model:
        """The built model; its own parameters are not those of the learner."""
        return self._setting.model

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The trained parameters by name, in the model's shapes; frozen ones are left out."""
        return {name: self._all[name] for name in self._setting.shapes}

    @property
    def theta(self) -> Tensor:
        """The flat parameter vector ``[P]``."""
        return self.flat(self.parameters)

    @property
    def layers(self) -> dict[str, Tensor]:
        """Positions in the flat vector by layer, or row of a circuit, from the input to the output."""
        return layers_of(self._setting.model, self._setting.changed)

    def flat(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Parameters by name as a flat vector ``[P]``; those that are not given are the learner's own.

        Raises:
            ConfigError: there is no such parameter, or it has another shape.
        """
        self._check_names(parameters)
        shapes = self._setting.shapes
        whole = torch.cat([parameters.get(name, self._all[name]).reshape(-1) for name in shapes])
        changed = self._setting.changed
        return whole if changed is None else whole[changed]

    def named(self, theta: Tensor) -> dict[str, Tensor]:
        """A flat vector ``[P]`` as parameters by name; what is no part of it is the learner's own."""
        shapes, changed = self._setting.shapes, self._setting.changed
        if theta.shape != (self._setting.n_parameters,):
            raise ConfigError(f"got {list(theta.shape)} parameters, accepts [{self._setting.n_parameters}], as theta.")
        if changed is not None:
            whole = torch.cat([self._all[name].reshape(-1) for name in shapes])
            theta = whole.index_copy(0, changed, theta)
        return unflattened(theta, shapes)

    def at(self, parameters: Tensor | Mapping[str, Tensor]) -> Learner:
        """The same model at other parameters: a flat vector, or some by name.

        Raises:
            ConfigError: there is no such parameter, or it has another shape.
        """
        given = self.named(parameters) if isinstance(parameters, Tensor) else parameters
        self._check_names(given)
        return self._moved({**self._all, **given})

    def _moved(self, parameters: Mapping[str, Tensor]) -> Learner:
        return Learner(self._setting, parameters, differentiated=self._differentiated)

    def gradient(self, rows: Samples, loss: RowLoss | None = None) -> Tensor:
        """The gradient of the mean loss, g = (1/n) sum_i dl_i/dtheta, shape ``[P]``."""
        self._setting.cost.add(len(rows))
        return derivatives.gradient(self._point(rows, loss))

    def per_sample_gradients(self, rows: Samples, loss: RowLoss | None = None) -> Tensor:
        """The gradient of each row's loss, g_i = dl_i/dtheta, shape ``[n, P]``."""
        self._setting.cost.add(len(rows))
        return torch.cat(list(derivatives.per_sample_gradients(self._point(rows, loss))))

    def fisher(self, rows: Samples, loss: RowLoss | None = None) -> Tensor:
        """The diagonal of the empirical Fisher information, F_j = (1/n) sum_i (dl_i/dtheta_j)^2, shape ``[P]``.

        With the labels that the rows have, as in arXiv:1911.04933 and arXiv:2308.07707; gradients of all rows are never
        held at once.
        """
        self._setting.cost.add(len(rows))
        parts = derivatives.per_sample_gradients(self._point(rows, loss))
        return sum((part.square().sum(0) for part in parts), torch.zeros(())) / len(rows)

    def hessian_product(self, rows: Samples, v: Tensor, loss: RowLoss | None = None) -> Tensor:
        """H v, with H the Hessian of the mean loss, without writing H down.

        Args:
            rows: on which the loss is taken.
            v: a vector ``[P]``, or several ``[k, P]``.
            loss: of a row.

        Returns:
            Of the shape of ``v``.

        Raises:
            DataError: the model's second derivatives are wrong on its device.
        """
        return self.hessian_operator(rows, loss)(v)

    def hessian_operator(self, rows: Samples, loss: RowLoss | None = None) -> Callable[[Tensor], Tensor]:
        """The function v -> H v of :meth:`hessian_product`, for several products one after the other.

        What they have in common is computed once.

        Raises:
            DataError: see :meth:`hessian_product`.
        """
        self._setting.model.check_twice_differentiable()
        multiply, size = derivatives.hessian_operator(self._point(rows, loss)), self._setting.n_parameters

        def product(v: Tensor) -> Tensor:
            if v.shape[-1:] != (size,) or v.ndim > 2:
                raise ConfigError(f"hessian_product: got v of shape {list(v.shape)}, accepts [{size}] or [k, {size}].")
            self._setting.cost.add(len(rows), 2 * (len(v) if v.ndim == 2 else 1))
            return multiply(v)

        return product

    def hessian(self, rows: Samples, loss: RowLoss | None = None) -> Tensor:
        """The Hessian of the mean loss, exact, shape ``[P, P]``: a Hessian product for each parameter that matters.

        Raises:
            DataError: it would take too much memory (:data:`HESSIAN_BYTES`); or see :meth:`hessian_product`.
        """
        self._setting.model.check_twice_differentiable()
        check_hessian_size(self._setting.model, self._setting.n_parameters)
        point = self._point(rows, loss)
        self._setting.cost.add(len(rows), 2 * point.n_reached)
        return derivatives.hessian(point)

    def _point(self, rows: Samples, loss: RowLoss | None) -> derivatives.Point:
        setting = self._setting
        reached = setting.model.reached_parameters()
        if reached is not None and setting.changed is not None:
            reached = reached[setting.changed]
        return derivatives.Point(
            model=setting.model,
            theta=self.theta.detach(),
            logits=lambda theta, x: self._logits({**self._fixed(), **self.named(theta)}, x, training=False),
            loss=setting.loss if loss is None else loss,
            x=rows.x,
            y=rows.y,
            reached=None if reached is None else torch.nonzero(reached).flatten().to(rows.y.device),
            members=setting.members,
        )

    def _fixed(self) -> dict[str, Tensor]:
        return {name: value.detach() for name, value in self._all.items()}

    def _logits(self, parameters: Mapping[str, Tensor], x: Tensor, training: bool) -> Tensor:
        model = self._setting.model
        model.train(training)
        try:
            value: Tensor = functional_call(model, dict(parameters), (x,))
        finally:
            model.eval()
        return value

    def _check_names(self, parameters: Mapping[str, Tensor]) -> None:
        shapes = self._setting.shapes
        for name, value in parameters.items():
            if name not in shapes:
                raise ConfigError(f'"{name}" is no trained parameter of the model; it has {", ".join(shapes)}.')
            if value.shape != shapes[name]:
                raise ConfigError(f"{name}: got shape {list(value.shape)}, accepts {list(shapes[name])}.")


def trained_shapes(model: Model) -> dict[str, torch.Size]:
    """Shapes of a model's trained parameters, in the order of its flat vector; frozen ones are left out."""
    return {name: own.shape for name, own in model.named_parameters() if own.requires_grad}


def unflattened(flat: Tensor, shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """A flat vector ``[P]`` as parts by name, see :func:`trained_shapes`."""
    parts = flat.split([shape.numel() for shape in shapes.values()])
    return {name: part.reshape(shapes[name]) for name, part in zip(shapes, parts, strict=True)}


def layers_of(model: Model, changed: Tensor | None = None) -> dict[str, Tensor]:
    """Positions of a model's layers in the flat vector of what is changed; layers of which nothing is are left out."""
    layers = {name: positions.reshape(-1) for name, positions in model.parameter_layers().items()}
    if changed is None:
        return layers
    place = torch.full((model.n_parameters(),), -1)
    place[changed.cpu()] = torch.arange(len(changed))
    found = {name: place[positions][place[positions] >= 0] for name, positions in layers.items()}
    return {name: positions for name, positions in found.items() if len(positions)}


def check_hessian_size(
    model: Model, n_parameters: int, remedy: str = "multiply with it: student.hessian_product(rows, v)"
) -> None:
    """Refuses a Hessian that is too large to be written down.

    Args:
        model: whose it is.
        n_parameters: P.
        remedy: what to do instead of writing it down.

    Raises:
        DataError: it has more than :data:`HESSIAN_BYTES`.
    """
    size = n_parameters**2 * model.dtype.itemsize
    if size > HESSIAN_BYTES:
        raise DataError(
            f"The Hessian of {type(model).__name__} with {n_parameters:,} parameters takes {size / 2**30:,.1f} GiB "
            f"({size:,} bytes), and may take {HESSIAN_BYTES / 2**30:g} GiB; {remedy}."
        )
