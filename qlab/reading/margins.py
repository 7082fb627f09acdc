"""Margins of single rows that audits have kept: of oracles, of models before unlearning and of unlearned ones."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qlab.errors import DataError
from qlab.tracking import frames, names
from qlab.tracking.audit_names import KLOM
from qlab.tracking.store import Store
from qlab.views.kept import ending
from qlab.views.labels import labelled, ratio_text

ROW_SETS: Final = ("forget", "hidden", "retain", "validation")
"""Kinds of rows: those that methods are told to forget, corrupted ones that they are not told of, and clean ones."""

_MODELS: Final = {"oracles": "margins_oracles", "before": "margins_teachers", "unlearned": "margins_unlearned"}

_LABELS: Final = ("model", "corruption", "ratio", "method")

Arrays = Mapping[str, NDArray[Any]]


def read_margins(file: Path) -> Arrays:
    """What the artifact ``audit/klom.npz`` of an unlearning run holds.

    ``margins_oracles``, ``margins_teachers`` and ``margins_unlearned``, ``[models, N + M]``; ``klom`` ``[N + M]``;
    ``rows``, the kind of each (:data:`ROW_SETS`), training rows first, then validation rows.

    Raises:
        DataError: it cannot be read, or lacks something.
    """
    try:
        with np.load(file, allow_pickle=False) as found:
            arrays = dict(found)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{file.name}: cannot be read as arrays of an audit: {error}") from error
    missing = [name for name in (*_MODELS.values(), "klom", "rows") if name not in arrays]
    if missing:
        raise DataError(f"{file.name}: has no {', '.join(missing)}, which an audit with klom keeps.")
    return arrays


def stored_margins(store: Store) -> Callable[[str, str], Arrays]:
    """A function of a run's id and an artifact's path: the arrays, see :func:`read_margins`."""

    def fetch(run_id: str, path: str) -> Arrays:
        with tempfile.TemporaryDirectory() as folder:
            return read_margins(store.fetch_file(run_id, path, Path(folder)))

    return fetch


def chosen_rows(klom: NDArray[np.float64], mask: NDArray[np.bool_]) -> dict[str, int]:
    """The worst, the median and the best of some rows by KLoM: positions, farthest from oracles first.

    Of two rows there is no median; of one only the worst.
    """
    order = np.flatnonzero(mask)[np.argsort(-klom[mask], kind="stable")]
    places = {"worst": 0, "median": (len(order) - 1) // 2, "best": len(order) - 1}
    found: dict[str, int] = {}
    for name, place in places.items():
        if len(order) and int(order[place]) not in found.values():
            found[name] = int(order[place])
    return found


def margins_table(arrays: Arrays, rows: str) -> pd.DataFrame:
    """Margins of the worst, the median and the best row of a set, a line for each model.

    Args:
        arrays: see :func:`read_margins`.
        rows: one of :data:`ROW_SETS`.

    Returns:
        Columns ``rank`` ("worst", "median", "best"), ``row`` (its position among training rows, or among validation
        rows), ``klom``, ``models`` ("oracles", "before", "unlearned") and ``margin``; empty if the set has no rows.
    """
    kinds = arrays["rows"]
    first = int(np.flatnonzero(kinds == "validation")[0]) if rows == "validation" and (kinds == rows).any() else 0
    parts = [
        pd.DataFrame(
            {
                "rank": rank,
                "row": place - first,
                "klom": float(arrays["klom"][place]),
                "models": models,
                "margin": arrays[name][:, place].astype(float),
            }
        )
        for rank, place in chosen_rows(arrays["klom"], kinds == rows).items()
        for models, name in _MODELS.items()
    ]
    columns = ["rank", "row", "klom", "models", "margin"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def audited_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """The unlearning runs that KLoM was measured of, with ``model``, ``corruption``, ``ratio``, ``method``, ``title``.

    Args:
        runs: of which the latest of each trial counts.
    """
    latest = frames.latest_per_trial(runs)
    if latest.empty or names.AUDITED not in latest:
        return latest.iloc[:0].assign(**dict.fromkeys((*_LABELS, "title"), ""))
    labels = labelled(latest, "method")
    work = latest.assign(**{name: labels[name].to_numpy() for name in _LABELS})
    measured = [_has_klom(own) for own in work[names.AUDITED]]
    kept = [not reason for reason in ending(work)]
    found = work[np.array(measured, dtype=bool) & np.array(kept, dtype=bool)].copy()
    found["title"] = [
        f"{row['method']} of {row['model']}, {row['corruption']} {ratio_text(row['ratio'], work['ratio'])}, "
        f"seed {row['seed']}"
        for row in found.to_dict("records")
    ]
    return found


def one_of_each(found: pd.DataFrame) -> pd.DataFrame:
    """Of :func:`audited_runs` for each model the methods on one trained model: those of its first seed and setting."""
    if found.empty:
        return found
    first = found.drop_duplicates("model")[["model", names.TEACHER]]
    return found.merge(first, on=["model", names.TEACHER]).drop_duplicates(["model", "method"])


def margins_of_runs(
    found: pd.DataFrame, fetch: Callable[[str, str], Arrays], sets: tuple[str, ...] = ROW_SETS[:3]
) -> pd.DataFrame:
    """The tables of several runs and sets below each other, with ``title``, ``model``, ``method`` and ``rows`` before.

    Args:
        found: see :func:`audited_runs`.
        fetch: gives the arrays of a run's id and artifact.
        sets: of which rows; those that a run has none of are left out.
    """
    parts = []
    for row in found.to_dict("records"):
        arrays = fetch(str(row["run_id"]), names.AUDIT_FILE.format(KLOM))
        for rows in sets:
            table = margins_table(arrays, rows)
            about = {"title": row["title"], "model": row["model"], "method": row["method"], "rows": rows}
            for place, (name, value) in enumerate(about.items()):
                table.insert(place, name, value)
            parts.append(table)
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()


def _has_klom(audited: object) -> bool:
    said = dict(audited).get(KLOM) if isinstance(audited, tuple) else None
    return said is not None and not said.startswith(names.METRIC_FAILED)
