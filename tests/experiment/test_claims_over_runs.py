"""Claims of one experiment in several of its runs, with other seeds: when they were written, and which counts."""

from __future__ import annotations

import pytest
from support.experiments import TASK
from support.runs import run_text as run

from qlab.claims.table import note
from qlab.reading import Results
from qlab.tracking.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")

FILE = f"""
name = "claims"
{TASK}
[corruption]
type = "LabelFlip"
ratio = [0.25, 0.5]
[[model]]
type = "MLP"
hidden = [4]
[training]
epochs = 2
batch_size = 8
[run]
seeds = 3
"""

FIRST = """
[[claim]]
name = "a"
text = "It is better than chance"
metric = "validation_accuracy"
of = { model = "MLP", ratio = 0.25 }
than = 0.1
statement = "above"
"""

SECOND = FIRST.replace('"a"', '"b"').replace("better than chance", "better with few flips").replace("0.25", "0.5")

SEEDS = [10, 11, 12]


def shown(store: Store):
    return Results.of(store, ["claims"]).claims


def test_a_claim_written_with_other_seeds_is_late_for_the_runs_that_had_finished(store, tmp_path):
    run(store, tmp_path, FILE)
    assert run(store, tmp_path, FILE + FIRST, run__seeds=SEEDS).claims.iloc[0]["mark"] == ""
    row = run(store, tmp_path, FILE + FIRST).claims.iloc[0]
    assert (row["mark"], row["runs_before"]) == ("written after its runs", 3)


def test_a_claim_written_before_all_runs_is_so_with_any_seeds(store, tmp_path):
    run(store, tmp_path, FILE + FIRST, run__seeds=SEEDS)
    assert run(store, tmp_path, FILE + FIRST).claims.iloc[0]["mark"] == ""
    assert run(store, tmp_path, FILE + FIRST, run__seeds=6).claims.iloc[0]["mark"] == ""


def test_a_test_with_as_many_other_seeds_is_a_look(store, tmp_path):
    run(store, tmp_path, FILE + FIRST)
    row = run(store, tmp_path, FILE + FIRST, run__seeds=SEEDS).claims.iloc[0]
    assert row["looks"] == "3 (other seeds)"
    assert note(row).endswith("tested before with 3 (other seeds)")
    row = run(store, tmp_path, FILE + FIRST, run__seeds=4).claims.iloc[0]
    assert row["looks"] == "3, 3 (other seeds)"
    again = run(store, tmp_path, FILE + FIRST).claims.iloc[0]
    assert again["looks"] == "3 (other seeds), 4"


def test_the_same_seeds_beside_another_model_are_no_look(store, tmp_path):
    run(store, tmp_path, FILE + FIRST)
    more = FILE.replace("[training]", '[[model]]\ntype = "MLP"\nhidden = [3]\n[training]')
    row = run(store, tmp_path, more + FIRST.replace("ratio = 0.25", "ratio = 0.25, hidden = [4]")).claims.iloc[0]
    assert (row["n"], row["looks"]) == (3, "")


def test_a_claim_taken_out_while_the_seeds_change_is_withdrawn(store, tmp_path):
    run(store, tmp_path, FILE + FIRST + SECOND)
    rows = run(store, tmp_path, FILE + FIRST, run__seeds=SEEDS).claims
    assert list(rows["verdict"])[1:] == ["withdrawn"]
    assert list(rows["name"]) == ["a", "b"]
    assert list(run(store, tmp_path, FILE, run__seeds=4).claims["verdict"]) == ["withdrawn", "withdrawn"]
    assert list(shown(store)["verdict"]) == ["withdrawn", "withdrawn"]
    rows = run(store, tmp_path, FILE + FIRST + SECOND, run__seeds=4).claims
    assert "withdrawn" not in set(rows["verdict"])


def test_a_claim_that_a_choice_of_values_leaves_out_is_not_withdrawn(store, tmp_path):
    run(store, tmp_path, FILE + FIRST + SECOND)
    rows = run(store, tmp_path, FILE + FIRST + SECOND, corruption__ratio=[0.25]).claims
    assert list(rows["name"]) == ["a"]
    assert list(shown(store)["name"]) == ["a", "b"]
    assert run(store, tmp_path, FILE + FIRST + SECOND, run__seeds=1).claims.empty


def test_readers_see_the_claims_of_the_last_run(store, tmp_path):
    run(store, tmp_path, FILE + FIRST + SECOND)
    last = run(store, tmp_path, FILE + FIRST, run__seeds=2).claims
    assert list(last["verdict"]) == list(shown(store)["verdict"])
    assert list(shown(store)["n"])[:1] == [2]
    edited = FILE + FIRST.replace("0.1", "0.99") + SECOND
    last = run(store, tmp_path, edited, run__seeds=2).claims
    assert list(shown(store)["verdict"]) == list(last["verdict"])
    run(store, tmp_path, FILE + FIRST + SECOND)  # what it said before, and no new runs
    assert list(shown(store)["n"]) == [3, 3]
    assert shown(store)["states"].iloc[0].endswith("is above 0.1")


def test_what_could_not_be_shown_is_shown_by_the_next_run(store, tmp_path, monkeypatch):
    log = Store.log

    def failing(self, run_id, **values):
        if any(metric[0].startswith("claims/") for metric in values.get("metrics", ())):
            raise ConnectionError("not now")
        log(self, run_id, **values)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "log", failing)
        with pytest.raises(ConnectionError):
            run(store, tmp_path, FILE + FIRST)
    outcome = run(store, tmp_path, FILE + FIRST)
    found = store.get_run(outcome.parent_run).data
    assert found.metrics["claims/a"] == pytest.approx(outcome.claims.iloc[0]["estimate"])
    assert "not evaluated" not in found.tags["qlab.claim.a"]
