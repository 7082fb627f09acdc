"""The experiment file that would make the runs that a figure shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qlab.errors import DataError
from qlab.experiment.asking.writing import Written, written
from qlab.explorer.copying.origin import Origin
from qlab.explorer.reader import Reader
from qlab.tracking import names
from qlab.words import counted

_OWN = (names.TRIAL, names.UNLEARNING, names.PROBE)
"""Kinds of runs that an experiment file makes by name; others are made for these."""


def experiment_file(reader: Reader, origin: Origin) -> tuple[Written, str]:
    """The file, and something to know about it.

    Args:
        reader: reads the store.
        origin: which runs.

    Raises:
        DataError: the store does not say the configuration of any of them.
        ConfigError: a file cannot say them.
    """
    keys = _keys(reader, origin)
    every = reader.configs(origin.experiment)
    configs: Mapping[str, Mapping[str, Any]] = {key: every[key] for key in keys if key in every}
    if not configs:
        raise DataError(
            f'No configuration of these runs is in the store: no run of "{origin.experiment}" by qlab has them in its '
            f"{names.CONFIGS}."
        )
    found = written(origin.experiment, configs, every)
    lost = len(keys) - len(configs)
    parts = [_said(found, len(configs)), *found.notes]
    if lost:
        parts.append(f"The store does not say the configuration of {counted(lost, 'run')} more.")
    return found, " ".join(parts)


def _said(found: Written, wanted: int) -> str:
    if found.made is None:
        return f"Of {counted(wanted, 'run')}."
    more = sum(found.more.values())
    said = f"Makes {'all' if len(found.made) == wanted else len(found.made)} of the {counted(wanted, 'run')}"
    return f"{said}, and {more} more, as they are no full grid." if more else f"{said}, and no others."


def _keys(reader: Reader, origin: Origin) -> list[str]:
    """The identities of the runs, of oracles and the like those of the trials that they were made for."""
    frame = reader.runs(origin.experiment)
    wanted = set(origin.runs)
    own = frame[frame["run_id"].isin(wanted)]
    parents = set(own.loc[~own["kind"].isin(_OWN), "parent_id"].dropna())
    named = frame[(frame["run_id"].isin(wanted) & frame["kind"].isin(_OWN)) | frame["run_id"].isin(parents)]
    named = named[named["kind"].isin(_OWN) & named["trial"].notna()]
    return list(dict.fromkeys(str(key) for key in named["trial"]))
