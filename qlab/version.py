"""The version of qlab."""

__version__ = "0.1.0"
