"""Runs kept together on a real tracking server: its artifacts are all it needs, and it may be away for a while."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.commands import invoke
from support.copies import SMALL
from support.experiments import FLIPPED
from support.runs import run_text, runner

from qlab.experiment.asking import schema
from qlab.experiment.reporting import Silent
from qlab.reading import Results
from qlab.tracking import names
from qlab.tracking.grouped.address import is_member
from qlab.tracking.patience import Limits
from qlab.tracking.query import Query
from qlab.tracking.spooling import SpoolingStore, open_store
from qlab.tracking.store import Store

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.skipif(sys.platform == "win32", reason="processes are stopped by signals"),
]


def test_groups_on_a_server_read_as_runs_in_a_file(
    server: Any, tmp_path: Path, write_empty_store: Callable[[Path], str]
) -> None:
    text = SMALL.replace('"small"', '"served"')
    outcome = run_text(open_store(server.uri), tmp_path, text, run__track="groups")
    assert (outcome.trained, outcome.unlearned, outcome.measured, outcome.failed) == (2, 2, 2, {})
    again = run_text(open_store(server.uri), tmp_path, text, run__track="groups", run__seeds=3)
    assert (again.trained, again.reused, again.unlearned) == (1, 2, 1)
    plain = Store(write_empty_store(tmp_path / "plain.db"))
    run_text(plain, tmp_path, text, run__seeds=3)
    served, single = Results.of(Store(server.uri), ["served"]), Results.of(plain)
    assert all(map(is_member, served.frame["run_id"]))
    own = ["run_id", "start", "teacher_run", "unlearning_seconds"]
    for ours, theirs in ((served.frame, single.frame), (served.unlearning, single.unlearning)):
        both = [frame.sort_values("seed").drop(columns=own, errors="ignore") for frame in (ours, theirs)]
        pd.testing.assert_frame_equal(*(frame.reset_index(drop=True) for frame in both), check_like=True)
    assert served.unlearning["teacher_run"].isin(served.frame["run_id"]).all()
    assert "0.500" in str(invoke("runs", "served", "--trials", "--tracking-uri", server.uri).stdout)
    assert served.model(served.frame.iloc[2]) is not None


def test_a_server_that_is_away_while_a_group_is_written_gets_it_afterwards(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    told: list[str] = []
    limits = Limits(write=1.0, read=60.0, pause=0.1)
    store = SpoolingStore(server.uri, tell=told.append, root=tmp_path / "spool", limits=limits)
    text = f'name = "away"\n{FLIPPED}\n[run]\nseeds = 2\ntrack = "groups"'

    class Freezes(Silent):
        def epoch(self, epoch: int, metrics: object) -> None:
            server.freeze()

        def ensemble_finished(self, seconds: float, health: object) -> None:
            store.flush()
            server.thaw()

    try:
        outcome = runner(store, Freezes()).run(schema.parse(text, source="away.toml", folder=tmp_path))
    finally:
        server.thaw()
    assert outcome.trained == 2
    assert any("Going on; what is to be written is kept in" in line for line in told)
    read = Store(server.uri)
    assert sorted(Results.of(read, ["away"]).frame["seed"]) == [0, 1]
    (group,) = read.groups_of(read.experiment_ids(["away"]), Query())
    assert group.info.status == "FINISHED"
    assert group.data.metrics["validation_accuracy_n"] == 2.0


def test_a_server_that_takes_no_artifacts_is_named_before_anything_is_trained(
    serve: Callable[..., Any], write_empty_store: Callable[[Path], str], tmp_path: Path
) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("there is no folder here that nobody can write")
    shut = serve(write_empty_store(tmp_path / "shut.db"), "--no-serve-artifacts", "--default-artifact-root", "/proc/no")
    (tmp_path / "grouped.toml").write_text(f'name = "grouped"\n{FLIPPED}\n[run]\nseeds = 2\ntrack = "groups"')
    result = invoke("run", tmp_path / "grouped.toml", "--tracking-uri", shut.uri, code=2)
    for words in (shut.uri, "folder of its own disk", "/proc/no/1", "--artifacts-destination"):
        assert words in result.stderr
    assert "1 epoch" not in result.stdout
    assert names.MEMBERS not in str(list(Store(shut.uri).search(Store(shut.uri).experiment_ids())))
