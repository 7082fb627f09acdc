"""Lengths on paper."""

from __future__ import annotations

import re
from typing import Final

from qlab.errors import ConfigError

INCHES: Final = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4, "pt": 1 / 72.27, "bp": 1 / 72}
"""Units, in inches; a pt is TeX's, as LaTeX says it of ``\\columnwidth``."""

_LEAST, _MOST = 1.0, 40.0


def inches(given: str | float, option: str) -> float:
    """A length such as ``"3.4in"``, ``"86 mm"`` or ``"246pt"``; a number is in inches.

    Raises:
        ConfigError: another text, or a length that no figure has.
    """
    if isinstance(given, int | float):
        value = float(given)
    else:
        found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-z]+)\s*", given.lower())
        if found is None or found[2] not in INCHES:
            raise ConfigError(
                f'{option}: got "{given}", accepts a length with one of the units {", ".join(INCHES)}: 3.4in, 86mm.'
            )
        value = float(found[1]) * INCHES[found[2]]
    if not _LEAST <= value <= _MOST:
        raise ConfigError(f"{option}: got {given}, accepts a length from {_LEAST:g} to {_MOST:g} inches.")
    return value
