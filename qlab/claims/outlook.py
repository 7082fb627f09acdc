"""What a claim's test will be able to find, said before it runs."""

from __future__ import annotations

from qlab.claims.asked import Claim
from qlab.claims.power import detectable
from qlab.claims.tests import least_p


def foreseen(claim: Claim, n: int, family: int) -> str:
    """The power of a claim's test: "5 seeds, t test: 80 % power for effects 1.4 s.d. beyond the margin".

    Args:
        claim: the claim.
        n: how many observations there will be.
        family: how many claims are corrected for together.
    """
    table = claim.table
    paired = table.paired or isinstance(claim.than, float)
    strict = table.level / (family if table.correction == "holm" else 1)
    what = "differences" if paired and not isinstance(claim.than, float) else "values"
    said = f"{n} {table.independent}, {table.test} test, level {table.level:g}"
    if strict < table.level:
        said += f", Holm over {family} claims"
    if (least := least_p(table.test, n, paired=paired)) > strict:
        return f"{said}: too few, as no p-value is below {least:.2g}, and {strict:.2g} is needed" + (
            " if no other claim is decided" if strict < table.level else ""
        )
    found = [detectable(n, level, paired=paired) for level in dict.fromkeys((table.level, strict))]
    limits = " to ".join(f"{effect:.1f}" for effect in found)
    spread = f"of the {'paired ' if what == 'differences' else ''}{what}"
    return f"{said}: 80 % power for effects {limits} s.d. {spread} beyond the margin"
