"""Published points: reading them, and saying where ours agree."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from qlab.errors import DataError
from qlab.report.reference import agreement, matched, matched_by_task, read_references, same_model

RESILIENCE = """model,corruption,ratio,run,train_accuracy,validation_accuracy
QNN,LabelFlip,0.0,0,1.0,0.9
QNN,LabelFlip,0.0,1,1.0,1.0
MLP,LabelFlip,0.0,0,0.5,0.4
"""

UNLEARNING = """model,unlearner,run,step,validation_accuracy,forget_accuracy_clean
MLP,Retrain,0,0,0.5,0.25
MLP,Retrain,1,0,0.7,0.75
"""


def test_points_are_read_by_task_and_averaged_over_runs(tmp_path):
    (tmp_path / "fig2d_xxz.csv").write_text(RESILIENCE)
    (tmp_path / "fig3b_xxz.csv").write_text(UNLEARNING)
    (tmp_path / "other_mnist.csv").write_text("a,b\n1,2\n")
    found = read_references(tmp_path)
    assert list(found.resilience) == list(found.unlearning) == ["xxz"]
    points = found.resilience["xxz"].set_index(["model", "metric"])
    qnn = points.loc[("QNN", "validation_accuracy")]
    assert qnn["mean"] == pytest.approx(0.95)
    assert qnn["std"] == pytest.approx(math.sqrt(0.005))  # two values 0.05 from their mean, n - 1 = 1
    assert qnn["n"] == 2
    assert math.isnan(points.loc[("MLP", "train_accuracy")]["std"])
    curve = found.unlearning["xxz"].set_index("metric")
    assert curve.loc["forget_accuracy_polluted"]["mean"] == pytest.approx(0.5)  # 1 - 0.25 and 1 - 0.75
    assert curve.loc["validation_accuracy"]["method"] == "Retrain"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, "there is no folder"),
        ({}, "no CSV file"),
        ({"x_xxz.csv": "a,b\n1,2\n"}, "has the columns model, corruption, ratio"),
        ({"x_xxz.csv": RESILIENCE.replace("0.9", "high")}, "cannot be read"),
        (
            {"x_xxz.csv": RESILIENCE.replace("MLP,LabelFlip", "MLP,")},
            "there is a row whose corruption is empty",
        ),
    ],
)
def test_folders_without_points_are_explained(tmp_path, files, message):
    folder = tmp_path / "published"
    if files is not None:
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_references(folder)


@pytest.mark.parametrize(
    ("label", "published", "same"),
    [
        ("MLP", "MLP", True),
        ("MLP hidden=[8, 2]", "MLP", True),
        ("PennyLaneQNN depth=5", "QNN", True),
        ("CNOTQNN", "QNN", True),
        ("PennyLaneQNN", "MLP", False),
        ("MLPMixer", "MLP", False),
        ("MLP", "mlp", True),
    ],
)
def test_which_of_our_models_a_published_one_is(label, published, same):
    assert same_model(label, published) is same


def test_points_are_compared_in_pooled_standard_errors():
    """By hand: s^2/n of 0.04/4 and 0.05/5 make a standard error of sqrt(0.02); 0.1 is within two of it."""
    ours = pd.DataFrame({"model": ["A", "B", "C"], "mean": [0.9, 0.9, 0.5], "std": [0.2, 0.0, 0.0], "n": [4, 5, 5]})
    published = pd.DataFrame(
        {
            "model": ["A", "B", "C"],
            "mean": [0.8, 0.85, 0.4],
            "std": [math.sqrt(0.05), 0.0, float("nan")],
            "n": [5, 5, 5],
        }
    )
    found = agreement(ours, published, ["model"]).set_index("model")
    assert found.loc["A"]["standard_error"] == pytest.approx(math.sqrt(0.02))
    assert found["within_two"].tolist() == [True, False, False]
    assert found["agrees"].tolist() == [True, True, False]  # B is 0.05 away, C 0.1
    assert found["difference"].tolist() == pytest.approx([0.1, 0.05, 0.1])


def test_published_points_belong_to_every_model_of_their_kind():
    table = pd.DataFrame({"model": ["MLP hidden=[8, 2]", "MLP hidden=[64, 16]", "PennyLaneQNN"]})
    published = pd.DataFrame({"model": ["MLP", "MLP", "SVM"], "mean": [0.1, 0.2, 0.3]})
    found = matched(table["model"], published)
    assert found.groupby("model").size().to_dict() == {"MLP hidden=[8, 2]": 2, "MLP hidden=[64, 16]": 2}
    assert matched(table["model"].iloc[2:], published).empty


def test_points_of_a_task_belong_to_the_models_of_that_task():
    tasks = {"MLP": "xxz", "MLP task.digits=[0, 1]": "mnist", "MLP task.sides=5": "polygons"}
    published = {
        "xxz": pd.DataFrame({"model": ["MLP"], "mean": [0.1]}),
        "mnist": pd.DataFrame({"model": ["MLP"], "mean": [0.2]}),
        "digits": pd.DataFrame({"model": ["MLP"], "mean": [0.3]}),
    }
    found = matched_by_task(tasks, published)
    assert found is not None
    assert dict(zip(found["model"], found["mean"], strict=True)) == {"MLP": 0.1, "MLP task.digits=[0, 1]": 0.2}
    assert matched_by_task({"MLP": "polygons"}, published) is None


def test_forgetting_is_that_of_flipped_labels_where_labels_are_flipped(tmp_path):
    header, row, _ = UNLEARNING.split()
    rows = [f"{row},{corruption},0.3" for corruption in ("LabelFlip", "FeatureRandomization", "Mine")]
    (tmp_path / "x_xxz.csv").write_text("\n".join([f"{header},corruption,ratio", *rows]))
    points = read_references(tmp_path).unlearning["xxz"]
    found = points[points["metric"] == "forget_accuracy_polluted"].set_index("corruption")["mean"].to_dict()
    assert found == {"LabelFlip": 0.75, "FeatureRandomization": 0.25}
    assert len(points[points["metric"] == "validation_accuracy"]) == 3


def test_files_of_one_task_belong_together(tmp_path):
    (tmp_path / "flips_xxz.csv").write_text(RESILIENCE)
    (tmp_path / "noise_xxz.csv").write_text(RESILIENCE.replace("LabelFlip", "FeatureRandomization"))
    (tmp_path / "a_xxz.csv").write_text(UNLEARNING)
    (tmp_path / "b_xxz.csv").write_text(UNLEARNING.replace("Retrain", "Scrub"))
    found = read_references(tmp_path)
    assert sorted(found.resilience["xxz"]["corruption"].unique()) == ["FeatureRandomization", "LabelFlip"]
    assert len(found.resilience["xxz"]) == 8
    assert sorted(found.unlearning["xxz"]["method"].unique()) == ["Retrain", "Scrub"]


def test_two_files_with_the_same_point_are_refused(tmp_path):
    for name in ("one_xxz.csv", "two_xxz.csv"):
        (tmp_path / name).write_text(RESILIENCE)
    with pytest.raises(DataError, match=r"two files of xxz have the point model MLP, corruption LabelFlip, ratio 0\.0"):
        read_references(tmp_path)


def test_unlearning_starts_from_three_tenths_of_flipped_labels_where_a_file_does_not_say(tmp_path):
    (tmp_path / "old_xxz.csv").write_text(UNLEARNING)
    lines = [
        f"{line},{more}" for line, more in zip(UNLEARNING.split(), ["corruption,ratio", "X,0.5", "X,0.5"], strict=True)
    ]
    (tmp_path / "new_mnist.csv").write_text("\n".join(lines))
    found = read_references(tmp_path).unlearning
    assert found["xxz"][["corruption", "ratio"]].drop_duplicates().to_numpy().tolist() == [["LabelFlip", 0.3]]
    assert found["mnist"][["corruption", "ratio"]].drop_duplicates().to_numpy().tolist() == [["X", 0.5]]
