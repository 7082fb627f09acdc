"""Which sites of a chain a task hands over, for tasks whose features are reduced density matrices."""

from __future__ import annotations

from typing import Annotated, Literal

import annotated_types as at
from torch import Tensor

from qlab.circuits.blocks import MOST_SITES, Block, in_site_order
from qlab.errors import ConfigError

BlockSites = Annotated[int, at.Interval(ge=1, le=MOST_SITES)]

Where = Literal["last", "around"]
"""The last sites; or, of rings and infinite chains, the last one with as many to its right as to its left."""


def check_block(owner: str, length: int | None, sites: int, where: Where, *, periodic: bool) -> None:
    """Refuses blocks that do not fit their chain.

    Args:
        owner: the name of the task's class.
        length: of the chain; None for an infinite one.
        sites: of the block.
        where: it lies.
        periodic: whether a finite chain is a ring.

    Raises:
        ConfigError: it does not fit.
    """
    if length is not None and sites > length:
        raise ConfigError(f"{owner}: block_sites: got {sites} of {length} spins, accepts 1 to {length}.")
    ends = length is not None and not periodic
    if where == "around" and (ends or sites % 2 == 0):
        raise ConfigError(
            f'{owner}: where: got "around" for block_sites = {sites} of {"an open chain" if ends else "a ring"}, '
            "accepts it for an odd number of sites of a ring (periodic = true): as many to the right of the last spin "
            "as to its left."
        )


def block_of(length: int | None, sites: int, where: Where) -> Block:
    """The block; arguments as of :func:`check_block`."""
    around = where == "around"
    if length is None:
        return Block.of_infinite(sites, around=around)
    return (Block.around_last if around else Block.last)(length, sites)


def in_order_of(block: Block, where: Where, x: Tensor) -> Tensor:
    """Pauli strings ``[N, 4^k]`` on neighbours, in their order along the chain, in that of the block's sites."""
    return in_site_order(x, block) if where == "around" else x
