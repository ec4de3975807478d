"""Many files -> batches: cases, splits, preprocessing, cache, augmentation, synthetic phantoms."""
