"""Synthetic data sets: chest radiographs with masks, and pairs of the article's darkening. Not clinical."""
