"""From audited runs to a table, and to bars beside what oracles have."""

from __future__ import annotations

import holoviews as hv
import pandas as pd
import pytest

from qlab.console import audit_table
from qlab.views.audit_tables import floor_of, remarks, summarize_audits
from qlab.views.audits import bars_beside_oracles
from qlab.views.saving import save_png


def run(seed: int, method: str, **changed: object) -> dict[str, object]:
    row = {
        "task.type": "XXZ",
        "corruption.type": "LabelFlip",
        "corruption.ratio": 0.3,
        "model.type": "MLP",
        "unlearner.type": method,
        "seed": seed,
        "status": "FINISHED",
        "health": "healthy",
        "klom_forget": 2.0 + seed,
        "klom_forget_floor": 0.5,
        "klom_forget_teacher": 6.0,
        "u_lira_auc": 0.75,
    }
    return row | changed


FRAME = pd.DataFrame(
    [
        run(0, "Finetune"),
        run(1, "Finetune"),
        run(2, "Finetune", status="FAILED", klom_forget=90.0),
        run(0, "Scrub", klom_forget=0.5, u_lira_auc=float("nan")),
        run(0, "Retrain", klom_forget=float("nan"), klom_forget_floor=float("nan"), u_lira_auc=float("nan"))
        | {"klom_forget_teacher": float("nan")},
    ]
)


def test_means_over_runs_that_were_audited():
    table = summarize_audits(FRAME).set_index("method")
    assert list(table.index) == ["Finetune", "Scrub"]  # nobody has audited Retrain
    own = table.loc["Finetune"]
    assert (own["klom_forget_mean"], own["klom_forget_n"]) == (2.5, 2)
    assert own["klom_forget_std"] == pytest.approx(0.5**0.5)
    assert (own["audited"], own["runs"]) == (2, 3)
    assert table.loc["Scrub", "u_lira_auc_n"] == 0
    assert floor_of(dict(own), "klom_forget") == 0.5
    assert summarize_audits(FRAME.drop(columns=[n for n in FRAME if "klom" in n or "lira" in n])).empty


def test_the_figure_has_a_panel_for_each_number_with_lines_at_oracles_and_teachers(tmp_path):
    figure = bars_beside_oracles(summarize_audits(FRAME))
    panels = list(figure)
    assert len(panels) == 2
    lines = [[element.data for element in panel if isinstance(element, hv.HLine)] for panel in panels]
    assert lines == [[0.5, 6.0], []]
    (bars,) = (element for element in panels[1] if isinstance(element, hv.Bars))
    assert list(bars.dimension_values("method")) == ["Finetune"]
    assert save_png(figure, tmp_path / "audits.png").stat().st_size > 1000


def test_the_printed_table_names_floors():
    shown = audit_table(summarize_audits(FRAME), "audits")
    assert [column.header for column in shown.columns] == ["model", "method", "KLoM, forget rows", "U-LiRA, area"]
    cells = [str(cell) for cell in shown.columns[2].cells]
    assert cells == ["2.50 ± 0.71 (0.50)", "0.50 (0.50)"]
    assert [str(cell) for cell in shown.columns[3].cells] == ["0.75 ± 0.00", "-"]


def test_a_floor_above_what_models_had_before_is_said_once_for_all_methods():
    assert remarks(summarize_audits(FRAME)) == []
    few = FRAME.assign(klom_forget_floor=6.5, klom_oracles=20.0)
    (said,) = remarks(summarize_audits(few))
    assert "klom: the floor of 20 oracles is above" in said
    assert "(6.50 and 6.00 on forget rows of MLP, LabelFlip" in said
    assert said.endswith("take more oracles")
    (said,) = remarks(summarize_audits(few.drop(columns="klom_oracles")))
    assert "the floor of oracles is above" in said
    assert remarks(summarize_audits(few.drop(columns="klom_forget_floor"))) == []
    (said,) = remarks(summarize_audits(FRAME.assign(epsilon_low=0.0, epsilon_ceiling=0.0)))
    assert "epsilon: so few models show nothing above 0" in said
    assert remarks(summarize_audits(FRAME.assign(epsilon_low=0.0, epsilon_ceiling=1.0))) == []
