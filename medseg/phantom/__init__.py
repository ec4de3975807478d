"""Synthetic data sets, not clinical: chest radiographs with masks, and image pairs for the article's darkening."""
