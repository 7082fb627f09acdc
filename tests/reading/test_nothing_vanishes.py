"""Every run that is asked for is in every frame, table and figure of results, or named there as left out."""

from __future__ import annotations

import re

import matplotlib as mpl
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from support.stored_runs import DRAWN, PROBED, QUICK, TRIALS, UNLEARNED

from qlab.reading.axes import Axes
from qlab.reading.summaries import summary, x_column
from qlab.reading.table_files import caption, latex, markdown
from qlab.reading.tidy import LABELS, joined, tidy
from qlab.tracking import names
from qlab.tracking.groups import RATIO
from qlab.views import publication
from qlab.views.lines import drawn, legend, metric_panels

KINDS = {"trials": TRIALS, "unlearning": UNLEARNED, "probes": PROBED}
METRIC = {"trials": "validation_accuracy", "unlearning": "validation_accuracy", "probes": "hessian_trace"}

RUNS = st.sampled_from(sorted(KINDS)).flatmap(lambda kind: st.tuples(st.just(kind), KINDS[kind]))
PLACES = st.sampled_from([RATIO, "seed"])


def counted(text: str) -> tuple[int, int]:
    found = re.findall(r"(\d+) of (\d+)", text)
    return sum(int(kept) for kept, _ in found), sum(int(of) for _, of in found)


def axes_of(frame: pd.DataFrame, kind: str, x: str) -> Axes:
    return Axes(x if x in frame else RATIO, (METRIC[kind],))


@QUICK
@given(RUNS)
def test_every_run_has_a_row_that_says_whether_it_is_kept(runs) -> None:
    kind, frame = runs
    tidied = joined([tidy(frame, kind, "one"), tidy(frame, kind, "two")])
    assert list(tidied["run_id"]) == [*frame["run_id"]] * 2
    assert ((tidied["left_out"] == "") == tidied["kept"]).all()
    for name in frame.columns:
        if "." in name and name not in names.COLUMNS:  # values keep what they say
            for given_value, found in zip(frame[name], tidied[name], strict=False):
                gone = given_value is None or given_value != given_value
                assert pd.isna(found) if gone else found == given_value


@QUICK
@given(RUNS, PLACES)
def test_every_run_is_counted_in_every_table(runs, x: str) -> None:
    kind, frame = runs
    axes = axes_of(frame, kind, x)
    table = summary(frame, axes, kind)
    assert table["runs"].sum() == len(frame)
    assert not table.duplicated([*LABELS[kind], x_column(axes)]).any()
    assert ((table["left_out"] != "") | (table["kept"] == table["runs"])).all()
    for text in (latex(table, "x"), markdown(table, "x")):
        assert counted(text.rpartition("midrule")[2].partition("runs kept")[0])[1] >= len(frame)
    assert counted(caption(table, "x")) == (table["kept"].sum(), len(frame))
    if axes.x == RATIO:  # groups are those of the configurations
        assert len(table) == len({*zip(frame[names.CURVE], table_ratios(frame), strict=True)})


def table_ratios(frame: pd.DataFrame) -> list[str]:
    return [str(value) for value in frame[RATIO]] if RATIO in frame else ["nan"] * len(frame)


@DRAWN
@given(RUNS, PLACES)
def test_every_run_is_counted_in_every_figure(runs, x: str) -> None:
    kind, frame = runs
    axes = axes_of(frame, kind, x)
    table = summary(frame, axes, kind)
    column = x_column(axes)
    placed = table[table[column].notna()]
    panels = metric_panels(table, column, axes.y, "method" if kind == "unlearning" else "model")
    assert counted(" ".join(line.label for panel in panels for line in panel.lines)) == (
        placed["kept"].sum(),
        len(frame),
    )
    assert counted(" ".join(legend(panels).values())) == (placed["kept"].sum(), len(frame))
    assert len(drawn(panels)) == len(panels)
    form = publication.Format(width=7.0)
    if len(panels) <= 4:
        with mpl.rc_context(publication.settings(form)):
            texts = [text.get_text() for text in publication.draw(panels, form).legends[0].get_texts()]
        assert counted(" ".join(" ".join(texts).split())) == (placed["kept"].sum(), len(frame))
