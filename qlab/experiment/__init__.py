"""Experiments: files in, trials out, and the runner that composes everything."""
