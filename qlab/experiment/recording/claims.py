"""Recording claims in the experiment's run: as they are written, before anything is trained, and the verdicts."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from qlab.claims import judge
from qlab.claims.history import Entry, is_of, looks_of, matched, written
from qlab.claims.table import claim_table, records
from qlab.claims.wording import count, estimate
from qlab.experiment.asking.claim_groups import Item, Made
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.asking.trial import ProbeRun, Trial, content_hash
from qlab.experiment.planning.observing import observed
from qlab.experiment.recording.finished import Finished
from qlab.experiment.recording.recorder import Recorder
from qlab.tracking import names
from qlab.tracking.claim_record import read_record, read_records, write_record
from qlab.tracking.store import now_ms
from qlab.views.kept import ending, flaws, numbers_of

_LONGEST_TAG = 4000


def register_claims(recorder: Recorder, parent: str, experiment: Experiment, run_ids: Mapping[str, str]) -> None:
    """Writes down what a file claims, unless that is written; to be called before anything is trained.

    Args:
        recorder: of the experiment.
        parent: the experiment's run.
        experiment: as it is asked for.
        run_ids: of everything that is finished, by key.
    """
    records = read_records(recorder.store, recorder.experiment_id)
    # It has no tag, by which records are found, where a command was killed while it wrote it.
    own = records.pop(parent, None) or read_record(recorder.store, parent)
    others = list(records.values())
    if not experiment.claims and own is None and not others:
        return
    mine = list(own["claims"]) if own else []
    kept = matched(experiment.claims, [*mine, *(entry for record in others for entry in record["claims"])])
    there = [matched(experiment.claims, record["claims"]) for record in others]
    finished, now = Finished(recorder, experiment, run_ids), _now()
    entries = []
    for place, (claim, earlier) in enumerate(zip(experiment.claims, kept, strict=True)):
        mine_of = earlier if any(earlier is item for item in mine) else None
        known = [{**mine_of, "verdict": None}] if mine_of else []
        looks = looks_of([*known, *(item for found in there if (item := found[place]))])
        entry = written(claim, earlier, 0, now, looks)
        before = list(earlier["history"]) if earlier else []
        new = entry["history"][len(before) :]
        # Of what was written in another run of the experiment, others of this one's runs may have finished.
        entry["history"] = [*(before if mine_of else finished.counted(before)), *new]
        if new:
            new[-1]["runs"] = finished.before(entry["history"])
        elif mine_of:
            entry |= {"verdict": mine_of["verdict"], "seeds": mine_of.get("seeds")}
        entries.append(entry)
    left = {table.name or table.text for table in experiment.unmade}
    for record, found in zip([mine, *(record["claims"] for record in others)], [kept, *there], strict=True):
        here = record is mine
        for old in record:
            if any(old is item for item in found) or any(is_of(old, entry) for entry in entries):
                continue
            if (old["name"] or old["history"][-1]["claim"]["text"]) in left:  # the file has it
                entries += [old] if here else []
            elif old["withdrawn"] or old["verdict"] or finished.any_of(old["history"], here=here):
                entries.append({**old, "withdrawn": old["withdrawn"] or now})
    _write(recorder, parent, entries, own, again=bool(others and own and others[0]["evaluated"] > own["evaluated"]))


def evaluate_claims(
    recorder: Recorder, parent: str, trials: pd.DataFrame, unlearnings: pd.DataFrame, probes: pd.DataFrame
) -> pd.DataFrame:
    """The verdicts on what a file claims, which are written to the experiment's run if they are new.

    Args:
        recorder: of the experiment as it is reported.
        parent: the experiment's run.
        trials: one row for each trial.
        unlearnings: one row for each unlearning run.
        probes: one row for each probe.
    """
    experiment = recorder.experiment
    with recorder.tracking():
        own = read_record(recorder.store, parent)
    if own is None:
        return claim_table([], experiment.name)
    values, made = _Values(trials, unlearnings, probes), Made(experiment.items)
    seen = [observed(claim, made, values) for claim in experiment.claims]
    found = {
        item.claim.digest: {"verdict": verdict.as_json(), "seeds": list(item.seeds)}
        for item, verdict in zip(seen, judge(seen), strict=True)
    }
    entries = [
        entry if entry["withdrawn"] else {**entry, **found.get(entry["history"][-1]["digest"], {})}
        for entry in own["claims"]
    ]
    with recorder.tracking():
        _write(recorder, parent, entries, own)
    return claim_table(entries, experiment.name)


def _write(
    recorder: Recorder, parent: str, entries: Sequence[Entry], own: Mapping[str, Any] | None, *, again: bool = False
) -> None:
    """Shows a record and writes it, unless it is written, or to be the last that is."""
    partial = bool(recorder.experiment.unmade)
    kept = ([], partial) if own is None else (own["claims"], own.get("partial", False))
    if not again and kept == (list(entries), partial):
        return
    table = claim_table(entries, recorder.experiment.name)
    labels = [str(row["name"]) or f"claim-{place}" for place, row in enumerate(records(table), start=1)]
    tags, metrics, now = {}, [], now_ms()
    for label, row in zip(labels, records(table), strict=True):
        said = f"{row['verdict']}: {row['claim']}"
        if row["verdict"] not in ("not evaluated", "withdrawn"):
            said += f" | {estimate(row)}, n = {count(row)}"
        marked = f" | {row['mark']}" if row["mark"] else ""
        tags[f"{names.CLAIM}{label}"] = (said + marked)[:_LONGEST_TAG]
        metrics += [
            (f"claims/{label}{part}", float(row[name]), 0, now)
            for part, name in (("", "estimate"), (" low", "low"), (" high", "high"))
            if math.isfinite(row[name])
        ]
    recorder.store.log(parent, metrics=metrics, tags=tags)
    # Last: what is not shown is not taken for written, and the next run shows it.
    record = {"claims": list(entries), "evaluated": _now(), "partial": partial}
    write_record(recorder.store, parent, record, content_hash(list(entries)))


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


class _Values:
    """Metrics of runs, by the identity of what they are of."""

    def __init__(self, trials: pd.DataFrame, unlearnings: pd.DataFrame, probes: pd.DataFrame) -> None:
        self._frames = {"trials": trials, "unlearning": unlearnings, "probes": probes}
        self._known: dict[tuple[str, str], dict[str, tuple[float, str]]] = {}

    def __call__(self, item: Item, metric: str) -> tuple[float, str]:
        """A run's metric, and why there is none."""
        kind = "trials" if isinstance(item, Trial) else "probes" if isinstance(item, ProbeRun) else "unlearning"
        if (kind, metric) not in self._known:
            self._known[kind, metric] = self._read(kind, metric)
        return self._known[kind, metric].get(item.key, (math.nan, "not run"))

    def _read(self, kind: str, metric: str) -> dict[str, tuple[float, str]]:
        frame = self._frames[kind]
        if frame.empty:
            return {}
        if kind == "probes":
            from qlab.views.curvature import left_out

            reasons = left_out(frame, metric)
        else:
            reasons = [ended or flaw for ended, flaw in zip(ending(frame), flaws(frame, metric), strict=True)]
        return {
            str(key): (float(value), why)
            for key, value, why in zip(frame["trial"], numbers_of(frame, metric), reasons, strict=True)
        }
