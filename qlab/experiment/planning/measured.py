"""Which metrics of one's own the run of a model has, and of which version."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from qlab.experiment.asking.measurement import Measurement
from qlab.tracking import names

Standing = Literal["done", "left", "in training", "curveless", "mixed"]

_CURVE: Final = "epochs"
_LAST: Final = "last"
_END: Final = "end"


def standing_of(item: Measurement, said: Iterable[tuple[str, str]] | None) -> Standing:
    """What is to be done about a metric of a model.

    ``left``: it is to be computed from the model; ``in training``: while the model is trained; ``curveless``: the model
    was trained before, so that the last value can be had, and no curve; ``mixed``: nothing, since there is a curve of
    another version of the metric, to which this one does not belong.

    Args:
        item: the metric.
        said: what the model's run says of its metrics, see :data:`qlab.tracking.names.MEASURED`; None if there is none.
    """
    if said is None:
        return "in training" if item.over_epochs else "left"
    known = dict(said).get(item.name, names.METRIC_FAILED)
    if known.startswith(names.METRIC_FAILED):
        return "curveless" if item.over_epochs else "left"
    digest, _, has = known.partition(" ")
    if digest != item.digest and has == _CURVE:
        return "mixed"
    if digest != item.digest or (item.over_epochs and has == _END):
        return "curveless" if item.over_epochs else "left"
    return "done"


def version_of(item: Measurement, *, curve: bool = False) -> str:
    """What the model's run says of a metric when it has a value.

    Args:
        item: the metric.
        curve: whether it was taken during training.
    """
    return f"{item.digest} {_CURVE if curve else _LAST if item.over_epochs else _END}"


def mixed_reason(item: Measurement) -> str:
    """Why a metric whose curve is of another version is not computed."""
    return (
        f"its run has the curve of another version of {item.type_name}, with which the new value would be mixed; give "
        'the metric another name: name = "...", or the experiment, which trains again: --set name=...'
    )


def curveless_notice(items: Iterable[Measurement]) -> str:
    """What is said of metrics of which only the last value can be had."""
    wanted = list(items)
    named = ", ".join(dict.fromkeys(item.name for item in wanted))
    trials = len({item.of.key for item in wanted})
    return (
        f"{named}: {trials} {'trial was' if trials == 1 else 'trials were'} trained before it was asked for and "
        f"{'gets' if trials == 1 else 'get'} its last value, but no curve; for curves run the file under another name, "
        "which trains again: --set name=..."
    )
