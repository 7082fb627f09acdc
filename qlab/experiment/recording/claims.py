"""Recording claims in the experiment's run: as they are written, before anything is trained, and the verdicts."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from qlab.claims import judge
from qlab.claims.history import Entry, matched, written
from qlab.claims.table import claim_table, records
from qlab.claims.wording import count, estimate
from qlab.experiment.asking.claim_groups import Item, Made
from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.asking.trial import ProbeRun, Trial, content_hash
from qlab.experiment.planning.observing import observed
from qlab.experiment.recording.recorder import Recorder
from qlab.tracking import frames, names
from qlab.tracking.claim_record import read_record, read_records, write_record
from qlab.tracking.groups import OVER
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
    own = read_record(recorder.store, parent)
    if not experiment.claims and own is None:
        return
    records = read_records(recorder.store, recorder.experiment_id)
    mine = list(own["claims"]) if own else []
    others = [entry for run, record in records.items() if run != parent for entry in record["claims"]]
    kept = matched(experiment.claims, [*mine, *others])
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    entries = []
    for claim, earlier in zip(experiment.claims, kept, strict=True):
        here = any(earlier is item for item in mine)
        entry = written(claim, earlier, 0, now, elsewhere=not here)
        if earlier is None or len(entry["history"]) > len(earlier["history"]):
            entry["history"][-1]["runs"] = _finished(recorder, experiment, entry, run_ids)
        if earlier is not None and here:
            entry["verdict"] = earlier["verdict"]
        entries.append(entry)
    gone = [entry for entry in mine if not any(entry is item for item in kept)]
    for entry in gone:
        if entry["withdrawn"] or entry["verdict"] or _finished(recorder, experiment, entry, run_ids):
            entries.append({**entry, "withdrawn": entry["withdrawn"] or now})
    _write(recorder, parent, entries, own)


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
    verdicts = judge([observed(claim, made, values) for claim in experiment.claims])
    found = {claim.digest: verdict for claim, verdict in zip(experiment.claims, verdicts, strict=True)}
    entries = [
        entry
        if entry["withdrawn"] or entry["history"][-1]["digest"] not in found
        else {**entry, "verdict": found[entry["history"][-1]["digest"]].as_json()}
        for entry in own["claims"]
    ]
    with recorder.tracking():
        _write(recorder, parent, entries, own)
    return claim_table(entries, experiment.name)


def _write(recorder: Recorder, parent: str, entries: Sequence[Entry], own: Mapping[str, Any] | None) -> None:
    """Writes a record and shows it, unless it is written."""
    if own is not None and own["claims"] == list(entries):
        return
    time = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
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
    write_record(recorder.store, parent, {"claims": list(entries), "evaluated": time}, content_hash(list(entries)))
    recorder.store.log(parent, metrics=metrics, tags=tags)


def _finished(recorder: Recorder, experiment: Experiment, entry: Entry, run_ids: Mapping[str, str]) -> int:
    """How many runs of the groups of a claim, as it was or as it is, have finished."""
    if experiment.selection is not None:  # which runs these are says the choice; all that were reported are meant
        kinds = (names.TRIAL, names.UNLEARNING, names.PROBE)
        every = frames.runs(recorder.store, [recorder.experiment_id])
        mine = every[every["kind"].isin(kinds) & (every["status"] == "FINISHED")]
        return int(mine[OVER].notna().sum()) if OVER in mine else 0
    made = Made(experiment.items)
    keys = {
        item.key
        for version in entry["history"]
        for group in (version["claim"]["of"], version["claim"]["than"])
        if isinstance(group, Mapping)
        for item in made.members(group)
    }
    return len(keys & run_ids.keys())


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
