"""Features of which some rows are others: random ones, or made from rows that are there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from qlab.tasks.features import FeatureRows, LazyFeatures, dense_rows

MOST_COPIED_BYTES = 64 * 2**20
"""Larger features are not copied for each trial: rows that replace some are made again when they are needed."""


class OtherRows(ABC):
    """Rows that are not held, and come out the same whenever they are made."""

    @abstractmethod
    def row(self, number: int) -> Tensor:
        """The row of that number, shape ``[d]``."""

    @abstractmethod
    def parts(self) -> Iterator[Tensor]:
        """Tensors that decide the values: what a digest is made of. Not called where there are no rows."""


class DrawnRows(OtherRows):
    """Random rows that are drawn again whenever they are needed, from a generator's state.

    Args:
        draw: makes the next n rows with a generator; n rows at once must be those of n calls for one.
        generator: its present state is where the first row starts; it is left as it is.
        count: how many rows there are.
    """

    def __init__(self, draw: Callable[[int, torch.Generator], Tensor], generator: torch.Generator, count: int) -> None:
        self._draw = draw
        self._generator = torch.Generator()
        self.start = generator.get_state()
        # Where rows start, as far as they were drawn: 5 kB each, and none is drawn twice to get to another. In one
        # piece: kept one by one they would lie between large rows and keep their memory from being used again.
        self._states = self.start.new_empty(count + 1, len(self.start))
        self._states[0] = self.start
        self._known = 1

    def row(self, number: int) -> Tensor:
        """The row of that number, shape ``[d]``."""
        for known in range(min(number, self._known - 1), number + 1):
            self._generator.set_state(self._states[known].clone())
            row = self._draw(1, self._generator)[0]
            if known + 1 == self._known:
                self._states[self._known] = self._generator.get_state()
                self._known += 1
        return row

    def parts(self) -> Iterator[Tensor]:
        """From what state they are drawn, and the first of them: it tells distributions apart."""
        yield self.start
        yield self.row(0)


class ChangedRows(OtherRows):
    """Rows that are made from others whenever they are needed.

    Args:
        base: the others.
        sources: which of them each is made from, positions ``[n]``, int64.
        change: makes a row from a row, both ``[1, d]``.
    """

    def __init__(self, base: FeatureRows, sources: Tensor, change: Callable[[Tensor], Tensor]) -> None:
        self._base, self._sources, self._change = base, sources, change

    def row(self, number: int) -> Tensor:
        """The row of that number, shape ``[d]``."""
        source = int(self._sources[number])
        return self._change(dense_rows(self._base[source : source + 1]))[0]

    def parts(self) -> Iterator[Tensor]:
        """Which rows they are made from, and the first of them: it tells changes apart."""
        yield self._sources
        yield self.row(0)


class ReplacedFeatures(LazyFeatures):
    """Features of which some rows are replaced, by random ones or by what is made from others.

    Args:
        base: where the other rows come from.
        drawn: the rows that replace them.
        numbers: for each row the number of the one that replaces it, or -1 if it is the base's, ``[N]``, int64.
    """

    def __init__(self, base: FeatureRows, drawn: OtherRows, numbers: Tensor) -> None:
        super().__init__(len(base), base.shape[1], base.dtype)
        self.base, self.drawn, self.numbers = base, drawn, numbers

    @classmethod
    def where(cls, mask: Tensor, base: FeatureRows, drawn: OtherRows) -> ReplacedFeatures:
        """Other rows, in their order, where a mask ``[N]`` is True."""
        return cls(base, drawn, torch.where(mask, mask.cumsum(0) - 1, -1))

    def take(self, positions: Tensor) -> ReplacedFeatures:
        """The same other rows, and others of the base."""
        return ReplacedFeatures(self.base[positions], self.drawn, self.numbers[positions])

    def make(self, start: int, stop: int) -> Tensor:
        """Rows of the base, the replaced ones made anew."""
        numbers = self.numbers[start:stop]
        if not (numbers < 0).any():
            rows = torch.empty(stop - start, self.shape[1], dtype=self.dtype)
        elif isinstance(self.base, LazyFeatures):
            rows = self.base.make(start, stop)
        else:
            rows = self.base[start:stop].clone()
        for place, number in enumerate(numbers.tolist()):
            if number >= 0:
                rows[place] = self.drawn.row(number)
        return rows

    def parts(self) -> Iterator[Tensor]:
        """The base's, which rows are replaced, and those of what replaces them."""
        yield from self.base.parts() if isinstance(self.base, LazyFeatures) else [self.base]
        yield self.numbers
        if (self.numbers >= 0).any():
            yield from self.drawn.parts()


def is_copied(x: FeatureRows) -> bool:
    """Whether features are small enough for a copy of them for each trial."""
    return not isinstance(x, LazyFeatures) and x.nbytes <= MOST_COPIED_BYTES


def change_rows(x: FeatureRows, mask: Tensor, sources: Tensor, change: Callable[[Tensor], Tensor]) -> FeatureRows:
    """Features with other rows in place of some, made from rows that are there; ``x`` stays as it is.

    Args:
        x: features ``[N, d]``.
        mask: which rows are replaced, ``[N]``, bool.
        sources: the rows that theirs are made from, in the order of the mask: positions ``[n]``.
        change: makes rows from rows, both ``[n, d]``, one by one or many at once.
    """
    if isinstance(x, LazyFeatures) or not is_copied(x):
        return ReplacedFeatures.where(mask, x, ChangedRows(x, sources, change))
    found = x.clone()
    found[mask] = change(x[sources])
    return found
