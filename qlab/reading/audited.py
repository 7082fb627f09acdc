"""What audits kept of single rows, as tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from qlab.errors import ConfigError, DataError, unknown
from qlab.reading.mapped import Mapped
from qlab.reading.margins import ROW_SETS, audited_runs, margins_of_runs, one_of_each, stored_margins
from qlab.tracking import names


class Audited(Mapped):
    """What a store held of experiments, rows of audits included."""

    def margins(
        self,
        method: str | None = None,
        model: str | None = None,
        rows: str | Sequence[str] = ROW_SETS[:3],
        seed: int | None = None,
    ) -> pd.DataFrame:
        """Margins of the worst, the median and the best row by KLoM, a line for each row and model.

        Columns: ``title``, ``model``, ``method``, ``rows``, ``rank``, ``row``, ``klom``, ``models`` ("oracles",
        "before" unlearning, "unlearned") and ``margin``, see :func:`qlab.reading.margins.margins_table`.

        Args:
            method: by its label, as ``results.unlearning["method"]`` has them; by default all.
            model: by its label; by default all.
            rows: which kinds of rows: "forget", "hidden", "retain", "validation".
            seed: of the trained model; by default the first.

        Raises:
            ConfigError: there is no such method, model, seed or kind of rows.
            DataError: no unlearning run has been audited with klom, or what an audit kept cannot be read.
        """
        sets = (rows,) if isinstance(rows, str) else tuple(rows)
        for name in sets:
            if name not in ROW_SETS:
                raise ConfigError("rows: " + unknown("kind of rows", name, ROW_SETS))
        found = audited_runs(self.runs[self.runs["kind"] == names.UNLEARNING])
        if found.empty:
            raise DataError("no unlearning run here was audited with klom; add to the experiment an [audit].")
        for column, wanted in (("model", model), ("seed", seed), ("method", method)):
            if wanted is not None:
                if wanted not in set(found[column]):
                    known = [str(value) for value in found[column].drop_duplicates()]
                    raise ConfigError(unknown(column, str(wanted), known))
                found = found[found[column] == wanted]
        return margins_of_runs(one_of_each(found), stored_margins(self._store), sets)

    def margins_of(self, runs: pd.DataFrame, rows: str) -> pd.DataFrame:
        """The same of some audited runs, see :func:`qlab.reading.margins.audited_runs`, and one kind of rows."""
        return margins_of_runs(runs, stored_margins(self._store), (rows,))

    def ridges(
        self,
        method: str | None = None,
        model: str | None = None,
        rows: str | Sequence[str] = ROW_SETS[:3],
        seed: int | None = None,
    ) -> Any:
        """The same as densities above each other, a HoloViews object: a panel for each method and kind of rows.

        ::

            results.ridges("Scrub", model="MLP", rows="forget")
        """
        from qlab.views.margins import ridges

        return ridges(self.margins(method, model, rows, seed))
