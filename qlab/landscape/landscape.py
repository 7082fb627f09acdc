"""The loss as a function of the flat parameter vector."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import binary_cross_entropy_with_logits

from qlab import seeding
from qlab.corruptions import Corrupted
from qlab.errors import ConfigError, DataError, unknown
from qlab.landscape.samples import sample_sets
from qlab.models import Model
from qlab.tasks import Split

if TYPE_CHECKING:
    from qlab.landscape.result import ProbeResult

CHUNK_BYTES = 48 * 2**20
"""So many bytes of parameters and logits are evaluated at once: small enough to stay near the caches."""

TRAINED = "trained"
"""The point at which a model's training ended: the landscape's centre, unless another is chosen."""

SAME_POINT = 1e-12
"""Points whose distance is below this fraction of their norm are one."""


class Landscape:
    """The loss of a model around a point of its parameter space, on one set of samples.

    L(theta) = -mean_n[y_n log p_n + (1 - y_n) log(1 - p_n)], p_n = sigmoid(z_n(theta)). Everything is evaluated in
    double precision, whatever the model was trained in, and a circuit on its light cone, whatever device it was trained
    on. theta is the flat parameter vector: the parameters in the order of ``model.named_parameters()``, shape ``[P]``.

    Args:
        model: a built model at the point the landscape is centred on; it is copied.
        data: its training data: a split, or a corrupted one, which also has a retain and a forget set.
        validation: the validation split.
        points: other points by name, such as ``"oracle"``: flat vectors, state dicts, or models.
        trajectory: points passed during training, from the first to the last, shape ``[T, P]``.
        reference: the landscape of the same model trained on clean data, for comparison.
        seed: decides which samples a subset takes, and random directions.

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
    ) -> None:
        self.model = model.double_copy()
        self.seed = seed
        self.reference = reference
        self._shapes = {name: parameter.shape for name, parameter in self.model.named_parameters()}
        self.n_parameters = self.model.n_parameters()
        self.points = {TRAINED: self.flat(model, "the model")}
        for name, point in (points or {}).items():
            if name == TRAINED:
                raise ConfigError(f'points: "{TRAINED}" is the model itself; give the point another name.')
            self.points[name] = self.flat(point, f'the point "{name}"')
        self.centre = TRAINED
        self.trajectory = (
            None if trajectory is None else torch.stack([self.flat(t, "the trajectory") for t in trajectory])
        )
        self._sets = sample_sets(data, validation)
        self._prepared: dict[str, Tensor] = {}
        self._choose("train", 0)

    @property
    def theta(self) -> Tensor:
        """The point the landscape is centred on, shape ``[P]``, float64."""
        return self.points[self.centre]

    @property
    def about(self) -> dict[str, Any]:
        """What the landscape is of: for the provenance of results."""
        config = {"type": type(self.model).__name__, **self.model.config()}
        return {
            "model": config,
            "parameters": self.n_parameters,
            "centre": self.centre,
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
        moved = copy.copy(self)
        moved._choose(samples, n_samples)
        if self.reference is not None:
            moved.reference = self.reference.on(samples, n_samples)
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
            return point.detach().cpu().double()
        state = dict(point.named_parameters()) if isinstance(point, Model) else point
        for name, shape in self._shapes.items():
            given = state.get(name)
            if given is None or given.shape != shape:
                found = "none" if given is None else f"shape {list(given.shape)}"
                raise DataError(
                    f"{what} does not fit this {type(self.model).__name__}: {name} needs shape {list(shape)}, "
                    f"got {found}."
                )
        return torch.cat([state[name].detach().cpu().double().reshape(-1) for name in self._shapes])

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """Flat vectors ``[..., P]`` as parameters by name, leading axes kept; differentiable."""
        parts = flat.split([shape.numel() for shape in self._shapes.values()], dim=-1)
        return {
            name: part.reshape(*flat.shape[:-1], *shape)
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }

    def logits(self, flat: Tensor, rows: slice | None = None) -> Tensor:
        """Logits ``[N]`` at one point ``[P]``; differentiable."""
        x = self.x if rows is None else self.x[rows]
        logits: Tensor = functional_call(self.model, self.named(flat), (x,))
        return logits

    def loss(self, flat: Tensor) -> Tensor:
        """The loss at one point ``[P]``: a scalar, differentiable."""
        return binary_cross_entropy_with_logits(self.logits(flat), self.y)

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
            losses.append(binary_cross_entropy_with_logits(z, self.y.expand_as(z), reduction="none").mean(1))
            accuracies.append((((z > 0) == (self.y > 0.5)) & ~z.isnan()).double().mean(1))
        return torch.cat(losses), torch.cat(accuracies)

    def evaluate_points(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and accuracy, each of shape ``[K]``, at any points ``[K, P]``."""
        found = [self.evaluate(point[None], torch.ones(1, 1)) for point in points]
        return torch.cat([loss for loss, _ in found]), torch.cat([accuracy for _, accuracy in found])

    def slice(self, **fields: Any) -> ProbeResult:
        """A slice, see :class:`qlab.landscape.slices.SliceProbe` for the fields."""
        from qlab.landscape.slices import SliceProbe

        return SliceProbe(**fields).measure(self)

    def hessian(self, **fields: Any) -> ProbeResult:
        """Curvature, see :class:`qlab.landscape.hessian.HessianProbe` for the fields."""
        from qlab.landscape.hessian import HessianProbe

        return HessianProbe(**fields).measure(self)

    def interpolate(self, *path: str, **fields: Any) -> ProbeResult:
        """The loss along lines between named points, see :class:`qlab.landscape.interpolation.InterpolationProbe`."""
        from qlab.landscape.interpolation import InterpolationProbe

        return InterpolationProbe(path=path, **fields).measure(self)

    @property
    def sets(self) -> tuple[str, ...]:
        """The names of the sample sets there are."""
        return tuple(self._sets)

    def _choose(self, samples: str, n_samples: int) -> None:
        if samples not in self._sets:
            raise DataError(f'There are no samples "{samples}" here; there are: {", ".join(self._sets)}.')
        x, y = self._sets[samples]
        if n_samples > len(y):
            raise DataError(f"n_samples: got {n_samples}, but there are {len(y)} {samples} samples; 0 takes all.")
        if samples not in self._prepared:
            self._prepared[samples] = self.model.prepare(x)
        self.samples = samples
        if n_samples:
            drawn = torch.randperm(len(y), generator=seeding.generator(self.seed, f"landscape/{samples}"))[:n_samples]
            rows = drawn.sort().values
            self.x, self.y = self._prepared[samples][rows], y[rows].double()
        else:
            self.x, self.y = self._prepared[samples], y.double()

    def _points_at_once(self) -> int:
        rows = len(self.y)
        work = self.model.elements() * (rows / 32 if self.model.batch_rows and not self.model.piecewise_linear else 1)
        widest = max(float(self.model.n_parameters()), work, 64.0 * rows)
        return max(1, int(CHUNK_BYTES / (8 * widest)))
