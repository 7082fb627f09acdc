"""Portions: what one of several workers takes at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from qlab.experiment.trial import Measurement, Trial, Unlearning


@dataclasses.dataclass(frozen=True)
class Share:
    """How many workers an experiment is spread over.

    Args:
        workers: all of them.
        here: those on this machine, which share its memory.
    """

    workers: int = 1
    here: int = 1


def portion(
    groups: Sequence[Sequence[Trial | Unlearning | Measurement]], taken: Collection[str], workers: int
) -> list[str]:
    """The keys of what a worker takes next; empty if nothing is free.

    A group of n models is cut into as many parts as there are workers, the last ones smaller as it gets less. Results
    do not depend on it: models that train together do not know of each other. What belongs to one model stays
    together, since it shares a checkpoint and oracles.

    After every portion the store is read as a whole. So that this happens a few times for every worker, and not once
    for each of a thousand small groups, small groups are taken several at a time: a portion is at least half of a
    worker's share of everything that is left.

    Args:
        groups: what is left, in groups that are worked at together.
        taken: the keys of what other workers are at.
        workers: how many there are.
    """
    if workers == 1:
        return [item.key for group in groups for item in group]
    found: list[str] = []
    aim = sum(len(_by_model(group)) for group in groups) / (2 * workers)
    models = 0
    for group in groups:
        if found and models >= aim:
            break
        own = _by_model(group)
        free = [keys for keys in own.values() if not any(key in taken for key in keys)]
        part = free[: -(-len(own) // workers)]
        models += len(part)
        found += [key for keys in part for key in keys]
    return found


def _by_model(group: Sequence[Trial | Unlearning | Measurement]) -> dict[str, list[str]]:
    """The keys of a group's items, by the trained model that they need."""
    found: dict[str, list[str]] = {}
    for item in group:
        found.setdefault(_model_of(item), []).append(item.key)
    return found


def _model_of(item: Trial | Unlearning | Measurement) -> str:
    if isinstance(item, Unlearning):
        return item.teacher.key
    return item.key if isinstance(item, Trial) else item.trial.key
