"""How much a circuit can express: the observables that it reaches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.func import jvp, vmap

from qlab.errors import ConfigError
from qlab.fields import PositiveInt
from qlab.landscape.base import LandscapeProbe
from qlab.landscape.drawn import drawn_points, unsuited_to
from qlab.landscape.landscape import Landscape
from qlab.landscape.result import ProbeResult
from qlab.models import Model

_RANK_AT = 3
"""The rank of the Jacobian is that at almost every point: the largest at so many is taken."""

_NONE = 1e-20
"""Squared Pauli coefficients below this, of an operator whose squares add up to one, are rounding."""


class ExpressivityProbe(LandscapeProbe):
    """The observables U^dagger O U that a circuit reaches, over all of its angles.

    A circuit is a linear model on Pauli expectation values whose coefficients c(theta) are those of its evolved
    observable: what it can express is the set of c. Its dimension is the rank of dc/dtheta at almost every point, in
    how many directions the function can be moved at once; where more angles do not raise it, the circuit is
    overparametrized. The linear model that contains the circuit has as many coefficients as there are Pauli strings in
    c at almost every point; how many of them weigh alike is their participation number.

    Does not depend on samples, on where training ended, or on the readout's factor. Takes circuits evaluated by
    evolving one observable on one light cone (``device = "lightcone"``), others are left out or refused by name.

    Args:
        draws: points with angles from U[-pi, pi) over which squared coefficients are averaged.
    """

    formula: ClassVar[str] = "rank dc/dtheta; |{P: c_P != 0}|; 1 / sum_P m_P^2, m_P = E[c_P^2] / sum_Q E[c_Q^2]"
    source: ClassVar[str] = "ranks: Larocca et al., Nat. Comput. Sci. 3, 542 (2023), arXiv:2109.11676"

    draws: PositiveInt = 1000

    def unsuited(self, model: Model) -> str:
        """Models without trained angles."""
        return unsuited_to("uniform", model)

    def check_built(self, model: Model) -> None:
        """See the base class: the circuit must evolve one observable.

        Raises:
            ConfigError: it is evaluated in another way.
        """
        model = model.double_copy()
        weights = {name: torch.zeros_like(model.get_parameter(name)) for name in model.angle_names}
        self._observable(model, weights)

    @torch.no_grad()
    def compute(self, landscape: Landscape) -> ProbeResult:
        """Scalars ``jacobian_rank``, ``pauli_strings`` and ``effective_pauli_strings``, and
        ``jacobian_rank_of_angles``, the rank over the number of angles that the readout depends on. Arrays:
        ``mean_squares`` of the coefficients of all Pauli strings on the light cone, ``[4^k]``, the singular values of
        the Jacobian, ``[min(4^k, P)]``.

        Raises:
            ConfigError: the model is not for this probe.
        """
        points = drawn_points(landscape, "uniform", max(self.draws, _RANK_AT), 1.0)
        model, weights = landscape.model, landscape.named

        def observable(flat: Tensor) -> Tensor:
            return self._observable(model, weights(flat))

        size = observable(points[0]).numel()
        at_once = max(1, 2**22 // size)
        squares = torch.stack([vmap(observable)(some).square().sum(0) for some in points.split(at_once)]).sum(0)
        squares[0] = 0.0  # the identity is a constant
        share = squares / squares.sum()
        reached = self._angles(landscape)
        ranks, singular = [], torch.zeros(0)
        for point in points[:_RANK_AT]:
            singular = torch.linalg.svdvals(_jacobian(observable, point, reached, at_once))
            ranks.append(int((singular > singular[:1] * size * 1e-13).sum()))
        scalars = {
            "jacobian_rank": float(max(ranks)),
            "jacobian_rank_of_angles": max(ranks) / max(1, len(reached)),
            "pauli_strings": float((share > _NONE).sum()),
            "effective_pauli_strings": float(1.0 / share.square().sum()),
        }
        arrays: dict[str, Any] = {"mean_squares": (squares / len(points)).numpy(), "singular_values": singular.numpy()}
        return ProbeResult(scalars, arrays, about={"draws": len(points), "angles": len(reached)})

    def _observable(self, model: Model, weights: Any) -> Tensor:
        found = model.observable_at(weights)
        if found is None:
            raise ConfigError(
                f"{type(self).__name__}: got {type(model).__name__}, evaluated as: "
                f"{getattr(model, 'engine_name', 'no circuit')}; accepts circuits of which one observable is evolved "
                "on one light cone."
            )
        return found

    def _angles(self, landscape: Landscape) -> Tensor:
        """Positions of the angles that the observable depends on."""
        names = landscape.model.angle_names
        named = landscape.named(torch.arange(landscape.n_parameters))
        angles = torch.cat([part.reshape(-1) for name, part in named.items() if name in names])
        reached = landscape.model.reached_parameters()
        return angles if reached is None else angles[reached[angles]]


def _jacobian(observable: Callable[[Tensor], Tensor], point: Tensor, angles: Tensor, at_once: int) -> Tensor:
    """dc/dtheta at a point, ``[angles, 4^k]``: forward mode, as there are fewer angles than coefficients."""

    def slope(unit: Tensor) -> Tensor:
        found: Tensor = jvp(observable, (point,), (unit,))[1]
        return found

    units = torch.nn.functional.one_hot(angles, len(point)).to(point)
    return torch.cat([vmap(slope)(some) for some in units.split(at_once)])
