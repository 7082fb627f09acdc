"""What the figures of these pages have in common."""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

mpl.use("Agg")
mpl.rcParams.update(
    {
        "font.size": 10,
        "axes.titlesize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "svg.fonttype": "path",
        "svg.hashsalt": "qlab",
    }
)

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
"""Blue, orange, green and pink of Okabe and Ito, as in qlab's own figures."""


def save(figure: Figure, script: Path) -> None:
    """Writes the figure beside its script, or to the folder FIGURES."""
    folder = Path(os.environ.get("FIGURES", script.parent))
    figure.savefig(folder / f"{script.stem}.svg", metadata={"Date": None})


def box(axis: mpl.axes.Axes, x: float, y: float, text: str, colour: str, width: float = 2.2) -> None:
    """A rounded box with words in it, its centre at (x, y)."""
    shape = mpl.patches.FancyBboxPatch(
        (x - width / 2, y - 0.35),
        width,
        0.7,
        boxstyle="round,pad=0.05",
        facecolor="white",
        edgecolor=colour,
        linewidth=2,
    )
    axis.add_patch(shape)
    axis.text(x, y, text, ha="center", va="center")


def arrow(axis: mpl.axes.Axes, start: tuple[float, float], end: tuple[float, float], text: str = "") -> None:
    """An arrow with words above its middle."""
    axis.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "#333333", "linewidth": 1.4})
    axis.text((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.12, text, ha="center", va="bottom", fontsize=9)
