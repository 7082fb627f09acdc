"""One check of a built model before anything is trained: that it keeps to what :class:`Model` asks of a subclass."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.func import functional_call

from qlab import own_code, seeding
from qlab.errors import ConfigError
from qlab.models.base import Model
from qlab.models.chance import Chance, Handed, Noted
from qlab.models.layers import check_layers, random_layer
from qlab.tasks.features import FeatureRows, LazyFeatures

ROWS = 4
"""So many rows a model is tried on."""

_TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3}
"""Logits of a row that differ by more, relative to the largest or absolutely, depend on more than the row."""

_MEMBERS = 2


def check_model(model: Model, x: FeatureRows, *, drawn: bool = True) -> None:
    """Tries a model of a user's class on a few rows; one that was tried already is not tried again.

    Nothing of it remains: parameters, buffers and the global random state stay as they are. qlab's own classes are held
    to the same by its tests.

    Args:
        model: a built model.
        x: features of some data set ``[N, d]``, at least one row.
        drawn: whether with parameters drawn for it, as it will be trained; else with those it has.

    Raises:
        ConfigError: it does not keep to its contract; the message says in which method, with file and line, and what
            to write instead.
    """
    if model.checked or not own_code.is_own(type(model)) or not len(x):
        return
    check_layers(model)
    _check_parameters(model)
    tried = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        _Probe(tried, x[:ROWS].dense() if isinstance(x, LazyFeatures) else x[:ROWS], drawn).run()
    model.checked = True


def _check_parameters(model: Model) -> None:
    name, setup = type(model).__name__, own_code.method(type(model), "setup")
    parameters = dict(model.named_parameters())
    if not parameters:
        raise ConfigError(
            f"{setup}: the model has no parameters; make them nn.Parameter or layers, as attributes: self.net = "
            "nn.Linear(features.dimension, 1, dtype=self.dtype). Layers in a list need nn.ModuleList."
        )
    for label, parameter in parameters.items():
        if parameter.is_complex():
            raise ConfigError(
                f"{setup}: {label} is of {parameter.dtype}, accepts {model.dtype}: keep real and imaginary part as two "
                "parameters and join them in forward with torch.complex(a, b)."
            )
        if parameter.is_floating_point() and parameter.dtype != model.dtype:
            raise ConfigError(
                f"{setup}: {label} is of {parameter.dtype}, accepts the model's {model.dtype}: give layers and tensors "
                f"dtype=self.dtype, as in nn.Linear(2, 1, dtype=self.dtype)"
                + (
                    "."
                    if "dtype" in model.field_values()
                    else f"; {name} has no field dtype, so self.dtype is float64."
                )
            )
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise ConfigError(f"{setup}: all parameters are frozen (requires_grad=False): there is nothing to train.")


class _Probe:
    """A model that is being tried.

    Args:
        model: a copy, of which nothing is kept.
        x: a few rows.
        drawn: whether with parameters drawn for it.
    """

    def __init__(self, model: Model, x: Tensor, drawn: bool) -> None:
        self.model, self.x, self.drawn = model, x, drawn
        self.name = type(model).__name__
        self.forward = own_code.method(type(model), "forward")
        self.tolerance = _TOLERANCE[model.dtype]

    def run(self) -> None:
        """Tries everything, the simplest first: what fails later may follow from what fails earlier."""
        model = self.model
        reset = own_code.method(type(model), "reset_parameters")
        points = []
        for seed in range(_MEMBERS):
            generator = seeding.generator(seed, "probe")
            if self.drawn:
                self._call("reset_parameters", partial(model.reset_parameters, generator))
            points.append({label: value.detach().clone() for label, value in model.named_parameters()})
        for label, value in points[0].items():
            if self.drawn and not bool(torch.isfinite(value).all()):
                raise ConfigError(
                    f"{reset}: {label} holds NaN or infinity after it; set every parameter, as in "
                    "nn.init.normal_(weight, generator=generator) or nn.init.zeros_(bias)."
                )
        prepared = self._prepare()
        buffers = {label: value.clone() for label, value in model.named_buffers()}
        model.eval()
        z = self._logits(prepared)
        self._check_output(z, prepared)
        self._check_repeated(z, prepared, "evaluation")
        self._check_rows(z, prepared, "evaluation")
        model.train()
        # What it draws by drop_out and rand_like is the same number each time here.
        with model.drawing_from(Noted()):
            trained = self._logits(prepared)
            self._check_repeated(trained, prepared, "training")
            self._check_rows(trained, prepared, "training")
        for label, value in model.named_buffers():
            if not torch.equal(value, buffers[label]):
                raise ConfigError(
                    f"{self.forward} changes the buffer {label}: members of an ensemble share buffers, and evaluation "
                    "must change nothing. Fixed values may be buffers; what is learned must be a parameter."
                )
        with model.drawing_from(noted := Noted()):
            self._check_gradient(prepared)
        model.eval()
        if self.drawn:
            self._check_members(points, prepared)
        if self.drawn and noted.shapes:
            generators = [seeding.generator(seed, "noise") for seed in range(_MEMBERS)]
            model.handed = Chance(generators, noted.shapes, prepared.device).draw(len(prepared))
            model.train()
            self._check_members(points, prepared)

    def _prepare(self) -> Tensor:
        where, before = own_code.method(type(self.model), "prepare"), self.x.clone()
        prepared = self._call("prepare", lambda: self.model.prepare(self.x))
        n, dtype = len(self.x), self.model.dtype
        if not isinstance(prepared, Tensor):
            raise ConfigError(f"{where}: got {type(prepared).__name__}, accepts a tensor with a row for each sample.")
        if not torch.equal(self.x, before):
            raise ConfigError(f"{where} changes the features it is given in place; copy first: x = x.clone().")
        if not prepared.ndim or len(prepared) != n:
            raise ConfigError(f"{where}: got the shape {list(prepared.shape)} for {n} rows, accepts [{n}, ...].")
        if prepared.requires_grad:
            raise ConfigError(
                f"{where}: what is prepared depends on parameters, which would not be trained there: it is done once, "
                "before training. Move that part to forward."
            )
        if prepared.is_floating_point() and prepared.dtype != dtype:
            raise ConfigError(f"{where}: got {prepared.dtype}, accepts the model's {dtype}: return x.to(self.dtype).")
        self._check_finite(where, prepared)
        again = self._call("prepare", lambda: self.model.prepare(self.x))
        if not self._alike(prepared, again):
            raise ConfigError(f"{where}: two calls on the same rows differ; it must not draw random numbers.")
        alone = torch.cat([self._call("prepare", partial(self.model.prepare, row[None])) for row in self.x])
        if not self._alike(prepared, alone):
            raise ConfigError(
                f"{where}: the result for a row depends on the other rows of its batch, as with a mean or a norm "
                f"over the batch; rows come a few at a time. Scale by fixed numbers, or each row by itself."
            )
        return prepared

    def _check_output(self, z: object, prepared: Tensor) -> None:
        n, dtype = len(self.x), self.model.dtype
        if not isinstance(z, Tensor):
            raise ConfigError(f"{self.forward}: got {type(z).__name__}, accepts a tensor of logits [{n}].")
        if z.shape != (n,):
            raise ConfigError(
                f"{self.forward}: got logits of shape {list(z.shape)} for {n} rows, accepts [{n}]{self._way(z, n)}."
            )
        if z.is_complex():
            raise ConfigError(f"{self.forward}: got complex logits, accepts real ones: z.real, or z.abs().")
        if z.dtype != dtype:
            raise ConfigError(
                f"{self.forward}: got logits of {z.dtype}, accepts the model's {dtype}: make constants and layers with "
                "dtype=self.dtype."
            )
        self._check_finite(self.forward, z.detach())
        # The last mini-batch may be a single row.
        one = self._logits(prepared[:1])
        if not isinstance(one, Tensor) or one.shape != (1,):
            got = list(one.shape) if isinstance(one, Tensor) else type(one).__name__
            raise ConfigError(
                f"{self.forward}: got logits of shape {got} for a single row, accepts [1]: z.squeeze(-1) instead of "
                "z.squeeze(), which drops the axis of rows too."
            )

    @staticmethod
    def _way(z: Tensor, n: int) -> str:
        if z.shape == (n, 1):
            return ": z.squeeze(-1)"
        if z.shape == (n, 2):
            return ": for two outputs their difference, z[:, 1] - z[:, 0]"
        if z.shape == (1, n):
            return ": z.squeeze(0)"
        if not z.ndim:
            return ": one for each row; sum or average over the last axis, z.sum(-1)"
        return ": one for each row"

    def _check_finite(self, where: str, values: Tensor) -> None:
        number = values.is_floating_point() or values.is_complex()
        if self.drawn and number and not bool(torch.isfinite(values).all()):
            bad = int((~torch.isfinite(values)).sum())
            raise ConfigError(
                f"{where}: {bad} of {values.numel()} values are NaN or infinite; a logarithm or a root of zero or a "
                f"division by zero may be the cause."
            )

    def _check_repeated(self, z: Tensor, prepared: Tensor, mode: str) -> None:
        before = prepared.clone()
        again = self._logits(prepared)
        if not torch.equal(prepared, before):
            raise ConfigError(
                f"{self.forward} changes the prepared features it is given in place; every other call sees that. "
                "Write x = x * 2, not x *= 2, and no inplace=True on the input."
            )
        if self._alike(z, again):
            return
        layer = random_layer(self.model, lambda: self._logits(prepared))
        what = f", at the latest from the layer {layer}" if layer else ""
        hint = "; F.dropout drops in evaluation too, unless it is given training=self.training" * (mode == "evaluation")
        raise ConfigError(
            f"{self.forward}: two calls on the same rows differ in {mode}{what}: it draws random numbers, or keeps "
            f"something from one call to the next. Models must be the same function each time{hint}. With random "
            "numbers of its own the same seed would give other results in an ensemble of another size: write "
            "self.drop_out(x, rate) for dropout and, if self.training, self.rand_like(x) for other noise."
        )

    def _check_rows(self, z: Tensor, prepared: Tensor, mode: str) -> None:
        alone = torch.cat([self._logits(row[None]).reshape(-1) for row in prepared])
        turned = self._logits(prepared.flip(0)).flip(0)
        if not self._alike(z, alone) or not self._alike(z, turned):
            raise ConfigError(
                f"{self.forward}: the logit of a row depends on the other rows of its batch in {mode}, as with batch "
                "statistics, attention or a mean over rows; batches are drawn anew each epoch. Work on each row by "
                "itself: nn.LayerNorm instead of nn.BatchNorm1d, means over dim=-1 instead of dim=0."
            )

    def _check_gradient(self, prepared: Tensor) -> None:
        self.model.train()
        with torch.enable_grad():
            z = self._call("forward", lambda: self.model(prepared))
            if not z.requires_grad:
                raise ConfigError(
                    f"{self.forward}: the logits do not depend on the parameters: nothing is trained. Leave out "
                    ".detach(), .item(), .numpy(), .data and torch.no_grad()."
                )
            self._call("forward", lambda: z.sum().backward(), "the gradient of ")

    def _check_members(self, points: list[dict[str, Tensor]], prepared: Tensor) -> None:
        """As the trainer calls it: several members at once."""
        model = self.model
        with torch.no_grad():
            each = []
            for index, point in enumerate(points):
                numbers = tuple(part[index] for part in model.handed)
                with model.drawing_from(Handed(numbers) if numbers else Noted()):
                    each.append(self._call("forward", partial(functional_call, model, point, (prepared,))))
            apart = torch.stack(each)
        stacked = {label: torch.stack([point[label] for point in points]) for label in points[0]}
        vmapped = "does not run under torch.func.vmap, as models that train together are called"
        way = (
            "No branches on values, item(), NumPy or random numbers there; or set supports_vmap = False in the class, "
            "and they are trained one after the other."
        )
        try:
            with torch.enable_grad():
                leaves = {
                    label: value.requires_grad_(own.requires_grad)
                    for (label, value), own in zip(stacked.items(), model.parameters(), strict=True)
                }
                together = model.logits_of_members(leaves, prepared, shared=True)
                if model.supports_vmap:
                    together.sum().backward()
        except (Exception, SystemExit) as error:
            if not model.supports_vmap:
                raise ConfigError(f"{self.name}.logits_of_members: {own_code.described(error)}") from error
            raise ConfigError(f"{self.forward} {vmapped}: {own_code.described(error)}\n{way}") from error
        if together.shape != apart.shape or not self._alike(together.detach(), apart):
            raise ConfigError(
                f"{self.forward}: members of an ensemble give different logits together, under torch.func.vmap, "
                f"than one by one: something in it does not depend on parameters and input alone. {way}"
            )

    def _logits(self, prepared: Tensor) -> Tensor:
        with torch.no_grad():
            z: Tensor = self._call("forward", lambda: self.model(prepared))
        return z

    def _call(self, name: str, call: Callable[[], Tensor | None], of: str = "") -> Tensor:
        where = own_code.method(type(self.model), name)
        found: Tensor = own_code.calling(of + where, call, memory=True)  # type: ignore[assignment]
        return found

    def _alike(self, one: Tensor, other: Tensor) -> bool:
        if one.shape != other.shape or one.dtype != other.dtype:
            return False
        if not one.numel():
            return True
        if not (one.is_floating_point() or one.is_complex()):
            return torch.equal(one, other)
        scale = max(1.0, float(one.detach().nan_to_num(0.0, 0.0, 0.0).abs().max()))
        return torch.allclose(one, other, rtol=0.0, atol=self.tolerance * scale, equal_nan=True)
