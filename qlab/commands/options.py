"""Options that several commands have."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from qlab.tracking.store import Store

tracking_uri = click.option(
    "--tracking-uri",
    envvar="MLFLOW_TRACKING_URI",
    metavar="URI",
    help="MLflow store: a server's address, or sqlite:///path. Default: $MLFLOW_TRACKING_URI, or else "
    "mlruns/mlflow.db.",
)


no_figures = click.option(
    "--no-figures",
    is_flag=True,
    envvar="QLAB_NO_FIGURES",
    help="Write tables only; the next run without it draws. Also: QLAB_NO_FIGURES=1.",
)


def end_with_flaws(store: Store) -> None:
    """Exits with status 1 if some of what a store keeps could not be read; the store has said what."""
    if store.groups.flaws:
        sys.exit(1)
