"""Metrics on arrays: overlap, contour distances, calibration, cardiothoracic ratio, statistics."""
