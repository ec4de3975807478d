"""Data sets: cases, splits, preprocessing, cache, augmentation and synthetic phantoms."""
