"""What probes measure along unlearning: lines over the step, a panel for each metric and model."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any, Final

import pandas as pd

from qlab.reading.axes import Axes, positions
from qlab.reading.summaries import summary
from qlab.views.backends import styled
from qlab.views.lines import Line, Panel, drawn, metric_panels
from qlab.views.palette import styles

STEP: Final = "probe.step"

_AT: Final = "probe.at"

_LAST: Final = -1

_REFERENCES: Final = {"trained": "trained model", "oracle": "oracle"}
"""Points without steps that methods are compared with, and what their lines are called."""

_SHOWN: Final = {
    "HessianProbe": ("hessian_trace", "hessian_eigenvalue_max"),
    "RougheningProbe": ("lrr", "hessian_trace"),
    "UnderNoise": ("landscape_accuracy",),
}
"""The metrics of a type of probe that are drawn where nothing else is asked for."""

_PLAIN: Final = ("landscape_loss",)
"""Those of any other."""


def stepped(frame: pd.DataFrame) -> pd.Series:
    """Which runs of probes are of a step of an unlearner, bool."""
    steps = positions(frame, STEP)
    return steps.notna() & (steps != _LAST)


def follows_steps(frame: pd.DataFrame) -> bool:
    """Whether runs of probes follow an unlearner over several steps."""
    return bool(positions(frame, STEP)[stepped(frame)].nunique() > 1) if len(frame) else False


def step_panels_of(frame: pd.DataFrame, metrics: Sequence[str] = ()) -> list[Panel]:
    """A panel for each metric, model and whatever else differs but the method, with a line for each method.

    The trained model and the oracle are level lines, if the same probe was taken there.

    Args:
        frame: one row for each run of probes of one type, see :mod:`qlab.tracking.frames`.
        metrics: which; by default those that are of most interest for the type.
    """
    with_references = _with_levels(frame)
    shown = [name for name in (metrics or _metrics_of(frame)) if name in frame and frame[name].notna().any()]
    style = styles(_in_order(with_references["probe.type"]))
    found = []
    for metric in shown:
        # A metric of its own: a run that lacks one of them is in the panels of the others.
        table = summary(with_references, Axes(STEP, (metric,)), "probes")
        for panel in metric_panels(table, STEP, [metric], "probe"):
            lines = sorted(panel.lines, key=lambda line: list(style).index(_own(line.name, style)))
            lines = [
                dataclasses.replace(line, style=style[_own(line.name, style)], counts=_at_each(line)) for line in lines
            ]
            found.append(dataclasses.replace(panel, lines=tuple(lines)))
    titles = list(dict.fromkeys(panel.title for panel in found))
    return sorted(found, key=lambda panel: titles.index(panel.title))  # those of a model side by side


def along_steps(frame: pd.DataFrame, metrics: Sequence[str] = ()) -> Any:
    """The same as a HoloViews object, a row for each model.

    Args:
        frame: see :func:`step_panels_of`.
        metrics: see there.
    """
    panels = step_panels_of(frame, metrics)
    columns = len({panel.ylabel for panel in panels}) or 1
    layout = drawn(panels, columns=columns)
    rows = -(-len(layout) // columns)
    # Curvatures of models differ by orders of magnitude.
    size = (5.5 * columns, 4.2 * rows)
    return styled(layout, bokeh={}, matplotlib={"fig_inches": size, "shared_axes": False})


def figures_along(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The runs of each figure over steps, by the name of the figure; none if no probe follows several steps."""
    if not follows_steps(frame):
        return {}
    types = types_along(frame)
    names = ["steps"] if len(types) == 1 else [f"steps_{kind.replace(':', '_').lower()}" for kind in types]
    return {name: frame[frame["probe.type"] == kind] for name, kind in zip(names, types, strict=True)}


def types_along(frame: pd.DataFrame) -> list[str]:
    """The types of probes that follow steps."""
    return [str(kind) for kind in dict.fromkeys(frame.loc[stepped(frame), "probe.type"])] if len(frame) else []


def _metrics_of(frame: pd.DataFrame) -> Sequence[str]:
    types = types_along(frame)
    return _SHOWN.get(types[0], _PLAIN) if types else _PLAIN


def _with_levels(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs called by the methods they are at, and those to compare with at the first and the last step."""
    of_steps, steps = stepped(frame), positions(frame, STEP)
    ends = (float(steps[of_steps].min()), float(steps[of_steps].max()))
    own = frame[of_steps]
    parts = [own.assign(**{STEP: steps[of_steps], "probe.type": own[_AT].astype(str)})]
    for point, name in _REFERENCES.items():
        level = frame[~of_steps & (frame[_AT] == point)] if _AT in frame else frame.iloc[:0]
        said = level.assign(**{"probe.type": name})
        parts += [said.assign(**{STEP: end}) for end in ends if len(level)]
    return pd.concat(parts, ignore_index=True).drop(columns=[_AT, "probe.label"], errors="ignore")


def _in_order(names: pd.Series) -> list[str]:
    """Methods first, then what they are compared with."""
    every = list(dict.fromkeys(str(name) for name in names))
    return sorted(every, key=lambda name: name in _REFERENCES.values())


def _at_each(line: Line) -> dict[Hashable, Any]:
    """The counts of a line, which are of runs at all steps, for one of them: as many as there are models."""
    places = max(1, len(line.x))
    return {**line.counts, **{name: int(line.counts[name]) // places for name in ("kept", "runs")}}


def _own(line: str, style: dict[str, Any]) -> str:
    """The method that a line is of: its name may say further settings behind it."""
    return max((name for name in style if line == name or line.startswith(f"{name} ")), key=len, default=line)
