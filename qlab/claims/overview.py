"""Verdicts of several experiments side by side: what holds as published, and what under controls."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from qlab.claims.table import note, records
from qlab.claims.wording import count, estimate


def blocks(tables: Sequence[pd.DataFrame]) -> list[tuple[list[str], list[dict[str, Any]]]]:
    """Groups of experiments that have claims of one name, with a row for each claim.

    A row has the ``claim``, ``cells`` with the row of :func:`qlab.claims.table.claim_table` of each experiment, by its
    name, and is of all claims with that name; one without a name stands alone.

    Args:
        tables: of the experiments, see :func:`qlab.claims.table.claim_table`.
    """
    filled = [(str(table["experiment"].iloc[0]), records(table)) for table in tables if len(table)]
    found = []
    for experiments in _connected({name: _names(rows) for name, rows in filled}):
        lines: dict[str, dict[str, Any]] = {}
        for experiment, rows in filled:
            for place, row in enumerate(rows if experiment in experiments else ()):
                key = str(row["name"]) or f"{experiment} {place}"
                line = lines.setdefault(key, {"claim": row["claim"], "cells": {}})
                line["cells"][experiment] = row
        found.append((experiments, list(lines.values())))
    return found


def cell(row: Mapping[Hashable, Any]) -> str:
    """A verdict in short: "supported: +0.24 [+0.15, +0.34], n = 5 of 5; edited after its runs"."""
    said = str(row["verdict"])
    if row["verdict"] in ("supported", "contradicted", "undecided"):
        said += f": {estimate(row)}"
    if row["of"]:
        said += f", n = {count(row)}"
    return "; ".join(filter(None, [said, note(row)]))


def _names(rows: Iterable[Mapping[Hashable, Any]]) -> set[str]:
    return {str(row["name"]) for row in rows if row["name"]}


def _connected(named: Mapping[str, set[str]]) -> list[list[str]]:
    """Experiments that share a name, or share one with such that do, in order."""
    groups: list[tuple[list[str], set[str]]] = []
    for experiment, own in named.items():
        together = [group for group in groups if group[1] & own]
        members = [name for group in together for name in group[0]]
        names = own.union(*(group[1] for group in together))
        place = groups.index(together[0]) if together else len(groups)
        groups = [group for group in groups if all(group is not other for other in together)]
        groups.insert(place, ([*members, experiment], names))
    return [members for members, _ in groups]
