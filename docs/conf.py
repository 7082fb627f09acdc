"""How Sphinx builds the documentation. Nothing is fetched, neither then nor when a page is read."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

from qlab.version import __version__  # noqa: E402

project = "qlab"
author = "The qlab developers"
copyright = author
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
    "catalogue",
]
exclude_patterns = ["_build", "_ext"]
nitpicky = True
nitpick_ignore_regex = [
    # Other libraries' names: their documentation is on a network.
    ("py:.*", r"(numpy|torch|sklearn|pathlib|collections|annotated_types|datetime|pandas|holoviews|matplotlib)\..*"),
    # What limits a field, such as Annotated[int, Ge(ge=1)], which is no name of anything.
    ("py:class", r"(ge|gt|le|lt|value|min_length)=.*|'.*"),
    # Parts of qlab that have no page: who calls them reads their source.
    ("py:.*", r"qlab\.(fields|losses|circuits|views|reading|training|unlearning|tasks|models|landscape)\..*"),
    ("py:.*", r"load_data|HESSIAN_BYTES|claims|(qlab\.)?(PennyLaneQNN|MLP|Loss|Setting|Tensor)"),
]

myst_enable_extensions = ["attrs_block", "colon_fence", "deflist"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

# Notebooks are stored without outputs and run here. QLAB_NOTEBOOKS=off builds the site without them running.
nb_execution_mode = os.environ.get("QLAB_NOTEBOOKS", "force")
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_execution_show_tb = True
nb_merge_streams = True
nb_ipywidgets_js = {}  # they would come from a network, and no page has widgets
os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # tqdm, where ipywidgets is not installed
os.environ.pop("MLFLOW_TRACKING_URI", None)  # notebooks write to a store of their own
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

copybutton_exclude = ".linenos, .gp, .go"

html_theme = "pydata_sphinx_theme"
html_title = "qlab"
html_static_path = ["_static"]
html_css_files = ["qlab.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "qlab"},
    "header_links_before_dropdown": 5,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_context = {"default_mode": "auto"}
