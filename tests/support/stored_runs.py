"""Runs as stores give them, of every shape that a table or a figure has to count."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from mlflow.entities import Metric, Param, Run, RunData, RunInfo, RunTag

from qlab.tracking import frames, names, params
from qlab.views.summary import METRICS

NUMBERS = st.sampled_from([0.0, 0.5, 0.75, 1.0, 1e-16, -2.5, math.nan, math.inf, -math.inf])
STATUSES = st.sampled_from(["FINISHED", "FINISHED", "FINISHED", "FAILED", "KILLED", "RUNNING"])
HEALTHS = st.sampled_from(["healthy", "healthy", "collapsed", "unconverged", "diverged", None])
TYPES = st.sampled_from(["LabelFlip", "my_corr:HalfKnown", "[b]x[/b]", "true", "MLP hidden=1", ""])
VALUES = st.one_of(
    st.sampled_from([2, 10, 2.0, 0.3, 0.1 + 0.2, True, False, None, "x", "10", (1, 2), (), "long " * 30]),
    st.just(tuple(range(3000))),
    st.integers(0, 2).map(lambda last: (*range(3000), last)),
)
SETTINGS = st.dictionaries(
    st.sampled_from(["task.length", "model.depth", "model.hidden", "training.epochs", "corruption.known"]),
    VALUES,
    max_size=3,
)
RATIOS = st.sampled_from([0.0, 0.3, 0.1 + 0.2, 1.0])
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
DRAWN = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def stored(draw: st.DrawFn, kind: str, metrics: tuple[str, ...], own: dict[str, st.SearchStrategy[Any]]) -> Run:
    """A run as a store gives it: params cut as MLflow does, infinity as the largest number, perhaps without params."""
    settings_of = {
        "task.type": draw(st.sampled_from(["XXZ", "Digits"])),
        "model.type": draw(TYPES),
        "corruption.type": draw(TYPES),
        "corruption.ratio": draw(RATIOS),
        "seed": draw(st.sampled_from([0, 1, 2**60])),
        **draw(SETTINGS),
        **{name: draw(values) for name, values in own.items()},
    }
    if draw(st.integers(0, 9)) == 0:
        settings_of = {}
    texts = {name: params.write(value)[: params.LONGEST] for name, value in settings_of.items()}
    measured = draw(st.dictionaries(st.sampled_from(metrics), NUMBERS)) if draw(st.booleans()) else {}
    measured = measured or {name: draw(NUMBERS) for name in metrics}
    if draw(st.booleans()):
        measured = dict.fromkeys(metrics, 0.5)
    number = draw(st.uuids()).hex
    health = draw(HEALTHS)
    tags = {names.KIND: kind, names.TRIAL_KEY: number} | ({} if health is None else {names.HEALTH: health})
    if draw(st.booleans()):  # newer stores say what belongs together
        keys = frames.keys_of_params(texts, number)
        tags |= {names.GROUP: keys.group, names.CURVE: keys.curve}
    return Run(
        RunInfo(number, "1", "me", draw(STATUSES), draw(st.integers(0, 3)), None, "active", run_name="a run"),
        RunData(
            [Metric(name, as_stored(value), 0, 0) for name, value in measured.items()],
            [Param(name, text) for name, text in texts.items()],
            [RunTag(name, value) for name, value in tags.items()],
        ),
    )


def as_stored(value: float) -> float:
    return math.copysign(1.7976931348623157e308, value) if math.isinf(value) else value


def frame_of(kind: str, metrics: tuple[str, ...], own: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    runs = st.lists(stored(kind, metrics, own), min_size=1, max_size=8)
    return runs.map(lambda found: frames._frame([frames._row(run) for run in found]))


TRIALS = frame_of(names.TRIAL, METRICS, {})
UNLEARNED = frame_of(
    names.UNLEARNING,
    ("validation_accuracy", "forget_accuracy_polluted", "oracle_kl", "steps_to_oracle"),
    {"unlearner.type": TYPES, "unlearner.steps": VALUES, "oracles": st.integers(1, 2)},
)
PROBED = frame_of(
    names.PROBE,
    ("lrr", "hessian_trace", "hessian_trace_a", "hessian_trace_b", "hessian_trace_clean"),
    {
        "probe.type": st.sampled_from(["RougheningProbe", "HessianProbe", "own:Probe"]),
        "probe.keep_collapsed": st.booleans(),
        "probe.label": st.sampled_from(["", "of [b]mine[/b]"]),
        "probe.draw": VALUES,
    },
)
