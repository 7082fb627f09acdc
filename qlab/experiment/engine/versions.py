"""Whether the workers of a cluster have the versions that the command has."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from qlab.errors import ConfigError
from qlab.version import __version__


def check_versions(own: Mapping[str, str], others: Mapping[str, Mapping[str, str]]) -> None:
    """Checks that others have the versions that the command has.

    Of Python the first two numbers count, of PyTorch not what it is built for: a worker may have a GPU.

    Args:
        own: versions of the command, by package.
        others: the same for workers and scheduler, by what they are called.

    Raises:
        ConfigError: some have another one.
    """
    for place, versions in others.items():
        for package, version in versions.items():
            if _compared(package, version) != _compared(package, own[package]):
                raise ConfigError(
                    f"--cluster: {place} has {package} {version}, this process has {package} {own[package]}; "
                    "install the same everywhere."
                )


def _compared(package: str, version: str) -> str:
    return ".".join(version.split(".")[:2]) if package == "Python" else version.split("+")[0]


def own_versions() -> dict[str, str]:
    """The versions that this process has, by package."""
    return {"Python": platform.python_version(), "qlab": __version__, "torch": metadata.version("torch")}


def versions_of(client: Any) -> dict[str, dict[str, str]]:
    """The versions of a cluster's scheduler and workers."""

    # Sent as it stands here, since qlab may be another one there, or missing.
    def installed() -> dict[str, str]:
        from importlib import metadata

        try:
            from qlab.version import __version__ as version
        except ImportError:
            version = "none"
        try:
            torch = metadata.version("torch")
        except metadata.PackageNotFoundError:
            torch = "none"
        return {"qlab": version, "torch": torch}

    known = client.get_versions()
    found = {f"worker {address}": {"Python": _python(said)} for address, said in known["workers"].items()}
    found["the scheduler"] = {"Python": _python(known["scheduler"])}
    check_versions(own_versions(), found)  # code is not sent to another Python
    for address, versions in client.run(installed).items():
        found[f"worker {address}"] = {**found.get(f"worker {address}", {}), **versions}
    return found


def _python(said: Mapping[str, Any]) -> str:
    return ".".join(str(said["host"]["python"]).split(".")[:3])
