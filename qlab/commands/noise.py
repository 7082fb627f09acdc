"""Commands for the noise of devices."""

from __future__ import annotations

import re
from pathlib import Path

import click

from qlab import output
from qlab.errors import ConfigError


@click.group()
def noise() -> None:
    """Numbers of quantum computers, for noise = { device = "..." } of quantum models."""


@noise.command("import")
@click.argument("backend")
@click.option("-o", "--output", "out", type=click.Path(path_type=Path), metavar="FILE", help="TOML. Default: printed.")
@click.option("--qubits", metavar="LIST", help='Of which the device is to be, such as "0-15,19". Default: all.')
def import_(backend: str, out: Path | None, qubits: str | None) -> None:
    """Write the numbers of a fake backend of Qiskit's, a snapshot of one of IBM's machines, as a device file.

    BACKEND is the name of a class in qiskit_ibm_runtime.fake_provider, such as FakeManilaV2. Needs the extra:
    pip install qlab-unlearning[qiskit]. What is not calibrated is left out, and said.
    """
    from qlab.noise.device_writing import written
    from qlab.noise.qiskit_backend import import_backend

    if out is not None and not out.parent.is_dir():
        raise ConfigError(f"--output: got {out}, and there is no folder {out.parent}.")
    chosen = None if qubits is None else _qubits(qubits)
    found = import_backend(backend, chosen)
    text = written(found.data, found.notes)
    for note in found.notes:
        output.say(note)
    if out is None:
        click.echo(text, nl=False)
        return
    out.write_text(text, encoding="utf-8")
    click.echo(f"{out}: {len(found.data.qubits)} qubits, {len(found.data.pairs)} pairs; chain {list(found.data.chain)}")


def _qubits(text: str) -> list[int]:
    """Numbers and ranges: "0-15,19"."""
    found: list[int] = []
    for part in text.split(","):
        matched = re.fullmatch(r"\s*(\d{1,5})(?:-(\d{1,5}))?\s*", part)
        if matched is None:
            raise ConfigError(f'--qubits: got "{text}", accepts numbers and ranges, such as "0-15,19".')
        found += range(int(matched[1]), int(matched[2] or matched[1]) + 1)
    return found
