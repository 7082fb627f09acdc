"""Claims beside runs: written down before training, tested over seeds, marked if they are changed afterwards."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from scipy import stats
from support.experiments import TASK
from support.runs import run_text as run

from qlab.claims.table import note
from qlab.experiment.recording import claims as recording
from qlab.experiment.runner import Outcome
from qlab.reading import Results
from qlab.reading.claims import write_claims
from qlab.tracking import names
from qlab.tracking.claim_record import read_record
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
[[model]]
type = "PennyLaneQNN"
depth = 2
[training]
epochs = 2
batch_size = 8
[run]
seeds = 3
"""

CLAIM = """
[[claim]]
text = "It keeps its accuracy"
metric = "validation_accuracy"
of = { model = "PennyLaneQNN", ratio = 0.25 }
than = { model = "MLP", ratio = 0.25 }
statement = "above"
margin = 0.1
"""


def parent_tags(store: Store, outcome: Outcome) -> dict[str, str]:
    return store.get_run(outcome.parent_run).data.tags


def test_verdict_is_of_paired_seeds_and_is_where_people_look(store, tmp_path):
    outcome = run(store, tmp_path, FILE + CLAIM + 'name = "plateau"\n')
    frame = Results.of(store, ["claims"]).frame
    at = frame[frame["ratio"] == 0.25].pivot_table(index="seed", columns="model", values="validation_accuracy")
    differences = at["PennyLaneQNN"] - at["MLP"]
    row = outcome.claims.iloc[0]
    assert row["estimate"] == pytest.approx(differences.mean())
    half = stats.t.isf(0.05, 2) * differences.std(ddof=1) / 3**0.5
    assert (row["low"], row["high"]) == pytest.approx((differences.mean() - half, differences.mean() + half))
    p = stats.ttest_1samp(differences, 0.1, alternative="greater").pvalue
    assert (row["p_supported"], row["p_contradicted"]) == pytest.approx((p, 1.0 - p))
    assert (row["n"], row["of"], row["left_out"], row["mark"]) == (3, 3, "", "")
    run_ = store.get_run(outcome.parent_run)
    assert run_.data.tags["qlab.claim.plateau"].startswith(f"{row['verdict']}: It keeps its accuracy | ")
    assert run_.data.metrics["claims/plateau"] == pytest.approx(row["estimate"])
    pd.testing.assert_frame_equal(Results.of(store, ["claims"]).claims, outcome.claims)
    results = Results.of(store, ["claims"])
    for name, part in (("c.csv", "p_contradicted"), ("c.md", "| It keeps its accuracy |"), ("c.tex", "\\toprule")):
        assert part in results.save_claims(tmp_path / name).read_text(encoding="utf-8")
    note = store.experiment_tags(run_.info.experiment_id)[names.NOTE]
    assert f"- **{row['verdict']}**: It keeps its accuracy" in note


def test_claims_are_written_down_before_anything_is_trained(store, tmp_path, monkeypatch):
    found = []

    def look(recorder, parent, experiment, run_ids):
        recording.register_claims(recorder, parent, experiment, run_ids)
        found.append(
            (read_record(store, parent), [run.data.tags[names.KIND] for run in store.search([recorder.experiment_id])])
        )

    monkeypatch.setattr("qlab.experiment.runner.register_claims", look)
    run(store, tmp_path, FILE + CLAIM)
    record, kinds = found[0]
    assert kinds == ["experiment"]
    assert record["claims"][0]["history"][0]["claim"]["text"] == "It keeps its accuracy"
    assert record["claims"][0]["history"][0]["runs"] == 0
    assert record["claims"][0]["verdict"] is None


def test_running_again_only_evaluates_and_writes_nothing_new(store, tmp_path):
    first = run(store, tmp_path, FILE + CLAIM)
    record = read_record(store, first.parent_run)
    again = run(store, tmp_path, FILE + CLAIM)
    assert (again.trained, again.parent_run) == (0, first.parent_run)
    assert read_record(store, first.parent_run) == record
    pd.testing.assert_frame_equal(again.claims, first.claims)


def test_a_claim_edited_after_its_runs_is_marked_with_both_texts(store, tmp_path):
    first = run(store, tmp_path, FILE + CLAIM)
    edited = FILE + CLAIM.replace("keeps its", "has some").replace("margin = 0.1", "margin = 0.0")
    second = run(store, tmp_path, edited)
    row = second.claims.iloc[0]
    assert second.trained == 0
    assert (row["mark"], row["claim"], row["first_claim"]) == (
        "edited after its runs",
        "It has some accuracy",
        "It keeps its accuracy",
    )
    assert row["first_states"].endswith("by more than 0.1")
    assert row["written"] == first.claims.iloc[0]["written"]
    assert row["runs_before"] == 6
    assert "edited after its runs" in parent_tags(store, second)["qlab.claim.claim-1"]
    assert run(store, tmp_path, FILE + CLAIM).claims.iloc[0]["mark"] == ""  # what was written before holds again
    assert run(store, tmp_path, edited).claims.iloc[0]["mark"] == "edited after its runs"


