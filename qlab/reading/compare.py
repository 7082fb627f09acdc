"""Groups of runs side by side: which they are, what their configurations differ in, and their metrics by seed."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from qlab.errors import DataError
from qlab.tracking import frames, names
from qlab.tracking.groups import differs_within
from qlab.tracking.missing import is_missing
from qlab.tracking.params import shown
from qlab.views.kept import ending, joined, numbers_of
from qlab.views.labels import labelled, ratio_text
from qlab.words import counted

By = Literal["groups", "every seed", "runs"]

BY: Final[tuple[By, ...]] = ("groups", "every seed", "runs")
"""What stands side by side: the selected runs of each group, the whole groups they are of, or each run by itself."""

FEWEST: Final = 2
MOST: Final = 4
"""So many groups stand side by side."""

LETTERS: Final = "ABCD"

_KINDS: Final = {names.ORACLE: "oracle", names.SHADOW: "shadow model", names.SELECTION: "candidate of a selection"}

_ABSENT: Final = "–"

_WAY: Final = (
    f"Select runs on the page Runs (or a point on Resilience), of {FEWEST} to {MOST} settings that differ in more than "
    "the seed; or compare single runs."
)


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Runs that differ in their seed only.

    Args:
        letter: A to D, in order of selection.
        title: what they are, in words.
        kind: of the runs, see :mod:`qlab.tracking.names`.
        runs: a row for each, the last of each trial.
        left_out: for each run why it does not count; "" if it does.
        single: whether it is one run that stands for itself, and is compared with others whatever their seed.
    """

    letter: str
    title: str
    kind: str
    runs: pd.DataFrame
    left_out: tuple[str, ...]
    single: bool = False

    @property
    def name(self) -> str:
        """Letter and title."""
        return f"{self.letter}: {self.title}"

    @functools.cached_property
    def kept(self) -> pd.DataFrame:
        """The runs that count: they finished and did not diverge."""
        return self.runs[[not reason for reason in self.left_out]]

    @functools.cached_property
    def units(self) -> Mapping[int, tuple[str, ...]]:
        """The runs that count by what pairs them with those of other groups: their seed; of a single run that is 0.

        Repeats of a seed belong to one unit.
        """
        found: dict[int, tuple[str, ...]] = {}
        for run, seed in zip(self.kept["run_id"], self.kept.get("seed", ()), strict=False):
            if self.single or not is_missing(seed):
                unit = 0 if self.single else int(seed)
                found[unit] = (*found.get(unit, ()), str(run))
        return dict(sorted(found.items()))

    @property
    def counts(self) -> dict[Hashable, Any]:
        """How many runs are kept, of how many, and why others are left out: for legends."""
        return {"kept": len(self.kept), "runs": len(self.runs), "left_out": joined(self.left_out)}


def groups_of(frame: pd.DataFrame, chosen: Sequence[str], by: By = "groups") -> list[Group]:
    """The groups that selected runs are of, in order of selection.

    Args:
        frame: all runs of the experiment, see :func:`qlab.tracking.frames.runs`.
        chosen: ids of selected runs.
        by: see :data:`BY`.

    Raises:
        DataError: they are too few or too many; the message says what to select.
    """
    own = frame[frame["kind"].notna() & (frame["kind"] != names.EXPERIMENT)]
    picked = own[own["run_id"].isin(chosen)]
    if picked.empty:
        raise DataError(f"No run of this experiment is selected. {_WAY}")
    order = {run: place for place, run in enumerate(chosen)}
    picked = picked.iloc[np.argsort([order[run] for run in picked["run_id"]], kind="stable")]
    keys = list(dict.fromkeys(picked["run_id"] if by == "runs" else _keys(picked)))
    what = "run" if by == "runs" else "group"
    if not FEWEST <= len(keys) <= MOST:
        several = f"{counted(len(picked), 'selected run')} of {counted(len(keys), what)}"
        raise DataError(
            f"{several if by != 'runs' else counted(len(picked), 'selected run')}: {FEWEST} to {MOST} can stand side "
            f"by side. {_WAY}"
        )
    every = own if by == "every seed" else picked
    apart = every["run_id"] if by == "runs" else _keys(every)
    parts = [frames.latest_per_trial(every[[key == one for one in apart]]) for key in keys]
    titles = _titles(pd.concat(parts), seeds=by == "runs")
    found = []
    for letter, part in zip(LETTERS, parts, strict=False):
        run, kind = (str(part[name].iloc[0]) for name in ("run_id", "kind"))
        found.append(Group(letter, titles[run], kind, part, tuple(ending(part)), by == "runs"))
    return found


