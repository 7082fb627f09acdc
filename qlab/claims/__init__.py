"""Claims: what an experiment is to show, written down before it runs, and what came of it."""

from qlab.claims.asked import Claim, ClaimTable
from qlab.claims.verdict import Verdict, judge

__all__ = ["Claim", "ClaimTable", "Verdict", "judge"]