def test_an_edit_with_more_seeds_is_found_out_in_the_experiments_new_run(store, tmp_path):
    run(store, tmp_path, FILE + CLAIM)
    more = FILE.replace("seeds = 3", "seeds = 4") + CLAIM.replace("margin = 0.1", "margin = 0.05")
    row = run(store, tmp_path, more).claims.iloc[0]
    assert (row["mark"], row["n"], row["runs_before"]) == ("edited after its runs", 4, 6)
    assert row["looks"] == "3"
    assert note(row).endswith("; tested before with 3")


def test_an_edit_before_its_runs_is_no_edit(store, tmp_path):
    other = CLAIM.replace("0.25", "0.5")
    run(store, tmp_path, FILE.replace("[0.25, 0.5]", "0.5") + other)
    grown = other + CLAIM.replace("It keeps", "Both keep")
    rows = run(store, tmp_path, FILE + grown).claims
    assert list(rows["mark"]) == ["", ""]


def test_a_claim_added_after_its_runs_is_marked(store, tmp_path):
    run(store, tmp_path, FILE)
    outcome = run(store, tmp_path, FILE + CLAIM)
    assert outcome.claims.iloc[0]["mark"] == "written after its runs"
    run(store, tmp_path, FILE + CLAIM)
    assert Results.of(store, ["claims"]).claims.iloc[0]["mark"] == "written after its runs"


def test_a_claim_that_is_taken_out_stays_as_withdrawn(store, tmp_path):
    second = CLAIM.replace("It keeps", "Both keep").replace("above", "not above")
    run(store, tmp_path, FILE + CLAIM + second)
    rows = run(store, tmp_path, FILE + second).claims
    assert list(rows["claim"]) == ["Both keep its accuracy", "It keeps its accuracy"]
    assert list(rows["mark"]) == ["", "withdrawn"]
    assert rows.iloc[1]["verdict"] == "withdrawn"
    rows = run(store, tmp_path, FILE).claims
    assert list(rows["verdict"]) == ["withdrawn", "withdrawn"]


def test_moving_claims_about_is_no_edit(store, tmp_path):
    second = CLAIM.replace("It keeps", "Both keep").replace("above", "not above")
    run(store, tmp_path, FILE + CLAIM + second)
    assert list(run(store, tmp_path, FILE + second + CLAIM).claims["mark"]) == ["", ""]


def test_seeds_that_fail_or_diverge_are_counted_and_said(store, tmp_path):
    file = FILE + CLAIM
    run(store, tmp_path, file)
    frame = Results.of(store, ["claims"]).frame
    chosen = frame[(frame["ratio"] == 0.25) & (frame["model"] == "MLP")].sort_values("seed")
    store.set_tags(chosen["run_id"].iloc[0], {names.HEALTH: "diverged"})
    outcome = run(store, tmp_path, file)
    row = outcome.claims.iloc[0]
    assert (row["n"], row["of"], row["left_out"]) == (2, 3, "1 diverged")
    store.set_tags(chosen["run_id"].iloc[1], {names.HEALTH: "diverged"})
    row = run(store, tmp_path, file).claims.iloc[0]
    assert (row["verdict"], row["n"], row["of"], row["left_out"]) == ("untested", 1, 3, "2 diverged")


def test_slopes_pools_and_constants(store, tmp_path):
    claims = """
[[claim]]
text = "slope"
metric = "train_accuracy"
of = { model = "MLP" }
effect = "slope"
over = "ratio"
statement = "below"
[[claim]]
text = "pool"
metric = "train_loss"
of = { model = "MLP" }
than = 0.5
pool = "ratio"
statement = "above"
test = "permutation"
[[claim]]
text = "two groups"
metric = "train_loss"
at = { ratio = 0.5 }
of = { model = "MLP" }
than = { model = "PennyLaneQNN" }
effect = "ratio"
statement = "within"
margin = 1.0
paired = false
correction = "none"
"""
    outcome = run(store, tmp_path, FILE + claims)
    frame = Results.of(store, ["claims"]).frame
    mlp = frame[frame["model"] == "MLP"]
    by_seed = mlp.pivot_table(index="seed", columns="ratio", values="train_accuracy")
    rows = outcome.claims.set_index("claim")
    assert rows.loc["slope", "estimate"] == pytest.approx(((by_seed[0.5] - by_seed[0.25]) / 0.25).mean())
    assert rows.loc["pool", "estimate"] == pytest.approx(mlp["train_loss"].mean() - 0.5)
    half = frame[frame["ratio"] == 0.5].groupby("model")["train_loss"].mean()
    assert rows.loc["two groups", "estimate"] == pytest.approx(half["MLP"] / half["PennyLaneQNN"])
    assert list(rows["n"]) == [3, 3, 3]
    table = outcome.claims.assign(claim="p < 0.05 <b>")
    assert "| p &lt; 0.05 &lt;b> |" in write_claims(table, tmp_path / "c.md", "x").read_text(encoding="utf-8")


