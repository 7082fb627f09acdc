"""The landscape roughening ratio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from qlab.errors import DataError
from qlab.landscape.base import Needs
from qlab.landscape.hessian import CurvatureProbe, Trace
from qlab.landscape.landscape import Landscape
from qlab.landscape.result import ProbeResult
from qlab.statistics import bootstrap_interval, resolved

COLLAPSED = "a model of it has collapsed"


class RougheningProbe(CurvatureProbe):
    """The landscape roughening ratio LRR: the Hessian trace after training on polluted data over that after clean data.

    The two models share seed, initial parameters and the rows of the samples; each is measured with the labels it was
    trained on (``at`` moves the polluted one only). In an experiment file it is measured for every trial with a ratio
    above 0; its clean twin is trained if the file does not list it. Look at the absolute traces too, which are logged
    beside it: a tiny denominator can make any ratio.

    Args:
        keep_collapsed: keep pairs with a collapsed model (one whose output is constant) in means over seeds. Either
            way, tables and figures say how many of the pairs were kept.
    """

    formula: ClassVar[str] = "LRR = Tr H(polluted) / Tr H(clean)"
    source: ClassVar[str] = "arXiv:2508.02422, Eq. 1 and Fig. 3d"

    keep_collapsed: bool = True

    def needs(self) -> Needs:
        """The landscape of the clean twin."""
        return Needs(reference=True)

    def compute(self, landscape: Landscape) -> ProbeResult:
        """Scalars: ``lrr``, both traces and their terms. Without ``lrr`` where a trace is of the order of rounding (see
        :func:`qlab.statistics.resolved`): ``about["left_out"]`` says which."""
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
        about: dict[str, Any] = {"trace": polluted.method}
        if why := _unresolved(polluted, clean):
            about["left_out"] = {"lrr": why}
        else:
            scalars["lrr"] = polluted.total / clean.total
        return ProbeResult(scalars, view="roughening", about=about)

    def compare(self, polluted: Sequence[Landscape], clean: Sequence[Landscape]) -> ProbeResult:
        """Pairs of landscapes, in order: one result for all.

        Each pair is measured on the same rows, each landscape with its own labels. A pair is left out if a model has
        collapsed and ``keep_collapsed`` is False, or if one of its traces is not finite or of the order of rounding
        (see :func:`qlab.statistics.resolved`); ``about["left_out"]`` says which and why. Scalars over the pairs kept:
        ``lrr`` (mean), ``lrr_std`` (n - 1), ``lrr_low`` and ``lrr_high`` (95 % bootstrap interval of the mean), and
        ``kept`` of ``pairs``; ``lrr_of_means`` is the mean trace over the mean trace, which pairs whose own ratio is
        rounding belong to, NaN if that is rounding too. Arrays: ``lrr`` (NaN where there is no ratio), the traces and
        their terms of every pair, and ``kept``.

        Raises:
            DataError: no pairs, or more of one than of the other.
        """
        if len(polluted) != len(clean) or not polluted:
            raise DataError(f"Landscapes are compared in pairs, got {len(polluted)} polluted and {len(clean)} clean.")
        placed = [landscape.on(self.samples, self.n_samples).at(self.at) for landscape in polluted]
        others = [one.on_same_rows(other) for one, other in zip(placed, clean, strict=True)]
        traces, clean_traces = ([self.trace(landscape) for landscape in those] for those in (placed, others))
        reasons = {
            pair: reason
            for pair, models in enumerate(zip(placed, others, strict=True))
            if (reason := self._left_out(models, (traces[pair], clean_traces[pair])))
        }
        kept = np.array([pair not in reasons for pair in range(len(placed))])
        arrays = _traces("hessian_trace", traces) | _traces("hessian_trace_clean", clean_traces)
        ratios = np.full(len(kept), np.nan)
        ratios[kept] = arrays["hessian_trace"][kept] / arrays["hessian_trace_clean"][kept]
        arrays["lrr"] = ratios
        means = [
            pair
            for pair in range(len(kept))
            if reasons.get(pair) != COLLAPSED and np.isfinite([traces[pair].total, clean_traces[pair].total]).all()
        ]
        scalars = {
            "lrr": float(ratios[kept].mean()) if kept.any() else np.nan,
            "lrr_std": float(ratios[kept].std(ddof=1)) if kept.sum() > 1 else np.nan,
            "lrr_of_means": _of_means([traces[pair] for pair in means], [clean_traces[pair] for pair in means]),
        }
        scalars["lrr_low"], scalars["lrr_high"] = bootstrap_interval(ratios[kept])
        scalars |= {"kept": float(kept.sum()), "pairs": float(len(kept))}
        about = {**placed[0].about, "seeds": [landscape.seed for landscape in polluted]}
        if reasons:
            about["left_out"] = {f"pair {pair} (seed {polluted[pair].seed})": why for pair, why in reasons.items()}
        arrays["kept"] = kept.astype(float)
        return ProbeResult(scalars, arrays, "roughening", about, type(self).__name__, self.config())

    def _left_out(self, models: tuple[Landscape, Landscape], traces: tuple[Trace, Trace]) -> str:
        """Why a pair is left out; "" if it is kept."""
        if not self.keep_collapsed and any(model.collapsed() for model in models):
            return COLLAPSED
        return _unresolved(*traces)


def _unresolved(polluted: Trace, clean: Trace) -> str:
    """Why two traces have no ratio; "" if they have one."""
    for name, trace in (("clean", clean), ("polluted", polluted)):
        if not np.isfinite(trace.total):
            return f"the {name} trace is not finite"
        if not _is_resolved(trace):
            within = f" or within its standard error {trace.error:.3g}" if trace.error else ""
            return f"the {name} trace {trace.total:.3g} is of the order of rounding{within}: it has no ratio"
    return ""


def _is_resolved(trace: Trace) -> bool:
    return resolved(trace.total, (trace.a, trace.b), trace.error)


def _of_means(polluted: Sequence[Trace], clean: Sequence[Trace]) -> float:
    """Mean trace over mean trace; NaN if one of them is of the order of rounding, or there are none."""
    totals = []
    for traces in (polluted, clean):
        total = sum(trace.total for trace in traces)
        terms = (sum(abs(trace.a) for trace in traces), sum(abs(trace.b) for trace in traces))
        if not resolved(total, terms, float(np.sqrt(sum(trace.error**2 for trace in traces)))):
            return float("nan")
        totals.append(total)
    return totals[0] / totals[1]


def _traces(name: str, traces: Sequence[Trace]) -> dict[str, NDArray[np.float64]]:
    return {
        name: np.array([trace.total for trace in traces]),
        f"{name}_a": np.array([trace.a for trace in traces]),
        f"{name}_b": np.array([trace.b for trace in traces]),
    }
