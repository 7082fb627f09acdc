"""What a store holds of some experiments: runs, frames, curves and models."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pandas as pd

from qlab.errors import DataError
from qlab.reading import curves as histories
from qlab.reading.claims import claims_of
from qlab.reading.histories import Histories
from qlab.reading.tidy import KINDS, Kind, joined, kind_of, tidy
from qlab.tracking import frames, names
from qlab.tracking.store import Store
from qlab.words import counted

if TYPE_CHECKING:  # frames do without PyTorch
    from qlab.landscape.result import ProbeResult
    from qlab.models import Estimator, Model


class Contents:
    """What a store held of some experiments when it was read.

    Of a trial (unlearning run, probe) that was run several times the last finished run counts; ``runs`` has them all.

    Args:
        store: where they are.
        runs: all their runs, see :func:`qlab.tracking.frames.runs`.
        experiments: ids by name, in order.
        failures: what failed of them when they were run just now.

    Attributes:
        runs: every run of every kind as the store has it, also those that were run again.
        names: of the experiments.
        failures: what failed when they were run just now, and why; empty if they were only read.
    """

    def __init__(
        self, store: Store, runs: pd.DataFrame, experiments: Mapping[str, str], failures: Sequence[str] = ()
    ) -> None:
        self._store = store
        self._ids = dict(experiments)
        self.runs = runs
        self.names = tuple(experiments)
        self.failures = tuple(failures)

    @classmethod
    def of(cls, store: Store, wanted: Sequence[str] = (), failures: Sequence[str] = (), where: str = "") -> Self:
        """Reads experiments of a store, by default all; only runs that match an MLflow filter, if there is one.

        Raises:
            StoreError: there is none of such a name, or the filter is none.
        """
        ids = dict(zip(wanted or store.experiments(), store.experiment_ids(wanted), strict=True))
        runs = frames.runs(store, list(ids.values()))
        if where.strip():
            # What runs say by leaving a param out depends on the others: they are read together, then chosen from.
            runs = runs[runs["run_id"].isin(frames.runs(store, list(ids.values()), where)["run_id"])]
        if not wanted:
            known = set(runs.loc[runs["kind"].notna(), "experiment_id"])
            ids = {name: number for name, number in sorted(ids.items()) if number in known}
        return cls(store, runs, ids, failures)

    @property
    def unread(self) -> tuple[str, ...]:
        """What could not be read, as it is damaged or missing, and how many runs that concerns; a sentence for each."""
        return tuple(flaw.what for flaw in self._store.groups.flaws.values())

    @functools.cached_property
    def frame(self) -> pd.DataFrame:
        """A row for each trial: what it is, whether it is kept and why not, params, last metrics.

        See :func:`qlab.reading.tidy.tidy`.
        """
        return self._tidy("trials")

    @functools.cached_property
    def unlearning(self) -> pd.DataFrame:
        """The same for unlearning runs, with their ``method``."""
        return self._tidy("unlearning")

    @functools.cached_property
    def probes(self) -> pd.DataFrame:
        """The same for landscape probes, with their ``probe``."""
        return self._tidy("probes")

    @functools.cached_property
    def claims(self) -> pd.DataFrame:
        """A row for each claim of the experiments: what it says, the verdict, effect and bounds.

        See :func:`qlab.claims.table.claim_table`.
        """
        return claims_of(self._store, self._ids)

    def curves(self, metrics: str | Sequence[str] | None = None, of: Kind = "trials") -> pd.DataFrame:
        """Every value of some metrics over epochs (of unlearning runs over steps), one to a row.

        Columns: ``experiment``, ``run_id``, labels, ``seed``, ``kept``, then ``epoch`` (or ``step``), ``metric`` and
        ``value``. Takes a query of the store for each metric and hundred runs.

        Args:
            metrics: their names; by default loss and accuracy on training and validation data.
            of: the kind of runs.

        Raises:
            ConfigError: no run has such a metric.
        """
        wanted = [metrics] if isinstance(metrics, str) else metrics
        return histories.curves(self._store, self._of_kind(of), kind_of(of), wanted)

    def series(self, runs: Iterable[object], metrics: Sequence[str]) -> dict[tuple[str, str], list[tuple[int, float]]]:
        """Steps and values of some runs' metrics, by run and metric; a query of the store for each metric.

        Args:
            runs: their ids.
            metrics: their names.
        """
        ids = [str(run) for run in runs]
        read = Histories(self._store, ids)
        return {(run, metric): read(run, metric) for run in ids for metric in metrics}

    def probe_result(self, run: str) -> ProbeResult:
        """What a probe found: its numbers and arrays, which draw themselves.

        Args:
            run: the id of its run.

        Raises:
            DataError: the run has no result of a probe.
        """
        from qlab.landscape.result import ProbeResult

        if not self._store.has_file(run, names.PROBE_RESULT):
            raise DataError(f"Run {run} has no {names.PROBE_RESULT}: it is no probe, or has not finished.")
        with tempfile.TemporaryDirectory() as folder:
            return ProbeResult.load(self._store.fetch_file(run, names.PROBE_RESULT, Path(folder)))

    def model(self, run: str | pd.Series[Any], folder: str | Path | None = None) -> Model | Estimator:
        """The trained model of a trial, an unlearning run or an oracle: a torch module in evaluation mode.

        Of a trial whose model is an estimator (scikit-learn's, say) it is that, fitted again to its data.

        ``torch.sigmoid(model(model.prepare(x)))`` are probabilities for features as the task's ``load`` gives them;
        :meth:`predict` takes rows as they are in the task's file.

        Args:
            run: the run's id, the beginning of it, or a row of a frame.
            folder: where the file of a class of one's own is, which is imported from there.

        Raises:
            ConfigError: no such run, or its class is not to be found.
            DataError: it has no model.
        """
        from qlab.reading.stored import find_run, load_model

        return load_model(self._store, find_run(self._store, _run_id(run)), None if folder is None else Path(folder))

    def predict(self, run: str | pd.Series[Any], rows: Any, folder: str | Path | None = None) -> pd.DataFrame:
        """Probability of class 1, predicted class and logit of a trained model for new rows.

        Args:
            run: see :meth:`model`.
            rows: a data frame, an array ``[N, d]``, or the path of a CSV, Parquet or NPZ file; scaled and reduced as
                in training.
            folder: see :meth:`model`.

        Raises:
            DataError: they do not fit the model.
        """
        model = self.model(run, folder)
        from qlab.reading.predicting import predictions

        return predictions(model, Path(rows) if isinstance(rows, str) else rows)

    def raw(self, of: Kind = "trials") -> pd.DataFrame:
        """Runs of one kind as the store has them, the last of each trial, see :func:`qlab.tracking.frames.runs`."""
        found = [part for _, part in self._parts(of)]
        return pd.concat(found, ignore_index=True) if found else self.runs.iloc[:0]

    def lines(self) -> list[str]:
        """What is here, how much of it is kept, and why the rest is not: a line for each experiment and kind."""
        found = [f"FAILED {failure}" for failure in self.failures] + [f"UNREAD {line}" for line in self.unread]
        for name, kind in ((name, kind) for name in self.names for kind in KINDS):
            every = self._all_of(kind, name)
            if every.empty:
                continue
            own = self._of_kind(kind)
            own = own[own["experiment"] == name]
            reasons = own.loc[~own["kept"], "left_out"].value_counts()
            lost = "".join(f"; {count} left out: {reason}" for reason, count in reasons.items())
            again = len(every) - len(own)
            earlier = f"; {counted(again, 'earlier run')} of the same (in runs)" if again else ""
            found.append(f"{name}: {counted(len(own), _WORDS[kind])}, {int(own['kept'].sum())} kept{lost}{earlier}")
        other = ~self.runs["kind"].isin(
            [*KINDS.values(), names.SELECTION, names.EXPERIMENT, names.ORACLE, names.SHADOW]
        )
        if other.any():
            found.append(f"{counted(int(other.sum()), 'run')} of no kind that qlab knows (in runs)")
        return found

    def __repr__(self) -> str:
        head = f"Results of {', '.join(self.names) or 'no experiment'} in {self._store.location}"
        return "\n".join([head, *(f"  {line}" for line in self.lines())])

    def _parts(self, kind: str) -> list[tuple[str, pd.DataFrame]]:
        """Names of experiments and their runs of one kind, the last of each trial."""
        found = [(name, frames.latest_per_trial(self._all_of(kind_of(kind), name))) for name in self.names]
        return [(name, _own_columns(part).reset_index(drop=True)) for name, part in found if not part.empty]

    def _all_of(self, kind: Kind, name: str) -> pd.DataFrame:
        runs = self.runs
        return runs[(runs["kind"] == KINDS[kind]) & (runs["experiment_id"] == self._ids[name])]

    def _of_kind(self, kind: str) -> pd.DataFrame:
        frame: pd.DataFrame = {"trials": lambda: self.frame, "unlearning": lambda: self.unlearning}.get(
            kind_of(kind), lambda: self.probes
        )()
        return frame

    def _tidy(self, kind: Kind) -> pd.DataFrame:
        parts = [tidy(part, kind, name) for name, part in self._parts(kind)]
        return joined(parts or [tidy(self.runs.iloc[:0], kind, "")])


_WORDS: dict[Kind, str] = {"trials": "trial", "unlearning": "unlearning run", "probes": "probe"}


def _own_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Without columns that only runs of other kinds have."""
    empty = [name for name in frame.columns if name not in names.COLUMNS and frame[name].isna().all()]
    flawed = {name for found in frame[names.NOT_FINITE] for name in found}
    return frame.drop(columns=[name for name in empty if name not in flawed])


def _run_id(run: str | pd.Series[Any]) -> str:
    if isinstance(run, pd.Series):
        if "run_id" not in run:
            raise DataError(
                "run: got a row without run_id, accepts a row of frame, unlearning or probes, or a run's id."
            )
        return str(run["run_id"])
    return run
