"""Evaluation of models: the quality of masks, its uncertainty, and the conditions under which masks fail."""
