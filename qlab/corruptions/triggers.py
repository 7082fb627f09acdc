"""What a backdoor puts into features: a patch in a picture, a rotation of spins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from qlab.circuits.blocks import Block

Corner = Literal["top-left", "top-right", "bottom-left", "bottom-right"]
Axis = Literal["X", "Y", "Z"]


def patch(x: Tensor, shape: tuple[int, int], size: int, value: float, corner: Corner) -> Tensor:
    """Pictures with a square patch in a corner.

    The patch has ``value`` times the brightest pixel of the picture, which is then scaled to the norm that it had: what
    a patch in the grey levels makes of pictures of unit norm.

    Args:
        x: flattened pictures, perhaps padded with zeros, ``[n, d]``, float64.
        shape: height and width.
        size: of the patch, in pixels.
        value: relative to the brightest pixel.
        corner: where.
    """
    height, width = shape
    picture = torch.zeros(height, width, dtype=torch.bool)
    vertical, horizontal = corner.split("-")
    rows = slice(size) if vertical == "top" else slice(height - size, height)
    picture[rows, slice(size) if horizontal == "left" else slice(width - size, width)] = True
    pixels = torch.nn.functional.pad(picture.flatten(), (0, x.shape[1] - height * width))
    found = torch.where(pixels, value * x.max(1, keepdim=True).values, x)
    before, after = (torch.linalg.vector_norm(rows, dim=1, keepdim=True) for rows in (x, found))
    return found * torch.where(after > 0.0, before / after, 1.0)


def rotate(x: Tensor, sites: tuple[int, ...], angle: float, axis: Axis) -> Tensor:
    """States after exp(-i angle P / 2) on some sites, P the Pauli matrix of the axis.

    Args:
        x: amplitudes, ``[n, 2^L]``, complex128, site 0 the most significant bit.
        sites: which spins; negative ones count from the end.
        angle: in radians.
        axis: of the rotation.
    """
    c, s = math.cos(angle / 2.0), math.sin(angle / 2.0)
    rotations = {
        "X": [[c, -1j * s], [-1j * s, c]],
        "Y": [[c, -s], [s, c]],
        "Z": [[complex(c, -s), 0.0], [0.0, complex(c, s)]],
    }
    matrix = torch.tensor(rotations[axis], dtype=x.dtype)
    length = n_sites(x.shape[1])
    for site in sites:
        parts = x.reshape(len(x), 2 ** (site % length), 2, -1)
        x = torch.einsum("ab,nlbr->nlar", matrix, parts).reshape(x.shape)
    return x


def rotate_density(x: Tensor, block: Block, sites: Sequence[int], angle: float, axis: Axis) -> Tensor:
    """Reduced density matrices after the same: expectation values turn as vectors (X, Y, Z) do about the axis.

    Args:
        x: expectation values of the Pauli strings on a block, ``[n, 4^k]``, float64.
        block: the sites that they are of.
        sites: which of them, not negative.
        angle: in radians.
        axis: of the rotation.
    """
    c, s = math.cos(angle), math.sin(angle)
    first, second = {"X": (2, 3), "Y": (3, 1), "Z": (1, 2)}[axis]
    matrix = torch.eye(4, dtype=x.dtype)
    matrix[first, first] = matrix[second, second] = c
    matrix[first, second], matrix[second, first] = -s, s
    for site in sites:
        parts = x.reshape(len(x), 4 ** block.sites.index(site), 4, -1)
        x = torch.einsum("ab,nlbr->nlar", matrix, parts).reshape(x.shape)
    return x


def n_sites(dimension: int) -> int:
    """The number of spins of states of a length that is a power of two."""
    return dimension.bit_length() - 1
