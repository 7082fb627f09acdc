"""Tracking: the only part of qlab that knows MLflow. Writes runs, and reads them back as data frames."""
