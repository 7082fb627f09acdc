"""The version of qlab, and the name under which it is distributed."""

__version__ = "0.1.0"

DISTRIBUTION = "qlab-unlearning"
"""What `pip install` calls it: on the package index "qlab" is another project."""
