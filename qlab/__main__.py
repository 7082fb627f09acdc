"""The command ``qlab``, also as ``python -m qlab``."""

from __future__ import annotations

import os


def main() -> None:
    """Runs the command line, and ends quietly if it is interrupted before that has begun."""
    try:
        from qlab.cli import main as command
    except KeyboardInterrupt:
        os.write(2, b"Interrupted.\n")
        os._exit(130)
    command(prog_name="qlab")


if __name__ == "__main__":
    main()
