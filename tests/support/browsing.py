"""What tests do with the explorer in a real browser."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode

FIGURE = ".bk-Figure"


def query(page: Any) -> dict[str, str]:
    """What the address says. Asked of the page itself: what Playwright remembers is older."""
    return {name: values[0] for name, values in parse_qs(page.evaluate("location.search").removeprefix("?")).items()}


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Waits for something."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def link(address: str, **fields: object) -> str:
    """An address of the explorer, of the runs of the experiment "small" unless told otherwise."""
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}
    return f"{address}?{urlencode({'experiment': 'small', 'page': 'Runs', **texts})}"
