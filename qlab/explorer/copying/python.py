"""The Python that makes a figure of a page again, whole: to be run as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from qlab.explorer.copying.origin import Origin, Script
from qlab.tracking.redaction import bare, has_secret
from qlab.tracking.uri import embedded_file

_SECRET: Final = "# The store asks who you are: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD before."


def python_of(uri: str, origin: Origin, script: Script, name: str) -> str:
    """A program that reads the store, makes ``table`` and ``figure``, and writes the figure as a PDF file.

    Args:
        uri: of the store; a password in it is left out.
        origin: which experiment.
        script: what is done with its results.
        name: of the file, without suffix.
    """
    paper = ["from qlab.views.paper import paper_bytes"] if script.draws else []
    imports = sorted(["import qlab", *script.imports, *paper], key=_place)
    where = f", where={script.where!r}" if script.where.strip() else ""
    return "\n".join(
        [
            *(["from pathlib import Path", ""] if script.draws else []),
            *imports,
            "",
            *([_SECRET] if has_secret(uri) else []),
            f"uri = {_address(uri)!r}",
            f"results = qlab.results({origin.experiment!r}, tracking_uri=uri{where})",
            *script.lines,
            *_written(script, name),
            "",
        ]
    )


def _written(script: Script, name: str) -> list[str]:
    if not script.draws:
        return [f"table.to_csv({f'{name}.csv'!r}, index=False)", "table  # a notebook shows it"]
    drawn = f"Path({f'{name}.pdf'!r}).write_bytes(paper_bytes(figure, 'pdf', 'single'))"
    return [drawn, "figure  # a notebook shows it"]


def _place(line: str) -> tuple[bool, str]:
    """Order of imports: whole modules first."""
    return line.startswith("from "), line


def _address(uri: str) -> str:
    file = embedded_file(uri)
    if file is not None:
        return f"sqlite:///{Path(file).absolute()}"
    return bare(uri) if has_secret(uri) else uri
