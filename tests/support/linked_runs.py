"""Made-up runs of two models over learning rates and corruption ratios, some of which still train, in a real store."""

from __future__ import annotations

import itertools

from qlab.tracking import names
from qlab.tracking.store import Store

RATES = (0.001, 0.01, 0.1)
RATIOS = (0.0, 0.2, 0.4)
MODELS = ("MLP", "PennyLaneQNN")
SEEDS = (0, 1, 2)
EPOCHS = 20


def accuracy(model: str, rate: float, ratio: float, seed: int) -> float:
    """What the runs reach: it differs in everything."""
    return 0.9 - 0.6 * ratio - 0.05 * RATES.index(rate) - 0.1 * MODELS.index(model) + 0.01 * seed


def write(store: Store, name: str = "rates") -> dict[tuple[str, float, float, int], str]:
    """Writes the runs; those of the last ratio and seed are still running. Ids by model, rate, ratio and seed."""
    experiment = store.experiment_id(name)
    found = {}
    for number, key in enumerate(itertools.product(MODELS, RATES, RATIOS, SEEDS)):
        model, rate, ratio, seed = key
        params = {
            "task.type": "XXZ",
            "corruption.type": "LabelFlip",
            "corruption.ratio": str(ratio),
            "model.type": model,
            "training.epochs": str(EPOCHS),
            "training.learning_rate": str(rate),
            "seed": str(seed),
        }
        going = ratio == RATIOS[-1] and seed == SEEDS[-1]
        tags = {names.KIND: names.TRIAL, names.TRIAL_KEY: f"{number:04x}"}
        tags |= {} if going else {names.HEALTH: "healthy"}
        run = store.create_run(experiment, f"{model} {ratio} rate {rate} seed {seed}", params=params, tags=tags)
        last = accuracy(*key)
        for epoch in (1, EPOCHS // 2) if going else (1, EPOCHS // 2, EPOCHS):
            reached = last * (0.5 + 0.5 * epoch / EPOCHS)
            store.log(
                run,
                metrics=[
                    *((f"{split}_accuracy", reached, epoch, epoch) for split in ("train", "validation")),
                    *((f"{split}_loss", 1.0 - reached, epoch, epoch) for split in ("train", "validation")),
                ],
            )
        if not going:
            store.finish(run)
        found[key] = run
    return found
