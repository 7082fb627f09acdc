"""Words for axes and headings."""

from __future__ import annotations

TITLES = {
    "validation_accuracy": "validation accuracy (clean data)",
    "forget_accuracy_polluted": "forget accuracy (polluted labels)",
    "forget_accuracy_clean": "forget accuracy (clean labels)",
    "retain_accuracy": "retain accuracy",
    "train_accuracy": "training accuracy",
    "validation_loss": "validation loss",
    "train_loss": "training loss",
}
"""Metrics logged at every step, and what to write beside an axis."""


def named(name: str) -> str:
    """A metric or param in words: ``training.learning_rate`` as "learning rate"."""
    if name == "corruption.ratio":
        return "corruption ratio"
    return TITLES.get(name, name.rpartition(".")[2].replace("_", " "))
