"""The page of data, on rows of a table and on states: without a browser, and without a thread."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.pages import LIBRARY_WARNINGS

from qlab.explorer.pages.data import DataPage

pytestmark = LIBRARY_WARNINGS

CELLS = Path(__file__).parents[1] / "support" / "cells.csv"

FILE = """
name = "cells"
task = { type = "Table", path = "cells.csv", label = "kind", positive = "M", scale = "none" }
corruption = { type = "LabelFlip", ratio = 0.25 }
training = { epochs = 1 }
run = { seeds = 1 }
model = { type = "MLP", hidden = [2] }
"""


@pytest.fixture
def page(tmp_path: Path, opened: Callable[..., Any]) -> Any:
    (tmp_path / "cells.csv").write_bytes(CELLS.read_bytes())
    return opened(DataPage, FILE)


def test_a_sample_is_shown_with_its_row_and_the_values_of_its_columns(page: DataPage) -> None:
    page.update()
    page.state.row = 5
    page.light()
    assert not page._notice.object
    bars, known, predictions = page._sample.objects
    frame = pd.read_csv(CELLS)
    found = re.search(r"table row (\d+)<", str(known.object))
    assert found is not None
    row = int(found[1])
    shown = bars.object.dframe()
    assert shown["feature"].tolist() == ["area", "edge", "texture", "age"]
    assert shown["value"].tolist() == frame.drop(columns="kind").iloc[row - 1].tolist()
    assert predictions is not None


def test_an_edited_file_is_not_shown_as_the_data_of_the_run(page: DataPage, tmp_path: Path) -> None:
    (tmp_path / "cells.csv").write_text(CELLS.read_text().replace("B,", "B,1", 1))
    page.update()
    assert "cells.csv of the task Table was edited since" in str(page._notice.object)


STATES = """
name = "states"
corruption = { type = "LabelFlip", ratio = 0.25 }
training = { epochs = 1 }
run = { seeds = 1 }
model = { type = "RandomQNN", depth = 1 }

[task]
type = "XXZ"
length = 4
gapless = [-0.9, 0.9, 0.3]
gapped = [1.2, 3.0, 0.3]
validation = [-0.85, 2.75, 0.3]
layout = "real-imaginary"
"""


def test_states_as_real_vectors_are_shown_with_their_circuit(opened: Callable[..., Any]) -> None:
    page = opened(DataPage, STATES)
    page.update()
    page.state.row = 3
    page.light()
    assert not page._notice.object
    assert len(page._sample.objects[0].object.dframe()) == 2**5
    [picture] = page._circuit.objects
    assert picture.alt_text == "circuit with its light cone"


CHAIN = """
name = "chain"
task = { type = "TransverseIsing", length = 200, ordered = [0.1, 0.9, 0.4], disordered = [1.1, 1.9, 0.4] }
corruption = { type = "LabelFlip", ratio = 0.25 }
training = { epochs = 1 }
run = { seeds = 1 }
model = { type = "PennyLaneQNN", depth = 2 }
"""


def test_a_density_matrix_is_shown_by_its_largest_expectation_values(opened: Callable[..., Any]) -> None:
    page = opened(DataPage, CHAIN)
    page.update()
    page.state.row = 0
    page.light()
    assert not page._notice.object
    bars, known, _ = page._sample.objects
    shown = bars.object.dframe()
    assert len(shown) == 16
    assert shown["value"].abs().is_monotonic_decreasing
    assert set("".join(shown["feature"])) <= set("IXYZ")
    assert shown["feature"][0] == "ZZII"  # deep in the ordered phase neighbours point the same way, least at the end
    assert "h 0.1" in str(known.object)
