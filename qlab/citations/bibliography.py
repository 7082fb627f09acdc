"""The BibTeX entries that ship with qlab, and how sources are found among them."""

from __future__ import annotations

import dataclasses
import functools
import re
from importlib.resources import files

from qlab.version import __version__

PAPER = ("2508.02422", "10.1038/s41467-026-70420-4")
"""The paper that qlab reproduces: its preprint, and as it was published. Who cites one gets both."""

_ID = re.compile(r"arXiv:(\d{4}\.\d{4,5}|[a-z-]+/\d{7})|\b(10\.\d{4,9}/[^\s,;)]+)", re.IGNORECASE)

_ENTRY = re.compile(r"^@(?P<kind>\w+)\{(?P<key>[^,\s]+),\n(?P<body>.*?)^\}$", re.MULTILINE | re.DOTALL)

_FIELD = re.compile(r"^  (\w+) = \{(.*)\},$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Entry:
    """An entry of the bibliography.

    Args:
        key: by which a text cites it.
        text: BibTeX.
        ids: its arXiv id and its DOI, as far as it has them.
    """

    key: str
    text: str
    ids: frozenset[str]


@functools.cache
def entries() -> tuple[Entry, ...]:
    """All entries of ``references.bib``, in its order."""
    text = files("qlab.citations").joinpath("references.bib").read_text(encoding="utf-8")
    found = []
    for match in _ENTRY.finditer(text):
        fields = dict(_FIELD.findall(match["body"]))
        ids = {fields[name].lower() for name in ("eprint", "doi") if name in fields}
        found.append(Entry(match["key"], match[0], frozenset(ids)))
    return tuple(found)


def ids_in(source: str) -> list[str]:
    """The arXiv ids and DOIs that a source names, in order."""
    return [(arxiv or doi.rstrip(".")).lower() for arxiv, doi in _ID.findall(source)]


def cited(source: str) -> tuple[list[Entry], list[str]]:
    """The entries of what a source names, and the ids that there is no entry for."""
    ids = ids_in(source)
    if set(ids) & set(PAPER):
        ids = [*(item for item in ids if item not in PAPER), *PAPER]
    by_id = {item: entry for entry in entries() for item in entry.ids}
    found = dict.fromkeys(by_id[item] for item in ids if item in by_id)
    return list(found), [item for item in ids if item not in by_id]


def keyed(key: str) -> Entry:
    """The entry of a key."""
    return next(entry for entry in entries() if entry.key == key)


def qlab_itself() -> Entry:
    """The entry of this version of qlab."""
    text = (
        "@software{qlab,\n"
        "  author = {{The qlab developers}},\n"
        "  title = {qlab: how classical and quantum models take corrupted data, and how well they unlearn it},\n"
        f"  version = {{{__version__}}},\n"
        "  year = {2026},\n"
        "}"
    )
    return Entry("qlab", text, frozenset())
