"""The pages of the documentation, and the blocks of code on them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}

BLOCK = re.compile(r"^(<!-- not run: (?P<why>[^\n]+) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)


class Block(NamedTuple):
    """A fenced block of code. One that cannot be run says why: ``<!-- not run: needs a GPU -->`` above it."""

    page: str
    language: str
    text: str
    why_not: str | None


BLOCKS = [
    Block(page, found["language"], found["text"], found["why"])
    for page, text in TEXTS.items()
    for found in BLOCK.finditer(text)
]


def blocks(language: str, page: str = "") -> list[str]:
    """Those of a language that are run, of all pages or of one."""
    return [
        block.text
        for block in BLOCKS
        if block.language == language and block.why_not is None and page in ("", block.page)
    ]


def commands(text: str) -> list[str]:
    """The commands of a shell block: comments are left out, continued lines are joined."""
    lines = text.replace("\\\n", " ").splitlines()
    return [" ".join(line.split(" #")[0].split()) for line in lines if line.strip() and not line.startswith("#")]
