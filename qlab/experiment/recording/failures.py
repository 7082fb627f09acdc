"""What failed, in words: equal failures are reported once, with how many runs they affect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from qlab.experiment.asking.experiment import Experiment
from qlab.experiment.asking.trial import ProbeRun, Trial, Unlearning

_MOST_NAMED = 3

UNCHOSEN = "choice for "
"""How the key of a choice begins that could not be made."""

_SEED = re.compile(r"(.*) seed (-?\d+)(.*)")


def failure_lines(
    experiment: Experiment, failed: Mapping[str, tuple[str, str]], candidates: Iterable[Trial | Unlearning] = ()
) -> tuple[str, ...]:
    """A text for each reason: "2 of 3 trials (MLP LabelFlip 0.1 seeds 0, 1): ValueError: no".

    Args:
        experiment: what was run.
        candidates: what was compared with each other for a choice.
        failed: for each trial, unlearning run or probe that failed (or metric), by key, its label and why.
    """
    words = ((Trial, "trials"), (Unlearning, "unlearning runs"), (ProbeRun, "probes"))
    kinds = {item.key: next(word for kind, word in words if isinstance(item, kind)) for item in experiment.items}
    kinds |= {item.key: "metrics" for item in experiment.measurements}
    kinds |= {item.key: "audits" for item in experiment.audits}
    for item in candidates:
        kinds[item.key] = "trials to choose from"
        if isinstance(item, Unlearning):
            kinds |= {item.key: "unlearning runs to choose from", item.teacher.key: "trials to choose from"}
    groups: dict[tuple[str, str], list[str]] = {}
    for key, (label, error) in failed.items():
        kind = "choices" if key.startswith(UNCHOSEN) else kinds.get(key, "runs")
        groups.setdefault((kind, error), []).append(label)
    every = list(kinds.values())
    return tuple(
        f"{labels[0]}: {error}"
        if len(labels) == 1
        else f"{_counted(len(labels), every.count(kind))} {kind} ({_named(labels)}): {error}"
        for (kind, error), labels in groups.items()
    )


def _counted(number: int, of: int) -> str:
    return f"{number} of {of}" if of >= number else str(number)


def _named(labels: list[str]) -> str:
    """Labels that differ only in seed, merged into one."""
    seeds: dict[tuple[str, str], list[str]] = {}
    for label in labels:
        found = _SEED.fullmatch(label)
        seeds.setdefault((found[1], found[3]) if found else (label, ""), []).append(found[2] if found else "")
    names = []
    for (before, after), found_seeds in seeds.items():
        known = [seed for seed in found_seeds if seed]
        shown = ", ".join(known[:_MOST_NAMED]) + (f" and {len(known) - _MOST_NAMED} more" * (len(known) > _MOST_NAMED))
        names.append(before + (f" seed{'s' * (len(known) > 1)} {shown}" if known else "") + after)
    more = len(names) - _MOST_NAMED
    return "; ".join(names[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
