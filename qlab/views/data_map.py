"""Corrupted data seen: a map in two dimensions with the corrupted rows marked, and sample pictures (Fig. 1b)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import holoviews as hv
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qlab.errors import DataError
from qlab.tasks.features import FeatureRows, LazyFeatures, gram
from qlab.views.backends import literal, styled

Projection = Literal["pca", "tsne"]

SPIKES = 4096
"""So many amplitudes are drawn at most."""

STRINGS = 16
"""So many Pauli strings are drawn at most."""

_KINDS = (
    ("class 0", "#0072B2", ("circle", "o")),
    ("class 1", "#D55E00", ("circle", "o")),
    ("corrupted, labelled 0", "#0072B2", ("x", "X")),
    ("corrupted, labelled 1", "#D55E00", ("x", "X")),
)


def project(features: NDArray[Any], projection: Projection = "pca", seed: int = 0) -> NDArray[np.float64]:
    """Feature vectors in two dimensions.

    Args:
        features: shape ``[N, d]``; complex ones enter as real and imaginary parts.
        projection: "pca" (principal components) or "tsne" (t-SNE; perplexity 30, or a third of the rows).
        seed: of t-SNE.

    Returns:
        Shape ``[N, 2]``.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    x = np.concatenate([features.real, features.imag], axis=1) if np.iscomplexobj(features) else features
    if projection == "pca":
        found: NDArray[np.float64] = PCA(2, svd_solver="full").fit_transform(x)
        return found
    perplexity = min(30.0, (len(x) - 1) / 3)
    # The start from principal components, as scikit-learn does it, cut to two dimensions by us: it is deterministic.
    found = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(x).astype(float)
    return found


def project_features(features: FeatureRows, projection: Projection = "pca", seed: int = 0) -> NDArray[np.float64]:
    """Features of a split in two dimensions, whether they are held or not, see :func:`project`.

    Raises:
        DataError: t-SNE of features that are not held.
    """
    if not isinstance(features, LazyFeatures):
        return project(features.numpy(), projection, seed)
    if projection != "pca":
        raise DataError("Features too large to be held in memory can only be drawn in their principal components.")
    return project_lazy(features)


def project_lazy(features: LazyFeatures) -> NDArray[np.float64]:
    """Principal components of feature vectors that are not held, ``[N, 2]``: those of :func:`project` up to signs.

    They are eigenvectors of the centred inner products between rows, times the roots of their eigenvalues.
    """
    products = gram(features).numpy()
    centred = products - products.mean(0) - products.mean(1)[:, None] + products.mean()
    values, vectors = np.linalg.eigh(centred)
    places = vectors[:, :-3:-1] * np.sqrt(np.maximum(values[:-3:-1], 0.0))
    leading = np.abs(places).argmax(0)
    signs = np.where(places[leading, np.arange(places.shape[1])] < 0, -1.0, 1.0)
    found: NDArray[np.float64] = places * signs
    return found


def map_frame(
    places: NDArray[np.float64], polluted: NDArray[Any], clean: NDArray[Any], corrupted: NDArray[Any]
) -> pd.DataFrame:
    """One row for each sample: columns ``x``, ``y``, ``row``, ``polluted_label``, ``clean_label`` and ``kind``.

    Args:
        places: shape ``[N, 2]``, see :func:`project`.
        polluted: labels as trained on.
        clean: labels before corruption.
        corrupted: which rows are corrupted, bool.
    """
    labels = np.asarray(polluted).astype(int)
    mask = np.asarray(corrupted).astype(bool)
    kinds = np.where(mask, [_KINDS[2 + label][0] for label in labels], [_KINDS[label][0] for label in labels])
    return pd.DataFrame(
        {
            "x": places[:, 0],
            "y": places[:, 1],
            "row": np.arange(len(labels)),
            "polluted_label": labels,
            "clean_label": np.asarray(clean).astype(int),
            "kind": kinds,
        }
    )


