"""The public API of medseg: models and results in memory, and the commands as functions."""
