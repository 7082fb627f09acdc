"""The loss as a function of the flat parameter vector."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor
from torch.func import functional_call

from qlab import seeding
from qlab.component import stated
from qlab.corruptions import Corrupted
from qlab.errors import ConfigError, DataError, unknown
from qlab.landscape.samples import Rows, sample_sets
from qlab.losses import Loss
from qlab.losses.checks import check_loss
from qlab.models import Model
from qlab.models.probe import check_model
from qlab.models.rows import prepare_features
from qlab.tasks import Split
from qlab.tasks.checks import check_finite
from qlab.training import metrics
from qlab.training.health import is_constant
from qlab.untransformed import untransformed

CHUNK_BYTES = 48 * 2**20
"""So many bytes of parameters and logits are evaluated at once: small enough to stay near the caches."""

TRAINED = "trained"
"""The point at which a model's training ended: the landscape's centre, unless another is chosen."""

SAME_POINT = 1e-12
"""Points whose distance is below this fraction of their norm are one."""

REMEMBERED = 8
"""So many sets of directions a landscape remembers."""

Found = TypeVar("Found", covariant=True)
Value = TypeVar("Value")


class Probe(Protocol[Found]):
    """Anything that measures a landscape, see :class:`qlab.landscape.base.LandscapeProbe`."""

    def measure(self, landscape: Landscape) -> Found:
        """The result for a landscape."""


def flat_trajectory(model: Model, points: Mapping[str, Tensor]) -> Tensor:
    """Points passed during training, by parameter ``[T, ...]``, as flat vectors ``[T, P]``, float64."""
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    return torch.cat([points[name].double().flatten(1) for name in trained], dim=1)


class Landscape:
    """The loss of a model around a point of its parameter space, on one set of samples.

    L(theta) = mean_n l(z_n(theta), y_n), by default with cross-entropy l. Everything is evaluated in
    double precision, whatever the model was trained in, and a circuit on its light cone, whatever device it was trained
    on. theta is the flat parameter vector: the parameters in the order of ``model.named_parameters()``, shape ``[P]``;
    those that the model has frozen are no part of it and stay as they are in ``model``.

    Args:
        model: a built model at the point the landscape is centred on; it is copied.
        data: its training data: a split, or a corrupted one, which also has a retain and a forget set.
        validation: the validation split.
        points: other points by name, such as ``"oracle"``: flat vectors, state dicts, or models.
        trajectory: points passed during training, from the first to the last, shape ``[T, P]``.
        reference: the landscape of the same model trained on clean data, for comparison.
        seed: decides which samples a subset takes, and random directions.
        criterion: l, the loss of a row: the one the model was trained with.

    Raises:
        DataError: a point or the data do not fit the model.
    """

    def __init__(
        self,
        model: Model,
        data: Split | Corrupted,
        validation: Split | None = None,
        *,
        points: Mapping[str, Tensor | Mapping[str, Tensor] | Model] | None = None,
        trajectory: Tensor | None = None,
        reference: Landscape | None = None,
        seed: int = 0,
        criterion: Loss = metrics.CROSS_ENTROPY,
    ) -> None:
        train = data if isinstance(data, Split) else data.split
        for name, split in (("train", train), ("validation", validation)):
            if split is not None and isinstance(split.x, Tensor):
                check_finite(split.x, f"The {name} split: x")
        self.model = model.double_copy()
        check_model(self.model, train.x, drawn=False)
        check_loss(criterion, torch.float64)
        self.criterion = criterion
        self.seed = seed
        self._reference = reference
        parameters = dict(self.model.named_parameters())
        self._shapes = {name: parameter.shape for name, parameter in parameters.items() if parameter.requires_grad}
        self._frozen = {name: parameter for name, parameter in parameters.items() if name not in self._shapes}
        self.n_parameters = self.model.n_parameters()
        self.points = {TRAINED: self.flat(model, "the model")}
        for name, point in (points or {}).items():
            if name == TRAINED:
                raise ConfigError(f'points: "{TRAINED}" is the model itself; give the point another name.')
            self.points[name] = self.flat(point, f'the point "{name}"')
        self.centre = TRAINED
        if trajectory is not None and not len(trajectory):
            raise DataError("the trajectory has no points; leave it out.")
        self.trajectory = (
            None if trajectory is None else torch.stack([self.flat(t, "the trajectory") for t in trajectory])
        )
        self._sets = sample_sets(data, validation)
        self._splits = {"train": train} | ({"validation": validation} if validation is not None else {})
        self._clean_y = data.y if isinstance(data, Split) else data.clean_y
        self._prepared: dict[str, Tensor] = {}
        self._remembered: dict[Hashable, Any] = {}
        if "train" not in self._sets:
            raise DataError("A landscape needs samples, got a split without rows.")
        self.samples = "train"
        self._take(self._sets["train"])

    @property
    def theta(self) -> Tensor:
        """The point the landscape is centred on, shape ``[P]``, float64."""
        return self.points[self.centre]

    @property
    def about(self) -> dict[str, Any]:
        """What the landscape was taken of, for the provenance of results."""
        return {
            "model": self.model.described(),
            "parameters": self.n_parameters,
            "centre": self.centre,
            "loss": stated(self.criterion),
            "samples": self.samples,
            "rows": len(self.y),
            "seed": self.seed,
        }

    def on(self, samples: str, n_samples: int = 0) -> Self:
        """The same landscape on other samples.

        Args:
            samples: ``"train"``, ``"retain"``, ``"forget_polluted"``, ``"forget_clean"`` or ``"validation"``.
            n_samples: so many of them, drawn with the seed; 0 takes all.

        Raises:
            DataError: there are no such samples, or not as many.
        """
        if samples not in self._sets:
            raise DataError(f'There are no samples "{samples}" here; there are: {", ".join(self._sets)}.')
        rows = self._sets[samples]
        if not 0 <= n_samples <= len(rows.positions):
            raise DataError(
                f"n_samples: got {n_samples}, but there are {len(rows.positions)} {samples} samples; 0 takes all."
            )
        if n_samples:
            # Both labels of the forget set are looked at on the same rows.
            generator = seeding.generator(self.seed, f"landscape/{samples.partition('_')[0]}")
            drawn = torch.randperm(len(rows.positions), generator=generator)[:n_samples].sort().values
            rows = dataclasses.replace(rows, positions=rows.positions[drawn])
        moved = copy.copy(self)
        moved.samples = samples
        moved._take(rows)
        return moved

    @property
    def reference(self) -> Landscape | None:
        """The landscape of the same model trained on clean data, on the same rows, with its own labels.

        Raises:
            DataError: it does not have these rows.
        """
        if self._reference is None:
            return None
        return self.on_same_rows(self._reference)

    def on_same_rows(self, other: Landscape) -> Landscape:
        """Another landscape on the rows of this one, with its own labels.

        Raises:
            DataError: it does not have these rows.
        """
        size = len(other._splits[self._rows.split]) if self._rows.split in other._splits else 0
        if size != len(self._splits[self._rows.split]):
            raise DataError(
                f"The landscape to compare with has {size} {self._rows.split} rows, this one "
                f"{len(self._splits[self._rows.split])}: they are compared on the same rows."
            )
        moved = copy.copy(other)
        moved.samples, moved._remembered = self.samples, {}
        moved._take(dataclasses.replace(self._rows, clean=False))
        return moved

    def at(self, name: str) -> Self:
        """The same landscape centred on one of its points.

        Raises:
            ConfigError: there is no such point.
        """
        if name not in self.points:
            raise ConfigError(unknown("point", name, self.points))
        moved = copy.copy(self)
        moved.centre = name
        return moved

    def with_fields(self, **changed: Any) -> Self:
        """The same landscape of the same model but for some fields: the same points and samples, another function.

        Args:
            changed: see :meth:`qlab.models.Model.with_fields`.

        Raises:
            ConfigError: the model does not accept them.
        """
        moved = copy.copy(self)
        moved.model = self.model.with_fields(**changed)
        moved._frozen = {name: part for name, part in moved.model.named_parameters() if name not in self._shapes}
        moved._prepared, moved._remembered = {}, {}
        moved._take(self._rows)
        return moved

    def flat(self, point: Tensor | Mapping[str, Tensor] | Model, what: str = "the point") -> Tensor:
        """A point as flat vector ``[P]``, float64, on the CPU.

        Args:
            point: a flat vector, a state dict, or a model.
            what: names it in messages.

        Raises:
            DataError: it does not fit the model.
        """
        if isinstance(point, Tensor):
            if point.shape != (self.n_parameters,):
                raise DataError(
                    f"{what} has shape {list(point.shape)}; this {type(self.model).__name__} takes "
                    f"{self.n_parameters} parameters."
                )
            return point.detach().cpu().double().clone()
        state = point.state_dict() if isinstance(point, Model) else point
        known = self.model.state_dict()
        superfluous = [name for name in state if name not in known]
        if superfluous:
            raise DataError(
                f"{what} does not fit this {type(self.model).__name__}: it has no parameter {superfluous[0]}."
            )
        for name, shape in self._shapes.items():
            given = state.get(name)
            if given is None or given.shape != shape:
                found = "none" if given is None else f"shape {list(given.shape)}"
                raise DataError(
                    f"{what} does not fit this {type(self.model).__name__}: {name} needs shape {list(shape)}, "
                    f"got {found}."
                )
        for name, own in self._frozen.items():
            if name in state and not torch.equal(state[name].detach().cpu().double(), own.detach().cpu().double()):
                raise DataError(
                    f"{what} does not fit this {type(self.model).__name__}: its {name}, which is not trained, differs, "
                    "so that it lies in the landscape of another model."
                )
        return torch.cat([state[name].detach().cpu().double().reshape(-1) for name in self._shapes])

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """Flat vectors ``[..., P]`` as parameters by name, leading axes kept; differentiable."""
        parts = flat.split([shape.numel() for shape in self._shapes.values()], dim=-1)
        return {
            name: part.reshape((*flat.shape[:-1], *shape))
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }

    def logits(self, flat: Tensor, rows: slice | None = None) -> Tensor:
        """Logits ``[N]`` at one point ``[P]``; differentiable."""
        x = self.x if rows is None else self.x[rows]
        logits: Tensor = functional_call(self.model, self.named(flat), (x,))
        return logits

    def loss(self, flat: Tensor) -> Tensor:
        """The loss at one point ``[P]``: a scalar, differentiable."""
        return metrics.mean_loss(self.criterion, self.logits(flat), self.y)

    @torch.no_grad()
    def evaluate(self, basis: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and accuracy at theta_k = sum_j c_kj b_j, for many k at once.

        Points along lines and planes share work. NaN where the loss is not a number; logits that are NaN count as
        wrong.

        Args:
            basis: b, shape ``[j, P]``.
            coefficients: c, shape ``[K, j]``.

        Returns:
            Two tensors ``[K]``, float64.
        """
        named = self.named(basis.double())
        losses, accuracies = [], []
        for part in coefficients.double().split(self._points_at_once()):
            z = self.model.logits_in_span(self.x, named, part)
            losses.append(metrics.mean_loss(self.criterion, z, self.y))
            accuracies.append(metrics.accuracy(z, self.y))
        return torch.cat(losses), torch.cat(accuracies)

    def evaluate_points(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and accuracy, each of shape ``[K]``, at any points ``[K, P]``."""
        found = [self.evaluate(point[None], torch.ones(1, 1)) for point in points]
        return torch.cat([loss for loss, _ in found]), torch.cat([accuracy for _, accuracy in found])

    def measure(self, probe: Probe[Found]) -> Found:
        """What a probe finds here: ``landscape.measure(SliceProbe(directions="hessian"))``."""
        return probe.measure(self)

    def remembered(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """What was made under a key of the same samples and centre before; else it is made. The last few are kept.

        For what is dear and does not change as a slice is made wider or finer: eigenvectors, projections.

        Args:
            key: what it is, apart from samples and centre.
            make: makes it.
        """
        whole = (key, self.centre, self.samples, len(self.y))
        known = self._remembered
        found: Value = known[whole] if whole in known else make()
        for oldest in list(known)[: 1 - REMEMBERED]:
            known.pop(oldest, None)  # another thread may have taken it out
        known[whole] = found
        return found

    @torch.no_grad()
    def collapsed(self) -> bool:
        """Whether the model at the centre gives one output for all samples, as when every ReLU of a layer is dead."""
        return is_constant(self.logits(self.theta))

    @property
    def sets(self) -> tuple[str, ...]:
        """The names of the sample sets there are."""
        return tuple(self._sets)

    def _take(self, rows: Rows) -> None:
        """Sets the samples; features of a split are prepared once, by whoever needs them first."""
        split = self._splits[rows.split]
        if rows.split not in self._prepared:
            self._prepared[rows.split] = untransformed(lambda: prepare_features(self.model, split.x))
        self._rows = rows
        self.x = self._prepared[rows.split][rows.positions]
        self.y = (self._clean_y if rows.clean else split.y)[rows.positions].double()

    def _points_at_once(self) -> int:
        rows = len(self.y)
        work = self.model.elements() * (rows / 32 if self.model.batch_rows and not self.model.piecewise_linear else 1)
        widest = max(float(self.model.n_parameters()), work, 64.0 * rows)
        return max(1, int(CHUNK_BYTES / (8 * widest)))
