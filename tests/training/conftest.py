"""What trainings compute."""

from __future__ import annotations

import pytest
from torch import Tensor

from qlab.training import tiles


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The epochs in which a tile of an ensemble takes its steps, as they come."""
    epochs: list[int] = []
    plain = tiles.Tile._steps

    def steps(tile: tiles.Tile, order: Tensor, epoch: int) -> None:
        epochs.append(epoch)
        plain(tile, order, epoch)

    monkeypatch.setattr(tiles.Tile, "_steps", steps)
    return epochs
