"""`qlab.results`: frames, curves, models and tables of a store."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import pandas as pd
import pytest
import torch
from support.runs import runner

import qlab
from qlab.errors import ConfigError, DataError, StoreError
from qlab.experiment.asking import schema
from qlab.tasks import XXZ
from qlab.tracking import frames, names
from qlab.tracking.store import Store
from qlab.views.summary import summarize


def test_the_frame_has_a_row_for_each_trial_with_types(study: qlab.Results) -> None:
    frame = study.frame
    assert len(frame) == 12
    assert frame["run_id"].is_unique
    assert frame["kept"].dtype == bool
    assert frame["kept"].all()
    assert str(frame["model.depth"].dtype) == "Int64"
    assert frame["training.learning_rate"].dtype == float
    assert frame["validation_accuracy"].dtype == float
    assert set(frame["model"]) == {
        "MLP training.learning_rate=0.001",
        "MLP training.learning_rate=0.1",
        "PennyLaneQNN",
    }
    assert not [name for name in frame if name.startswith(("unlearner.", "probe.", "qlab."))]


def test_unlearning_runs_and_probes_have_frames_of_their_own(study: qlab.Results) -> None:
    assert len(study.unlearning) == len(study.probes) == 12
    assert set(study.unlearning["method"]) == {"Finetune"}
    assert set(study.unlearning["teacher_run"]) == set(study.frame["run_id"])
    assert np.isfinite(study.probes["hessian_trace"]).all()


def test_curves_are_the_values_that_the_store_has(study: qlab.Results, study_uri: str) -> None:
    curves = study.curves(["train_loss", "validation_accuracy"])
    assert len(curves) == 12 * 2 * 2
    run = study.frame["run_id"].iloc[3]
    own = curves[(curves["run_id"] == run) & (curves["metric"] == "train_loss")]
    assert list(zip(own["epoch"], own["value"], strict=True)) == Store(study_uri).metric_history(run, "train_loss")
    steps = study.curves("validation_accuracy", of="unlearning")
    assert sorted(set(steps["step"])) == [0, 1, 2]
    assert set(study.curves()["metric"]) == {"train_loss", "train_accuracy", "validation_loss", "validation_accuracy"}


def test_a_model_gives_what_was_recorded(study: qlab.Results) -> None:
    data = XXZ(length=4, gapless=(-0.7, 0.7, 0.2), gapped=(1.3, 2.7, 0.2), validation=(-0.65, 2.65, 0.3)).load()
    for frame in (study.frame, study.unlearning):
        for _, row in frame.iterrows():
            model = study.model(row)
            assert not model.training
            with torch.no_grad():
                right = (model(model.prepare(data.validation.x)) > 0) == data.validation.y.bool()
            assert right.double().mean() == pytest.approx(row["validation_accuracy"], abs=1e-12)
            predicted = study.predict(row["run_id"][:16], data.validation.x)["predicted"]
            assert (predicted.to_numpy() == data.validation.y.numpy()).mean() == pytest.approx(
                row["validation_accuracy"], abs=1e-12
            )


def test_the_table_is_the_summary(study: qlab.Results, study_uri: str) -> None:
    store = Store(study_uri)
    trials = frames.latest_per_trial(frames.trials(store, store.experiment_ids(["study"])))
    pd.testing.assert_frame_equal(study.table(), summarize(trials.dropna(axis=1, how="all")), check_dtype=False)


def test_any_metric_against_any_param(study: qlab.Results) -> None:
    table = study.table("train_loss", x="learning_rate", by="model")
    assert set(table["model"]) == {"MLP", "PennyLaneQNN"}
    frame = study.frame
    assert table["runs"].sum() == len(frame)
    for row in table.to_dict("records"):
        own = frame[
            (frame["model.type"] == row["model"])
            & (frame["ratio"] == row["ratio"])
            & (frame["training.learning_rate"] == row["training.learning_rate"])
        ]["train_loss"]
        assert (row["kept"], row["runs"]) == (len(own), len(own))
        assert row["train_loss_mean"] == pytest.approx(own.mean())
        assert row["train_loss_std"] == pytest.approx(own.std(ddof=1))


def test_runs_without_the_param_are_named(study: qlab.Results) -> None:
    table = study.table("train_loss", x="depth")
    absent = table[table["model.depth"].isna()]
    assert absent["runs"].sum() == 8
    assert set(absent["left_out"]) == {"no model.depth"}


@pytest.mark.parametrize("of", ["trials", "unlearning", "probes"])
def test_every_kind_is_drawn(study: qlab.Results, of: str) -> None:
    assert isinstance(study.plot(of=of), hv.Layout)


def test_a_figure_against_another_param_has_a_line_for_each_model(study: qlab.Results) -> None:
    figure = study.plot("validation_accuracy", x="training.learning_rate", by="model", log_x=True)
    labels = {part.label for part in figure.traverse(lambda part: part, [hv.Curve])}
    assert labels == {"MLP (4 of 4 runs)", "PennyLaneQNN (2 of 2 runs)"}
    assert len(figure) == 2  # a panel for each ratio


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda found: found.curves("accuracy"), 'unknown metric "accuracy"'),
        (lambda found: found.table("accuracy"), 'y: unknown metric "accuracy"'),
        (lambda found: found.table(x="hidden"), r"x: model.hidden has the value \[4\], accepts a param whose values"),
        (lambda found: found.table(x="dept"), 'Did you mean "model.depth"'),
        (lambda found: found.table(x="ratio", by="nothing"), 'by: unknown param "nothing"'),
        (lambda found: found.table(of="trial"), 'of: unknown kind "trial". Did you mean "trials"'),
        (lambda found: found.table(x="learning_rate", of="probes"), "y: is needed for probes"),
        (lambda found: found.model("xyz"), "accepts the id of a run"),
        (lambda found: found.model("ffffffffffff"), "there is no such run"),
        (lambda found: found.model(found.probes.iloc[0]), "has no model: it is of the kind probe"),
        (lambda found: found.model(found.table().iloc[0]), "got a row without run_id"),
    ],
)
def test_what_is_not_there_is_explained(study: qlab.Results, ask, message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        ask(study)


def test_several_runs_with_one_beginning_are_named(study: qlab.Results) -> None:
    digits = [run[0] for run in study.runs["run_id"]]
    several = next(digit for digit in digits if digits.count(digit) > 1)
    with pytest.raises(ConfigError, match=r"runs begin so: .* give more of it"):
        study.model(several)


def test_an_unknown_experiment_or_store_is_explained(study_uri: str, tmp_path) -> None:
    with pytest.raises(StoreError, match='Did you mean "study"'):
        qlab.results("studi", tracking_uri=study_uri)
    with pytest.raises(StoreError, match="There is no store at"):
        qlab.results("study", tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")


def test_what_is_left_out_is_named(tmp_path, write_empty_store, tiny: str) -> None:
    """A trial that failed, one that was run twice, and a run of somebody else."""
    uri = write_empty_store(tmp_path / "mlflow.db")
    (tmp_path / "tiny.toml").write_text(tiny)
    store = Store(uri)
    runner(store).run(schema.load(tmp_path / "tiny.toml", [("run.seeds", 1)]))
    number = store.experiment_ids(["tiny"])[0]
    first, second, *_ = (run for run in store.search([number]) if run.data.tags[names.KIND] == names.TRIAL)
    store.end([first.info.run_id], "FAILED", "the kettle is dry")
    again = store.create_run(number, second.info.run_name, params=second.data.params, tags=second.data.tags)
    store.end([again], "KILLED", "interrupted")
    store.create_run(number, "of somebody else")
    found = qlab.results(tracking_uri=uri)
    assert found.names == ("tiny",)
    assert found.lines() == [
        "tiny: 4 trials, 3 kept; 1 left out: failed; 1 earlier run of the same (in runs)",
        "1 run of no kind that qlab knows (in runs)",
    ]
    row = found.frame[found.frame["run_id"] == first.info.run_id].iloc[0]
    assert (row["kept"], row["left_out"], row["error"]) == (False, "failed", "the kettle is dry")
    assert again in set(found.runs["run_id"])
    assert "1 left out: failed" in repr(found)
    assert "1 left out: failed" in found._repr_html_()
    with pytest.raises(DataError, match="has no model: it is failed, not finished"):
        found.model(row)


def test_several_experiments_are_told_apart(tmp_path, write_empty_store, tiny: str) -> None:
    uri = write_empty_store(tmp_path / "mlflow.db")
    (tmp_path / "tiny.toml").write_text(tiny)
    for name in ("one", "two"):  # the same trials in both
        runner(Store(uri)).run(schema.load(tmp_path / "tiny.toml", [("run.seeds", 1), ("name", name)]))
    found = qlab.results(["one", "two"], tracking_uri=uri)
    assert len(found.frame) == 8
    table = found.table()
    assert table.columns[0] == "experiment"
    assert table.groupby("experiment")["trials"].sum().to_dict() == {"one": 4, "two": 4}
    titles = {panel.opts.get("plot", backend="bokeh").kwargs["title"] for panel in found.plot()}
    assert titles == {"one: LabelFlip", "two: LabelFlip"}
