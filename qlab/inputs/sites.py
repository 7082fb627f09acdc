"""Which spins of a chain inputs are of: how experiment files say it, and where that is in a chain."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import annotated_types as at

from qlab.circuits.blocks import Block, neighbours_of_last
from qlab.errors import ConfigError, DataError
from qlab.fields import PositiveInt, show

Shape = Literal["pairs", "ring-2", "ring-3", "ring-4"]

Sites = PositiveInt | Annotated[tuple[int, ...], at.MinLen(1)] | Shape
"""The last so many sites; or these sites; or all pairs; or the light cone of a ring of so many rows."""

DEFAULT_SITES = 4
"""The light cone of the paper's chain of depth 4."""

MOST_SITES = 7
"""The cone of a ring of depth 4. 16,384 Pauli strings; of 8 sites 65,536, which take 0.2 GB for 396 states."""


def checked_sites(owner: str, sites: Sites | list[int]) -> Sites:
    """Sites as they are given, a list as a tuple, unless something is wrong with them whatever the chain.

    Args:
        owner: the name of the model's class.
        sites: as given.

    Raises:
        ConfigError: there are too many of them, or one is there twice.
    """
    sites = tuple(sites) if isinstance(sites, list) else sites
    count = sites if isinstance(sites, int) else len(sites) if isinstance(sites, tuple) else 0
    if count > MOST_SITES:
        size = f"4^{count} = {4**count:,}" if count <= 30 else f"4^{count}"
        raise ConfigError(
            f"{owner}: sites: got {_shown(sites)}, of which there are {size} Pauli strings; accepts at most "
            f'{MOST_SITES} sites, 4^{MOST_SITES} = {4**MOST_SITES:,}; inputs = "pauli" with sites = "pairs" sees a '
            "whole chain by its strings on one and two sites."
        )
    if isinstance(sites, tuple) and len(set(sites)) < len(sites):
        raise ConfigError(f"{owner}: sites: got {_shown(sites)}, accepts each site once.")
    return sites


def chain_length(owner: str, inputs: str, dimension: int) -> int:
    """The number L of sites of states of 2^L amplitudes.

    Raises:
        DataError: features are none.
    """
    length = dimension.bit_length() - 1
    if length < 1 or 2**length != dimension:
        raise DataError(
            f'{owner}: inputs: got "{inputs}" for features of {dimension} numbers, accepts states of qubits: 2^L '
            f"amplitudes, as 2^{max(length, 1)} = {2 ** max(length, 1)} or 2^{max(length, 1) + 1} = "
            f'{2 ** (max(length, 1) + 1)}. Take inputs = "amplitudes", which are any features as they are, or a task '
            "with pad = true."
        )
    return length


def wires_of(owner: str, sites: Sites, length: int) -> tuple[int, ...]:
    """The sites in a chain, ascending, site 0 the most significant bit.

    Args:
        owner: the name of the model's class.
        sites: as given; "pairs" are of all sites.
        length: of the chain.

    Raises:
        DataError: the chain does not have them.
    """
    if sites == "pairs":
        return tuple(range(length))
    if isinstance(sites, int):
        if sites > length:
            raise DataError(
                f"{owner}: sites: got {sites}, the last {sites} sites, and the chain has {length}; accepts 1 to "
                f"{length}, or a list of sites from 0 to {length - 1}."
            )
        return tuple(range(length - sites, length))
    if isinstance(sites, str):
        depth = int(sites.removeprefix("ring-"))
        if 2 * depth - 1 > length:
            raise DataError(
                f'{owner}: sites: got "{sites}", a light cone of {2 * depth - 1} sites, and the chain has {length}; '
                f"accepts a smaller depth, or the last sites = {length}."
            )
        return tuple(sorted(neighbours_of_last(length, 2 * depth - 1)))
    off = [site for site in sites if not -length <= site < length]
    if off:
        raise DataError(
            f"{owner}: sites: got {_shown(sites)}, and the chain has {length} sites; accepts sites from 0 to "
            f"{length - 1}, or from -{length} to -1 counted from its end. A list names sites: to sweep how many of the "
            "last are taken, give each its own [[model]] table."
        )
    wires = tuple(sorted(site % length for site in sites))
    if len(set(wires)) < len(wires):
        raise DataError(f"{owner}: sites: got {_shown(sites)}, accepts each site of a chain of {length} once.")
    return wires


def wires_in_block(owner: str, sites: Sites, block: Block) -> tuple[int, ...]:
    """The sites in a chain, ascending, of which reduced density matrices of a block are known.

    Args:
        owner: the name of the model's class.
        sites: as given.
        block: the sites that are known.

    Raises:
        DataError: some of the sites are not in the block.
    """
    wires = wires_of(owner, sites, block.length)
    missing = block.missing(wires)
    if missing:
        raise DataError(
            f"{owner}: sites: got {_shown(sites)}, and the features are reduced density matrices of {block.words}: "
            f"site {missing[0]} is not among them. Take sites = {len(block.sites)} or fewer, or a larger block."
        )
    return wires


def _shown(sites: Sites) -> str:
    return f'"{sites}"' if sites in get_args(Shape) else show(sites)
