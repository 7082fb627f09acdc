"""What an experiment's run keeps of the configurations of its trials, unlearning runs and probes."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from qlab.tracking import names
from qlab.tracking.store import Store


def read_configs(store: Store, run_id: str) -> dict[str, dict[str, Any]] | None:
    """Configurations by the key of what they are of; None if the run keeps none that can be read."""
    if not store.has_file(run_id, names.CONFIGS):
        return None
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = json.loads(store.fetch_file(run_id, names.CONFIGS, Path(folder)).read_text(encoding="utf-8"))
        except ValueError:
            return None
    return found if isinstance(found, dict) and all(isinstance(item, dict) for item in found.values()) else None
