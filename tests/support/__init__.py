"""What tests of several packages share and import; fixtures are in the ``conftest.py`` files."""
