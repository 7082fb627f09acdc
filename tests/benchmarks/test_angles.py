"""Angle encoding on 40 qubits: 20 seeds, 500 rows, depth 3, 200 epochs. Target on 2 cores: a minute."""

from __future__ import annotations

import time

import torch

from qlab import Dataset, Features, LabelFlip, Member, PennyLaneQNN, Split, Task, Trainer

QUBITS, ROWS, SEEDS, EPOCHS = 40, 500, 20, 200


class Clouds(Task):
    """Two Gaussian clouds."""

    def load(self) -> Dataset:
        generator = torch.Generator().manual_seed(0)

        def split(rows: int) -> Split:
            y = torch.arange(rows) % 2
            x = torch.randn(rows, QUBITS, generator=generator, dtype=torch.float64)
            return Split(x + 0.3 * (2 * y[:, None] - 1), y)

        return Dataset(split(ROWS), split(100))

    def random_features(self, n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(n, QUBITS, generator=generator, dtype=torch.float64)


def test_forty_qubits(capsys):
    task = Clouds()
    dataset = task.load()
    model = PennyLaneQNN(encoding="angle", depth=3).build(Features.of(dataset))
    members = [Member.of(task, dataset, LabelFlip(ratio=0.2), seed) for seed in range(SEEDS)]
    start = time.perf_counter()
    Trainer(epochs=EPOCHS, batch_size=32, learning_rate=0.03).fit(model, members, dataset.validation)
    seconds = time.perf_counter() - start
    with capsys.disabled():
        print(f"\n{EPOCHS} epochs of {SEEDS} circuits of {QUBITS} qubits on {ROWS} rows: {seconds:.0f} s")
    assert seconds < 240
