"""Planning: what of an experiment is left to do, whether it can be done, and in which parts."""
