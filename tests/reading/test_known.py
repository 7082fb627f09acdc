"""Methods by the fraction of known rows: a table and lines, with what to compare them with."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import holoviews as hv
import pandas as pd
import pytest
from support.mapped_runs import frame_of

from qlab.experiment.recording.known import write_known
from qlab.reading.known import KNOWN, against_known, completed, known_panels, known_table, sweeps_known
from qlab.tracking import names
from qlab.views.saving import save_png


def run(method: str, known: float, seed: int, **changed: Any) -> dict[str, Any]:
    whole = known == 1.0
    row: dict[str, Any] = {
        names.TEACHER: f"teacher {changed.get('model__type', 'MLP')} {seed}",
        "qlab.not_finite": (),
        "task.type": "XXZ",
        "corruption.type": "LabelFlip",
        "corruption.ratio": 0.3,
        KNOWN: known,
        "model.type": "MLP",
        "unlearner.type": method,
        "unlearner.steps": 50,
        "seed": seed,
        "status": "FINISHED",
        "health": "healthy",
        "validation_accuracy": 0.7 + 0.1 * known + 0.01 * seed,
        "corrective_accuracy": 0.5 + 0.2 * known + 0.01 * seed,
        "corrective_accuracy_teacher": 0.3 + 0.01 * seed,
        "corrective_accuracy_oracle": 0.95,
        "corrective_accuracy_reachable": None if whole else 0.6,
        "oracle_accuracy": 0.97,
        "oracle_gap": -0.05,
        "reachable_accuracy": None if whole else 0.8,
        "reachable_gap": None if whole else -0.01,
        "forget_accuracy_clean": 0.4,
        "known_accuracy_clean": None if whole else 0.9,
    }
    return row | {key.replace("__", "."): value for key, value in changed.items()}


def frame(fractions: Sequence[float] = (0.25, 1.0), **changed: Any) -> pd.DataFrame:
    return frame_of(
        [
            run(method, known, seed, **changed)
            for method, known, seed in itertools.product(("Finetune", "Scrub"), fractions, (0, 1))
        ]
    )


OTHERS = {"oracle", "reachable oracle", "teacher"}


def test_only_where_fractions_differ_there_is_a_sweep() -> None:
    assert sweeps_known(frame())
    assert not sweeps_known(frame((0.25,)))
    assert not sweeps_known(frame().drop(columns=KNOWN))


def test_the_table_has_a_row_for_each_method_and_fraction_and_those_to_compare_with() -> None:
    table = known_table(frame())
    places = {(row["method"], row[KNOWN]) for row in table.to_dict("records")}
    assert places == set(itertools.product({"Finetune", "Scrub", *OTHERS}, (0.25, 1.0)))
    by_place = table.set_index(["method", KNOWN])
    own = by_place.loc[("Scrub", 0.25)]
    values = [0.5 + 0.2 * 0.25, 0.5 + 0.2 * 0.25 + 0.01]
    assert own["corrective_accuracy_mean"] == pytest.approx(statistics.mean(values))
    assert own["corrective_accuracy_std"] == pytest.approx(statistics.stdev(values))
    assert (own["corrective_accuracy_n"], own["runs"], own["left_out"]) == (2, 2, "")
    reachable = by_place.loc["reachable oracle"]
    assert reachable["corrective_accuracy_mean"].to_dict() == {0.25: pytest.approx(0.6), 1.0: pytest.approx(0.95)}
    assert reachable["validation_accuracy_mean"].to_dict() == {0.25: pytest.approx(0.8), 1.0: pytest.approx(0.97)}
    assert by_place.loc[("oracle", 0.25), "corrective_accuracy_mean"] == pytest.approx(0.95)
    assert by_place.loc[("teacher", 1.0), "corrective_accuracy_n"] == 2  # of two methods, each teacher once
    assert by_place.loc["teacher", "validation_accuracy_mean"].isna().all()


def test_what_is_the_same_where_all_is_known_is_filled_in_there_only() -> None:
    found = completed(frame())
    whole = found[KNOWN] == 1.0
    assert (found.loc[whole, "reachable_gap"] == -0.05).all()
    assert (found.loc[~whole, "reachable_gap"] == -0.01).all()
    assert (found.loc[whole, "known_accuracy_clean"] == 0.4).all()
    wrong = completed(frame_of([run("Scrub", 1.0, 0, corruption__false_alarms=0.5), run("Scrub", 1.0, 1)]))
    assert wrong["reachable_gap"].isna().tolist() == [True, False]


def test_all_rows_known_is_the_end_of_each_way_to_choose_them() -> None:
    rows = [
        run("Scrub", known, 0, corruption__known_rows=way)
        for known, way in ((0.25, "near"), (0.25, "far"), (1.0, None))
    ]
    table = known_table(frame_of(rows), ["corrective_accuracy"])
    own = table[table["method"] == "Scrub"]
    assert own.groupby("corruption")[KNOWN].agg(list).to_dict() == {
        "LabelFlip known_rows=far": [0.25, 1.0],
        "LabelFlip known_rows=near": [0.25, 1.0],
    }


def test_what_failed_is_counted_and_nothing_vanishes() -> None:
    rows = [run("Scrub", 0.25, 0), run("Scrub", 0.25, 1, health="diverged"), run("Scrub", 1.0, 0)]
    table = known_table(frame_of(rows)).set_index(["method", KNOWN])
    own = table.loc[("Scrub", 0.25)]
    assert (own["corrective_accuracy_n"], own["runs"], own["left_out"]) == (1, 2, "diverged")


def test_runs_of_older_stores_without_the_metric_are_listed() -> None:
    rows = [run("Scrub", 0.25, 0), run("Scrub", 1.0, 0, corrective_accuracy=None)]
    table = known_table(frame_of(rows)).set_index(["method", KNOWN])
    assert table.loc[("Scrub", 1.0), "left_out"] == "no corrective_accuracy"
    assert table.loc[("Scrub", 1.0), "validation_accuracy_n"] == 1


def test_lines_are_of_one_style_in_all_panels_and_those_to_compare_with_come_last() -> None:
    both = pd.concat([frame(), frame(model__type="PennyLaneQNN")], ignore_index=True)
    panels = known_panels(both)
    assert [(panel.title, panel.ylabel) for panel in panels] == [
        ("MLP", "validation accuracy (clean data)"),
        ("MLP", "corrective accuracy (true labels)"),
        ("PennyLaneQNN", "validation accuracy (clean data)"),
        ("PennyLaneQNN", "corrective accuracy (true labels)"),
    ]
    styles = {(line.name, line.style) for panel in panels for line in panel.lines}
    assert len(styles) == len({name for name, _ in styles}) == 5
    assert [line.name for line in panels[1].lines][:2] == ["Finetune", "Scrub"]
    assert panels[1].lines[0].x.tolist() == [0.25, 1.0]


def test_files_are_written_where_fractions_differ(tmp_path: Path) -> None:
    files = write_known(frame(), tmp_path, "known")
    assert [file.name for file in files] == ["known.csv", "known.png", "known.html"]
    assert files[1].read_bytes().startswith(b"\x89PNG")
    assert "reachable oracle" in files[0].read_text()
    assert write_known(frame((0.25,)), tmp_path, "known") == []


def test_of_many_methods_there_are_heat_maps(tmp_path: Path) -> None:
    rows = [
        run(f"Method{number}", known, 0, model__type=model)
        for number, known, model in itertools.product(range(7), (0.25, 1.0), ("MLP", "PennyLaneQNN"))
    ]
    panels = list(against_known(frame_of(rows)))
    assert len(panels) == 4
    assert all(panel.get(0).__class__ is hv.Rectangles for panel in panels)
    assert [len(panel.get(0)) for panel in panels] == [18, 20, 18, 20]  # of validation rows the teacher has no value
    save_png(against_known(frame_of(rows)), tmp_path / "known.png")


def test_the_figure_has_a_panel_for_each_metric() -> None:
    assert len(against_known(frame(), ["corrective_accuracy"])) == 1
    assert len(against_known(frame())) == 2
