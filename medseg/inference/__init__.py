"""A trained model at work: masks at the original size, and how good they are."""
