"""Jobs: the pieces that the work of an experiment consists of, as pure functions of configurations, data and seeds."""
