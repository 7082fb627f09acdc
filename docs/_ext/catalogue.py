"""Directives that describe what an experiment file can name, from the same docstrings and fields as `qlab describe`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Components(SphinxDirective):
    """`{components} task`: every class of a kind, with formula, source and fields."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """One section for each class."""
        from qlab.registry import available

        return [self._section(name, cls) for name, cls in available(self.arguments[0]).items()]

    def _section(self, name: str, cls: type) -> nodes.section:
        section = nodes.section(
            ids=[nodes.make_id(f"{self.arguments[0]}-{name}")], names=[nodes.fully_normalize_name(name)]
        )
        section += nodes.title(text=name)
        section += described(cls)
        self.state.document.note_implicit_target(section, section)
        return section


class Table(SphinxDirective):
    """`{fields} qlab.training:Trainer`: the docstring and the fields of one class."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Its paragraphs and its table."""
        import importlib

        module, name = self.arguments[0].split(":")
        return described(getattr(importlib.import_module(module), name))


class Experiments(SphinxDirective):
    """`{experiments}`: the files that ship, with what each is about."""

    def run(self) -> list[nodes.Node]:
        """A table of them."""
        from qlab.resources import about, experiments

        rows = [([nodes.literal(text=name)], running(about(file))) for name, file in experiments().items()]
        return [table(["experiment", "what it is about"], rows, [30, 70])]


def described(cls: type) -> list[nodes.Node]:
    """Docstring, formula, source and fields of a class."""
    from qlab.fields import REQUIRED, fields_of, show

    found = paragraphs(inspect.cleandoc(cls.__doc__ or "").split("\nArgs:")[0].strip())
    for what in ("formula", "source"):
        if said := getattr(cls, what, ""):
            found.append(nodes.paragraph("", "", nodes.strong(text=f"{what.capitalize()}: "), *running(said)))
    rows = []
    for field in fields_of(cls).values():
        default = "required" if field.default is REQUIRED else show(field.default)
        accepts = field.accepts
        if field.name in (known := getattr(cls, "defaults", {})):
            accepts, default = accepts.removesuffix(" or left out"), str(known[field.name])
        rows.append(([nodes.literal(text=field.name)], running(accepts), running(default), running(field.doc or "")))
    if rows:
        found.append(table(["field", "accepts", "default", "meaning"], rows, [18, 27, 15, 40]))
    return found


def paragraphs(text: str) -> list[nodes.Node]:
    """Text of a docstring: its paragraphs, and what is indented as it stands."""
    found: list[nodes.Node] = []
    for block in re.split(r"\n\s*\n", text):
        if block.startswith("    "):
            found.append(nodes.literal_block(text=inspect.cleandoc(block), language="text"))
        elif re.match(r"[-*] ", block):
            items = re.split(r"\n?^[-*] ", block, flags=re.MULTILINE)[1:]
            found.append(
                nodes.bullet_list(
                    "",
                    *[nodes.list_item("", nodes.paragraph("", "", *running(" ".join(item.split())))) for item in items],
                )
            )
        elif block.strip():
            found.append(nodes.paragraph("", "", *running(" ".join(block.removesuffix("::").split()))))
    return found


def running(text: str) -> list[nodes.Node]:
    """Words with ``literals``, and without the roles of cross-references."""
    found: list[nodes.Node] = []
    for part in re.split(r"(:\w+:`[^`]*`|``[^`]*``)", text):
        if literal := re.fullmatch(r"(?::\w+:`~?([^`]*)`|``([^`]*)``)", part):
            found.append(nodes.literal(text=literal[1] or literal[2]))
        elif part:
            found.append(nodes.Text(part))
    return found


def table(heads: Iterable[str], rows: Iterable[tuple[list[nodes.Node], ...]], widths: list[int]) -> nodes.table:
    """A table of rows of cells."""

    def row(cells: Iterable[list[nodes.Node]]) -> nodes.row:
        return nodes.row("", *[nodes.entry("", nodes.paragraph("", "", *cell)) for cell in cells])

    group = nodes.tgroup(cols=len(widths))
    group += [nodes.colspec(colwidth=width) for width in widths]
    group += nodes.thead("", row([[nodes.Text(head)] for head in heads]))
    group += nodes.tbody("", *map(row, rows))
    return nodes.table("", group, classes=["catalogue"])


def plain_docstrings(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str] | StringList
) -> None:
    """Bars that are meant as absolute values or norms are no substitutions."""
    lines[:] = [re.sub(r"(?<!\\)\|(?=\w)", r"\\|", line) for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    """Adds the directives."""
    app.add_directive("components", Components)
    app.add_directive("fields", Table)
    app.add_directive("experiments", Experiments)
    app.connect("autodoc-process-docstring", plain_docstrings)
    return {"parallel_read_safe": True}
