"""Audits: what is asked about unlearned models beyond their metrics, and what it takes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator
from typing import Annotated, Final, Literal

import annotated_types as at

from qlab.component import Component
from qlab.corruptions import GaussianPoison, Knowledge
from qlab.errors import ConfigError, unknown
from qlab.experiment.asking.trial import ALL_KNOWN, Unlearning, content_hash
from qlab.fields import PositiveInt, show
from qlab.tracking.audit_names import (
    CORRECTIVE,
    DISTANCE,
    EPSILON,
    GAUSSIAN,
    KLOM,
    LOGGED,
    MEMBERSHIP,
    RELEARNING,
    TUG_OF_WAR,
)

METRICS: Final = tuple(LOGGED)
"""What an audit can measure."""

_OF_MODELS: Final = frozenset({KLOM, EPSILON, MEMBERSHIP, CORRECTIVE})
"""Those that compare distributions: of many unlearned models, not of one."""

_FEWEST = 4
"""Models of each kind that half of each attack takes two of."""

_VERSIONS: Final = {EPSILON: 2}
"""Of how metrics are computed, 1 if not here; incremented when the same table comes to mean other numbers."""


class AuditTable(Component):
    """The ``[audit]`` table: how unlearned models are compared with retrained ones.

    Distributions need many models. For each trained model that is unlearned, ``oracles`` models are retrained on its
    retain set, and for the metrics klom, epsilon, membership and corrective_accuracy ``models`` more are trained as it
    was, on the same rows with the same corrupted ones; every method is applied to all of these. They are kept in the
    store and shared by all methods.

    - ``klom``: KL divergence of margins over unlearned models and over oracles, for each row, with its noise floor.
    - ``epsilon``: how well a threshold on the margin of one row tells unlearned models from oracles, with intervals;
      ``epsilon_median`` counts no row for more than so many models can show (``epsilon_ceiling``), and
      ``epsilon_unbounded`` is the fraction of rows whose attack made no error, so that its estimate is infinite.
    - ``membership``: likelihood-ratio attacks on the forget rows, with shadow models.
    - ``gaussian_unlearning_score``: whether a model still knows the noise of its poisoned rows (GaussianPoison only).
    - ``tug_of_war``: accuracies on forget, retain and validation rows against those of oracles, as one number.
    - ``distance``: distances to oracles, of parameters, of logits, and of what circuits measure.
    - ``relearning``: the polluted labels that come back while known rows are learned anew, on known and hidden rows.
    - ``corrective_accuracy``: true labels on corrupted (or triggered) rows, mean and deviation over unlearned models.

    Args:
        oracles: how many models are retrained on each retain set. Those that ``run.oracles`` asks for are among them.
        models: how many models are trained like each one that is unlearned, and unlearned by each method.
        metrics: which of the above.
        bins: of KLoM's histograms.
        against: oracles trained without any corrupted row ("clean"), or without the known ones only ("reachable").
        delta: of (epsilon, delta)-unlearning.
        relearn_steps: steps of relearning.
    """

    oracles: PositiveInt = 100
    models: PositiveInt = 100
    metrics: Annotated[tuple[str, ...], at.MinLen(1)] = (KLOM,)
    bins: Annotated[int, at.Ge(2)] = 20
    against: Literal["clean", "reachable"] = "clean"
    delta: Annotated[float, at.Interval(ge=0.0, lt=1.0)] = 0.0
    relearn_steps: PositiveInt = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.metrics:
            if name not in METRICS:
                raise ConfigError("metrics: " + unknown("audit", name, METRICS))
        if len(set(self.metrics)) < len(self.metrics):
            raise ConfigError(f"metrics: got {show(list(self.metrics))}, accepts each only once.")
        if KLOM in self.metrics:
            for name, number in (("oracles", self.oracles), ("models", self.models)):
                if number < self.bins:
                    fewest = min(self.oracles, self.models)
                    fewer = f", or fewer bins: bins = {min(fewest, 10)}" if fewest > 1 else ""
                    raise ConfigError(
                        f"{name}: got {number}, accepts at least as many as the {self.bins} bins of klom's histograms: "
                        f"fewer models leave most of them empty. Give more{fewer}."
                    )
        for metric in (EPSILON, MEMBERSHIP):
            if metric in self.metrics and min(self.oracles, self.models) < _FEWEST:
                raise ConfigError(
                    f"oracles and models: got {self.oracles} and {self.models}, accepts at least {_FEWEST} each for "
                    f"{metric}: one half chooses the attack, the other tests it."
                )
        if {TUG_OF_WAR, DISTANCE} & set(self.metrics) and self.oracles < 2:
            raise ConfigError("oracles: got 1, accepts at least 2: distances are compared with those between oracles.")

    @property
    def needs_models(self) -> bool:
        """Whether something of it takes more models than the one that was unlearned."""
        return bool(_OF_MODELS & set(self.metrics))


@dataclasses.dataclass(frozen=True, eq=False)
class Audit:
    """One metric of an audit of one unlearning run, which is no part of the run's identity.

    Args:
        of: the unlearning run.
        metric: one of :data:`METRICS`.
        table: how it is measured.
    """

    of: Unlearning
    metric: str
    table: AuditTable

    @property
    def needs_models(self) -> bool:
        """Whether it takes many unlearned models."""
        return self.metric in _OF_MODELS

    @property
    def knowledge(self) -> Knowledge:
        """Without which rows its oracles are trained."""
        return ALL_KNOWN if self.table.against == "clean" else self.of.knowledge

    @property
    def oracle_keys(self) -> list[str]:
        """The oracles that it takes."""
        return [self.of.teacher.oracle_key(number, self.knowledge) for number in range(self.table.oracles)]

    @property
    def model_keys(self) -> list[str]:
        """The models that it takes which are trained like the one that was unlearned."""
        return [self.of.teacher.shadow_key(number) for number in range(self.table.models)] if self.needs_models else []

    @functools.cached_property
    def digest(self) -> str:
        """Of what decides the values."""
        table = self.table
        version = _VERSIONS.get(self.metric, 1)
        decides: dict[str, object] = {"version": version, "oracles": table.oracles, "against": table.against}
        if self.needs_models:
            decides["models"] = table.models
        for metric, name in ((KLOM, "bins"), (EPSILON, "delta"), (RELEARNING, "relearn_steps")):
            if self.metric == metric:
                decides[name] = getattr(table, name)
        return content_hash(decides)

    @functools.cached_property
    def key(self) -> str:
        """The identity of the audit."""
        return content_hash({"audit": self.metric, "of": self.of.key, "digest": self.digest})

    @property
    def label(self) -> str:
        """A short name for people."""
        return f"{self.metric} of {self.of.label}"


def audits_of(table: AuditTable, unlearnings: Iterable[Unlearning]) -> Iterator[Audit]:
    """Every metric of every unlearning run that it can be measured of."""
    for item in unlearnings:
        for metric in table.metrics:
            if item.teacher.has_gradients and not refusal(metric, item):
                yield Audit(item, metric, table)


def refusal(metric: str, item: Unlearning) -> str:
    """Why a metric has no meaning for an unlearning run; nothing if it has."""
    if metric == GAUSSIAN and not isinstance(item.teacher.corruption, GaussianPoison):
        return "it asks for Gaussian noise that was put into features, which only the corruption GaussianPoison does"
    return ""


def check_audit(table: AuditTable, unlearnings: Iterable[Unlearning]) -> Iterator[str]:
    """Looks at an audit beside what is unlearned; gives what is left out of it, each with its reason.

    Raises:
        ConfigError: nothing is unlearned that could be audited, or something of it has no meaning for any of that.
    """
    items = [item for item in unlearnings if item.teacher.has_gradients]
    if not items:
        raise ConfigError("nothing is unlearned by gradients, so there is nothing to audit; add an [[unlearner]].")
    for metric in table.metrics:
        refused = {item.teacher.names["corruption"]: said for item in items if (said := refusal(metric, item))}
        if refused and all(refusal(metric, item) for item in items):
            raise ConfigError(
                f"metrics: {metric} cannot be measured with {', '.join(refused)}: {next(iter(refused.values()))}."
            )
        for corruption, said in refused.items():
            yield f"{metric} with {corruption}: {said}"
