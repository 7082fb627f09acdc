"""The explorer: an app that reads runs from the tracking store and draws them with qlab's views.

Served by ``qlab explore``. The store is ``MLFLOW_TRACKING_URI``, else the embedded one.
"""

from __future__ import annotations

import pandas as pd
import panel as pn
import param
from panel.theme import Fast

from qlab.errors import QlabError
from qlab.tracking import frames, listing
from qlab.tracking.store import Store
from qlab.views.resilience import accuracy_against_ratio
from qlab.views.summary import summarize

REFRESH_MILLISECONDS = 5000


class Explorer(param.Parameterized):
    """What is shown: one MLflow experiment's trials, as figure and as table."""

    experiment = param.Selector(default=None, objects=[None], label="MLflow experiment")
    rows = param.DataFrame(default=pd.DataFrame(), doc="The experiment's trials, one row each.")
    message = param.String(default="", doc="What is missing, in words.")

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store
        self.reload()

    @param.depends("experiment", watch=True)
    def reload(self) -> None:
        """Reads the store; what is on screen changes only where the store did."""
        try:
            names = self._experiments()
            self.param.experiment.objects = names or [None]
            if self.experiment not in names:
                self.experiment = names[0] if names else None
            ids = [] if self.experiment is None else self._store.experiment_ids([self.experiment])
            rows = frames.trials(self._store, ids)
            if not rows.equals(self.rows):
                self.rows = rows
            self.message = "" if len(rows) else f"No trials in {self._store.location} yet. Run: qlab run xxz_flip"
        except QlabError as error:
            self.message = str(error)

    def _experiments(self) -> list[str]:
        return sorted(self._store.experiment_names() - {"Default"})

    @param.depends("rows")
    def figure(self) -> pn.viewable.Viewable:
        """Accuracy against corruption ratio."""
        if self.rows.empty:
            return pn.Spacer(height=0)
        table = summarize(frames.latest_per_trial(self.rows))
        return pn.pane.HoloViews(accuracy_against_ratio(table), backend="bokeh", linked_axes=False)

    @param.depends("rows")
    def table(self) -> pn.viewable.Viewable:
        """The trials, sortable and filterable; every cell is plain text."""
        if self.rows.empty:
            return pn.Spacer(height=0)
        shown = listing.trial_table(self.rows).round(4)
        return pn.widgets.Tabulator(
            shown,
            disabled=True,
            show_index=False,
            pagination="local",
            page_size=20,
            header_filters=True,
            formatters={column: {"type": "plaintext"} for column in shown.columns},
            sizing_mode="stretch_width",
        )

    @param.depends("message")
    def notice(self) -> pn.viewable.Viewable:
        """What is missing, if anything is."""
        return pn.pane.Str(self.message, visible=bool(self.message))

    def page(self) -> pn.template.base.BasicTemplate:
        """The whole page."""
        pn.state.add_periodic_callback(self.reload, period=REFRESH_MILLISECONDS)
        choose = pn.widgets.Select.from_param(self.param.experiment)
        where = pn.pane.Str(f"Store: {self._store.location}")
        return pn.template.FastListTemplate(
            title="qlab explorer",
            font="system-ui, sans-serif",
            sidebar=[choose, where],
            main=[pn.Column(self.notice, pn.Tabs(("Resilience", self.figure), ("Trials", self.table), dynamic=True))],
        )


def main() -> None:
    """Serves the page for the store of this process."""
    pn.extension("tabulator", notifications=False)
    # The design's web font comes from a server elsewhere; the page asks nobody but its own.
    Fast._resources.pop("font", None)
    try:
        Explorer(Store(create=False)).page().servable()
    except QlabError as error:
        pn.pane.Str(str(error)).servable()


if __name__.startswith("bokeh_app_"):
    main()
