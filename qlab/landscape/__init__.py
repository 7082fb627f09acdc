"""Loss landscapes: a landscape is a loss around a point, a probe measures something of it."""

from qlab.landscape.base import LandscapeProbe, Needs
from qlab.landscape.expressivity import ExpressivityProbe
from qlab.landscape.gradient_variance import GradientVarianceProbe
from qlab.landscape.hessian import HessianProbe
from qlab.landscape.interpolation import InterpolationProbe
from qlab.landscape.landscape import Landscape
from qlab.landscape.result import ProbeResult
from qlab.landscape.roughening import RougheningProbe
from qlab.landscape.slices import SliceProbe
from qlab.landscape.under_noise import UnderNoise

__all__ = [
    "ExpressivityProbe",
    "GradientVarianceProbe",
    "HessianProbe",
    "InterpolationProbe",
    "Landscape",
    "LandscapeProbe",
    "Needs",
    "ProbeResult",
    "RougheningProbe",
    "SliceProbe",
    "UnderNoise",
]
