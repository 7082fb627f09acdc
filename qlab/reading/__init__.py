"""What a reader of a store gets: tidy frames, curves, models that are ready, tables and figures.

>>> import qlab
>>> results = qlab.results("xxz_flip")  # doctest: +SKIP
"""

from qlab.reading.presenting import Results, results

__all__ = ["Results", "results"]
