"""X-ray segmentation: from a folder of radiographs to a tracked, resumable model. Research use only."""
