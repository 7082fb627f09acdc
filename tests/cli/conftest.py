"""A project folder with a small experiment, and an empty store."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: str) -> Path:
    """A current folder with an experiment and no store."""
    (tmp_path / "tiny.toml").write_text(tiny)
    monkeypatch.chdir(tmp_path)
    return tmp_path
