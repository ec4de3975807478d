"""The layouts of a data set, and what its mask files mean."""
