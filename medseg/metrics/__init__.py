"""Arrays in, numbers out: overlap, contours, calibration, the cardiothoracic ratio, statistics."""
