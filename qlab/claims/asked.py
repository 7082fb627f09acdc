"""A claim as it is written down: the ``[[claim]]`` table of an experiment file."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import annotated_types as at

from qlab.claims.tests import Test
from qlab.component import Component
from qlab.fields import NonNegativeFloat

Statement = Literal["above", "below", "within", "not above", "not below"]

Group = Mapping[str, Any]
"""What runs of a group have in common: values by dotted key."""


class ClaimTable(Component):
    """A ``[[claim]]`` table: what the experiment is to show, written before it runs.

    Beside these fields it has ``of``, the group that it is about, ``than``, the group (or number) that this is compared
    with, and ``at``, what both have in common: tables of values by dotted key, such as ``{ "model.type" = "MLP",
    "corruption.ratio" = 0.3 }``, or by the end of it where that is no other's: ``{ model = "MLP", ratio = 0.3 }``.
    A group with ``"unlearner.type"`` is of unlearning runs, one with ``"probe.type"`` of probes, others of trials.

    With the effect D ("of" less "than") and the margin m, the statement is "above": D > m, "below": D < -m, "within":
    -m < D < m, "not above": D < m, "not below": D > -m. Of a ratio R the same with 1 + m in place of m and 1 / (1 + m)
    in place of -m.

    Args:
        text: the claim in a sentence.
        metric: what is compared: a metric of trials, unlearning runs or probes.
        statement: how "of" lies to "than".
        margin: the smallest effect that matters; of a ratio a fraction: 0.25 for a quarter more.
        name: tells it from others in the store; claims of the same name in several experiments stand in one row of a
            report.
        effect: "difference" or "ratio" of means over seeds, or the "slope" of the metric against ``over`` (of each seed
            by least squares, per unit), which is compared with that of "than" or with 0.
        over: of a slope the dotted key of the swept field.
        mean: of a ratio, "geometric" for positive values that differ by orders of magnitude.
        pool: dotted keys of swept values that are averaged over, for each seed.
        independent: what counts as one observation: "seeds" (runs of a seed are averaged), or, with one seed,
            "repeats" of an unlearning of the same model, which says nothing of other models.
        paired: whether values of the same seed are compared with each other; else the groups are.
        test: "t", "bootstrap" (studentized), "permutation" (of signs) or "wilcoxon", all one-sided.
        level: the probability at most of calling it supported if it does not hold, or contradicted if it does.
        correction: "holm" keeps that for all such claims of the file together; "none" for this one alone.
    """

    text: str
    metric: str
    statement: Statement
    margin: NonNegativeFloat = 0.0
    name: str = ""
    effect: Literal["difference", "ratio", "slope"] = "difference"
    over: str = ""
    mean: Literal["arithmetic", "geometric"] = "arithmetic"
    pool: tuple[str, ...] = ()
    independent: Literal["seeds", "repeats"] = "seeds"
    paired: bool = True
    test: Test = "t"
    level: Annotated[float, at.Ge(1e-12), at.Lt(0.5)] = 0.05
    correction: Literal["holm", "none"] = "holm"


@dataclasses.dataclass(frozen=True, eq=False)
class Claim:
    """A claim, its keys in full.

    Args:
        table: the fields.
        of: the group that it is about.
        than: what that is compared with.
        where: its table, for messages.
    """

    table: ClaimTable
    of: Group
    than: Group | float
    where: str = "claim"

    @functools.cached_property
    def stated(self) -> dict[str, Any]:
        """Everything that the claim says, as JSON has it."""
        than = self.than if isinstance(self.than, float) else dict(self.than)
        return {**self.table.config(), "of": dict(self.of), "than": than}

    @functools.cached_property
    def digest(self) -> str:
        """A hash of all that: an edited claim has another."""
        text = json.dumps(self.stated, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def called(self) -> str:
        """Its name, or its text."""
        return self.table.name or self.table.text

    @property
    def limits(self) -> tuple[float, float]:
        """What the statement compares the effect with, below and above."""
        margin = self.table.margin
        return (1.0 / (1.0 + margin), 1.0 + margin) if self.table.effect == "ratio" else (-margin, margin)


def described(group: Group | float) -> str:
    """A group for people: "MLP, ratio 0.3"."""
    if isinstance(group, float):
        return f"{group:g}"
    said = []
    for key, value in group.items():
        field = key.rpartition(".")[2]
        text = "/".join(map(_text, value)) if isinstance(value, list) and key.endswith(".ratio") else _text(value)
        said.append(text if field == "type" else f"{field.replace('_', ' ')} {text}")
    return ", ".join(said) or "all"


def _text(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)
