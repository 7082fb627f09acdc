"""What a circuit could do at best or at most: a linear model on the expectation values that it sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from qlab.circuits import HeisenbergEngine
from qlab.circuits.blocks import ReducedStates
from qlab.errors import ConfigError, DataError
from qlab.fields import PositiveFloat
from qlab.inputs import DEFAULT_SITES, PauliExpectations, Sites
from qlab.models.base import Model, Precision
from qlab.models.features import Features
from qlab.models.qnn import PennyLaneQNN
from qlab.models.spectral_norm import project_to_norm, spectral_norms

Bound = Literal["none", "operator"]


class PauliLinear(Model):
    """A linear model on Pauli expectation values: logit = scale * sum_P c_P tr(rho P) + offset, with trained c_P.

    P runs over all Pauli strings on the sites, including the identity. A circuit with these sites as its light cone is
    such a model, whose coefficients are those of an operator O = sum_P c_P P with the eigenvalues of Z: see :meth:`of`.
    With ``bound = "operator"`` the spectral norm of O is at most one, too: after each step of training and unlearning O
    is projected to the nearest such operator, by clipping eigenvalues to [-1, 1], which is exact. It then differs from
    a circuit only in which operators can be reached (here all of them), and how. Landscapes look beyond the bound.

    Weights are drawn from N(0, initial_scale^2). Weight decay is that of the optimizer.

    Args:
        sites: how many of the last sites (4: the light cone of the paper's chain of depth 4); or a list of sites, 0 the
            first, -1 the last; or "ring-D", the light cone of a ring of D rows: 2 D - 1 sites around the last; or
            "pairs", all strings on one or two sites of the chain, which has no bound. At most 7. A list of numbers is a
            list of sites, never a sweep; a list of lists, or one that contains a string, is swept.
        bound: "none", or "operator": the spectral norm is at most one.
        scale: factor between the expectation value of O and the logit.
        offset: offset of the logit; not trained.
        initial_scale: standard deviation of the initial coefficients.
        dtype: precision of parameters and training.
    """

    formula: ClassVar[str] = "z = scale * tr(rho O) + offset, O = sum_P c_P P, perhaps |O| <= 1"
    source: ClassVar[str] = "light cones of arXiv:2508.02422; linear models of circuits: arXiv:2101.11020"

    batch_rows: bool = False  # all rows are one matrix product, and copies of batches would cost more
    ordered_layers: bool = False  # strings of all sites meet the data side by side

    def __init__(
        self,
        *,
        sites: Sites = DEFAULT_SITES,
        bound: Bound = "none",
        scale: PositiveFloat = 5.0,
        offset: float = 0.0,
        initial_scale: PositiveFloat = 0.01,
        dtype: Precision = "float64",
        **fields: Any,
    ) -> None:
        super().__init__(
            sites=sites, bound=bound, scale=scale, offset=offset, initial_scale=initial_scale, dtype=dtype, **fields
        )
        self.bound: Bound = bound
        self.scale, self.offset, self.initial_scale = float(scale), float(offset), float(initial_scale)
        self._inputs = PauliExpectations(type(self).__name__, sites, identity=True)
        if bound == "operator" and sites == "pairs":
            raise ConfigError(
                f'{type(self).__name__}: bound: got "operator" for sites = "pairs", whose operators act on the whole '
                'chain; accepts "none", or sites that are a light cone.'
            )

    @property
    def input_map(self) -> PauliExpectations:
        """See the base class."""
        return self._inputs

    @classmethod
    def of(cls, circuit: PennyLaneQNN) -> Self:
        """The same function as a circuit with the weights it has: its observable, evolved through its light cone.

        Args:
            circuit: built, evaluated by evolving its observable, on one light cone of at most 7 qubits.

        Raises:
            DataError: it has not been built.
            ConfigError: it is evaluated in another way.
        """
        if circuit.features is None:
            raise DataError(f"{type(circuit).__name__} has no weights yet; build it, or take a trained one.")
        engine = circuit.engine
        own = type(circuit).forward is not PennyLaneQNN.forward
        if own or not isinstance(engine, HeisenbergEngine) or len(engine.cones) > 1 or engine.encoding.product:
            raise ConfigError(
                f"{cls.__name__}.of: got {type(circuit).__name__}, evaluated as: {circuit.engine_name}; accepts a "
                "circuit of amplitudes of which one observable is evolved on one light cone."
            )
        scale, offset = circuit.readout_values()
        wires = engine.cones[0].wires
        made = cls(
            sites=tuple(engine.encoding.sites(wires)) if isinstance(engine.encoding, ReducedStates) else wires,
            scale=abs(scale) or 1.0,
            offset=offset,
            dtype="float64" if circuit.dtype == torch.float64 else "float32",
        ).build(circuit.features)
        with torch.no_grad():
            sign = (scale > 0) - (scale < 0)
            made.coefficients.copy_(sign * engine.observable(circuit.flat_weights()))
        return made

    def setup(self, features: Features) -> None:
        """Creates the coefficients.

        Raises:
            DataError: the features are no states with such sites.
        """
        self._inputs = self._inputs.on(features.block)
        self._inputs.check(features.dimension, features.is_complex)
        self._acts_on = self._inputs.weights(features.dimension)
        self.coefficients = nn.Parameter(torch.empty(len(self._acts_on), dtype=self.dtype))
        self.may_draw = False

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator) -> None:
        """Coefficients from N(0, initial_scale^2), then within the bound."""
        drawn = torch.randn(self.coefficients.shape, generator=generator, dtype=torch.float64) * self.initial_scale
        self.coefficients.copy_(self._projected(drawn[None])[0])

    def project_parameters(self, parameters: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Operators of norm at most one, if there is a bound."""
        if self.bound == "none":
            return {}
        return {"coefficients": self._projected(parameters["coefficients"])}

    def parameter_metrics(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """``operator_norm``: the spectral norm of O; where it is below one, no bound was needed."""
        if self._inputs.sites == "pairs":
            return {}
        return {"operator_norm": spectral_norms(parameters["coefficients"])}

    def evolved_observable(self) -> Tensor | None:
        """Its own operator."""
        return self.coefficients.detach()

    def prepare(self, x: Tensor) -> Tensor:
        """Expectation values of the strings, ``[N, m]``."""
        if self.features is not None and x.shape[1] != self.features.dimension:
            states = "amplitudes" if self.features.block is None else "numbers"
            raise DataError(
                f"{type(self).__name__} was built for {self.features.dimension} {states}, got {x.shape[1]}; build it "
                "for this data set."
            )
        return self._inputs(x).to(self.dtype)

    def forward(self, prepared: Tensor) -> Tensor:
        """Logits ``[N]``."""
        return self.scale * (prepared @ self.coefficients) + self.offset

    @property
    def piecewise_linear(self) -> bool:
        """True: it is linear in its parameters, unless a subclass computes something else."""
        return type(self).forward is PauliLinear.forward

    def parameter_layers(self) -> dict[str, Tensor]:
        """Strings by the number of sites that they act on."""
        names = ["identity", "1 site", *(f"{count} sites" for count in range(2, 8))]
        found = {name: torch.nonzero(self._acts_on == count).flatten() for count, name in enumerate(names)}
        return {name: places for name, places in found.items() if len(places)}

    def _projected(self, coefficients: Tensor) -> Tensor:
        return coefficients if self.bound == "none" else project_to_norm(coefficients)
