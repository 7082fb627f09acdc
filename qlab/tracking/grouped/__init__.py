"""Runs that are kept together: one MLflow run for all that differ in their seed only, each a row in its artifacts."""
