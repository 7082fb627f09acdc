"""How large gradients are, and how much they vary, over random points: barren plateaus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import annotated_types as at
import torch
from torch import Tensor
from torch.func import functional_call, jacrev, vmap

from qlab.fields import PositiveFloat
from qlab.landscape.base import LandscapeProbe
from qlab.landscape.drawn import Draw, drawn_points, unsuited_to
from qlab.landscape.landscape import Landscape
from qlab.landscape.result import ProbeResult
from qlab.models import Model

PARTS = 10
"""Points are drawn in so many independent parts: the spread of their estimates gives the standard error."""

_BYTES = 64 * 2**20
"""Gradients at so many points are taken at once as fit in this."""


class GradientVarianceProbe(LandscapeProbe):
    """The variance of gradients over random points of parameter space.

    Gradients of logits, averaged over the samples, and of the loss of all samples together. Both are means over the
    parameters that logits depend on: in a circuit those in the light cone. A gradient may vary little and still be
    large, as where all points are near one: hence mean squares stand beside the variances. For a circuit whose logit is
    5 <Z>, those of logits are 25 times those of <Z>.

    Costs ``draws`` Jacobians of the logits.

    Args:
        draw: where gradients are taken: "initial" draws parameters as before training, "uniform" all angles of a
            circuit from U[-pi, pi) (a circuit's readout stays as it is at ``at``; models without trained angles are
            left out), "near" from N(theta, spread^2) around the point ``at``.
        spread: standard deviation of "near", in radians for a circuit.
        draws: how many points, a multiple of 10: standard errors are those of ten independent parts.
    """

    formula: ClassVar[str] = "mean over i (and n) of Var[dz_n/dtheta_i], of Var[dL/dtheta_i], and of both squared"
    source: ClassVar[str] = "barren plateaus: McClean et al., Nat. Commun. 9, 4812 (2018), arXiv:1803.11173"

    draw: Draw = "initial"
    spread: PositiveFloat = 0.1
    draws: Annotated[int, at.Ge(20), at.MultipleOf(PARTS)] = 200

    @property
    def label(self) -> str:
        """Where points are drawn."""
        return f"near {self.at}, {self.spread:g}" if self.draw == "near" else self.draw

    def unsuited(self, model: Model) -> str:
        """Models without trained angles, for angles from U[-pi, pi)."""
        return unsuited_to(self.draw, model)

    def compute(self, landscape: Landscape) -> ProbeResult:
        """Scalars ``logit_gradient_variance``, ``logit_gradient_square``, ``loss_gradient_variance`` and
        ``loss_gradient_square``, each with its standard error ``..._error``; arrays of the same names by parameter,
        ``[P]``, zero for those that logits do not depend on."""
        points = drawn_points(landscape, self.draw, self.draws, self.spread)
        reached = landscape.model.reached_parameters()
        used = torch.ones(landscape.n_parameters, dtype=torch.bool) if reached is None else reached
        parts: dict[str, list[Tensor]] = {}
        for some in points.chunk(PARTS):
            for name, by_parameter in _moments(landscape, some).items():
                parts.setdefault(name, []).append(by_parameter)
        scalars, arrays = {}, {}
        for name, found in parts.items():
            by_part = torch.stack(found)
            estimates = by_part[:, used].mean(1) if bool(used.any()) else torch.zeros(PARTS, dtype=torch.float64)
            scalars[name] = float(estimates.mean())
            scalars[f"{name}_error"] = float(estimates.std() / PARTS**0.5)
            arrays[name] = by_part.mean(0).numpy()
        about = {"draws": self.draws, "parameters_reached": int(used.sum())}
        return ProbeResult(scalars, arrays, about=about)


def _moments(landscape: Landscape, points: Tensor) -> dict[str, Tensor]:
    """Unbiased variances of gradients over points, and their mean squares, by parameter ``[P]``."""
    rows, size, count = len(landscape.y), landscape.n_parameters, len(points)
    first, second = (torch.zeros(rows, size, dtype=torch.float64) for _ in range(2))
    losses = []
    for jacobians, slopes in _jacobians(landscape, points):
        first += jacobians.sum(0)
        second += jacobians.square().sum(0)
        losses.append(torch.einsum("kn,knp->kp", slopes, jacobians) / rows)
    loss = torch.cat(losses)
    return {
        "logit_gradient_variance": ((second - first.square() / count) / (count - 1)).clamp_min(0.0).mean(0),
        "logit_gradient_square": (second / count).mean(0),
        "loss_gradient_variance": loss.var(0),
        "loss_gradient_square": loss.square().mean(0),
    }


def _jacobians(landscape: Landscape, points: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """dz_n/dtheta, ``[k, N, P]``, and the loss's derivative by each logit, ``[k, N]``, a few points at a time."""
    model, rows = landscape.model, len(landscape.y)
    held = rows * (landscape.n_parameters + 4 * model.elements())

    def logits(flat: Tensor) -> tuple[Tensor, Tensor]:
        found: Tensor = functional_call(model, landscape.named(flat), (landscape.x,))
        return found, found

    for some in points.split(max(1, _BYTES // (8 * held))):
        jacobians: Any
        if model.supports_vmap:
            jacobians, z = vmap(jacrev(logits, has_aux=True))(some)
        else:
            each = [torch.autograd.functional.jacobian(landscape.logits, point) for point in some]
            jacobians, z = torch.stack(each), torch.stack([landscape.logits(point).detach() for point in some])
        slopes = [landscape.criterion.derivatives(one.detach(), landscape.y)[0] for one in z]
        yield jacobians.detach(), torch.stack(slopes)
