"""Asking: what an experiment file says, as trials, unlearning runs and probes with identities."""
