"""Claims below the groups of the explorer's first page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qlab.claims import Claim, ClaimTable
from qlab.claims.history import written
from qlab.explorer.loaded import Loader
from qlab.explorer.page import Context
from qlab.explorer.pages.resilience import ResiliencePage
from qlab.explorer.reader import Reader
from qlab.explorer.state import State
from qlab.tracking import names
from qlab.tracking.claim_record import write_record
from qlab.tracking.store import Store

pytestmark = [
    pytest.mark.filterwarnings("ignore:Both 'variant' and 'button_style':PendingDeprecationWarning"),  # Panel's own
    pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning"),
]


def test_claims_stand_on_the_page_as_text(tmp_path: Path, write_empty_store: Callable[[Path], str]) -> None:
    store = Store(write_empty_store(tmp_path / "runs.db"))
    run = store.create_run(store.experiment_id("claimed"), "claimed", tags={names.KIND: names.EXPERIMENT})
    claim = Claim(ClaimTable(text="<b>It</b> holds", metric="lrr", statement="above"), {"model.type": "MLP"}, 1.0)
    write_record(store, run, {"claims": [written(claim, None, 0, "now")], "evaluated": "now"}, "digest")
    reader = Reader(store.uri)
    work: Any = None
    page = ResiliencePage(Context(State(), reader, Loader(reader), work))
    page.build()
    page._show_claims(reader.claims("claimed"))
    (_, table, _) = page._claims.objects
    assert table.value["claim"].tolist() == ["<b>It</b> holds"]
    assert table.value["verdict"].tolist() == ["not evaluated"]
    assert table.formatters["claim"] == {"type": "plaintext"}
    store.experiment_id("silent")
    reader.experiments()
    page._show_claims(reader.claims("silent"))
    assert not page._claims.objects
