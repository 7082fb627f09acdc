"""What tests of copies compare: runs of two stores with all they have."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from qlab.tracking import frames, names, whole
from qlab.tracking.store import Store
from support.experiments import FLIPPED

SMALL = f"""
name = "small"
{FLIPPED}
[[unlearner]]
type = "Finetune"
steps = 2
[[probe]]
type = "HessianProbe"
[run]
seeds = 2
"""
"""2 trials, 2 unlearning runs, 6 oracles, 2 probes and the experiment's own run."""

ALL = "copied 2 trials, 2 unlearning runs, 6 oracles, 2 probes, 1 parent of 1 experiment; 0 were there already"
SIDE = ["run_id", "experiment_id", "parent_id", names.WORKER]
"""Columns that differ between stores."""


def of(place: Path | str) -> Store:
    return Store(f"sqlite:///{place / 'mlflow.db'}" if isinstance(place, Path) else place, create=False)


def results(store: Store, experiment: str = "small") -> pd.DataFrame:
    """All runs of an experiment, by what they are."""
    frame = frames.runs(store, store.experiment_ids([experiment]))
    return frame.sort_values(["kind", "trial", "start"]).reset_index(drop=True)


def assert_same(first: Store, second: Store) -> None:
    """Both have the same runs: frames, histories with times, inputs, tags, files and relations."""
    ours, theirs = results(first), results(second)
    pd.testing.assert_frame_equal(ours.drop(columns=SIDE), theirs.drop(columns=SIDE), check_exact=True, check_like=True)
    pairs = dict(zip(ours["run_id"], theirs["run_id"], strict=True))
    own = {names.PARENT, names.CLIENT, names.SUMMARY, names.COPIED}
    for ours_id, theirs_id in pairs.items():
        run, twin = first.get_run(ours_id), second.get_run(theirs_id)
        assert run.data.params == twin.data.params
        tags = ({key: value for key, value in each.data.tags.items() if key not in own} for each in (run, twin))
        assert next(tags) == next(tags)
        assert pairs.get(run.data.tags.get(names.PARENT)) == twin.data.tags.get(names.PARENT)
        assert run.info.start_time == twin.info.start_time
        assert run.info.end_time == twin.info.end_time
        assert run.info.run_name == twin.info.run_name
        assert whole.history(first, run) == whole.history(second, twin)
        data = [sorted(str(item.to_dictionary()) for item in each.inputs.dataset_inputs) for each in (run, twin)]
        assert data[0] == data[1]
        with whole.files_of(first, run) as files, whole.files_of(second, twin) as copies:
            assert {name: file.read_bytes() for name, file in files.items()} == {
                name: file.read_bytes() for name, file in copies.items()
            }
