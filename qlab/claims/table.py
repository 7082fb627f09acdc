"""Claims and verdicts as a table, which the console, reports, the explorer and notebooks show."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final

import pandas as pd

from qlab.claims.history import EDITED, first_text, looks_of, mark
from qlab.claims.wording import alike, count, estimate, outlook, sentence

COLUMNS: Final = (
    *("experiment", "name", "claim", "states", "verdict", "estimate", "low", "high", "p_supported", "p_contradicted"),
    *(
        "n",
        "of",
        "left_out",
        "needed",
        "towards",
        "by_sign",
        "mark",
        "first_claim",
        "first_states",
        "written",
        "runs_before",
        "looks",
    ),
    *("metric", "effect", "statement", "margin", "test", "level", "correction", "independent", "figure"),
)

_NUMBERS = ("estimate", "low", "high", "p_supported", "p_contradicted")

VERDICT_NOTE: Final = (
    "Bounds are one-sided, each at the claim's level; verdicts are corrected for all claims of an experiment (Holm)."
)


def claim_table(entries: Sequence[Mapping[str, Any]], experiment: str) -> pd.DataFrame:
    """One row for each claim.

    Columns: ``experiment``, ``name``, ``claim`` (its text), ``states`` (what it says, in words), ``verdict``,
    ``estimate`` with its one-sided bounds ``low`` and ``high``, corrected p-values ``p_supported`` and
    ``p_contradicted``, ``n`` seeds of ``of``, ``left_out`` (why not all), ``needed`` (seeds that would decide it) and
    ``towards`` (how), ``by_sign`` (whether they agree exactly, so that only their number counts), ``mark`` (written or
    edited after its runs, or withdrawn) with ``first_claim`` and ``first_states``, which it said before, ``written``
    (when) and ``runs_before``, ``looks`` (with how many seeds it was tested before, and whether with others: who adds
    seeds until a claim is decided errs more often than its level says), then how it is tested, and the ``figure`` that
    shows it.

    Args:
        entries: see :data:`qlab.claims.history.Entry`.
        experiment: its name.
    """
    rows = [_row(entry, experiment) for entry in entries]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    for name in (*_NUMBERS, "level", "margin"):
        table[name] = table[name].astype(float)
    return table.astype({"needed": "Int64"})


def records(table: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """The rows, with 0 where nothing is needed."""
    return table.assign(needed=table["needed"].fillna(0).astype(int)).to_dict("records")


def short(table: pd.DataFrame) -> pd.DataFrame:
    """The table for people: claim, verdict, effect with its bounds, how many, and what there is to know."""
    rows = [
        {
            "claim": row["claim"],
            "verdict": row["verdict"],
            "effect": estimate(row),
            "n": count(row),
            "note": note(row),
        }
        for row in records(table)
    ]
    columns = ["claim", "verdict", "effect", "n", "note"]
    shown = pd.DataFrame(rows, columns=columns)
    return (
        shown
        if table["experiment"].nunique() < 2
        else shown.assign(experiment=list(table["experiment"]))[["experiment", *columns]]
    )


def note(row: Mapping[Any, Any]) -> str:
    """What there is to know of a row: what would decide it, and how it came to be written."""
    said = [
        alike(row),
        outlook(row),
        str(row["mark"]),
        f"tested before with {row['looks']}" if row["looks"] else "",
    ]
    if row["mark"] == EDITED:
        said[2] = f"{EDITED}; before: {row['first_claim']}"
        if row["first_states"] != row["states"]:
            said[2] += f" ({row['first_states']})"
    return "; ".join(filter(None, said))


def _row(entry: Mapping[str, Any], experiment: str) -> dict[str, Any]:
    stated, first = entry["history"][-1]["claim"], first_text(entry)
    found: Mapping[str, Any] = entry["verdict"] or {}
    marked = mark(entry)
    row: dict[str, Any] = {name: stated.get(name) for name in ("name", "metric", "effect", "statement", "margin")}
    row |= {name: stated.get(name) for name in ("test", "level", "correction", "independent")}
    row |= {
        "experiment": experiment,
        "claim": stated["text"],
        "states": sentence(stated),
        "verdict": "withdrawn" if entry["withdrawn"] else found.get("verdict", "not evaluated"),
        **{name: _number(found.get(name)) for name in _NUMBERS},
        "n": int(found.get("n", 0)),
        "of": int(found.get("asked", 0)),
        "left_out": str(found.get("left_out", "")),
        "needed": found.get("needed"),
        "towards": str(found.get("towards", "")),
        "by_sign": bool(found.get("by_sign", False)),
        "mark": marked,
        "first_claim": first["claim"]["text"] if marked else "",
        "first_states": sentence(first["claim"]) if marked else "",
        "written": str(first["time"]),
        "runs_before": int(entry["history"][-1]["runs"]),
        "looks": _looks(entry, found.get("n")),
        "figure": _figure(stated),
    }
    for side, way in (("low", -math.inf), ("high", math.inf)):
        if found.get("verdict") not in (None, "untested") and math.isnan(row[side]):
            row[side] = way  # JSON has no infinite numbers
    return row


def _looks(entry: Mapping[str, Any], n: int | None) -> str:
    """With how many it was tested before: "3, 5 (other seeds)"; what was the same test is no other look."""
    own, said = set(entry.get("seeds") or ()), []
    for look in looks_of([{**entry, "verdict": None}]):
        seeds = set(look["seeds"] or ())
        others = bool(own and seeds) and not (own <= seeds or seeds <= own)
        if others or look["n"] != n:
            said.append(f"{look['n']}{' (other seeds)' if others else ''}")
    return ", ".join(dict.fromkeys(said))


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _figure(stated: Mapping[str, Any]) -> str:
    """The name of the figure of a report that shows what is compared."""
    keys = [*stated["of"], *(stated["than"] if isinstance(stated["than"], Mapping) else ())]
    if any(key.startswith("probe.") for key in keys):
        kinds = {stated["of"].get("probe.type")}
        return "roughening" if "RougheningProbe" in kinds else "hessian" if "HessianProbe" in kinds else "probes"
    return "unlearning" if any(key.startswith("unlearner.") for key in keys) else "accuracy"