def test_unlearning_runs_probes_and_their_teachers(store, tmp_path):
    text = (
        FILE.replace("seeds = 3", "seeds = 2\nrepeats = 2")
        + """
[[unlearner]]
type = "Finetune"
steps = 2
[[probe]]
type = "HessianProbe"
n_samples = 8
[[claim]]
name = "unlearned"
text = "Finetuning forgets"
metric = "forget_accuracy_polluted"
at = { model = "MLP", ratio = 0.5 }
of = { unlearner = "Finetune" }
than = {}
statement = "below"
[[claim]]
name = "trace"
text = "Flips roughen the landscape"
metric = "hessian_trace"
at = { model = "MLP", probe = "HessianProbe" }
of = { ratio = 0.5 }
than = { ratio = 0.25 }
effect = "ratio"
statement = "above"
"""
    )
    outcome = run(store, tmp_path, text)
    results = Results.of(store, ["claims"])
    done = results.unlearning[(results.unlearning["model"] == "MLP") & (results.unlearning["ratio"] == 0.5)]
    teachers = results.frame[(results.frame["model"] == "MLP") & (results.frame["ratio"] == 0.5)]
    rows = outcome.claims.set_index("name")
    assert len(done) == 4
    expected = done["forget_accuracy_polluted"].mean() - teachers["forget_accuracy_polluted"].mean()
    assert rows.loc["unlearned", "estimate"] == pytest.approx(expected)
    assert rows.loc["unlearned", "n"] == 2
    traces = results.probes[results.probes["model"] == "MLP"].groupby("ratio")["hessian_trace"].mean()
    assert rows.loc["trace", "estimate"] == pytest.approx(traces[0.5] / traces[0.25])
    assert rows.loc["trace", "figure"] == "hessian"


def test_a_metric_that_no_run_has_leaves_a_claim_untested(store, tmp_path):
    row = run(store, tmp_path, FILE + CLAIM.replace("validation_accuracy", "test_accuracy")).claims.iloc[0]
    assert (row["verdict"], row["n"], row["left_out"]) == ("untested", 0, "3 no test_accuracy")


def test_what_is_chosen_is_what_claims_are_about(store, tmp_path):
    text = FILE.replace("batch_size = 8", "batch_size = 8\nlearning_rate = [0.001, 0.1]")
    text += '[select]\nover = ["training.learning_rate"]\nreport = "validation"\nseeds = 2\n' + CLAIM
    outcome = run(store, tmp_path, text)
    frame = Results.of(store, ["claims"]).frame
    means = frame[frame["ratio"] == 0.25].groupby("model")["validation_accuracy"].mean()
    row = outcome.claims.iloc[0]
    assert row["estimate"] == pytest.approx(means["PennyLaneQNN"] - means["MLP"])
    assert (row["n"], row["mark"]) == (3, "")
    assert run(store, tmp_path, text.replace("margin = 0.1", "margin = 0.2")).claims.iloc[0]["mark"] == (
        "edited after its runs"
    )


def test_few_seeds_tried_out_do_not_take_the_place_of_all(store, tmp_path):
    run(store, tmp_path, FILE + CLAIM)
    run(store, tmp_path, FILE + CLAIM, run__seeds=2)
    assert list(Results.of(store, ["claims"]).claims["n"]) == [3]


def test_record_is_json_that_others_can_read(store, tmp_path):
    outcome = run(store, tmp_path, FILE + CLAIM)
    file = store.fetch_file(outcome.parent_run, names.CLAIM_FILE, tmp_path)
    entry = json.loads(file.read_text())["claims"][0]
    version = entry["history"][0]
    assert version["claim"]["of"] == {"model.type": "PennyLaneQNN", "corruption.ratio": 0.25}
    assert version["time"].endswith("+00:00")
    assert entry["verdict"]["n"] == 3
