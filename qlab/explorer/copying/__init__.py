"""What is taken away from a page: pictures at a column's width, tables, Python, experiment files."""
