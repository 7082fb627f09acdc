"""Runs kept together by group: everything that reads them sees what it would see of a run each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from support.commands import invoke
from support.copies import SMALL, assert_same
from support.experiments import FLIPPED, SLOW
from support.runs import run_text

from qlab.errors import ConfigError, StoreError
from qlab.experiment.asking import schema
from qlab.experiment.planning.plan import Plan
from qlab.experiment.planning.proposing import tracking_notice
from qlab.experiment.recording.summary import tabulate
from qlab.experiment.reporting import Silent
from qlab.experiment.runner import Runner
from qlab.explorer.reader import Reader
from qlab.reading import Results
from qlab.report import section_of, write_report
from qlab.tracking import names
from qlab.tracking.copying import copy
from qlab.tracking.grouped.address import group_of, is_member
from qlab.tracking.query import Query
from qlab.tracking.store import Store

KINDS = (names.TRIAL, names.UNLEARNING, names.ORACLE, names.PROBE)
TIMES = ["unlearning_seconds"]


@pytest.fixture
def other(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> Store:
    """A second, empty store."""
    return Store(write_empty_store(tmp_path / "other" / "mlflow.db"))


def same(first: pd.DataFrame, second: pd.DataFrame) -> None:
    """Two tidy frames say the same of the same runs, whatever their ids are and when they were made."""
    by = [name for name in ("experiment", "model", "corruption", "ratio", "method", "probe", "seed") if name in first]
    own = ["run_id", "teacher_run", "start", *TIMES]
    ours, theirs = (
        frame.sort_values(by).drop(columns=own, errors="ignore").reset_index(drop=True) for frame in (first, second)
    )
    pd.testing.assert_frame_equal(ours, theirs, check_like=True, check_exact=True)


def kept_in(store: Store) -> set[str]:
    """The runs of MLflow that an experiment has, without locks, by kind."""
    runs = store.search_kept(store.experiment_ids(), Query())
    return {run.data.tags[names.KIND] for run in runs} - {names.CLAIMS}


def test_all_kinds_of_runs_read_as_if_each_had_a_run_of_its_own(store: Store, other: Store, tmp_path: Path) -> None:
    outcome = run_text(store, tmp_path, SMALL, run__track="groups")
    plain = run_text(other, tmp_path, SMALL)
    assert (outcome.trained, outcome.unlearned, outcome.measured) == (2, 2, 2)
    assert not outcome.failed
    assert kept_in(store) == {names.EXPERIMENT, *(f"{kind}-group" for kind in KINDS)}
    grouped, single = Results.of(store), Results.of(other)
    same(grouped.frame, single.frame)
    same(grouped.unlearning, single.unlearning)
    same(grouped.probes, single.probes)
    assert grouped.lines() == single.lines()
    pd.testing.assert_frame_equal(outcome.table, plain.table)
    for of in ("trials", "unlearning"):
        curves = [found.curves(of=of).drop(columns="run_id") for found in (grouped, single)]
        pd.testing.assert_frame_equal(curves[0], curves[1], check_exact=True)
    again = run_text(store, tmp_path, SMALL, run__track="groups")
    assert (again.trained, again.reused, again.unlearned, again.measured) == (0, 2, 0, 0)


def test_models_open_from_a_group_by_id_seed_or_key(store: Store, other: Store, tmp_path: Path) -> None:
    run_text(store, tmp_path, SMALL, run__track="groups")
    run_text(other, tmp_path, SMALL)
    grouped, single = Results.of(store), Results.of(other)
    run_id = str(grouped.frame.loc[grouped.frame["seed"] == 1, "run_id"].iloc[0])
    assert is_member(run_id)
    theirs = single.model(single.frame[single.frame["seed"] == 1].iloc[0])
    for given in (run_id, f"{group_of(run_id)[:10]}:1", run_id[:-4]):
        ours = grouped.model(given)
        assert isinstance(ours, torch.nn.Module)
        assert isinstance(theirs, torch.nn.Module)
        for name, value in theirs.state_dict().items():
            assert torch.equal(ours.state_dict()[name], value)
    with pytest.raises(ConfigError, match=r"keeps 2 runs that differ in their seed; say which"):
        grouped.model(group_of(run_id))
    with pytest.raises(ConfigError, match="none with the seed or the key 7"):
        grouped.model(f"{group_of(run_id)}:7")


def test_more_seeds_are_added_and_the_group_says_mean_and_spread(store: Store, tmp_path: Path) -> None:
    text = f'name = "more"\n{FLIPPED}\n[run]\nseeds = 3\ntrack = "groups"'
    run_text(store, tmp_path, text)
    outcome = run_text(store, tmp_path, text, run__seeds=7)
    assert (outcome.trained, outcome.reused) == (4, 3)
    results = Results.of(store)
    (group,) = store.groups_of(store.experiment_ids(), Query())
    assert group.info.status == "FINISHED"
    assert group.data.params["model.type"] == "MLP"
    assert "seed" not in group.data.params
    curves = results.curves("validation_accuracy")
    for step, own in curves.groupby("epoch"):
        expected = {
            "mean": own["value"].mean(),
            "std": own["value"].std(ddof=1),
            "median": own["value"].median(),
            "q05": own["value"].quantile(0.05),
            "q95": own["value"].quantile(0.95),
            "n": 7.0,
        }
        for name, value in expected.items():
            history = dict(store.metric_history(str(group.info.run_id), f"validation_accuracy_{name}"))
            assert history[step] == pytest.approx(value, abs=1e-12)
    assert group.data.metrics["validation_accuracy"] == pytest.approx(results.frame["validation_accuracy"].mean())


def test_runs_of_both_forms_are_pooled_once(store: Store, tmp_path: Path) -> None:
    text = f'name = "mixed"\n{FLIPPED}\n[run]\nseeds = 2'
    run_text(store, tmp_path, text)
    outcome = run_text(store, tmp_path, text, run__seeds=5, run__track="groups")
    assert (outcome.trained, outcome.reused) == (3, 2)
    assert run_text(store, tmp_path, text, run__seeds=5).trained == 0
    results = Results.of(store)
    assert sorted(results.frame["seed"]) == [0, 1, 2, 3, 4]
    assert [is_member(run) for run in results.frame.sort_values("seed")["run_id"]] == [False, False, True, True, True]
    assert list(results.table()["trials"]) == [5]
    filtered = store.search(store.experiment_ids(), "params.seed = '3' and metrics.validation_accuracy >= 0")
    assert [run.info.run_name for run in filtered] == ["MLP LabelFlip 0.5 seed 3"]


def test_a_copy_of_groups_has_everything_in_groups_and_a_second_one_nothing_to_do(
    store: Store, other: Store, tmp_path: Path
) -> None:
    run_text(store, tmp_path, SMALL, run__track="groups")
    copied = copy(store.uri, other.uri)
    assert not copied.failed
    assert copied.runs == {names.TRIAL: 2, names.UNLEARNING: 2, names.ORACLE: 6, names.PROBE: 2, names.EXPERIMENT: 1}
    assert kept_in(other) == kept_in(store)
    destination = Store(other.uri)
    assert_same(Store(store.uri), destination)
    again = copy(store.uri, other.uri)
    assert (again.runs.total(), again.there) == (0, 13)
    assert {run.info.status for run in destination.groups_of(destination.experiment_ids(), Query())} == {"FINISHED"}


def test_a_word_that_is_no_form_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'run.track: got "group", accepts one of "runs", "groups"'):
        run_text(store, tmp_path, SMALL, run__track="group")


def parts_of(store: Store) -> list[Path]:
    """The tables of all parts."""
    return sorted(Path(store.uri.removeprefix("sqlite:///")).parent.glob("artifacts/*/artifacts/parts/*.parquet"))


@pytest.mark.parametrize("damage", ["damaged", "missing"])
def test_a_part_that_is_damaged_or_missing_is_named_and_made_again(
    damage: str, store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = f'name = "hurt"\n{FLIPPED}\n[run]\nseeds = 2\ntrack = "groups"'
    run_text(store, tmp_path, text)
    run_text(store, tmp_path, text, run__seeds=5)
    _, second = sorted(parts_of(store), key=lambda file: file.stat().st_mtime)
    if damage == "missing":
        second.unlink()
    else:
        second.write_bytes(second.read_bytes()[:-7] + b"rubbish")
    results = Results.of(Store(store.uri))
    assert sorted(results.frame["seed"]) == [0, 1]
    assert f"parts/{second.name} is {damage}; 3 of its runs cannot be read" in results.lines()[0]
    capfd.readouterr()
    listed = invoke("runs", "--trials", "--tracking-uri", store.uri, code=1)
    assert f"{second.name} is {damage}" in listed.stderr
    outcome = run_text(Store(store.uri), tmp_path, text, run__seeds=5)
    assert (outcome.trained, outcome.reused) == (3, 2)
    assert sorted(Results.of(Store(store.uri)).frame["seed"]) == [0, 1, 2, 3, 4]


def test_models_whose_stacked_parameters_are_damaged_are_trained_again_when_they_are_needed(
    store: Store, tmp_path: Path
) -> None:
    text = f'name = "hurt"\n{FLIPPED}\n[run]\nseeds = 2\ntrack = "groups"'
    run_text(store, tmp_path, text)
    (table,) = parts_of(store)
    tensors = table.with_suffix(".safetensors")
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"?")
    outcome = run_text(Store(store.uri), tmp_path, f'{text}\n[[unlearner]]\ntype = "Finetune"\nsteps = 1')
    assert not outcome.failed
    assert (outcome.trained, outcome.unlearned) == (2, 2)
    results = Results.of(Store(store.uri))
    assert len(results.frame) == 2
    assert results.model(results.frame.iloc[0]) is not None


def test_a_group_that_was_deleted_while_it_runs_is_named(store: Store, tmp_path: Path) -> None:
    text = f'name = "gone"\n{FLIPPED}\n[run]\nseeds = 2\ntrack = "groups"'

    class Deletes(Silent):
        def ensemble_started(self, label: str, engine: str, trials: int, epochs: int) -> None:
            pass

        def epoch(self, epoch: int, metrics: object) -> None:
            (group,) = store.groups_of(store.experiment_ids(), Query())
            store.client.delete_run(str(group.info.run_id))

    experiment = schema.parse(text, source="given.toml", folder=tmp_path)
    with pytest.raises(StoreError, match=r"was deleted while it was written to: 2 more could not be added\. Restore"):
        Runner(store, Deletes(), summarise=tabulate).run(experiment)
    assert run_text(Store(store.uri), tmp_path, text).trained == 2


def test_what_failed_in_a_group_is_tried_again_and_counts_once(store: Store, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "fail").touch()
    text = f'name = "fails"\n{FLIPPED}\n[run]\nseeds = 3\ntrack = "groups"'.replace(
        'type = "MLP"', 'type = "slow:Slow"'
    )
    outcome = run_text(store, tmp_path, text)
    assert len(outcome.failed) == 3
    results = Results.of(store)
    assert list(results.frame["status"]) == ["FAILED"] * 3
    assert all("the kettle is dry" in error for error in results.frame["error"])
    (group,) = store.groups_of(store.experiment_ids(), Query())
    assert (group.info.status, group.data.tags[names.ERROR]) == ("FAILED", "3 of 3 failed")
    (tmp_path / "fail").unlink()
    assert run_text(store, tmp_path, text).trained == 3
    again = Results.of(Store(store.uri))
    assert list(again.frame["status"]) == ["FINISHED"] * 3
    assert again.frame["error"].isna().all()
    (group,) = store.groups_of(store.experiment_ids(), Query())
    assert (group.info.status, group.data.tags.get(names.ERROR)) == ("FINISHED", None)


def test_the_explorer_and_a_report_read_groups(store: Store, tmp_path: Path) -> None:
    run_text(store, tmp_path, SMALL, run__track="groups")
    reader = Reader(store.uri)
    frame = reader.runs("small")
    assert frame["kind"].value_counts().to_dict() == {
        names.ORACLE: 6,
        names.TRIAL: 2,
        names.UNLEARNING: 2,
        names.PROBE: 2,
        names.EXPERIMENT: 1,
    }
    trial = frame[frame["kind"] == names.TRIAL].iloc[0]
    assert len(reader.histories([trial["run_id"]], ["train_loss"])) == 2
    assert reader.run_url(trial["run_id"], "1").endswith(
        f"/runs/{group_of(trial['run_id'])}?workflowType=machine_learning"
    )
    assert names.CHECKPOINT in reader.store.files(trial["run_id"])
    section = section_of(Store(store.uri), "small", None)
    assert section is not None
    written = write_report(Store(store.uri), [section], tmp_path / "report", lambda name: None)
    assert not written.missing
    assert {"small.accuracy.csv", "small.probes.csv"} <= {file.name for file in written.files}


@pytest.mark.parametrize(
    ("seeds", "track", "proposed"), [(1100, "runs", True), (900, "runs", False), (1100, "groups", False)]
)
def test_above_a_thousand_new_runs_groups_are_proposed_and_nothing_asks(
    seeds: int, track: str, proposed: bool, tmp_path: Path
) -> None:
    text = f'name = "many"\n{FLIPPED}\n[run]\nseeds = {seeds}\ntrack = "{track}"'
    plan = Plan.of(schema.parse(text, source="given.toml", folder=tmp_path), None)
    said = tracking_notice(plan)
    assert (said is not None) == proposed
    if said is not None:
        assert said.startswith(
            "1,100 new runs: an MLflow run for each takes about 55 s of tracking. With --track groups"
        )
        assert "kept in one, 1 in all, in about 1 s" in said
