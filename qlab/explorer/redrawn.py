"""A picture of newer numbers in the place of one of older: what is shown already takes them over, and stays.

A figure that is made anew for each run that ends flashes, and forgets where somebody has zoomed to.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from bokeh.core.property.descriptors import AliasPropertyDescriptor
from bokeh.core.property.wrappers import PropertyValueColumnData
from bokeh.model import Model
from bokeh.models import ColumnDataSource, DataRange1d, LayoutDOM, Plot, Range1d, Selection, Toolbar

from qlab.explorer.text import Key, LegendStrip

_LEFT: Final = frozenset(
    {
        *LayoutDOM.properties(),  # the page's own
        *("name", "tags", "subscribed_events", "js_event_callbacks", "js_property_callbacks", "syncable"),
        *("inner_width", "inner_height", "outer_width", "outer_height"),  # the browser's own
    }
)
"""Properties that say nothing of what is drawn."""

_VISITORS: Final = (Selection, DataRange1d, Toolbar)
"""Models whose values belong to whoever looks; what they are made of is followed all the same."""

Pairs = dict[str, tuple[Model, Model]]


class Redrawn:
    """Plots on a page, with their legends.

    Args:
        groups: keys of a legend, and the plots below it, see :func:`qlab.explorer.drawing.grouped`.
        strips: the legends on the page, None for a group without.
    """

    def __init__(
        self, groups: Sequence[tuple[tuple[Key, ...], Sequence[Any]]], strips: Sequence[LegendStrip | None]
    ) -> None:
        self._groups = [(keys, list(models)) for keys, models in groups]
        self._strips = list(strips)
        # What is added to a plot later, such as marks of what is selected, stays.
        self._own = {part.id for _, models in groups for model in models for part in model.references()}

    def take(self, groups: Sequence[tuple[tuple[Key, ...], Sequence[Any]]]) -> bool:
        """Shows what newer plots show; False, and nothing has changed, if these are made of other parts."""
        if [(bool(keys), len(models)) for keys, models in groups] != [
            (bool(keys), len(models)) for keys, models in self._groups
        ]:
            return False
        pairs: Pairs = {}
        shown = [model for _, models in self._groups for model in models]
        newer = [model for _, models in groups for model in models]
        if not all(
            isinstance(old, Plot) and self._match(old, new, pairs) for old, new in zip(shown, newer, strict=True)
        ):
            return False
        for old, new in pairs.values():
            _take_over(old, new)
        for strip, (keys, _) in zip(self._strips, groups, strict=True):
            if strip is not None:
                strip.show(keys)
        return True

    def _match(self, old: Model, new: Model, pairs: Pairs) -> bool:
        """Whether two models are made alike; finds which parts of them belong together."""
        if old.id in pairs:
            return pairs[old.id][1] is new
        if type(old) is not type(new):
            return False
        pairs[old.id] = (old, new)
        return all(self._alike(getattr(old, name), getattr(new, name), pairs) for name in _names(old))

    def _alike(self, was: Any, now: Any, pairs: Pairs) -> bool:
        if isinstance(was, Model) or isinstance(now, Model):
            return isinstance(was, Model) and isinstance(now, Model) and self._match(was, now, pairs)
        if isinstance(was, list) and isinstance(now, list):
            was = [item for item in was if not isinstance(item, Model) or item.id in self._own]
            if not _has_models(was) and not _has_models(now):
                return True
            return len(was) == len(now) and all(
                self._alike(one, other, pairs) for one, other in zip(was, now, strict=True)
            )
        return True  # values, which are taken over


def _names(model: Model) -> tuple[str, ...]:
    kind: Any = type(model)
    return _names_of(kind)


@functools.cache
def _names_of(kind: type[Model]) -> tuple[str, ...]:
    """The properties that say what a model of a class draws, each once: some have two names."""
    names = sorted(
        name for name in kind.properties() - _LEFT if not isinstance(kind.lookup(name), AliasPropertyDescriptor)
    )
    return tuple(name for name in names if not (issubclass(kind, Toolbar) and name.startswith("active")))


def _take_over(old: Model, new: Model) -> None:
    """Gives a model the values of another, but for those that are models, which have their own."""
    if isinstance(old, _VISITORS):
        return
    # Where the visitor has zoomed to stays as long as the picture has the same ends.
    if isinstance(old, Range1d) and (old.reset_start, old.reset_end) == (new.reset_start, new.reset_end):
        return
    changed = {}
    for name in _names(old):
        was, now = getattr(old, name), getattr(new, name)
        if isinstance(now, Model) or (isinstance(now, list) and _has_models(now)) or _equal(was, now):
            continue
        changed[name] = dict(now) if isinstance(old, ColumnDataSource) and name == "data" else now
    if changed:
        old.update(**changed)


def _has_models(values: list[Any]) -> bool:
    return any(isinstance(value, Model) for value in values)


def _equal(was: Any, now: Any) -> bool:
    if isinstance(was, PropertyValueColumnData) and isinstance(now, PropertyValueColumnData):
        return was.keys() == now.keys() and all(_equal(was[name], now[name]) for name in now)
    if isinstance(was, np.ndarray) or isinstance(now, np.ndarray):
        one, other = np.asarray(was), np.asarray(now)
        if one.dtype.kind in "fc" and other.dtype.kind in "fc":
            return bool(np.array_equal(one, other, equal_nan=True))
        return bool(one.dtype == other.dtype and np.array_equal(one, other))
    return type(was) is type(now) and bool(was == now)
