"""Where data are kept that were downloaded, or took long to compute."""

from __future__ import annotations

import os
from pathlib import Path


def data_folder() -> Path:
    """Where downloaded and computed data are: ``QLAB_DATA``, else ``qlab`` in the user's cache directory."""
    given = os.environ.get("QLAB_DATA")
    if given:
        return Path(given).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("qlab", appauthor=False))
