"""Checks of receipts: whether data, split, settings, weights, results, code and environment are the same."""