def data_map(frame: pd.DataFrame, title: str) -> hv.Overlay:
    """The map: colour is the label that is trained on, crosses are corrupted rows; hover for labels and row.

    Args:
        frame: see :func:`map_frame`.
        title: above the map.
    """
    parts = []
    for kind, colour, (bokeh_marker, matplotlib_marker) in _KINDS:
        rows = frame[frame["kind"] == kind]
        if rows.empty:
            continue
        points = hv.Points(
            rows, ["x", "y"], ["row", "polluted_label", "clean_label"], label=f"{kind} ({len(rows)} of {len(frame)})"
        )
        parts.append(
            styled(
                points,
                bokeh={"color": colour, "marker": bokeh_marker, "size": 6, "tools": ["hover", "tap"]},
                matplotlib={"color": colour, "marker": matplotlib_marker, "s": 18},
            )
        )
    shown = {"title": title, "xaxis": None, "yaxis": None}
    return styled(
        hv.Overlay(parts),
        bokeh={**shown, "width": 520, "height": 460, "legend_position": "bottom", "legend_cols": 2},
        matplotlib={**shown, "fig_inches": (6, 5), "aspect": "square", "legend_position": "right"},
    )


def picture(vector: NDArray[np.float64], shape: tuple[int, int], title: str) -> hv.Image:
    """A feature vector of an image task as a picture.

    Args:
        vector: shape ``[d]``, d at least height x width; padding is left out.
        shape: height and width.
        title: above it.
    """
    height, width = shape
    pixels = np.real(vector[: height * width]).reshape(height, width)
    image = hv.Image(pixels, bounds=(0, 0, width, height), kdims=["column", "row"], vdims="value")
    shown = {"title": title, "cmap": "gray", "xaxis": None, "yaxis": None}
    return styled(
        image,
        bokeh={**shown, "width": 180, "height": 200, "tools": ["hover"]},
        matplotlib={**shown, "fig_inches": 2, "aspect": "square"},
    )


def feature_values(vector: NDArray[np.float64], names: Sequence[str], title: str) -> hv.Bars:
    """The features of a row of a table.

    Args:
        vector: shape ``[d]``.
        names: of the features.
        title: above it.
    """
    bars = hv.Bars(pd.DataFrame({"feature": [literal(name) for name in names], "value": vector}), "feature", "value")
    shown = {"title": title, "invert_axes": True}
    height = 80 + 18 * len(vector)
    return styled(
        bars,
        bokeh={**shown, "color": "#0072B2", "width": 420, "height": height, "tools": ["hover"]},
        matplotlib={**shown, "color": "#0072B2", "fig_inches": (5.0, height / 80)},
    )


def expectation_values(vector: NDArray[np.float64], strings: Sequence[str], title: str) -> hv.Bars:
    """The Pauli strings whose expectation values are largest in a state, the identity left out.

    Args:
        vector: expectation values, ``[4^k]``.
        strings: their letters.
        title: above it.
    """
    values = np.abs(vector)
    values[0] = 0.0
    chosen = np.argsort(-values, kind="stable")[:STRINGS]
    drawn = [number for number in chosen if values[number] > 0.0]
    return feature_values(vector[drawn], [strings[number] for number in drawn], title)


def amplitudes(vector: NDArray[Any], title: str) -> hv.Spikes:
    """The moduli of a state's amplitudes over basis states; of long vectors the :data:`SPIKES` largest.

    Args:
        vector: shape ``[d]``.
        title: above it.
    """
    moduli = np.abs(vector)
    drawn = np.sort(np.argpartition(moduli, -SPIKES)[-SPIKES:]) if len(vector) > SPIKES else np.arange(len(vector))
    spikes = hv.Spikes((drawn, moduli[drawn]), "basis state", "modulus")
    shown = {"title": title}
    return styled(
        spikes,
        bokeh={**shown, "color": "#0072B2", "width": 420, "height": 200, "tools": ["hover"]},
        matplotlib={**shown, "color": "#0072B2", "aspect": 2.5},
    )
