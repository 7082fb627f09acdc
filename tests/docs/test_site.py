"""The documentation as a site: it builds without warnings and without a network, and asks for none when it is read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx")
pytest.importorskip("myst_nb")

DOCS = Path(__file__).parents[2] / "docs"
LOADS = re.compile(
    r"""<(?:script|img|iframe|source)[^>]*\bsrc="((?:https?:)?//[^"]+)|<link[^>]*\bhref="((?:https?:)?//[^"]+)"""
)
"""What a page loads from elsewhere by itself; links that one clicks are no such thing."""

NO_NETWORK = """
import socket, sys

def refused(address, *arguments):
    raise OSError(f"no network here: {address}")

socket.getaddrinfo = refused
from sphinx.cmd.build import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with warnings as errors. Notebooks are run by a test each, and shown here as they are stored."""
    out = tmp_path_factory.mktemp("site")
    options = ["-W", "--keep-going", "-q", "-d", str(out / "trees"), str(DOCS), str(out / "html")]
    surroundings = os.environ | {"QLAB_NOTEBOOKS": "off"}
    built = subprocess.run(
        [sys.executable, "-c", NO_NETWORK, *options],
        capture_output=True,
        text=True,
        timeout=600,
        env=surroundings,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return out / "html"


def test_every_page_is_there(site: Path) -> None:
    pages = [
        file.relative_to(DOCS).with_suffix(".html") for suffix in ("md", "ipynb") for file in DOCS.rglob(f"*.{suffix}")
    ]
    assert len(pages) > 40
    assert [page for page in pages if not (site / page).is_file()] == []


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    loads = {
        address
        for page in site.rglob("*.html")
        for found in LOADS.findall(page.read_text("utf-8"))
        for address in found
    }
    assert loads - {""} == set()


def test_every_class_and_command_is_in_the_reference(site: Path) -> None:
    from qlab.cli import main
    from qlab.registry import KINDS, available

    text = "".join(page.read_text("utf-8") for page in (site / "reference").rglob("*.html"))
    assert [name for kind in KINDS for name in available(kind) if f'id="{kind}-{name.lower()}"' not in text] == []
    assert [name for name in main.commands if f'id="qlab-{name}"' not in text] == []
