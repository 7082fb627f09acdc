"""When a claim was written, and whether that was before its runs: kept as JSON beside the runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qlab.claims.asked import Claim
from qlab.claims.verdict import UNTESTED

Entry = dict[str, Any]
"""What is kept of a claim: ``name``, ``history`` (its versions, the oldest first), ``withdrawn``, ``verdict``, and
``seeds``, with which that was tested, and ``looks``, with what it was tested in other runs of the experiment.

A version has ``digest``, ``time`` (ISO 8601, UTC), ``runs`` (how many runs of its groups, or of an earlier version's,
that this run of the experiment is of had finished when it was written) and ``claim``, all that it says.
"""

Version = dict[str, Any]

Look = dict[str, Any]
"""``n``, with how many observations a claim was tested, and their ``seeds``, or None where they are not known."""

LATE, EDITED, WITHDRAWN = "written after its runs", "edited after its runs", "withdrawn"


def matched(claims: Sequence[Claim], kept: Sequence[Entry]) -> list[Entry | None]:
    """For each claim of a file what is kept of it, or None: by its name, what it says, its text, or else its place.

    Args:
        claims: of the file.
        kept: of earlier times, the newest first.
    """
    left = list(kept)
    found: list[Entry | None] = [None] * len(claims)
    rules = (
        lambda claim, entry: bool(claim.table.name) and claim.table.name == entry["name"],
        lambda claim, entry: claim.digest in [version["digest"] for version in entry["history"]],
        lambda claim, entry: claim.table.text == entry["history"][-1]["claim"]["text"],
        lambda claim, entry: not claim.table.name and not entry["name"],
    )
    for rule in rules:
        for place, claim in enumerate(claims):
            if found[place] is None:
                found[place] = next((entry for entry in left if rule(claim, entry)), None)
                left = [entry for entry in left if entry is not found[place]]
    return found


def is_of(entry: Entry, other: Entry) -> bool:
    """Whether two entries, of different runs, are of one claim: by its name, what it says, its text."""
    if entry["name"] and other["name"]:
        return bool(entry["name"] == other["name"])
    one, two = ([version["digest"] for version in item["history"]] for item in (entry, other))
    texts = [item["history"][-1]["claim"]["text"] for item in (entry, other)]
    return bool(set(one) & set(two)) or texts[0] == texts[1]


def looks_of(entries: Iterable[Entry]) -> list[Look]:
    """With what a claim was tested, by what other runs of the experiment keep of it: each once, the fewest first."""
    found: list[Look] = []
    for entry in entries:
        found += entry.get("looks", ())
        if entry["verdict"] and entry["verdict"]["verdict"] != UNTESTED:
            found.append({"n": int(entry["verdict"]["n"]), "seeds": entry.get("seeds")})
    once = {(look["n"], tuple(look["seeds"] or ())): look for look in found}
    return [once[key] for key in sorted(once)]


def written(claim: Claim, earlier: Entry | None, runs: int, time: str, looks: Sequence[Look] = ()) -> Entry:
    """What is to be kept of a claim: a new version if it says something else than the last.

    Args:
        claim: as it is asked now.
        earlier: what was kept.
        runs: how many runs of its groups there are.
        time: now.
        looks: see :func:`looks_of`.
    """
    history = list(earlier["history"]) if earlier else []
    if not history or history[-1]["digest"] != claim.digest:
        history.append({"digest": claim.digest, "time": time, "runs": runs, "claim": claim.stated})
    kept = {"name": claim.table.name, "history": history, "withdrawn": None, "verdict": None, "seeds": None}
    return {**kept, "looks": list(looks)}


def registered(entry: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The version that counts as written before its runs: the last of those that were; None if none was."""
    early = [version for version in entry["history"] if not version["runs"]]
    found: Mapping[str, Any] | None = early[-1] if early else None
    return found


def mark(entry: Mapping[str, Any]) -> str:
    """What a reader has to know: that a claim was written or edited after its runs, or withdrawn; or nothing."""
    if entry["withdrawn"]:
        return WITHDRAWN
    first = registered(entry)
    if first is None:
        return LATE
    return "" if first["digest"] == entry["history"][-1]["digest"] else EDITED


def first_text(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The version that an edited claim is to be read beside: the registered one, or the first."""
    version: Mapping[str, Any] = registered(entry) or entry["history"][0]
    return version
