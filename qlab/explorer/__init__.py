"""The explorer: a Panel app that reads runs and draws them with qlab's views."""
