"""What the runs of experiments keep of their claims: a JSON file, and tags that the MLflow UI shows."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qlab.tracking import names
from qlab.tracking.query import Query
from qlab.tracking.store import Store

Record = dict[str, Any]
"""``claims``, a list, ``evaluated``, when that was last done, and ``partial``, whether the file has more claims, about
runs that are not made as values were replaced."""


def read_records(store: Store, experiment_id: str) -> dict[str, Record]:
    """The records of an MLflow experiment's runs of kind "experiment", by run, the one evaluated last first."""
    runs = store.search([experiment_id], Query({names.KIND: names.EXPERIMENT}, having=names.CLAIM_RECORD))
    found = {str(run.info.run_id): read_record(store, str(run.info.run_id)) for run in runs}
    known = [(run_id, record) for run_id, record in found.items() if record is not None]
    return dict(sorted(known, key=lambda item: str(item[1]["evaluated"]), reverse=True))


def read_record(store: Store, run_id: str) -> Record | None:
    """The record of one run; None if it has none that can be read."""
    if not store.has_file(run_id, names.CLAIM_FILE):
        return None
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = json.loads(store.fetch_file(run_id, names.CLAIM_FILE, Path(folder)).read_text(encoding="utf-8"))
        except ValueError:
            return None
    return found if isinstance(found, dict) and isinstance(found.get("claims"), list) else None


def write_record(store: Store, run_id: str, record: Record, digest: str) -> None:
    """Writes a record to a run, and its digest to a tag."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(names.CLAIM_FILE).name
        path.write_text(json.dumps(record, indent=1, allow_nan=False), encoding="utf-8")
        store.log_file(run_id, path, str(Path(names.CLAIM_FILE).parent))
    store.set_tags(run_id, {names.CLAIM_RECORD: digest})


def current(store: Store, experiment_id: str) -> Sequence[Mapping[str, Any]]:
    """The claims that count, of all runs of an experiment; none without a record.

    What is claimed says the record that was written last, as every run of the experiment does anew; one that is partial
    only if all are. Of those records that claim just that, each claim in its present version and no other, it is the
    one with most observations, of equal ones the last: a few seeds that were tried out do not take the place of all of
    them. Verdicts of several records are not mixed, as those of one are corrected together.
    """
    records = list(read_records(store, experiment_id).values())
    if not records:
        return ()
    records = [record for record in records if not record.get("partial")] or records
    alike = [record for record in records if _present(record) == _present(records[0])]
    found: Sequence[Mapping[str, Any]] = max(alike, key=_observations)["claims"]
    return found


def _present(record: Record) -> list[str]:
    """What a record claims; what is withdrawn is not."""
    return sorted(str(entry["history"][-1]["digest"]) for entry in record["claims"] if not entry["withdrawn"])


def _observations(record: Record) -> int:
    standing = [entry for entry in record["claims"] if not entry["withdrawn"]]
    return sum(int((entry.get("verdict") or {}).get("n", 0)) for entry in standing)
