"""The landscape roughening ratio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from qlab.errors import DataError
from qlab.landscape.base import Needs
from qlab.landscape.hessian import CurvatureProbe
from qlab.landscape.landscape import Landscape
from qlab.landscape.result import ProbeResult
from qlab.statistics import bootstrap_interval


class RougheningProbe(CurvatureProbe):
    """The landscape roughening ratio LRR: the Hessian trace after training on polluted data over that after clean data.

    The two models share seed, initial parameters and the rows of the samples; each is measured with the labels it was
    trained on. In an experiment file it is measured for every trial with a ratio above 0; its clean twin is trained if
    the file does not list it. Mind the absolute traces, which are logged beside it: a tiny denominator makes any ratio.

    Args:
        keep_collapsed: keep pairs with a collapsed model (one whose output is constant) in means over seeds. Tables and
            figures say how many pairs were kept of how many either way.
    """

    formula: ClassVar[str] = "LRR = Tr H(polluted) / Tr H(clean)"
    source: ClassVar[str] = "arXiv:2508.02422, Eq. 1 and Fig. 3d"

    keep_collapsed: bool = True

    def needs(self) -> Needs:
        """The landscape of the clean twin."""
        return Needs(reference=True)

    def compute(self, landscape: Landscape) -> ProbeResult:
        """Scalars: ``lrr`` (left out if the clean trace is zero), both traces and their terms."""
        if landscape.reference is None:
            raise DataError(
                "The roughening ratio compares with the same model trained on clean data; give the landscape a "
                "reference, or use RougheningProbe().compare(polluted, clean)."
            )
        polluted, clean = self.trace(landscape), self.trace(landscape.reference)
        scalars = {
            "hessian_trace": polluted.total,
            "hessian_trace_a": polluted.a,
            "hessian_trace_b": polluted.b,
            "hessian_trace_error": polluted.error,
            "hessian_trace_clean": clean.total,
            "hessian_trace_clean_a": clean.a,
            "hessian_trace_clean_b": clean.b,
            "hessian_trace_clean_error": clean.error,
        }
        if clean.total != 0.0:
            scalars["lrr"] = polluted.total / clean.total
        return ProbeResult(scalars, view="roughening", about={"trace": polluted.method})

    def compare(self, polluted: Sequence[Landscape], clean: Sequence[Landscape]) -> ProbeResult:
        """Pairs of landscapes, in order: one result for all.

        Scalars: ``lrr`` (mean over pairs), ``lrr_std`` (n - 1), ``lrr_low`` and ``lrr_high`` (95 % bootstrap interval
        of the mean) and ``lrr_of_means`` (mean trace over mean trace). Arrays: every pair's ``lrr`` and traces.

        Raises:
            DataError: no pairs, or as many of one as not of the other.
        """
        if len(polluted) != len(clean) or not polluted:
            raise DataError(f"Landscapes are compared in pairs, got {len(polluted)} polluted and {len(clean)} clean.")
        on = [self._placed(landscape) for landscape in polluted]
        traces = np.array([self.trace(landscape).total for landscape in on])
        baseline = np.array([self.trace(self._placed(landscape)).total for landscape in clean])
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = traces / baseline
        low, high = bootstrap_interval(ratios)
        scalars = {
            "lrr": float(ratios.mean()),
            "lrr_std": float(ratios.std(ddof=1)) if len(ratios) > 1 else float("nan"),
            "lrr_low": low,
            "lrr_high": high,
            "lrr_of_means": float(traces.mean() / baseline.mean()) if baseline.mean() else float("nan"),
        }
        arrays = {"lrr": ratios, "hessian_trace": traces, "hessian_trace_clean": baseline}
        about = {**on[0].about, "seeds": [landscape.seed for landscape in polluted]}
        return ProbeResult(scalars, arrays, "roughening", about, type(self).__name__, self.config())

    def _placed(self, landscape: Landscape) -> Landscape:
        return landscape.on(self.samples, self.n_samples).at(self.at)
