"""Claims and verdicts in plain words."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

from qlab.claims.asked import described
from qlab.claims.power import MOST

_METRICS = {"lrr": "LRR"}


def sentence(stated: Mapping[str, Any]) -> str:
    """What a claim states: "validation accuracy of MLP, ratio 0.3 exceeds that of LinearSVC, ratio 0.3 by over 0.1".

    Args:
        stated: see :attr:`qlab.claims.asked.Claim.stated`.
    """
    than, of = stated["than"], described(stated["of"])
    other = described(than) if isinstance(than, Mapping) else f"{than:g}"
    effect, margin = str(stated["effect"]), float(stated["margin"])
    name = str(stated["metric"])
    quantity = _METRICS.get(name, name.replace("_", " "))
    if effect == "slope":
        quantity = f"slope of {quantity} against {str(stated['over']).rpartition('.')[2].replace('_', ' ')}"
    compared = f"that of {other}" if isinstance(than, Mapping) else other
    if stated["pool"]:
        of += f" (mean over {', '.join(key.rpartition('.')[2] for key in stated['pool'])})"
    how = _ratio if effect == "ratio" else _difference
    if effect == "ratio" and than == 1.0:
        compared = ""
    return f"{quantity} of {of} {how(str(stated['statement']), margin, compared)}"


def _difference(statement: str, margin: float, other: str) -> str:
    over = f" by more than {margin:g}" if margin else ""
    if statement == "within":
        return f"is within {margin:g} of {other}"
    if statement in ("above", "below"):
        return f"is {statement} {other}{over}"
    if not margin:
        return f"is {statement} {other}"
    return f"is {statement.removeprefix('not ')} {other} by less than {margin:g}, if at all"


def _ratio(statement: str, margin: float, other: str) -> str:
    most, least = f"{1.0 + margin:g}", f"{1.0 / (1.0 + margin):.3g}"
    times = f" times {other}" if other else ""
    return {
        "above": f"is more than {most}{times}",
        "below": f"is less than {least}{times}",
        "within": f"is {least} to {most}{times}",
        "not above": f"is less than {most}{times}",
        "not below": f"is more than {least}{times}",
    }[statement]


def digits(value: float | None, *, signed: bool = False) -> str:
    """A number with three significant digits, or all before the point."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    text = f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}" if abs(value) >= 0.0005 else f"{value:.1g}"
    text = "0" if float(text) == 0.0 else text
    return f"+{text}" if signed and value > 0 and text != "0" else text


def estimate(row: Mapping[Hashable, Any]) -> str:
    """The effect and its bounds: "+0.22 [0.18, 0.26]".

    Args:
        row: of :func:`qlab.claims.table.claim_table`.
    """
    signed = row["effect"] != "ratio"
    if row["estimate"] is None or math.isnan(row["estimate"]):
        return "-"
    shown = [digits(row[name], signed=signed) for name in ("estimate", "low", "high")]
    return f"{'×' if not signed else ''}{shown[0]} [{shown[1]}, {shown[2]}]"


def count(row: Mapping[Hashable, Any]) -> str:
    """How many observations there are of how many, and why the others are not: "4 of 5; 1 diverged"."""
    return f"{row['n']} of {row['of']}" + (f"; {row['left_out']}" if row["left_out"] else "")


def alike(row: Mapping[Hashable, Any]) -> str:
    """What is said if there is no spread: "all 5 seeds agree exactly, so only their number counts: p = 0.031"."""
    if not row["by_sign"]:
        return ""
    p = min(row["p_supported"], row["p_contradicted"])
    corrected = "corrected " if row["correction"] == "holm" else ""
    return f"all {row['n']} {row['independent']} agree exactly, so only their number counts: {corrected}p = {digits(p)}"


def outlook(row: Mapping[Hashable, Any]) -> str:
    """What would decide an undecided claim: "about 14 seeds would show it"."""
    if row["verdict"] != "undecided":
        return ""
    if not row["needed"]:
        return f"more than {MOST} would be needed" if row["towards"] else ""
    words = {"supported": "support", "contradicted": "contradict"}
    return f"about {row['needed']} {row['independent']} would {words[row['towards']]} it"
