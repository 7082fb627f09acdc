"""The landscape roughening ratio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from qlab.errors import DataError
from qlab.landscape.base import Needs
from qlab.landscape.hessian import CurvatureProbe, Trace
from qlab.landscape.landscape import Landscape
from qlab.landscape.result import ProbeResult
from qlab.statistics import bootstrap_interval


class RougheningProbe(CurvatureProbe):
    """The landscape roughening ratio LRR: the Hessian trace after training on polluted data over that after clean data.

    The two models share seed, initial parameters and the rows of the samples; each is measured with the labels it was
    trained on (``at`` moves the polluted one only). In an experiment file it is measured for every trial with a ratio
    above 0; its clean twin is trained if the file does not list it. Mind the absolute traces, which are logged beside
    it: a tiny denominator makes any ratio.

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
        reference = landscape.reference
        if reference is None:
            raise DataError(
                "The roughening ratio compares with the same model trained on clean data; give the landscape a "
                "reference, or use RougheningProbe().compare(polluted, clean)."
            )
        polluted, clean = self.trace(landscape), self.trace(reference)
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

        Each pair is measured on the same rows, each landscape with its own labels. Scalars over the pairs kept:
        ``lrr`` (mean), ``lrr_std`` (n - 1), ``lrr_low`` and ``lrr_high`` (95 % bootstrap interval of the mean),
        ``lrr_of_means`` (mean trace over mean trace), and ``kept`` of ``pairs``. Arrays: ``lrr``, the traces and their
        terms of every pair, and ``kept``.

        Raises:
            DataError: no pairs, or more of one than of the other.
        """
        if len(polluted) != len(clean) or not polluted:
            raise DataError(f"Landscapes are compared in pairs, got {len(polluted)} polluted and {len(clean)} clean.")
        placed = [landscape.on(self.samples, self.n_samples).at(self.at) for landscape in polluted]
        others = [one.on_same_rows(other) for one, other in zip(placed, clean, strict=True)]
        kept = np.array(
            [self.keep_collapsed or not (a.collapsed() or b.collapsed()) for a, b in zip(placed, others, strict=True)]
        )
        arrays = _traces("hessian_trace", [self.trace(landscape) for landscape in placed])
        arrays |= _traces("hessian_trace_clean", [self.trace(landscape) for landscape in others])
        with np.errstate(divide="ignore", invalid="ignore"):
            arrays["lrr"] = arrays["hessian_trace"] / arrays["hessian_trace_clean"]
            ratios, traces = arrays["lrr"][kept], arrays["hessian_trace"][kept]
            scalars = {
                "lrr": float(ratios.mean()) if len(ratios) else np.nan,
                "lrr_std": float(ratios.std(ddof=1)) if len(ratios) > 1 else np.nan,
                "lrr_of_means": float(traces.sum() / arrays["hessian_trace_clean"][kept].sum()),
            }
        scalars["lrr_low"], scalars["lrr_high"] = bootstrap_interval(ratios)
        scalars |= {"kept": float(kept.sum()), "pairs": float(len(kept))}
        about = {**placed[0].about, "seeds": [landscape.seed for landscape in polluted]}
        arrays["kept"] = kept.astype(float)
        return ProbeResult(scalars, arrays, "roughening", about, type(self).__name__, self.config())


def _traces(name: str, traces: Sequence[Trace]) -> dict[str, NDArray[np.float64]]:
    return {
        name: np.array([trace.total for trace in traces]),
        f"{name}_a": np.array([trace.a for trace in traces]),
        f"{name}_b": np.array([trace.b for trace in traces]),
    }
