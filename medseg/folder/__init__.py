"""Batch prediction of a folder: find files, examine them, predict, write results, and keep a journal."""
