"""Engines: how the jobs of an experiment are run, in this process or on a Dask cluster."""
