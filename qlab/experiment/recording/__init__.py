"""Recording: what of the work of an experiment is written to the store. Only the command itself writes."""
