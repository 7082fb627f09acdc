"""``python -m qlab``."""

from qlab.cli import main

main(prog_name="qlab")
