"""Tracking: the only part of qlab that knows MLflow. Writes runs, and reads them back as data frames."""

import os

# MLflow reads these when it is imported, which only modules of this package do.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # a research tool does not phone home
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines for each run, in the progress
