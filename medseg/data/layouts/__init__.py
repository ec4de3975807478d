"""Layouts of a data set, and the meaning of its mask files."""
