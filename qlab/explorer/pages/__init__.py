"""The pages of the explorer."""

from qlab.explorer.page import Page
from qlab.explorer.pages.compare import ComparePage
from qlab.explorer.pages.curvature import CurvaturePage
from qlab.explorer.pages.data import DataPage
from qlab.explorer.pages.findings import FindingsPage
from qlab.explorer.pages.heat_map import HeatMapPage
from qlab.explorer.pages.landscape import LandscapePage
from qlab.explorer.pages.resilience import ResiliencePage
from qlab.explorer.pages.run import RunPage
from qlab.explorer.pages.runs import RunsPage
from qlab.explorer.pages.unlearning import UnlearningPage

PAGES: tuple[type[Page], ...] = (
    FindingsPage,
    RunsPage,
    ResiliencePage,
    HeatMapPage,
    UnlearningPage,
    ComparePage,
    LandscapePage,
    CurvaturePage,
    DataPage,
    RunPage,
)
"""In the order of the tabs."""
