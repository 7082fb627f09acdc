"""Options that several commands have."""

from __future__ import annotations

import click

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
