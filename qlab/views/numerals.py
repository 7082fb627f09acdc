"""Numbers with their deviations as text: as many digits as the deviation says anything of."""

from __future__ import annotations

import math
from typing import NamedTuple

_PLAIN = 3
"""Decimals where there is no deviation to round to."""

_SMALL, _LARGE = 1e-3, 1e6
"""Numbers outside of these are written with a power of ten."""


class Numeral(NamedTuple):
    """A rounded number.

    Args:
        mean: its digits; empty if there is none.
        deviation: the deviation with as many decimals; empty if there is none.
        power: of ten, by which both are to be multiplied.
    """

    mean: str
    deviation: str
    power: int

    @property
    def short(self) -> str:
        """With the deviation of the last digits in parentheses, as siunitx reads it: ``0.952(13)``."""
        last = self.deviation.replace(".", "").lstrip("0") or "0"
        return f"{self.mean}{f'({last})' if self.deviation else ''}{f'e{self.power}' if self.power else ''}"

    @property
    def plain(self) -> str:
        """For people: ``0.952 ± 0.013``; a dash if there is no number."""
        if not self.mean:
            return "-"
        both = f"{self.mean} ± {self.deviation}" if self.deviation else self.mean
        return f"({both}) x 10^{self.power}" if self.power and self.deviation else both + self._exponent

    @property
    def _exponent(self) -> str:
        return f"e{self.power}" if self.power else ""


def rounded(mean: float, deviation: float, *, fine: bool = False) -> Numeral:
    """A mean rounded to its deviation, which keeps one significant digit, two if it begins with 1.

    Without a deviation (or one of zero) three decimals are kept, of what is small or large three significant ones.

    Args:
        mean: the number.
        deviation: NaN if there is none.
        fine: whether the deviation keeps two digits as long as that are no more than three decimals: tables to compare
            rows in tell more of them apart.
    """
    if not math.isfinite(mean):
        return Numeral("", "", 0)
    spread = abs(deviation) if math.isfinite(deviation) else math.nan
    largest = max(abs(mean), 0.0 if math.isnan(spread) else spread)
    power = math.floor(math.log10(largest)) if largest and not _SMALL <= largest < _LARGE else 0
    mean, spread = mean / 10.0**power, spread / 10.0**power
    if math.isnan(spread) or spread == 0.0:
        return Numeral(f"{mean:.{_PLAIN}f}", "" if math.isnan(spread) else f"{0:.{_PLAIN}f}", power)
    decimals = _decimals(spread, fine=fine)
    return Numeral(f"{mean:.{decimals}f}", f"{spread:.{decimals}f}", power)


def _decimals(deviation: float, *, fine: bool) -> int:
    mantissa, _, power = f"{deviation:.1e}".partition("e")
    short, _, rounded_power = f"{deviation:.0e}".partition("e")
    two = max(0, 1 - int(power))
    if float(mantissa) < 2.0:
        return two
    one = max(0, (1 if short == "1" else 0) - int(rounded_power))
    return min(two, max(_PLAIN, one)) if fine else one