def differing(groups: Sequence[Group]) -> pd.DataFrame:
    """The params in which groups differ, and no others: columns ``param`` and a letter for each group.

    A group of several values (of single runs there is one) has them all; "–" is a group without the param.
    """
    columns = list(dict.fromkeys(name for group in groups for name in _params(group, groups)))
    rows = []
    kinds = [group.kind for group in groups]
    if len(set(kinds)) > 1:
        rows.append({"param": "kind", **{group.letter: group.kind for group in groups}})
    for name in columns:
        texts = [_value(group.runs, name) for group in groups]
        if len(set(texts)) > 1:
            rows.append({"param": name, **{group.letter: text for group, text in zip(groups, texts, strict=True)}})
    return pd.DataFrame(rows, columns=["param", *(group.letter for group in groups)])


def alike(groups: Sequence[Group], names_of: Iterable[str]) -> bool:
    """Whether groups agree in these params."""
    return all(len({_value(group.runs, name) for group in groups}) == 1 for name in names_of)


def same_task(groups: Sequence[Group]) -> bool:
    """Whether groups are of one task, so that they have the same samples."""
    return alike(groups, {name for group in groups for name in map(str, group.runs) if name.startswith("task.")})


def metrics_of(groups: Sequence[Group]) -> list[str]:
    """The metrics that some run of each group has, those of the first run first."""
    found = [
        [name for name in frames.metric_columns(group.runs) if np.isfinite(numbers_of(group.runs, name)).any()]
        for group in groups
    ]
    return [name for name in found[0] if all(name in own for own in found)]


Series = Mapping[tuple[str, str], Sequence[tuple[int, float]]]
"""Steps and values by run and metric."""


def by_seed(group: Group, metric: str, series: Series) -> dict[int, dict[int, float]]:
    """A metric's finite values by unit (the seed) and step; those of repeats are averaged."""
    found: dict[int, dict[int, float]] = {}
    for unit, runs in group.units.items():
        values: dict[int, list[float]] = {}
        for run in runs:
            for step, value in series.get((run, metric), ()):
                if np.isfinite(value):
                    values.setdefault(int(step), []).append(float(value))
        found[unit] = {step: float(np.mean(own)) for step, own in sorted(values.items())}
    return found


def final(group: Group, metric: str) -> dict[int, float]:
    """A metric's finite last values by unit (the seed); those of repeats are averaged."""
    known = dict(zip(group.kept["run_id"].astype(str), numbers_of(group.kept, metric), strict=True))
    found = {unit: [known[run] for run in runs if np.isfinite(known[run])] for unit, runs in group.units.items()}
    return {unit: float(np.mean(own)) for unit, own in found.items() if own}


def _keys(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Equal for runs of one kind that differ in their seed only."""
    return [(str(kind), str(group)) for kind, group in zip(frame["kind"], frame[names.GROUP], strict=True)]


def _params(group: Group, groups: Sequence[Group]) -> list[str]:
    single = all(len(own.runs) == 1 for own in groups)
    plain = [name for name in names.PLAIN_PARAMS if name in group.runs]
    return [name for name in [*frames.param_columns(group.runs), *plain] if single or not differs_within(name)]


def _value(runs: pd.DataFrame, name: str) -> str:
    values = runs[name].tolist() if name in runs else [None]
    return ", ".join(dict.fromkeys(_ABSENT if is_missing(value) else shown(value) for value in values))


def _titles(runs: pd.DataFrame, *, seeds: bool) -> dict[str, str]:
    """What each run is, in words: model, corruption and ratio, then what was done with it."""
    found: dict[str, str] = {}
    ratios: Any = runs.get("corruption.ratio", ())
    for kind, own in runs.groupby("kind", sort=False):
        column: Any = {names.UNLEARNING: "method", names.PROBE: "probe"}.get(str(kind))
        labels = labelled(own, column)
        for run, row in zip(own.to_dict("records"), labels.to_dict("records"), strict=True):
            ratio = "" if is_missing(row["ratio"]) else f" {ratio_text(row['ratio'], ratios)}"
            parts = [f"{row['model']}, {row['corruption']}{ratio}"]
            parts += [str(row[column])] if column else [_KINDS[str(kind)]] if kind in _KINDS else []
            parts += [f"seed {run['seed']}"] if seeds and not is_missing(run.get("seed")) else []
            found[str(run["run_id"])] = ", ".join(parts)
    return found
